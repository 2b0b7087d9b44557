//! Passkeys at a step-up: as the second factor that is shown, and as the one that is set up.

use chancery::{
    secret::RefreshToken,
    service::{Admin, Challenge, ClientCredentials, SignInStep, StepUpRequest, TokenPair},
};
use serde_json::{Value, json};

use super::{
    authenticator::{Alg, Authenticator},
    fixture::{give_passkey, go_on, is_refused, right, tokens},
};
use crate::{
    browser::{Browser, browser_routes, is_signed_in, site_client},
    page_json::{act, get, sign_in},
    support::{self, App, PASSWORD, claims, login_of, token},
};

on_each_engine! {
    #[tokio::test]
    App => {
        s08_a_passkey_raises_a_session_of_an_application,
        s08_a_passkey_that_is_set_up_raises_a_session_of_an_application,
        s08_a_passkey_raises_the_session_of_a_browser,
        s08_a_passkey_that_is_set_up_raises_the_session_of_a_browser,
    }
}

/// A session of the password alone.
async fn of_one_factor(app: &App) -> TokenPair {
    app.service.clients.create(&Admin::command(), site_client("shop")).await.unwrap();
    support::sign_in(&app.service, login_of("shop", "ada", PASSWORD)).await.unwrap()
}

async fn step_up(app: &App, session: &TokenPair) -> Challenge {
    let request = StepUpRequest {
        client_id: "shop".to_owned(),
        refresh_token: RefreshToken::new(token(session)),
        acr: "2".to_owned(),
        audience: String::new(),
        address: String::new(),
        user_agent: String::new(),
    };
    let service = &app.service;
    service.sign_ins.start_step_up(&service.context(), &ClientCredentials::None, request).await.unwrap()
}

fn asked(challenge: &Challenge) -> Value {
    serde_json::from_str(challenge.passkey_options.as_ref().unwrap()).unwrap()
}

async fn s08_a_passkey_raises_a_session_of_an_application(app: &App) {
    let first = of_one_factor(app).await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let challenge = step_up(app, &first).await;
    assert_eq!(challenge.step, SignInStep::Mfa);
    assert_eq!(asked(&challenge)["allowCredentials"].as_array().unwrap().len(), 1);
    let other = device.get(&asked(&step_up(app, &first).await), &right()).to_string();
    assert!(is_refused(&go_on(&app.service, "shop", challenge.token.expose(), &other).await), "another challenge");
    let response = device.get(&asked(&challenge), &right()).to_string();
    let second = tokens(go_on(&app.service, "shop", challenge.token.expose(), &response).await.unwrap()).unwrap();
    let (before, after) = (claims(first.access.token.expose()), claims(second.access.token.expose()));
    assert_eq!((&after["acr"], &after["auth_time"]), (&json!("2"), &before["auth_time"]));
}

async fn s08_a_passkey_that_is_set_up_raises_a_session_of_an_application(app: &App) {
    let first = of_one_factor(app).await;
    let challenge = step_up(app, &first).await;
    assert_eq!(challenge.step, SignInStep::Enrol);
    let response = Authenticator::new(Alg::Es256).create(&asked(&challenge), &right()).to_string();
    let done = go_on(&app.service, "shop", challenge.token.expose(), &response).await.unwrap();
    assert_eq!(done.recovery_codes.len(), 10);
    assert_eq!(claims(tokens(done).unwrap().access.token.expose())["acr"], "2");
}

/// A browser whose session is of the password alone.
async fn browser_of_one_factor(app: &App) -> Browser {
    let mut browser = Browser::new(&browser_routes(app).await);
    assert_eq!(sign_in(&mut browser, "/", "ada", PASSWORD).await.done(), "/");
    browser
}

async fn s08_a_passkey_raises_the_session_of_a_browser(app: &App) {
    let mut browser = browser_of_one_factor(app).await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let old = browser.clone();
    let step = get(&mut browser, "/auth/login?return_to=/secret&acr=2").await;
    assert_eq!(step.name(), "mfa", "{}", step.json);
    let mut response = device.get(&step.json["passkey_options"], &right());
    // The password has named the user, so that the passkey need not.
    response["response"]["userHandle"] = json!(null);
    let response = response.to_string();
    let done = act(&mut browser, &step, "passkey", json!({ "passkey_response": response })).await;
    assert_eq!(done.done(), "/secret");
    assert!(is_signed_in(&browser).await && !is_signed_in(&old).await);
}

async fn s08_a_passkey_that_is_set_up_raises_the_session_of_a_browser(app: &App) {
    let mut browser = browser_of_one_factor(app).await;
    let step = get(&mut browser, "/auth/login?return_to=/secret&acr=2").await;
    let refused = act(&mut browser, &step, "passkey", json!({ "passkey_response": "{}" })).await;
    assert_eq!(refused.says(), [("PASSKEY_REFUSED", None)]);
    assert!(refused.json.to_string().contains("This passkey was not added."), "{}", refused.json);
    let response = Authenticator::new(Alg::Es256).create(&step.json["passkey_options"], &right()).to_string();
    let codes = act(&mut browser, &step, "passkey", json!({ "passkey_response": response })).await;
    assert_eq!(crate::page_json::submit(&mut browser, &codes, json!({})).await.done(), "/secret");
}
