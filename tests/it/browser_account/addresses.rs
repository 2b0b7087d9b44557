//! Changes of the address of an account: whoever completes one must be its owner, in a session that nobody has ended.

use axum::http::StatusCode;
use chancery::{service::Admin, time::Ttl};

use super::{
    account::{act, send},
    fixture::{NEW, SiteFixture, follow, submit},
};
use crate::{
    browser::{Browser, Page, SESSION},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        s09_a_change_of_address_ends_with_the_session_that_asked_for_it,
        s09_a_visitor_without_a_session_completes_no_change_of_address,
        a_change_of_address_goes_on_after_its_owner_has_signed_in_once_more,
        a_link_belongs_to_its_account_and_does_nothing_in_the_session_of_another,
        a_code_belongs_to_its_account_and_does_nothing_in_the_session_of_another,
        a_void_link_says_so_at_once,
    }
}

/// Asks for another address; the page that asks for the code, the code and the link.
async fn ask(fixture: &SiteFixture, browser: &mut Browser, email: &'static str) -> (Page, String, String) {
    let asked = act(browser, "change_email", &[("email", email)]).await;
    let page = follow(browser, &asked).await;
    let (code, link) = fixture.code_and_link().await;
    (page, code, link)
}

async fn assert_unchanged(fixture: &SiteFixture) {
    let view = fixture.service().users.get(&Admin::command(), "grace").await.unwrap();
    assert_eq!(view.logins, ["grace", "grace@example.org"]);
}

async fn s09_a_change_of_address_ends_with_the_session_that_asked_for_it(fixture: &SiteFixture) {
    fixture.user("grace").await;
    for way in ["end_session", "end_all", "end_others", "sign_out", "change_password", "reset"] {
        let password = if matches!(way, "reset") { NEW } else { PASSWORD };
        let mut thief = fixture.signed_in("grace", password).await;
        let (_, _, link) = ask(fixture, &mut thief, "mallory@example.org").await;
        let confirm = thief.get(&link).await;
        assert!(confirm.find_field("token").is_some(), "{}", confirm.body);
        let mut owner = fixture.signed_in("grace", password).await;
        match way {
            "end_session" => {
                let page = owner.get("/auth/account").await;
                let id = page.field("session_id");
                send(&mut owner, &page, "end_session", &[("session_id", &id)]).await;
            }
            "sign_out" => {
                let page = thief.get("/auth/logout").await;
                submit(&mut thief, "/auth/logout", &page, &[]).await;
            }
            "change_password" => {
                act(&mut owner, way, &[("current_password", password), ("new_password", NEW)]).await;
            }
            "reset" => {
                let page = owner.get("/auth/forgot").await;
                submit(&mut owner, "/auth/forgot", &page, &[("username", "grace")]).await;
                let mails = fixture.send_mails().await;
                let link = mails.last().unwrap().links.iter().find(|link| link.contains("/reset")).unwrap().clone();
                let page = owner.get(link.strip_prefix(crate::browser::ORIGIN).unwrap()).await;
                submit(&mut owner, "/auth/reset", &page, &[("new_password", "a third long phrase")]).await;
            }
            _ => drop(act(&mut owner, way, &[]).await),
        }
        fixture.send_mails().await;
        assert_eq!(thief.get(&link).await.status, StatusCode::BAD_REQUEST, "{way}");
        let late = submit(&mut thief, "/auth/verify", &confirm, &[]).await;
        assert_eq!(late.status, StatusCode::BAD_REQUEST, "{way}: {}", late.body);
        // Not even the owner is made to complete it.
        let mut owner = fixture.browser();
        owner.sign_in("/", "grace", password).await;
        assert_eq!(owner.get(&link).await.status, StatusCode::BAD_REQUEST, "{way}");
        assert_unchanged(fixture).await;
        assert!(fixture.send_mails().await.is_empty(), "{way}: nobody is told of a change");
        // So many mails to one address take time.
        fixture.app.pass(Ttl::from_secs(600)).await;
    }
}

