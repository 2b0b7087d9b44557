//! What is submitted twice, one after the other, by a browser that has missed the first answer: with the cookies of the
//! first time, at the same process or another.

use axum::http::StatusCode;
use chancery::{service::Admin, time::Ttl, web};

use super::{
    account::{act, send},
    fixture::{NEW, SiteFixture, code_of, follow, submit},
    register::{ask, value},
};
use crate::{
    browser::{Browser, Page, SESSION, is_signed_in},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        a_registration_that_is_sent_twice_sends_one_mail,
        a_forgotten_password_that_is_sent_twice_sends_one_mail,
        a_registration_link_that_is_sent_twice_leads_where_the_visitor_was_going,
        a_registration_link_that_is_sent_again_leaves_the_session_of_another,
        a_mail_that_is_asked_for_again_once_its_attempts_are_used_up_is_sent,
        a_registration_link_that_is_sent_twice_elsewhere_leads_to_the_same_page,
        a_new_address_that_is_confirmed_twice_is_confirmed,
        a_new_address_that_is_asked_for_twice_is_mailed_once,
        a_reset_that_is_sent_twice_keeps_the_way,
        a_password_that_is_changed_twice_gives_the_same_cookie,
        an_account_that_is_deleted_twice_is_deleted,
        a_sign_out_everywhere_that_is_sent_twice_says_the_same,
        what_is_sent_many_times_at_once_has_one_outcome,
    }
}

/// A browser that sends a form twice, to two processes, as if it had missed the first answer.
struct Twice {
    first: Browser,
    second: Browser,
}

impl Twice {
    fn at(fixture: &SiteFixture, browser: &Browser, other: &chancery::service::Service) -> Self {
        Self { first: browser.through(&fixture.routes), second: browser.through(&web::routes(other.clone())) }
    }

    async fn submit(&mut self, to: &str, page: &Page, filled: &[(&'static str, &str)]) -> [Page; 2] {
        [submit(&mut self.first, to, page, filled).await, submit(&mut self.second, to, page, filled).await]
    }

    async fn send(&mut self, page: &Page, action: &'static str, filled: &[(&'static str, &str)]) -> [Page; 2] {
        [send(&mut self.first, page, action, filled).await, send(&mut self.second, page, action, filled).await]
    }
}

fn assert_same_cookie(answers: &[Page; 2]) {
    let cookies: Vec<_> = answers.iter().map(|answer| answer.cookie(SESSION).map(value)).collect();
    assert!(cookies[0].is_some() && cookies[0] == cookies[1], "{cookies:?}");
}

