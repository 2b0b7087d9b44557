//! The page where people look after their accounts.

use axum::http::StatusCode;
use chancery::{error::Error, service::Admin, time::Ttl};
use serde_json::Value;

use super::fixture::{NEW, SiteFixture, follow, submit};
use crate::{
    browser::{Browser, Page, SESSION, is_signed_in},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        whoever_is_not_signed_in_signs_in_first_and_comes_back,
        s09_s11_a_new_password_needs_the_current_one_and_ends_every_other_session_and_the_old_cookie,
        s10_sessions_are_listed_with_their_devices_and_ended_one_by_one_and_everywhere,
        s09_a_new_address_needs_a_fresh_sign_in_or_the_password_and_then_its_code,
        the_link_to_a_new_address_asks_the_reader_elsewhere_to_sign_in_and_comes_back,
        everything_that_is_kept_about_the_user_is_a_file,
        s09_an_account_is_deleted_with_its_password_and_nothing_less,
        a_form_counts_only_with_the_token_of_its_session,
        a_name_can_be_changed_and_a_taken_one_cannot_be_had,
    }
}

/// Fills in one of the page's forms and sends it.
pub(super) async fn act(browser: &mut Browser, action: &'static str, filled: &[(&'static str, &str)]) -> Page {
    let page = browser.get("/auth/account").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    send(browser, &page, action, filled).await
}

