//! Everything that people do on the pages, by a program that draws its own.

use axum::http::StatusCode;
use chancery::{
    secret::Password,
    service::{Admin, NewClientRequest, NewUserRequest},
};
use serde_json::{Value, json};

use super::client::{Step, act, get, sign_in, submit};
use crate::{
    browser::{Browser, SESSION, is_signed_in, site_client},
    browser_account::fixture::{NEW, SiteFixture},
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        an_account_is_opened_used_and_left_and_its_password_is_forgotten,
        a_link_in_a_mail_is_confirmed_in_the_browser_that_asked_and_elsewhere_with_a_password,
        a_link_of_a_mail_leads_to_a_new_password,
    }
    #[tokio::test]
    App => {
        the_steps_of_a_sign_in_follow_each_other,
        a_step_that_was_taken_already_is_answered_by_the_next_one,
    }
}

/// Compares the shape of a step with what it was.
pub(super) fn as_it_was(name: &str, step: &Step) {
    let mut shape = step.shape();
    shape.sort_all_objects();
    hide_challenges(&mut shape);
    let text = format!("{} {}", step.status().as_u16(), serde_json::to_string_pretty(&shape).unwrap());
    insta::assert_snapshot!(format!("answer {name}"), text);
}

/// What a passkey is asked is another one each time.
fn hide_challenges(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide_challenges),
        Value::Object(members) => {
            for (name, value) in members {
                if name == "challenge" { *value = "…".into() } else { hide_challenges(value) }
            }
        }
        _ => {}
    }
}

async fn registered(fixture: &SiteFixture, browser: &mut Browser) {
    let register = get(browser, "/auth/register?return_to=/basket").await;
    as_it_was("register", &register);
    assert_eq!(register.asks_for(), ["email", "username", "password"]);
    let wrong = submit(browser, &register, json!({ "email": "x", "username": "a b", "password": "short" })).await;
    let expected = [
        ("EMAIL_INVALID", Some("email")),
        ("NAME_CHARACTERS", Some("username")),
        ("PASSWORD_TOO_SHORT", Some("password")),
    ];
    let mut said = wrong.says();
    said.sort_unstable();
    assert_eq!((wrong.status(), said), (StatusCode::UNPROCESSABLE_ENTITY, expected.to_vec()));
    let typed = json!({ "email": "grace@example.org", "username": "grace", "password": PASSWORD });
    let sent = submit(browser, &wrong, typed).await;
    as_it_was("register_sent", &sent);
    // Coming back later.
    assert_eq!(get(browser, sent.url()).await.name(), "register_sent");
    let (code, _) = fixture.code_and_link().await;
    let wrong = submit(browser, &sent, json!({ "code": "00000000" })).await;
    assert_eq!((wrong.name(), wrong.says()), ("register_sent", vec![("CODE_INVALID", Some("code"))]));
    let done = submit(browser, &wrong, json!({ "code": code })).await;
    as_it_was("done", &done);
    assert_eq!((done.name(), done.done()), ("done", "/basket"));
    assert!(is_signed_in(browser).await);
}

