//! Passkeys that users add on the account page, and show as second factor.

use axum::http::StatusCode;
use chancery::{
    service::{Admin, ClientCredentials, SignedIn},
    time::Ttl,
};
use serde_json::{Value, json};

use super::{
    authenticator::{Alg, Authenticator, BE, BS, Says, UP, UV},
    fixture::{give_passkey, go_on, is_refused, live_sessions, options, right, start, tokens},
};
use crate::{
    browser::{Browser, SESSION, browser_routes, is_signed_in, site_client},
    page_json::{Step, act, get, sign_in},
    support::{App, PASSWORD, claims, login_of},
};

on_each_engine! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        one_enrolment_that_is_sent_many_times_at_once_adds_one_passkey,
    }
    #[tokio::test]
    App => {
        a_passkey_is_added_on_the_account_page_and_is_asked_for_after_the_password,
        p22_a_passkey_is_registered_once_whoever_its_user_is,
        a48_nothing_but_the_right_answer_adds_a_passkey,
        an_enrolment_counts_once_for_its_session_and_for_ten_minutes,
        a_passkey_that_is_sent_twice_is_one_with_the_same_codes_and_cookie,
        a_passkey_is_the_second_step_of_a_sign_in_through_an_application,
        a48_a_second_step_takes_its_own_challenge_and_the_users_own_passkeys_alone,
        a_passkey_without_verification_is_good_after_the_password_alone,
    }
}

async fn account(browser: &mut Browser) -> Step {
    get(browser, "/auth/account").await
}

async fn signed_in(app: &App, user: &str) -> Browser {
    let mut browser = Browser::new(&chancery::web::routes(app.service.clone()));
    assert_eq!(sign_in(&mut browser, "/", user, PASSWORD).await.done(), "/");
    browser
}

/// Begins to add a passkey.
async fn begin(browser: &mut Browser) -> Step {
    let page = account(browser).await;
    let begun = act(browser, &page, "add_passkey", json!({ "factor_name": "My phone" })).await;
    assert!(begun.json["passkey_options"]["challenge"].is_string(), "{}", begun.json);
    begun
}

async fn finish(browser: &mut Browser, begun: &Step, response: &Value) -> Step {
    act(browser, begun, "confirm_passkey", json!({ "passkey_response": response.to_string() })).await
}

async fn add(browser: &mut Browser, device: &mut Authenticator, says: &Says) -> Step {
    let begun = begin(browser).await;
    let response = device.create(&begun.json["passkey_options"], says);
    finish(browser, &begun, &response).await
}

async fn a_passkey_is_added_on_the_account_page_and_is_asked_for_after_the_password(app: &App) {
    drop(browser_routes(app).await);
    let mut browser = signed_in(app, "ada").await;
    let other = signed_in(app, "ada").await;
    let mut device = Authenticator::new(Alg::EdDsa);
    let added = add(&mut browser, &mut device, &right()).await;
    assert_eq!(added.name(), "recovery_codes", "{}", added.json);
    assert!(is_signed_in(&browser).await && !is_signed_in(&other).await, "S11: other sessions end");
    let mut at_home = Browser::new(&chancery::web::routes(app.service.clone()));
    let step = sign_in(&mut at_home, "/basket", "ada", PASSWORD).await;
    assert_eq!(step.name(), "mfa", "{}", step.json);
    let asked = &step.json["passkey_options"];
    assert_eq!(asked["allowCredentials"].as_array().unwrap().len(), 1);
    let response = device.get(asked, &right()).to_string();
    let done = act(&mut at_home, &step, "passkey", json!({ "passkey_response": response.clone() })).await;
    assert_eq!(done.done(), "/basket");
    // The same step again, as after a lost answer.
    let again = act(&mut at_home.clone(), &step, "passkey", json!({ "passkey_response": response })).await;
    assert_eq!(again.done(), "/basket");
    assert_eq!(live_sessions(app, "ada").await, 2);
    // And alone.
    let mut alone = Browser::new(&chancery::web::routes(app.service.clone()));
    let step = get(&mut alone, "/auth/login?return_to=/basket").await;
    let response = device.get(&step.json["passkey_options"], &right()).to_string();
    assert_eq!(act(&mut alone, &step, "passkey", json!({ "passkey_response": response })).await.done(), "/basket");
}

async fn p22_a_passkey_is_registered_once_whoever_its_user_is(app: &App) {
    drop(browser_routes(app).await);
    app.user("grace").await;
    let mut ada = signed_in(app, "ada").await;
    let mut grace = signed_in(app, "grace").await;
    let mut device = Authenticator::new(Alg::Es256);
    assert_eq!(add(&mut ada, &mut device, &right()).await.name(), "recovery_codes");
    let stolen = Says { credential: Some(device.id.clone()), ..right() };
    let refused = add(&mut grace, &mut Authenticator::new(Alg::Es256), &stolen).await;
    assert_eq!(refused.says(), [("FAILED_PRECONDITION", None)], "{}", refused.json);
    let mut tx = app.service.store().read().await.unwrap();
    let owner = tx.passkey_by_credential(&device.id).await.unwrap().unwrap().user;
    assert_eq!(owner, app.service.users.get(&Admin::command(), "ada").await.unwrap().user.id);
}

