//! What the pages say, and where they lead, when something is not as expected.

use axum::http::StatusCode;
use chancery::time::Ttl;

use super::{
    account::{act, send},
    fixture::{NEW, SiteFixture, follow, submit},
    register::ask,
};
use crate::{
    browser::{Browser, Page},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        after_a_wrong_code_a_reload_shows_the_same_page,
        a_page_that_is_too_old_begins_again_on_the_same_way,
        a_link_that_opens_another_account_says_whose_session_this_is,
        nothing_is_confirmed_by_a_url,
        all_that_is_wrong_with_a_new_password_is_said_at_once,
        problems_are_sentences_and_name_fields_as_their_labels_do,
        buttons_for_equal_devices_have_different_names,
        what_a_deletion_leaves_is_said,
    }
}

/// Where the form with this field is sent.
fn target(page: &Page, field: &str) -> String {
    let before = page.body.split(&format!("id=\"{field}\"")).next().unwrap();
    let form = before.rsplit("action=\"").next().unwrap();
    form.split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&")
}

fn link_of(page: &Page, id: &str) -> String {
    let rest = page.body.split(&format!("id=\"{id}\" href=\"")).nth(1).unwrap_or_else(|| panic!("{}", page.body));
    rest.split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&")
}

async fn after_a_wrong_code_a_reload_shows_the_same_page(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let (_, page) = ask(&mut browser, "/basket", "grace@example.org", "").await;
    let to = target(&page, "code");
    let wrong = submit(&mut browser, &to, &page, &[("code", "00000000")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let reload = browser.get(&to).await;
    assert!(reload.status == StatusCode::OK && reload.body.contains("grace@example.org"), "{}", reload.body);
    let (code, _) = fixture.code_and_link().await;
    assert_eq!(submit(&mut browser, &to, &reload, &[("code", &code)]).await.path(), "/basket");

    let mut forgetful = fixture.browser();
    let page = forgetful.get("/auth/forgot").await;
    let asked = submit(&mut forgetful, "/auth/forgot", &page, &[("username", "nobody")]).await;
    let page = follow(&mut forgetful, &asked).await;
    let to = target(&page, "code");
    submit(&mut forgetful, &to, &page, &[("code", "00000000"), ("new_password", NEW)]).await;
    assert!(forgetful.get(&to).await.body.contains("id=\"code\""));

    fixture.user("ada-2").await;
    let mut owner = fixture.signed_in("ada-2", PASSWORD).await;
    let asked = act(&mut owner, "change_email", &[("email", "new@example.org")]).await;
    let page = follow(&mut owner, &asked).await;
    for field in ["code", "username", "new_password"] {
        let to = target(&page, field);
        assert!(owner.get(&to).await.body.contains("id=\"code\""), "{field}: {to}");
    }
}

async fn a_page_that_is_too_old_begins_again_on_the_same_way(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    let (waiting, _) = ask(&mut browser, "/basket", "new@example.org", "").await;
    let (login, page) = browser.open_login("/basket").await;
    fixture.app.pass(Ttl::from_days(1)).await;
    for late in [browser.get(&login).await, browser.sign_in_on(&login, &page, "grace", PASSWORD).await] {
        assert_eq!(late.status, StatusCode::BAD_REQUEST);
        let again = link_of(&late, "continue");
        let page = browser.get(&again).await;
        let arrived = browser.clone().sign_in_on(&again, &page, "grace", PASSWORD).await;
        assert_eq!(arrived.path(), "/basket");
    }
    let late = browser.get(&waiting).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST);
    let again = link_of(&late, "continue");
    assert!(again.starts_with("/auth/register?r="), "{again}");
    assert!(browser.get(&again).await.body.contains("register-submit"));
    // Where the way is unknown, nothing is promised.
    let lost = browser.get("/auth/login?r=nonsense").await;
    assert_eq!(link_of(&lost, "continue"), "/");
    assert!(!lost.body.contains("where you were going"), "{}", lost.body);
}

async fn a_link_that_opens_another_account_says_whose_session_this_is(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    ask(&mut browser, "/basket", "heidi@example.org", "").await;
    let (_, link) = fixture.code_and_link().await;
    browser.sign_in("/", "grace", PASSWORD).await;
    let page = browser.get(&link).await;
    for _ in 0..2 {
        let done = submit(&mut browser, "/auth/verify", &page, &[]).await;
        let said = follow(&mut browser, &done).await;
        assert!(said.body.contains("You are still signed in as grace"), "{}", said.body);
        assert!(said.body.contains("id=\"sign-out\""), "{}", said.body);
    }
}

async fn nothing_is_confirmed_by_a_url(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut signed_in = fixture.signed_in("grace", PASSWORD).await;
    for done in ["ANYTHING", "email", "account", ""] {
        for browser in [&mut fixture.browser(), &mut signed_in] {
            let page = browser.get(&format!("/auth/verify?done={done}")).await;
            assert_eq!(page.status, StatusCode::BAD_REQUEST, "{done}: {}", page.body);
        }
    }
}

async fn all_that_is_wrong_with_a_new_password_is_said_at_once(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    for current in ["", NEW] {
        let typed = [("current_password", current), ("new_password", "short")];
        let refused = act(&mut browser, "change_password", &typed).await;
        for field in ["current_password", "new_password"] {
            assert!(refused.body.contains(&format!("id=\"{field}-wrong\"")), "{field}: {}", refused.body);
        }
    }
    let wrong = [("current_password", NEW), ("new_password", "short")];
    assert!(act(&mut browser, "change_password", &wrong).await.body.contains("The password is wrong."));
    let same = [("current_password", PASSWORD), ("new_password", PASSWORD)];
    assert!(act(&mut browser, "change_password", &same).await.body.contains("Choose one that is not the current one."));
}

async fn problems_are_sentences_and_name_fields_as_their_labels_do(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let page = browser.get("/auth/forgot").await;
    let empty = submit(&mut browser, "/auth/forgot", &page, &[("username", "")]).await;
    assert!(empty.body.contains("User name or email address: This is needed."), "{}", empty.body);
    let page = browser.get("/auth/register").await;
    let typed = [("email", ""), ("username", "a b"), ("password", "short")];
    let wrong = submit(&mut browser, "/auth/register", &page, &typed).await;
    for said in ["Email address: This is needed.", "User name: Use letters, digits and punctuation, without spaces."] {
        assert!(wrong.body.contains(said), "{said}: {}", wrong.body);
    }
    fixture.user("grace").await;
    let mut owner = fixture.signed_in("grace", PASSWORD).await;
    let refused = act(&mut owner, "delete", &[("password", "")]).await;
    assert!(refused.body.contains("Your password: This is needed."), "{}", refused.body);
    let refused = act(&mut owner, "change_email", &[("email", "x")]).await;
    assert!(refused.body.contains("New email address: Enter an address"), "{}", refused.body);
    let headers = [("sec-fetch-site", "same-origin"), ("content-type", "text/plain")];
    let answer = owner.send("POST", "/auth/account", &headers, "x".to_owned()).await;
    assert!(answer.body.contains("The form was not sent by one of our pages."), "{}", answer.body);
    for page in [empty, wrong, refused, answer] {
        assert!(!page.body.contains("It the") && !page.body.contains("1 to 1024"), "{}", page.body);
    }
}

async fn buttons_for_equal_devices_have_different_names(fixture: &SiteFixture) {
    fixture.user("grace").await;
    for _ in 0..3 {
        fixture.signed_in("grace", PASSWORD).await;
    }
    let page = fixture.signed_in("grace", PASSWORD).await.get("/auth/account").await;
    let names: std::collections::BTreeSet<&str> =
        page.body.split("aria-label=\"Sign out").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

async fn what_a_deletion_leaves_is_said(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let page = fixture.signed_in("grace", PASSWORD).await.get("/auth/account").await;
    let said = page.body.split("id=\"delete-title\"").nth(1).unwrap();
    assert!(said.contains("What stays is the security log") && !said.contains("everything"), "{said}");
    let mut browser: Browser = fixture.signed_in("grace", PASSWORD).await;
    assert_eq!(send(&mut browser, &page, "delete", &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}