async fn an_account_is_opened_used_and_left_and_its_password_is_forgotten(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    registered(fixture, &mut browser).await;
    let account = get(&mut browser, "/auth/account").await;
    as_it_was("account", &account);
    assert_eq!((&account.json["name"], &account.json["email"]), (&json!("grace"), &json!("grace@example.org")));

    let before = browser.cookies[SESSION].clone();
    let typed = |current: &str| json!({ "current_password": current, "new_password": NEW });
    let wrong = act(&mut browser, &account, "change_password", typed("something else entirely")).await;
    assert_eq!((wrong.name(), wrong.status()), ("account", StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(wrong.says(), [("WRONG_PASSWORD", Some("current_password"))]);
    assert_eq!(wrong.json["acted"], "change_password");
    let changed = act(&mut browser, &wrong, "change_password", typed(PASSWORD)).await;
    assert_eq!((changed.name(), changed.says()), ("account", vec![("PASSWORD_CHANGED", None)]));
    assert_ne!(browser.cookies[SESSION], before, "a new session, which the page after it was shown in");
    assert!(is_signed_in(&browser).await);

    let asked = get(&mut browser, "/auth/logout?return_to=/bye").await;
    as_it_was("logout", &asked);
    let out = submit(&mut browser, &asked, json!({})).await;
    as_it_was("signed_out", &out);
    assert_eq!((out.name(), out.done()), ("signed_out", "/bye"));
    assert!(!browser.cookies.contains_key(SESSION));

    let login = get(&mut browser, "/auth/account").await;
    as_it_was("login", &login);
    let forgot = get(&mut browser, login.link("forgotten")).await;
    as_it_was("forgot", &forgot);
    // That of the password that was changed.
    fixture.send_mails().await;
    let sent = submit(&mut browser, &forgot, json!({ "username": "grace" })).await;
    as_it_was("forgot_sent", &sent);
    let (code, _) = fixture.code_and_link().await;
    let login = submit(&mut browser, &sent, json!({ "code": code, "new_password": PASSWORD })).await;
    assert_eq!((login.name(), login.says()), ("login", vec![("PASSWORD_RESET", None)]));
    let done = submit(&mut browser, &login, json!({ "username": "grace", "password": PASSWORD })).await;
    assert_eq!((done.name(), done.done()), ("done", "/"));
    assert!(is_signed_in(&browser).await);
}

async fn a_link_in_a_mail_is_confirmed_in_the_browser_that_asked_and_elsewhere_with_a_password(fixture: &SiteFixture) {
    for (elsewhere, email) in [(false, "grace@example.org"), (true, "heidi@example.org")] {
        let mut browser = fixture.browser();
        let register = get(&mut browser, "/auth/register?return_to=/basket").await;
        submit(&mut browser, &register, json!({ "email": email, "password": PASSWORD })).await;
        let (_, link) = fixture.code_and_link().await;
        let mut reader = if elsewhere { fixture.browser() } else { browser };
        let verify = get(&mut reader, &link).await;
        as_it_was(if elsewhere { "verify elsewhere" } else { "verify" }, &verify);
        let typed = if elsewhere { json!({ "new_password": NEW }) } else { json!({}) };
        let mut done = submit(&mut reader, &verify, typed).await;
        if elsewhere {
            // A link alone opens no session.
            assert_eq!((done.name(), done.says()), ("login", vec![("ACCOUNT_CREATED", None)]));
            done = submit(&mut reader, &done, json!({ "username": email, "password": NEW })).await;
        }
        assert_eq!((done.name(), done.done()), ("done", "/basket"), "{}", done.json);
        assert!(is_signed_in(&reader).await);
        let void = get(&mut fixture.browser(), &link).await;
        assert_eq!((void.status(), void.name()), (StatusCode::BAD_REQUEST, "CODE_INVALID"));
        assert_eq!((&void.json["parameter"], &void.json["retry"]), (&json!("token"), &json!("/auth/login")));
    }
}

async fn a_link_of_a_mail_leads_to_a_new_password(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    let forgot = get(&mut browser, "/auth/forgot").await;
    submit(&mut browser, &forgot, json!({ "username": "grace" })).await;
    let (_, link) = fixture.code_and_link().await;
    let mut reader = fixture.browser();
    let reset = get(&mut reader, &link).await;
    as_it_was("reset", &reset);
    let wrong = submit(&mut reader, &reset, json!({ "new_password": "short" })).await;
    assert_eq!((wrong.name(), wrong.says()), ("reset", vec![("PASSWORD_TOO_SHORT", Some("new_password"))]));
    let login = submit(&mut reader, &wrong, json!({ "new_password": NEW })).await;
    assert_eq!((login.name(), login.says()), ("login", vec![("PASSWORD_RESET", None)]));
    let done = submit(&mut reader, &login, json!({ "username": "grace", "password": NEW })).await;
    assert_eq!(done.name(), "done");
}

const TEMPORARY: &str = "temporary pass phrase";

/// A browser at the first of three steps.
async fn at_first_step(app: &App) -> (Browser, Step) {
    let user = NewUserRequest {
        name: "grace".into(),
        password: Some(Password::new(TEMPORARY.into())),
        ..NewUserRequest::default()
    };
    app.service.users.create(&Admin::command(), user).await.unwrap();
    app.service.users.require_new_password(&Admin::command(), "grace").await.unwrap();
    let client = NewClientRequest { require_email: true, ..site_client("shop") };
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let mut browser = Browser::new(&chancery::web::routes(app.service.clone()));
    let step = sign_in(&mut browser, "/basket", "grace", TEMPORARY).await;
    (browser, step)
}

async fn the_steps_of_a_sign_in_follow_each_other(app: &App) {
    let (mut browser, step) = at_first_step(app).await;
    as_it_was("choose_password", &step);
    let wrong = submit(&mut browser, &step, json!({ "new_password": "short" })).await;
    assert_eq!((wrong.name(), wrong.says()), ("choose_password", vec![("PASSWORD_TOO_SHORT", Some("new_password"))]));
    let step = submit(&mut browser, &wrong, json!({ "new_password": NEW })).await;
    as_it_was("ask_address", &step);
    let step = submit(&mut browser, &step, json!({ "email": "grace@example.org" })).await;
    as_it_was("enter_code", &step);
    let other = act(&mut browser, &step, "other_address", json!({})).await;
    assert_eq!(other.name(), "ask_address");
    let step = submit(&mut browser, &other, json!({ "email": "grace@example.net" })).await;
    let wrong = submit(&mut browser, &step, json!({ "code": "00000000" })).await;
    assert_eq!((wrong.name(), wrong.says()), ("enter_code", vec![("CODE_INVALID", None)]));
    assert_eq!(wrong.json["email"], "grace@example.net");
    let code = crate::browser::last_code(app).await;
    let done = submit(&mut browser, &wrong, json!({ "code": code })).await;
    assert_eq!((done.name(), done.done()), ("done", "/basket"));
    assert!(is_signed_in(&browser).await);
}

async fn a_step_that_was_taken_already_is_answered_by_the_next_one(app: &App) {
    let (mut browser, step) = at_first_step(app).await;
    let (mut unlucky, mut late) = (browser.clone(), browser.clone());
    let next = submit(&mut browser, &step, json!({ "new_password": NEW })).await;
    // The first answer was lost on the way.
    let again = submit(&mut unlucky, &step, json!({ "new_password": NEW })).await;
    assert_eq!((again.name(), again.says(), again.url()), ("ask_address", vec![], next.url()));
    let stale = submit(&mut late, &step, json!({ "new_password": "another pass phrase, too late" })).await;
    assert_eq!((stale.name(), stale.says()), ("ask_address", vec![("STEP_MOVED", None)]));
    // Another browser is told nothing of it.
    let mut other = Browser::new(&chancery::web::routes(app.service.clone()));
    let nothing = get(&mut other, step.url()).await;
    assert_eq!((nothing.name(), nothing.json["name"].clone()), ("login", Value::Null));
}