async fn a_registration_that_is_sent_twice_sends_one_mail(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    let mut browser = fixture.browser();
    let path = "/auth/register?return_to=/basket";
    let page = browser.get(path).await;
    let fields = [("email", "grace@example.org"), ("username", "grace"), ("password", PASSWORD)];
    let mut twice = Twice::at(fixture, &browser, &other);
    let [_, second] = twice.submit(path, &page, &fields).await;
    let mails = fixture.send_mails().await;
    assert_eq!(mails.len(), 1);
    let waiting = follow(&mut browser, &second).await;
    let done = submit(&mut browser, "/auth/verify", &waiting, &[("code", &code_of(&mails[0]))]).await;
    assert_eq!(done.path(), "/basket", "{}", done.body);
    // Another address is another registration, and so is the same when its mail does not come.
    let typed = [("email", "heidi@example.org"), ("password", PASSWORD)];
    let mut visitor = fixture.browser();
    let page = visitor.get(path).await;
    submit(&mut visitor, path, &page, &typed).await;
    submit(&mut visitor, path, &page, &[("email", "ivan@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(fixture.send_mails().await.len(), 2);
    fixture.app.pass(Ttl::from_secs(90)).await;
    submit(&mut visitor, path, &page, &typed).await;
    assert_eq!(fixture.send_mails().await.len(), 1);
    other.store().close().await;
}

async fn a_forgotten_password_that_is_sent_twice_sends_one_mail(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    let page = browser.get("/auth/forgot").await;
    let [_, second] =
        Twice::at(fixture, &browser, &other).submit("/auth/forgot", &page, &[("username", "grace")]).await;
    let mails = fixture.send_mails().await;
    assert_eq!(mails.len(), 1);
    let waiting = follow(&mut browser, &second).await;
    let fields = [("code", &*code_of(&mails[0])), ("new_password", NEW)];
    let done = submit(&mut browser, "/auth/reset", &waiting, &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    other.store().close().await;
}

async fn a_registration_link_that_is_sent_twice_leads_where_the_visitor_was_going(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    let mut browser = fixture.browser();
    ask(&mut browser, "/basket", "grace@example.org", "grace").await;
    let (_, link) = fixture.code_and_link().await;
    let page = browser.get(&link).await;
    let answers = Twice::at(fixture, &browser, &other).submit("/auth/verify", &page, &[]).await;
    assert_eq!((answers[0].path().as_str(), answers[1].path().as_str()), ("/basket", "/basket"));
    assert_same_cookie(&answers);
    other.store().close().await;
}

async fn a_registration_link_that_is_sent_again_leaves_the_session_of_another(fixture: &SiteFixture) {
    fixture.user("bob").await;
    let mut browser = fixture.browser();
    ask(&mut browser, "/basket", "grace@example.org", "grace").await;
    let (_, link) = fixture.code_and_link().await;
    let page = browser.get(&link).await;
    let lost = submit(&mut browser.clone(), "/auth/verify", &page, &[]).await;
    assert!(lost.cookie(SESSION).is_some());
    browser.sign_in("/", "bob", PASSWORD).await;
    let again = submit(&mut browser, "/auth/verify", &page, &[]).await;
    assert!(again.cookie(SESSION).is_none(), "{again:?}");
    let account = browser.get("/auth/account").await;
    assert!(account.body.contains("bob") && !account.body.contains("grace"), "{}", account.body);
}

async fn a_mail_that_is_asked_for_again_once_its_attempts_are_used_up_is_sent(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = act(&mut browser, "change_email", &[("email", "new@example.org")]).await;
    let page = follow(&mut browser, &page).await;
    let (code, _) = fixture.code_and_link().await;
    let form = page.field("form");
    let wrong = format!("{}{}", if code.starts_with('2') { '3' } else { '2' }, &code[1..]);
    for _ in 0..8 {
        send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &wrong)]).await;
    }
    let used_up = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &code)]).await;
    assert_eq!(used_up.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", used_up.body);
    let page = act(&mut browser, "change_email", &[("email", "new@example.org")]).await;
    let page = follow(&mut browser, &page).await;
    let (code, _) = fixture.code_and_link().await;
    let form = page.field("form");
    let done = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &code)]).await;
    assert_eq!(done.path(), "/auth/account?done=email", "{}", done.body);
}

async fn a_registration_link_that_is_sent_twice_elsewhere_leads_to_the_same_page(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    ask(&mut fixture.browser(), "/basket", "grace@example.org", "").await;
    let (_, link) = fixture.code_and_link().await;
    let mut elsewhere = fixture.browser();
    let page = elsewhere.get(&link).await;
    let mut twice = Twice::at(fixture, &elsewhere, &other);
    for answer in twice.submit("/auth/verify", &page, &[("new_password", NEW)]).await {
        assert!(answer.path().starts_with("/auth/login?r=") && answer.path().ends_with("&done=account"), "{answer:?}");
        let login = follow(&mut elsewhere, &answer).await;
        assert!(login.body.contains("Your account is ready"), "{}", login.body);
    }
    // What somebody else submits is not the same.
    let foreign = submit(&mut elsewhere, "/auth/verify", &page, &[("new_password", PASSWORD)]).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    other.store().close().await;
}

async fn a_new_address_that_is_confirmed_twice_is_confirmed(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    act(&mut browser, "change_email", &[("email", "new@example.org")]).await;
    let (_, link) = fixture.code_and_link().await;
    let page = browser.get(&link).await;
    let mut twice = Twice::at(fixture, &browser, &other);
    for answer in twice.submit("/auth/verify", &page, &[]).await {
        assert_eq!(answer.path(), "/auth/account?done=email", "{}", answer.body);
    }
    fixture.send_mails().await;
    let asked = act(&mut browser, "change_email", &[("email", "newer@example.org")]).await;
    let page = follow(&mut browser, &asked).await;
    let (code, _) = fixture.code_and_link().await;
    let form = page.field("form");
    for answer in twice.send(&page, "verify_email", &[("form", &form), ("code", &code)]).await {
        assert_eq!(answer.path(), "/auth/account?done=email", "{}", answer.body);
    }
    other.store().close().await;
}

async fn a_new_address_that_is_asked_for_twice_is_mailed_once(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = browser.get("/auth/account").await;
    let mut twice = Twice::at(fixture, &browser, &other);
    let [_, second] = twice.send(&page, "change_email", &[("email", "new@example.org")]).await;
    let (code, _) = fixture.code_and_link().await;
    let page = follow(&mut browser, &second).await;
    let form = page.field("form");
    let done = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &code)]).await;
    assert_eq!(done.path(), "/auth/account?done=email", "{}", done.body);
    other.store().close().await;
}