async fn s09_a_visitor_without_a_session_completes_no_change_of_address(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let (page, code, link) = ask(fixture, &mut browser, "new@example.org").await;
    let confirm = browser.get(&link).await;
    let session = browser.cookies.remove(SESSION).unwrap();
    let asks = browser.get(&link).await;
    assert!(asks.body.contains("id=\"sign-in\"") && asks.find_field("token").is_none(), "{}", asks.body);
    let sent = submit(&mut browser, "/auth/verify", &confirm, &[]).await;
    assert!(sent.path().starts_with("/auth/login?r="), "{}", sent.path());
    let form = page.field("form");
    let typed = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &code)]).await;
    assert!(typed.path().starts_with("/auth/login?r="), "{}", typed.path());
    assert_unchanged(fixture).await;
    browser.cookies.insert(SESSION.to_owned(), session);
    let done = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &code)]).await;
    assert_eq!(done.path(), "/auth/account?done=email");
}

async fn a_change_of_address_goes_on_after_its_owner_has_signed_in_once_more(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let (page, code, _) = ask(fixture, &mut browser, "new@example.org").await;
    let old = browser.cookies[SESSION].clone();
    fixture.app.pass(Ttl::from_secs(120)).await;
    let path = crate::browser::fresh(&fixture.app, "/basket");
    let login = browser.get(&path).await;
    browser.sign_in_on(&path, &login, "grace", PASSWORD).await;
    assert_ne!(browser.cookies[SESSION], old);
    let page = browser.get(&format!("/auth/account?w={}", page.field("form"))).await;
    let form = page.field("form");
    let done = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &code)]).await;
    assert_eq!(done.path(), "/auth/account?done=email", "{}", done.body);
}

async fn a_link_belongs_to_its_account_and_does_nothing_in_the_session_of_another(fixture: &SiteFixture) {
    fixture.user("grace").await;
    fixture.user("other").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let (_, _, link) = ask(fixture, &mut browser, "new@example.org").await;
    let confirm = browser.get(&link).await;
    // The same browser and visitor, with the session of somebody else.
    let other = fixture.signed_in("other", PASSWORD).await;
    let own = browser.cookies.insert(SESSION.to_owned(), other.cookies[SESSION].clone()).unwrap();
    let page = browser.get(&link).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("This link is for another account"), "{}", page.body);
    assert!(page.body.contains("id=\"sign-out\"") && page.find_field("token").is_none(), "{}", page.body);
    assert!(!page.body.contains("grace") && !page.body.contains("new@example.org"), "{}", page.body);
    let sent = submit(&mut browser, "/auth/verify", &confirm, &[]).await;
    assert!(sent.body.contains("This link is for another account"), "{}", sent.body);
    assert_unchanged(fixture).await;
    browser.cookies.insert(SESSION.to_owned(), own);
    assert_eq!(submit(&mut browser, "/auth/verify", &confirm, &[]).await.path(), "/auth/account?done=email");
}

async fn a_code_belongs_to_its_account_and_does_nothing_in_the_session_of_another(fixture: &SiteFixture) {
    fixture.user("grace").await;
    fixture.user("other").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let (page, code, _) = ask(fixture, &mut browser, "new@example.org").await;
    let other = fixture.signed_in("other", PASSWORD).await;
    browser.cookies.insert(SESSION.to_owned(), other.cookies[SESSION].clone());
    let form = page.field("form");
    let refused = act(&mut browser, "verify_email", &[("form", &form), ("code", &code)]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("id=\"code-wrong\""), "{}", refused.body);
    assert_unchanged(fixture).await;
    let view = fixture.service().users.get(&Admin::command(), "other").await.unwrap();
    assert_eq!(view.logins, ["other", "other@example.org"]);
}

async fn a_void_link_says_so_at_once(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let (_, _, link) = ask(fixture, &mut browser, "new@example.org").await;
    let page = browser.get("/auth/forgot").await;
    submit(&mut browser, "/auth/forgot", &page, &[("username", "grace")]).await;
    let (_, reset) = fixture.code_and_link().await;
    for link in [&link, &reset] {
        assert_eq!(browser.get(link).await.status, StatusCode::OK, "{link}");
    }
    act(&mut browser, "change_name", &[("username", "hopper")]).await;
    for link in [&link, &reset] {
        let void = browser.get(link).await;
        assert_eq!(void.status, StatusCode::BAD_REQUEST, "{link}");
        assert!(void.body.contains("This link does not work"), "{}", void.body);
    }
}
