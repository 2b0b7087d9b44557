//! Forgotten passwords.

use axum::http::StatusCode;
use chancery::{domain::audit::AuditKind, service::Admin, web};

use super::fixture::{NEW, SiteFixture, code_of, follow, submit};
use crate::{
    browser::{Browser, Page, SESSION, is_signed_in},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        p19_a_link_sets_the_password_ends_every_session_and_opens_none,
        a_code_sets_the_password_in_the_browser_that_asked,
        p10_nobody_learns_whether_there_is_an_account,
        two_hundred_submissions_of_one_link_have_one_outcome,
        a_used_or_foreign_link_says_so_and_leads_to_another,
    }
}

/// Asks for a mail; the page that asks for the code.
async fn ask(browser: &mut Browser, username: &str) -> Page {
    let page = browser.get("/auth/forgot?return_to=/basket").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let answer = submit(browser, "/auth/forgot?return_to=/basket", &page, &[("username", username)]).await;
    follow(browser, &answer).await
}

// better-auth#10944: nothing here needs a script, and a form that the browser sends itself has an origin.
async fn p19_a_link_sets_the_password_ends_every_session_and_opens_none(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let elsewhere = fixture.signed_in("grace", PASSWORD).await;
    let mut browser = fixture.browser();
    ask(&mut browser, "grace").await;
    let (_, link) = fixture.code_and_link().await;
    assert!(link.starts_with("/auth/reset?token="), "{link}");
    let page = browser.get(&link).await;
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    assert_eq!(fixture.browser().get(&link).await.status, StatusCode::OK, "opening it changes nothing");
    let short = submit(&mut browser, "/auth/reset", &page, &[("new_password", "short")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.body.contains("id=\"new_password-wrong\""), "{}", short.body);
    let done = submit(&mut browser, "/auth/reset", &short, &[("new_password", NEW)]).await;
    assert!(done.cookie(SESSION).is_none());
    let login = follow(&mut browser, &done).await;
    assert!(login.is_login(), "{}", login.body);
    assert!(login.body.contains("class=\"notice done\""), "{}", login.body);
    assert!(!is_signed_in(&elsewhere).await);
    // Nothing of the way is lost.
    let arrived = browser.sign_in_on(&done.path(), &login, "grace", NEW).await;
    assert_eq!(arrived.path(), "/basket");
}

async fn a_code_sets_the_password_in_the_browser_that_asked(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    let page = ask(&mut browser, "grace@example.org").await;
    let mails = fixture.send_mails().await;
    let code = code_of(&mails[0]);
    let wrong = submit(&mut browser, "/auth/reset", &page, &[("code", "00000000"), ("new_password", NEW)]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("id=\"code-wrong\""), "{}", wrong.body);
    let fields = [("code", code.as_str()), ("new_password", NEW)];
    // The page of another browser counts for nothing there.
    let elsewhere = submit(&mut fixture.browser(), "/auth/reset", &wrong, &fields).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST);
    let done = submit(&mut browser, "/auth/reset", &wrong, &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    assert_eq!(fixture.browser().sign_in("/", "grace", NEW).await.status, StatusCode::SEE_OTHER);
}

async fn p10_nobody_learns_whether_there_is_an_account(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut statuses = Vec::new();
    for username in ["grace", "nobody"] {
        let mut browser = fixture.browser();
        let page = ask(&mut browser, username).await;
        let fields = [("code", "12345678"), ("new_password", NEW)];
        let wrong = submit(&mut browser, "/auth/reset", &page, &fields).await;
        statuses.push((page.status, wrong.status, wrong.body.contains("id=\"code-wrong\"")));
    }
    assert_eq!(statuses[0], statuses[1]);
    assert_eq!(fixture.send_mails().await.len(), 1);
}

async fn two_hundred_submissions_of_one_link_have_one_outcome(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    ask(&mut browser, "grace").await;
    let (_, link) = fixture.code_and_link().await;
    let page = browser.get(&link).await;
    let second = fixture.app.second_process().await;
    let routes = [fixture.routes.clone(), web::routes(second.clone())];
    let all = futures_util::future::join_all((0..200).map(|n| {
        let (mut browser, page) = (browser.through(&routes[n % 2]), &page);
        async move { submit(&mut browser, "/auth/reset", page, &[("new_password", NEW)]).await }
    }));
    for answer in all.await {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        assert!(answer.path().starts_with("/auth/login?r="), "{}", answer.path());
    }
    second.store().close().await;
    let kinds = fixture.service().store().read().await.unwrap().audit_kinds().await.unwrap();
    let set = kinds.iter().filter(|(kind, _)| kind == AuditKind::PasswordSet.as_str());
    assert_eq!(set.count(), 1);
    assert_eq!(fixture.browser().sign_in("/", "grace", NEW).await.status, StatusCode::SEE_OTHER);
    // What somebody else submits is not the same.
    let other = submit(&mut browser, "/auth/reset", &page, &[("new_password", PASSWORD)]).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST, "{}", other.body);
}

async fn a_used_or_foreign_link_says_so_and_leads_to_another(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    for link in ["/auth/reset", "/auth/reset?token=nonsense", "/auth/verify?kind=register&token=nonsense"] {
        let page = browser.get(link).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{link}");
        assert!(page.body.contains("id=\"retry\"") && page.body.contains("id=\"request-id\""), "{}", page.body);
    }
    let twice = browser.get("/auth/reset?token=a&token=b").await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    assert!(twice.body.contains("id=\"parameter\""), "{}", twice.body);
    // An administrator's mail leads to the same page.
    let reset = chancery::service::UserPasswordReset { user: "grace", client_id: "shop", keep_current: false };
    fixture.service().users.start_reset(&Admin::command(), reset).await.unwrap();
    let (_, link) = fixture.code_and_link().await;
    let page = browser.get(&link).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let done = submit(&mut browser, "/auth/reset", &page, &[("new_password", NEW)]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
}