async fn a_reset_that_is_sent_twice_keeps_the_way(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    let page = browser.get("/auth/forgot?return_to=/basket").await;
    submit(&mut browser, "/auth/forgot?return_to=/basket", &page, &[("username", "grace")]).await;
    let (_, link) = fixture.code_and_link().await;
    let page = browser.get(&link).await;
    let [_, second] = Twice::at(fixture, &browser, &other).submit("/auth/reset", &page, &[("new_password", NEW)]).await;
    let login = follow(&mut browser, &second).await;
    assert!(login.body.contains("class=\"notice done\""), "{}", login.body);
    assert_eq!(browser.sign_in_on(&second.path(), &login, "grace", NEW).await.path(), "/basket");
    other.store().close().await;
}

async fn a_password_that_is_changed_twice_gives_the_same_cookie(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = browser.get("/auth/account").await;
    let typed = [("current_password", PASSWORD), ("new_password", NEW)];
    let mut twice = Twice::at(fixture, &browser, &other);
    let answers = twice.send(&page, "change_password", &typed).await;
    for answer in &answers {
        assert!(answer.path().starts_with("/auth/account?done=password"), "{}", answer.body);
    }
    assert_same_cookie(&answers);
    assert!(is_signed_in(&twice.second).await);
    // Whoever submits something else with the old cookie gets nothing, and neither does anybody a minute later.
    let wrong = [("current_password", NEW), ("new_password", NEW)];
    let refused = send(&mut browser.clone(), &page, "change_password", &wrong).await;
    fixture.app.pass(Ttl::from_secs(61)).await;
    let late = send(&mut browser, &page, "change_password", &typed).await;
    for answer in [refused, late] {
        assert!(answer.path().starts_with("/auth/login"), "{}", answer.body);
        assert!(answer.cookie(SESSION).is_none_or(|cookie| cookie.contains("Max-Age=0")));
    }
    other.store().close().await;
}

async fn an_account_that_is_deleted_twice_is_deleted(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = browser.get("/auth/account").await;
    let mut twice = Twice::at(fixture, &browser, &other);
    for answer in twice.send(&page, "delete", &[("password", PASSWORD)]).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.path());
        assert!(answer.body.contains("Your account is deleted"), "{}", answer.body);
    }
    assert!(fixture.service().users.get(&Admin::command(), "grace").await.is_err());
    // Without the token of the page, the cookie alone says nothing.
    let blind = browser.post("/auth/account", &[("action", "delete"), ("csrf", "x")]).await;
    assert!(blind.path().starts_with("/auth/login"), "{}", blind.body);
    other.store().close().await;
}

async fn a_sign_out_everywhere_that_is_sent_twice_says_the_same(fixture: &SiteFixture) {
    let other = fixture.app.second_process().await;
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = browser.get("/auth/account").await;
    let mut twice = Twice::at(fixture, &browser, &other);
    for answer in twice.send(&page, "end_all", &[]).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.path());
        assert!(answer.body.contains("You are signed out on all devices"), "{}", answer.body);
    }
    fixture.app.pass(Ttl::from_secs(61)).await;
    let late = send(&mut browser, &page, "end_all", &[]).await;
    assert!(late.path().starts_with("/auth/login"), "{}", late.body);
    other.store().close().await;
}

/// Sends a form of the account page many times at once, with the cookies of one time.
async fn at_once(
    fixture: &SiteFixture,
    browser: &Browser,
    action: &'static str,
    typed: &[(&'static str, &str)],
) -> Vec<Page> {
    let page = browser.clone().get("/auth/account").await;
    let all = (0..30).map(|_| {
        let (mut browser, page) = (browser.through(&fixture.routes), &page);
        async move { send(&mut browser, page, action, typed).await }
    });
    futures_util::future::join_all(all).await
}

async fn what_is_sent_many_times_at_once_has_one_outcome(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let browser = fixture.signed_in("grace", PASSWORD).await;
    let typed = [("current_password", PASSWORD), ("new_password", NEW)];
    let answers = at_once(fixture, &browser, "change_password", &typed).await;
    let cookies: std::collections::BTreeSet<_> = answers.iter().map(|a| a.cookie(SESSION).map(value)).collect();
    assert!(cookies.len() == 1 && !cookies.contains(&None), "{cookies:?}");
    let browser = fixture.signed_in("grace", NEW).await;
    for answer in at_once(fixture, &browser, "end_all", &[]).await {
        assert!(answer.body.contains("You are signed out on all devices"), "{} {}", answer.status, answer.body);
    }
    let browser = fixture.signed_in("grace", NEW).await;
    for answer in at_once(fixture, &browser, "delete", &[("password", NEW)]).await {
        assert!(answer.body.contains("Your account is deleted"), "{} {}", answer.status, answer.body);
    }
}