async fn a48_nothing_but_the_right_answer_adds_a_passkey(app: &App) {
    drop(browser_routes(app).await);
    let mut browser = signed_in(app, "ada").await;
    let wrong = [
        ("another origin", Says { origin: "http://localhost:8001".into(), ..right() }),
        ("a subdomain", Says { origin: "http://a.localhost:8000".into(), ..right() }),
        ("another host", Says { host: "example.org".into(), ..right() }),
        ("in a frame", Says { cross_origin: true, ..right() }),
        ("backed up, though it cannot be", Says { flags: UP | UV | BS, ..right() }),
        ("nobody there", Says { flags: UV, ..right() }),
        ("a sign-in", Says { kind: Some("webauthn.get"), ..right() }),
        ("another challenge", Says { challenge: Some("AAAAAAAAAAAAAAAAAAAAAA".into()), ..right() }),
        ("a long id", Says { credential: Some(vec![1; 1024]), ..right() }),
    ];
    for (what, says) in wrong {
        let refused = add(&mut browser, &mut Authenticator::new(Alg::Es256), &says).await;
        assert_eq!(
            (refused.status(), refused.says()),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![("PASSKEY_REFUSED", None)]),
            "{what}"
        );
    }
    let refused = add(&mut browser, &mut Authenticator::new(Alg::Es384), &right()).await;
    assert_eq!(refused.says(), [("PASSKEY_REFUSED", None)], "a kind of key that was not offered");
    assert!(refused.json.to_string().contains("This passkey was not added."), "{}", refused.json);
    let begun = begin(&mut browser).await;
    let device = Authenticator::new(Alg::Es256);
    let huge = Authenticator::created(&device.id, "{}", &vec![0; 2 << 20]);
    let refused = finish(&mut browser, &begun, &huge).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE, "{}", refused.json);
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    assert!(app.service.store().read().await.unwrap().passkeys_of(&user.id).await.unwrap().is_empty());
}

async fn an_enrolment_counts_once_for_its_session_and_for_ten_minutes(app: &App) {
    drop(browser_routes(app).await);
    let (mut one, mut other) = (signed_in(app, "ada").await, signed_in(app, "ada").await);
    let begun = begin(&mut one).await;
    let response = Authenticator::new(Alg::Es256).create(&begun.json["passkey_options"], &right());
    let page = account(&mut other).await;
    let mut fields = begun.filled(&begun.action("confirm_passkey")["fields"], &json!({}));
    fields["passkey_response"] = response.to_string().into();
    fields["csrf"] = page.json["csrf"].clone();
    let elsewhere = crate::page_json::post(&mut other, page.url(), fields).await;
    assert_eq!(elsewhere.says(), [("PASSKEY_REFUSED", None)], "it is of another session");
    app.pass(Ttl::from_secs(601)).await;
    assert_eq!(finish(&mut one, &begun, &response).await.says(), [("PASSKEY_REFUSED", None)], "too late");
    let mut device = Authenticator::new(Alg::Es256);
    let begun = begin(&mut one).await;
    let response = device.create(&begun.json["passkey_options"], &right());
    assert_eq!(finish(&mut one, &begun, &response).await.name(), "recovery_codes");
    let mut another = Authenticator::new(Alg::Es256);
    let response = another.create(&begun.json["passkey_options"], &right());
    let again = finish(&mut one, &begun, &response).await;
    assert_ne!(again.name(), "recovery_codes", "once");
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    assert_eq!(app.service.store().read().await.unwrap().passkeys_of(&user.id).await.unwrap().len(), 1);
}

async fn one_enrolment_that_is_sent_many_times_at_once_adds_one_passkey(app: &App) {
    drop(browser_routes(app).await);
    let mut browser = signed_in(app, "ada").await;
    let begun = begin(&mut browser).await;
    let all = (0..8).map(|_| {
        let response = Authenticator::new(Alg::Es256).create(&begun.json["passkey_options"], &right());
        let (mut browser, begun) = (browser.clone(), &begun);
        async move { finish(&mut browser, begun, &response).await.name().to_owned() }
    });
    let names = futures_util::future::join_all(all).await;
    assert_eq!(names.iter().filter(|name| *name == "recovery_codes").count(), 1, "{names:?}");
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    assert_eq!(app.service.store().read().await.unwrap().passkeys_of(&user.id).await.unwrap().len(), 1);
}