pub(super) async fn send(
    browser: &mut Browser,
    page: &Page,
    action: &'static str,
    filled: &[(&'static str, &str)],
) -> Page {
    let csrf = page.field("csrf");
    let mut fields = vec![("csrf", csrf.as_str()), ("action", action)];
    fields.extend_from_slice(filled);
    browser.post("/auth/account", &fields).await
}

async fn whoever_is_not_signed_in_signs_in_first_and_comes_back(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    let answer = browser.get("/auth/account").await;
    let login = follow(&mut browser, &answer).await;
    assert!(login.is_login(), "{}", login.body);
    let done = browser.sign_in_on(&answer.path(), &login, "grace", PASSWORD).await;
    assert_eq!(done.path(), "/auth/account");
    let page = follow(&mut browser, &done).await;
    assert!(page.body.contains("grace@example.org"), "{}", page.body);
    assert_eq!(page.headers["cache-control"], "no-store");
}

async fn s09_s11_a_new_password_needs_the_current_one_and_ends_every_other_session_and_the_old_cookie(
    fixture: &SiteFixture,
) {
    fixture.user("grace").await;
    let other = fixture.signed_in("grace", PASSWORD).await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let wrong = [("current_password", NEW), ("new_password", "yet another long phrase")];
    let refused = act(&mut browser, "change_password", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("id=\"current_password-wrong\""), "{}", refused.body);
    let short = act(&mut browser, "change_password", &[("current_password", PASSWORD), ("new_password", "x")]).await;
    assert!(short.body.contains("id=\"new_password-wrong\""), "{}", short.body);
    assert!(is_signed_in(&other).await);
    let stolen = browser.clone();
    let done = act(&mut browser, "change_password", &[("current_password", PASSWORD), ("new_password", NEW)]).await;
    let page = follow(&mut browser, &done).await;
    assert!(page.body.contains("class=\"notice done\""), "{}", page.body);
    assert_ne!(browser.cookies[SESSION], stolen.cookies[SESSION], "a new session");
    assert!(is_signed_in(&browser).await);
    assert!(!is_signed_in(&other).await && !is_signed_in(&stolen).await);
    let mails: Vec<_> = fixture.send_mails().await.into_iter().map(|mail| mail.kind).collect();
    assert!(mails.iter().any(|kind| kind.contains("password_changed")), "{mails:?}");
}

async fn s10_sessions_are_listed_with_their_devices_and_ended_one_by_one_and_everywhere(fixture: &SiteFixture) {
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    fixture.user("grace").await;
    let mut phone = fixture.browser();
    FIREFOX.clone_into(&mut phone.user_agent);
    assert_eq!(phone.sign_in("/", "grace", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let third = fixture.signed_in("grace", PASSWORD).await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = browser.get("/auth/account").await;
    assert!(page.body.contains("Firefox") && page.body.contains("Linux"), "{}", page.body);
    assert!(page.body.contains("127.0.0.1"), "{}", page.body);
    let ids: Vec<String> = sessions(&page);
    assert_eq!(ids.len(), 2, "those of the others can be ended one by one");
    let done = send(&mut browser, &page, "end_session", &[("session_id", &ids[0])]).await;
    assert_eq!(done.path(), "/auth/account?done=sessions&n=1");
    let left = [is_signed_in(&phone).await, is_signed_in(&third).await];
    assert_eq!(left.iter().filter(|live| **live).count(), 1, "{left:?}");
    // Again, and one that is nobody's: nothing is left to do.
    for id in [ids[0].as_str(), "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV", "nonsense"] {
        let again = send(&mut browser, &page, "end_session", &[("session_id", id)]).await;
        assert_eq!(again.path(), "/auth/account?done=sessions&n=0", "{id}");
    }
    let done = act(&mut browser, "end_others", &[]).await;
    assert_eq!(done.path(), "/auth/account?done=sessions&n=1");
    assert!(!is_signed_in(&phone).await && !is_signed_in(&third).await && is_signed_in(&browser).await);
    let other = fixture.signed_in("grace", PASSWORD).await;
    let out = act(&mut browser, "end_all", &[]).await;
    assert_eq!(out.status, StatusCode::OK);
    assert!(out.body.contains("Signed out"), "{}", out.body);
    assert!(!browser.cookies.contains_key(SESSION));
    assert!(!is_signed_in(&browser).await && !is_signed_in(&other).await);
}

/// The sessions that can be ended, by their ids.
fn sessions(page: &Page) -> Vec<String> {
    let fields = page.body.split("name=\"session_id\" value=\"").skip(1);
    fields.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

async fn s09_a_new_address_needs_a_fresh_sign_in_or_the_password_and_then_its_code(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    fixture.app.pass(Ttl::from_secs(20 * 60)).await;
    let new = ("email", "new@example.org");
    let refused = act(&mut browser, "change_email", &[new]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("id=\"email-current_password-wrong\""), "{}", refused.body);
    assert_eq!(refused.field("email"), "new@example.org");
    let wrong = act(&mut browser, "change_email", &[new, ("current_password", NEW)]).await;
    assert!(wrong.body.contains("id=\"email-current_password-wrong\""), "{}", wrong.body);
    let asked = act(&mut browser, "change_email", &[new, ("current_password", PASSWORD)]).await;
    let page = follow(&mut browser, &asked).await;
    let (code, link) = fixture.code_and_link().await;
    assert!(link.starts_with("/auth/verify?kind=verify_email&token="), "{link}");
    let form = page.field("form");
    let wrong = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", "00000000")]).await;
    assert!(wrong.body.contains("id=\"code-wrong\""), "{}", wrong.body);
    let done = send(&mut browser, &page, "verify_email", &[("form", &form), ("code", &code)]).await;
    let page = follow(&mut browser, &done).await;
    assert!(page.body.contains("new@example.org") && !page.body.contains("grace@example.org"), "{}", page.body);
    assert!(is_signed_in(&browser).await);
}

async fn the_link_to_a_new_address_asks_the_reader_elsewhere_to_sign_in_and_comes_back(fixture: &SiteFixture) {
    fixture.user("grace").await;
    fixture.user("other").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    act(&mut browser, "change_email", &[("email", "new@example.org")]).await;
    let (_, link) = fixture.code_and_link().await;
    // Whoever else reads the mail learns nothing of the account and changes nothing.
    let mut stranger = fixture.signed_in("other", PASSWORD).await;
    let page = stranger.get(&link).await;
    assert!(!page.body.contains("grace") && page.find_field("token").is_none(), "{}", page.body);
    let mut elsewhere = fixture.browser();
    let page = elsewhere.get(&link).await;
    let to_login =
        page.body.split("id=\"sign-in\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#x2f;", "/");
    let login = elsewhere.get(&to_login).await;
    let arrived = elsewhere.sign_in_on(&to_login, &login, "grace", PASSWORD).await;
    assert!(arrived.path().starts_with("/auth/verify?token="), "{}", arrived.path());
    let page = follow(&mut elsewhere, &arrived).await;
    let done = submit(&mut elsewhere, "/auth/verify", &page, &[]).await;
    assert_eq!(done.path(), "/auth/account?done=email");
    let view = fixture.service().users.get(&Admin::command(), "grace").await.unwrap();
    assert_eq!(view.logins, ["grace", "new@example.org"]);
}

async fn everything_that_is_kept_about_the_user_is_a_file(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let file = act(&mut browser, "download", &[]).await;
    assert_eq!(file.status, StatusCode::OK);
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(
        (&file.headers["content-type"], &file.headers["cache-control"]),
        (&"application/json".parse().unwrap(), &"no-store".parse().unwrap())
    );
    let data: Value = serde_json::from_str(&file.body).unwrap();
    assert_eq!(data["account"]["logins"], serde_json::json!(["grace", "grace@example.org"]));
    assert_eq!((data["sessions"].as_array().unwrap().len(), &data["complete"]), (1, &Value::Bool(true)));
    let mut kinds: Vec<_> =
        data["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["SIGNED_IN", "USER_CREATED"]);
    let by = |kind: &str| {
        let mut all = data["events"].as_array().unwrap().iter();
        all.find(|event| event["kind"] == kind).unwrap()["by"].clone()
    };
    assert_eq!((by("SIGNED_IN"), by("USER_CREATED")), ("you".into(), "somebody else".into()));
    for secret in ["argon2", "secret", "chb_"] {
        assert!(!file.body.contains(secret), "{secret}");
    }
}

async fn s09_an_account_is_deleted_with_its_password_and_nothing_less(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    for password in ["", NEW] {
        let refused = act(&mut browser, "delete", &[("password", password)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{password:?}");
        assert!(refused.body.contains("id=\"password-wrong\""), "{}", refused.body);
    }
    let done = act(&mut browser, "delete", &[("password", PASSWORD)]).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert!(!browser.cookies.contains_key(SESSION));
    assert!(!is_signed_in(&browser).await);
    let gone = fixture.service().users.get(&Admin::command(), "grace").await;
    assert!(matches!(gone, Err(Error::NotFound(..))));
}

async fn a_form_counts_only_with_the_token_of_its_session(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = browser.get("/auth/account").await;
    let mut other = fixture.signed_in("grace", PASSWORD).await;
    let foreign = other.get("/auth/account").await;
    // The visitor is the same, the session is not.
    let mut same_visitor = browser.clone();
    same_visitor.cookies.insert(SESSION.to_owned(), other.cookies[SESSION].clone());
    for (browser, page) in [(&mut browser, &foreign), (&mut same_visitor, &page)] {
        let again = send(browser, page, "end_others", &[]).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", again.body);
    }
    assert!(is_signed_in(&browser).await && is_signed_in(&other).await);
    let unknown = send(&mut browser, &page, "drop_tables", &[]).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert!(unknown.body.contains("action"), "it names the field: {}", unknown.body);
    let headers = [("sec-fetch-site", "cross-site"), ("content-type", "application/x-www-form-urlencoded")];
    let answer = browser.send("POST", "/auth/account", &headers, "action=end_all".to_owned()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

async fn a_name_can_be_changed_and_a_taken_one_cannot_be_had(fixture: &SiteFixture) {
    fixture.user("grace").await;
    fixture.user("linus").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    for (name, part) in [("linus", "id=\"username-wrong\""), ("a@b", "id=\"username-wrong\"")] {
        let refused = act(&mut browser, "change_name", &[("username", name)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(refused.body.contains(part) && refused.field("username") == name, "{name}: {}", refused.body);
    }
    let done = act(&mut browser, "change_name", &[("username", "hopper")]).await;
    assert!(follow(&mut browser, &done).await.body.contains("hopper"));
    assert_eq!(fixture.browser().sign_in("/", "hopper", PASSWORD).await.status, StatusCode::SEE_OTHER);
}
