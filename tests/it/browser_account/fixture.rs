//! A server with a site, the mails that it sends, and browsers.

use std::sync::Arc;

use axum::{Router, http::StatusCode};
use chancery::{
    mail::{Kept, KeptMail, Mailer, Post, Templates},
    secret::Password,
    service::{Admin, NewClientRequest, NewUserRequest, Service},
    web,
};

use crate::{
    browser::{Browser, Page, site_client},
    support::{App, ISSUER, PASSWORD},
};

pub(crate) const NEW: &str = "an entirely different phrase";

/// A server with the client `shop`, whose site allows registration.
pub(crate) struct SiteFixture {
    pub(crate) app: App,
    pub(crate) routes: Router,
    kept: Arc<Kept>,
    post: Post,
}

impl SiteFixture {
    pub(crate) async fn sqlite() -> Self {
        Self::of(App::sqlite().await).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::of(App::postgres().await).await
    }

    pub(crate) async fn finish(self) {
        self.app.finish().await;
    }

    async fn of(app: App) -> Self {
        let shop = NewClientRequest {
            registration: true,
            audiences: vec!["api".into(), ISSUER.into()],
            ..site_client("shop")
        };
        app.service.clients.create(&Admin::command(), shop).await.unwrap();
        let kept = Arc::new(Kept::default());
        let post = Post { templates: Templates::load(None).unwrap(), mailer: Mailer::Kept(kept.clone()) };
        let routes = web::routes(app.service.clone());
        Self { app, routes, kept, post }
    }

    pub(crate) fn service(&self) -> &Service {
        &self.app.service
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.routes)
    }

    /// A user with an address.
    pub(crate) async fn user(&self, name: &str) {
        let user = NewUserRequest {
            name: name.into(),
            emails: vec![format!("{name}@example.org")],
            password: Some(Password::new(PASSWORD.into())),
            ..NewUserRequest::default()
        };
        self.service().users.create(&Admin::command(), user).await.unwrap();
    }

    /// A browser in which this user is signed in.
    pub(crate) async fn signed_in(&self, name: &str, password: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.sign_in("/", name, password).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        browser
    }

    /// Sends all due mails and returns them, oldest first.
    pub(crate) async fn send_mails(&self) -> Vec<KeptMail> {
        let before = self.kept.newest().len();
        loop {
            let taken = self.service().outbox.claim_due(10).await.unwrap();
            if taken.is_empty() {
                break;
            }
            for mail in taken {
                self.service().outbox.deliver(&self.post, mail).await;
            }
        }
        let newest = self.kept.newest();
        newest[..newest.len() - before].iter().rev().cloned().collect()
    }

    /// The only mail that is due: its code and the path of its link.
    pub(crate) async fn code_and_link(&self) -> (String, String) {
        let mails = self.send_mails().await;
        assert_eq!(mails.len(), 1, "{:?}", mails.iter().map(|mail| &mail.subject).collect::<Vec<_>>());
        let link = mails[0].links.iter().find(|link| link.contains("token=")).expect("a link");
        let path = link.strip_prefix(crate::browser::ORIGIN).expect("a link to the declared site").to_owned();
        (code_of(&mails[0]), path)
    }
}

/// The code in a mail.
pub(crate) fn code_of(mail: &KeptMail) -> String {
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).count() == 8 && word.len() <= 9;
    let lines = mail.text.lines().map(|line| line.trim().replace([' ', '-'], ""));
    lines.into_iter().find(|line| digits(line)).unwrap_or_else(|| panic!("no code in {}", mail.text))
}

/// The fields that the page of a form has hidden, but for those that are filled in.
pub(crate) fn hidden(page: &Page) -> Vec<(&'static str, String)> {
    let names = ["csrf", "form", "token", "kind"];
    names.into_iter().filter_map(|name| Some((name, page.find_field(name)?))).collect()
}

/// Fills in a page's only form and sends it.
pub(crate) async fn submit(browser: &mut Browser, to: &str, page: &Page, filled: &[(&'static str, &str)]) -> Page {
    let mut fields = hidden(page);
    fields.extend(filled.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(to, &fields).await
}

/// The page that an answer leads to.
pub(crate) async fn follow(browser: &mut Browser, answer: &Page) -> Page {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    browser.get(&answer.path()).await
}
