//! A browser, as far as pages without scripts need one: it keeps cookies, sends what browsers send, and reads forms.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use chancery::{
    mail::{Kept, Mailer, Post, Templates},
    service::{Admin, NewClientRequest},
    web,
};
use chancery_guard::listener::Peer;
use tower::ServiceExt;

use crate::support::{App, first_party};

/// The origin of the site that tests use. On loopback, cookies have no prefix and end in the port.
pub(crate) const ORIGIN: &str = "http://localhost:8000";
pub(crate) const SESSION: &str = "chancery-session-8000";
pub(crate) const VISITOR: &str = "chancery-visitor-8000";
pub(crate) const DEVICES: &str = "chancery-devices-8000";

/// A client with a site at [`ORIGIN`].
pub(crate) fn site_client(id: &str) -> NewClientRequest {
    NewClientRequest { site: format!("{ORIGIN}/auth"), ..first_party(id, &["api", "other"]) }
}

/// The public routes, with a client whose site is at [`ORIGIN`].
pub(crate) async fn browser_routes(app: &App) -> Router {
    app.service.clients.create(&Admin::command(), site_client("shop")).await.unwrap();
    web::routes(app.service.clone())
}

/// A browser at one site.
#[derive(Clone)]
pub(crate) struct Browser {
    routes: Router,
    origin: String,
    /// What it keeps, by name.
    pub(crate) cookies: BTreeMap<String, String>,
    /// Whether it keeps cookies at all.
    pub(crate) keeps_cookies: bool,
    pub(crate) peer: SocketAddr,
    pub(crate) user_agent: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Browser {
    pub(crate) fn new(routes: &Router) -> Self {
        Self::at(routes, ORIGIN)
    }

    /// A browser at another site.
    pub(crate) fn at(routes: &Router, origin: &str) -> Self {
        let peer = "127.0.0.1:40000".parse().unwrap();
        Self {
            routes: routes.clone(),
            origin: origin.into(),
            cookies: BTreeMap::new(),
            keeps_cookies: true,
            peer,
            user_agent: String::new(),
        }
    }

    /// The same browser, with its requests going to another process.
    pub(crate) fn through(&self, routes: &Router) -> Self {
        Self { routes: routes.clone(), ..self.clone() }
    }

    /// Opens a page from the address bar or a link of the same site.
    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")], String::new())
            .await
    }

    /// Sends a form as the page itself does.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let headers = [
            ("sec-fetch-site", "same-origin"),
            ("origin", ORIGIN),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.send("POST", path, &headers, encode(fields)).await
    }

    /// Sends a request with these headers and this browser's cookies, and keeps the cookies of the answer.
    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Page {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.origin[7..]);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.user_agent.is_empty() {
            request = request.header(header::USER_AGENT, &self.user_agent);
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let request = request.extension(Peer(self.peer)).body(Body::from(body)).unwrap();
        let (parts, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        // What a browser shows, not how it is written.
        let body = body.replace("&#x2f;", "/");
        let page = Page { status: parts.status, headers: parts.headers, body };
        if self.keeps_cookies {
            self.keep(&page);
        }
        page
    }

    fn keep(&mut self, page: &Page) {
        for cookie in page.set_cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Opens the sign-in page, as an application's link does. Returns the path that it ends at, with `r`.
    pub(crate) async fn open_login(&mut self, return_to: &str) -> (String, Page) {
        let begun = self.get(&format!("/auth/login?return_to={return_to}")).await;
        assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.body);
        let path = begun.path();
        let page = self.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        (path, page)
    }

    /// Fills in a sign-in page and sends it.
    pub(crate) async fn sign_in_on(&mut self, path: &str, page: &Page, username: &str, password: &str) -> Page {
        let fields = page.sign_in_fields(username, password);
        self.post(path, &borrowed(&fields)).await
    }

    /// Signs in from the beginning, and goes on to `return_to`.
    pub(crate) async fn sign_in(&mut self, return_to: &str, username: &str, password: &str) -> Page {
        let (path, page) = self.open_login(return_to).await;
        self.sign_in_on(&path, &page, username, password).await
    }
}

impl Page {
    /// Where it sends the browser.
    pub(crate) fn location(&self) -> &str {
        let location = self.headers.get(header::LOCATION).unwrap_or_else(|| panic!("{}: {}", self.status, self.body));
        location.to_str().unwrap()
    }

    /// Where it sends the browser: always an absolute URL at the site.
    pub(crate) fn path(&self) -> String {
        self.location().strip_prefix(ORIGIN).expect("an absolute URL at the site").to_owned()
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The cookie with this name that it sets.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.set_cookies().into_iter().find(|cookie| cookie.starts_with(&format!("{name}=")))
    }

    /// The value of the field with this name.
    pub(crate) fn field(&self, name: &str) -> String {
        self.find_field(name).unwrap_or_else(|| panic!("no field {name} in {}", self.body))
    }

    pub(crate) fn find_field(&self, name: &str) -> Option<String> {
        let tag = self.body.split("<input").skip(1).filter_map(|rest| rest.split('>').next());
        let tag = tag.into_iter().find(|tag| attribute(tag, "name").as_deref() == Some(name))?;
        Some(attribute(tag, "value").unwrap_or_default())
    }

    /// What a browser sends when somebody fills in the sign-in page.
    pub(crate) fn sign_in_fields(&self, username: &str, password: &str) -> Vec<(&'static str, String)> {
        vec![
            ("csrf", self.field("csrf")),
            ("form", self.field("form")),
            ("username", username.to_owned()),
            ("password", password.to_owned()),
        ]
    }

    /// Whether it is the sign-in page.
    pub(crate) fn is_login(&self) -> bool {
        self.body.contains("id=\"login-submit\"")
    }

    pub(crate) fn is_step(&self) -> bool {
        self.body.contains("id=\"step-submit\"")
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split(&format!(" {name}=\"")).nth(1)?;
    Some(unescaped(rest.split('"').next()?))
}

fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for (from, to) in [("&quot;", "\""), ("&#x27;", "'"), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&#x2f;", "/")]
    {
        out = out.replace(from, to);
    }
    out.replace("&amp;", "&")
}

pub(crate) fn borrowed<'a>(fields: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect::<Vec<_>>().join("&")
}

fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Whether a browser is signed in: its sign-in page leads on at once.
pub(crate) async fn is_signed_in(browser: &Browser) -> bool {
    let page = browser.clone().get("/auth/login?return_to=/probe").await;
    page.status == StatusCode::SEE_OTHER && page.path() == "/probe"
}

/// The code in the newest mail that has one.
pub(crate) async fn last_code(app: &App) -> String {
    let kept = Arc::new(Kept::default());
    let post = Post { templates: Templates::load(None).unwrap(), mailer: Mailer::Kept(kept.clone()) };
    loop {
        let taken = app.service.outbox.claim_due(10).await.unwrap();
        if taken.is_empty() {
            break;
        }
        for mail in taken {
            app.service.outbox.deliver(&post, mail).await;
        }
    }
    let mails = kept.newest();
    mails.iter().find_map(|mail| mail.code.clone()).expect("a mail with a code")
}
