//! The account in JSON: each form of the page is an action.

use axum::http::StatusCode;
use serde_json::json;

use super::{
    client::{Step, act, get, post},
    story::as_it_was,
};
use crate::{
    browser::{ORIGIN, SESSION, is_signed_in},
    browser_account::fixture::{NEW, SiteFixture},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        sessions_are_listed_and_ended_one_by_one_and_everywhere,
        a_name_and_an_address_are_changed,
        what_is_kept_is_sent_and_an_account_is_deleted,
        a_form_counts_only_with_the_token_of_its_session,
        whoever_has_missed_the_answer_to_a_new_password_gets_the_same_cookie,
    }
}

async fn sessions_are_listed_and_ended_one_by_one_and_everywhere(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let phone = fixture.signed_in("grace", PASSWORD).await;
    let laptop = fixture.signed_in("grace", PASSWORD).await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let account = get(&mut browser, "/auth/account").await;
    let sessions = account.json["sessions"].as_array().unwrap();
    assert_eq!(sessions.iter().map(|one| one["current"] == true).collect::<Vec<_>>(), [true, false, false]);
    let other = json!({ "session_id": sessions[1]["session_id"] });
    let own = json!({ "session_id": sessions[0]["session_id"] });
    let ended = act(&mut browser, &account, "end_session", other).await;
    assert_eq!((ended.name(), ended.says()), ("account", vec![("SESSIONS_ENDED", None)]));
    assert_eq!(ended.json["sessions"].as_array().unwrap().len(), 2);
    assert_eq!([is_signed_in(&phone).await, is_signed_in(&laptop).await].iter().filter(|live| **live).count(), 1);
    let ended = act(&mut browser, &ended, "end_others", json!({})).await;
    assert_eq!(ended.json["sessions"].as_array().unwrap().len(), 1);
    assert!(!is_signed_in(&phone).await && !is_signed_in(&laptop).await);
    let absent = ended.json["actions"].as_array().unwrap().iter().all(|action| action["name"] != "end_session");
    assert!(absent, "there is no other session to end: {}", ended.json);
    // What a session ends itself, it is signed out by.
    let out = act(&mut browser, &account, "end_session", own).await;
    assert_eq!((out.name(), out.done(), &out.json["everywhere"]), ("signed_out", "/", &json!(false)));
    assert!(!browser.cookies.contains_key(SESSION));
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let account = get(&mut browser, "/auth/account").await;
    let out = act(&mut browser, &account, "end_all", json!({})).await;
    assert_eq!((out.name(), &out.json["everywhere"]), ("signed_out", &json!(true)));
}

async fn a_name_and_an_address_are_changed(fixture: &SiteFixture) {
    fixture.user("grace").await;
    fixture.user("heidi").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let account = get(&mut browser, "/auth/account").await;
    let taken = act(&mut browser, &account, "change_name", json!({ "username": "heidi" })).await;
    assert_eq!(taken.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(taken.says(), [("ALREADY_EXISTS", Some("username"))]);
    let named = act(&mut browser, &taken, "change_name", json!({ "username": "ghopper" })).await;
    assert_eq!((named.says(), &named.json["username"]), (vec![("NAME_CHANGED", None)], &json!("ghopper")));
    fixture.send_mails().await;
    let pending = act(&mut browser, &named, "change_email", json!({ "email": "new@example.org" })).await;
    as_it_was("account pending", &pending);
    assert_eq!(pending.json["pending_email"], "new@example.org");
    let (code, _) = fixture.code_and_link().await;
    let wrong = act(&mut browser, &pending, "verify_email", json!({ "code": "00000000" })).await;
    assert_eq!((wrong.name(), wrong.says()), ("account", vec![("CODE_INVALID", Some("code"))]));
    let changed = act(&mut browser, &wrong, "verify_email", json!({ "code": code })).await;
    assert_eq!((changed.says(), &changed.json["email"]), (vec![("EMAIL_CONFIRMED", None)], &json!("new@example.org")));
}

async fn what_is_kept_is_sent_and_an_account_is_deleted(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let account = get(&mut browser, "/auth/account").await;
    let fields = account.filled(&account.action("download")["fields"], &json!({}));
    let headers = [("origin", ORIGIN), ("content-type", "application/json")];
    let file = browser.send("POST", account.url(), &headers, fields.to_string()).await;
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"my-data.json\"");
    assert!(file.body.contains("grace@example.org"), "{}", file.body);
    let wrong = act(&mut browser, &account, "delete", json!({ "password": NEW })).await;
    assert_eq!(wrong.says(), [("WRONG_PASSWORD", Some("password"))]);
    let deleted = act(&mut browser, &wrong, "delete", json!({ "password": PASSWORD })).await;
    assert_eq!((deleted.name(), deleted.says()), ("signed_out", vec![("ACCOUNT_DELETED", None)]));
    assert!(!browser.cookies.contains_key(SESSION) && deleted.done() == "/");
}

async fn a_form_counts_only_with_the_token_of_its_session(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let mut account = get(&mut browser, "/auth/account").await;
    let token = account.json["csrf"].clone();
    for bad in [json!(""), json!("x"), get(&mut fixture.browser(), "/auth/login").await.json["csrf"].clone()] {
        account.json["csrf"] = bad;
        let again = act(&mut browser, &account, "change_name", json!({ "username": "other" })).await;
        assert_eq!((again.name(), again.says()), ("account", vec![("TRY_AGAIN", None)]));
        assert_eq!((again.status(), &again.json["csrf"]), (StatusCode::UNPROCESSABLE_ENTITY, &token));
        assert!(is_signed_in(&browser).await);
    }
    let unknown = post(&mut browser, "/auth/account", json!({ "csrf": token, "action": "explode" })).await;
    assert_eq!((unknown.status(), unknown.name()), (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"));
    assert_eq!(unknown.json["parameter"], "action");
}

async fn whoever_has_missed_the_answer_to_a_new_password_gets_the_same_cookie(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let account = get(&mut browser, "/auth/account").await;
    let typed = json!({ "current_password": PASSWORD, "new_password": NEW });
    let mut unlucky = browser.clone();
    act(&mut browser, &account, "change_password", typed.clone()).await;
    let again: Step = act(&mut unlucky, &account, "change_password", typed).await;
    assert_eq!(again.name(), "account", "{}", again.json);
    assert_eq!(unlucky.cookies[SESSION], browser.cookies[SESSION]);
}