async fn a_passkey_that_is_sent_twice_is_one_with_the_same_codes_and_cookie(app: &App) {
    let here = browser_routes(app).await;
    let other = app.second_process().await;
    let there = chancery::web::routes(other.clone());
    for (name, at_once) in [("ada", false), ("grace", true)] {
        if at_once {
            app.user(name).await;
        }
        let mut browser = signed_in(app, name).await;
        let begun = begin(&mut browser).await;
        let response = Authenticator::new(Alg::Es256).create(&begun.json["passkey_options"], &right());
        let (mut one, mut two) = (browser.through(&here), browser.through(&there));
        let answers = if at_once {
            let (one, two) = tokio::join!(finish(&mut one, &begun, &response), finish(&mut two, &begun, &response));
            [one, two]
        } else {
            [finish(&mut one, &begun, &response).await, finish(&mut two, &begun, &response).await]
        };
        assert_eq!(answers[0].name(), "recovery_codes", "{}", answers[0].json);
        assert_eq!(answers[0].json["codes"], answers[1].json["codes"], "{name}: {}", answers[1].json);
        assert_eq!(one.cookies[SESSION], two.cookies[SESSION], "{name}");
        assert_ne!(one.cookies[SESSION], browser.cookies[SESSION], "{name}");
        let user = app.service.users.get(&Admin::command(), name).await.unwrap().user;
        assert_eq!((user.second_factors, live_sessions(app, name).await), (1, 1), "{name}");
    }
    other.store().close().await;
}

/// A password sign-in through the application, up to its second step: the challenge, and what a passkey is asked.
async fn second_step(app: &App) -> (String, Value) {
    let login = login_of("shop", "ada", PASSWORD);
    let signed_in = app.service.sign_ins.sign_in(&app.service.context(), &ClientCredentials::None, login).await;
    let SignedIn::Challenge(challenge) = signed_in.unwrap() else { panic!("no second step") };
    let asked = challenge.passkey_options.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    (challenge.token.expose().to_owned(), asked)
}

async fn a_passkey_is_the_second_step_of_a_sign_in_through_an_application(app: &App) {
    app.service.clients.create(&Admin::command(), site_client("shop")).await.unwrap();
    let synced = Says { flags: UP | UV | BE, ..right() };
    let mut device = give_passkey(app, "ada", &synced).await;
    let (token, asked) = second_step(app).await;
    let response = device.get(&asked, &synced).to_string();
    let pair = tokens(go_on(&app.service, "shop", &token, &response).await.unwrap()).unwrap();
    let claims = claims(pair.access.token.expose());
    assert_eq!((&claims["acr"], &claims["amr"]), (&json!("2"), &json!(["pwd", "swk", "user", "mfa"])));
    assert!(is_refused(&go_on(&app.service, "shop", &token, &response).await), "once");
}

async fn a48_a_second_step_takes_its_own_challenge_and_the_users_own_passkeys_alone(app: &App) {
    app.service.clients.create(&Admin::command(), site_client("shop")).await.unwrap();
    app.user("grace").await;
    let still = Says { counter: Some(0), ..right() };
    let mut device = give_passkey(app, "ada", &still).await;
    let mut other = give_passkey(app, "grace", &still).await;
    let (first, asked_first) = second_step(app).await;
    let (second, asked_second) = second_step(app).await;
    assert_ne!(asked_first["challenge"], asked_second["challenge"]);
    let answer = |device: &mut Authenticator, asked: &Value| device.get(asked, &still).to_string();
    let of_first = answer(&mut device, &asked_first);
    assert!(is_refused(&go_on(&app.service, "shop", &second, &of_first).await), "of another sign-in");
    let of_other = answer(&mut other, &asked_second);
    assert!(is_refused(&go_on(&app.service, "shop", &second, &of_other).await), "of another user");
    // What was signed to sign in alone is no second factor, and the reverse.
    let started = start(&app.service, "shop").await.unwrap();
    let alone = answer(&mut device, &options(&started));
    assert!(is_refused(&go_on(&app.service, "shop", &second, &alone).await));
    assert!(is_refused(&go_on(&app.service, "shop", started.token.expose(), &of_first).await));
    assert!(go_on(&app.service, "shop", &first, &of_first).await.is_ok());
    assert_eq!(live_sessions(app, "ada").await, 1);
}

async fn a_passkey_without_verification_is_good_after_the_password_alone(app: &App) {
    app.service.clients.create(&Admin::command(), site_client("shop")).await.unwrap();
    let touched = Says { flags: UP, ..right() };
    let mut device = give_passkey(app, "ada", &touched).await;
    assert!(
        is_refused(&super::fixture::sign_in(app, &mut device, &right()).await),
        "P23: nobody has vouched for its PIN"
    );
    let (token, asked) = second_step(app).await;
    let response = device.get(&asked, &touched).to_string();
    let pair = tokens(go_on(&app.service, "shop", &token, &response).await.unwrap()).unwrap();
    assert_eq!(claims(pair.access.token.expose())["amr"], json!(["pwd", "hwk", "mfa"]));
    let (token, asked) = second_step(app).await;
    let response = device.get(&asked, &right()).to_string();
    assert!(go_on(&app.service, "shop", &token, &response).await.is_ok());
    assert!(super::fixture::sign_in(app, &mut device, &right()).await.is_ok(), "the password has vouched for it");
}
