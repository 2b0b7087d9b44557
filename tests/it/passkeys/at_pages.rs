//! Sign-in with a passkey alone, at the login page.

use axum::http::StatusCode;
use chancery::{service::Admin, time::Ttl};
use serde_json::{Value, json};

use super::{
    authenticator::{Authenticator, Says, UP, changed},
    fixture::{give_passkey, live_sessions, right},
};
use crate::{
    browser::{Browser, SESSION, browser_routes, is_signed_in},
    page_json::{Step, act, get, submit},
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_passkey_signs_in_at_the_login_page,
        the_same_form_sent_again_gets_the_same_cookie,
        a_form_counts_for_its_browser_alone_and_for_five_minutes,
        a_passkey_that_is_refused_leaves_the_form_usable,
        a_passkey_of_somebody_else_signs_nobody_in_over_a_session,
        an_answer_that_was_lost_signs_nobody_in_over_another_tabs_session,
        the_passkey_of_whoever_is_signed_in_leads_on,
        a48_a_passkey_that_names_no_user_is_refused_and_one_that_names_null_too,
        after_a_passkey_was_refused_the_page_asks_for_none_by_itself,
        a_step_that_is_left_follows_at_the_page,
    }
}

fn asked(step: &Step) -> &Value {
    &step.json["passkey_options"]
}

async fn show(browser: &mut Browser, step: &Step, device: &mut Authenticator, says: &Says) -> Step {
    let response = device.get(asked(step), says).to_string();
    act(browser, step, "passkey", json!({ "passkey_response": response })).await
}

async fn login(browser: &mut Browser) -> Step {
    get(browser, "/auth/login?return_to=/basket").await
}

async fn a_passkey_signs_in_at_the_login_page(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let mut device = give_passkey(app, "ada", &right()).await;
    let step = login(&mut browser).await;
    assert_eq!(step.json["fields"][1]["autocomplete"], "username webauthn");
    assert_eq!(asked(&step)["rpId"], "localhost");
    assert_eq!(show(&mut browser, &step, &mut device, &right()).await.done(), "/basket");
    assert!(is_signed_in(&browser).await);
    // Without a script there is no button, and the rest of the page is as it was.
    let (_, page) = Browser::new(&browser_routes_of(app)).open_login("/basket").await;
    assert!(page.body.contains("hidden>\n<button class=\"secondary\" type=\"submit\" id=\"passkey-submit\""));
    assert!(page.body.contains("passkeys-"), "{}", page.body);
}

fn browser_routes_of(app: &App) -> axum::Router {
    chancery::web::routes(app.service.clone())
}

async fn the_same_form_sent_again_gets_the_same_cookie(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let mut device = give_passkey(app, "ada", &right()).await;
    let step = login(&mut browser).await;
    let response = json!({ "passkey_response": device.get(asked(&step), &right()).to_string() });
    let mut unlucky = browser.clone();
    assert_eq!(act(&mut browser, &step, "passkey", response.clone()).await.done(), "/basket");
    assert_eq!(act(&mut unlucky, &step, "passkey", response.clone()).await.done(), "/basket");
    assert_eq!(browser.cookies[SESSION], unlucky.cookies[SESSION]);
    let second = app.second_process().await;
    unlucky.cookies.remove(SESSION);
    let mut elsewhere = unlucky.through(&chancery::web::routes(second.clone()));
    assert_eq!(act(&mut elsewhere, &step, "passkey", response.clone()).await.done(), "/basket");
    assert_eq!(live_sessions(app, "ada").await, 1);
    app.pass(Ttl::from_secs(61)).await;
    unlucky.cookies.remove(SESSION);
    let late = act(&mut unlucky, &step, "passkey", response).await;
    assert_eq!(late.says(), [("TRY_AGAIN", None)], "what it was spent with is remembered for a minute");
    second.store().close().await;
}

async fn a_form_counts_for_its_browser_alone_and_for_five_minutes(app: &App) {
    let routes = browser_routes(app).await;
    let (mut browser, mut thief) = (Browser::new(&routes), Browser::new(&routes));
    let mut device = give_passkey(app, "ada", &right()).await;
    let step = login(&mut browser).await;
    let own = login(&mut thief).await;
    let response = device.get(asked(&step), &right()).to_string();
    // The thief's own form token, with the form and the answer of another browser.
    let mut fields = own.filled(&own.action("passkey")["fields"], &json!({ "passkey_response": response.clone() }));
    fields["form"] = step.action("passkey")["fields"][0]["value"].clone();
    let stolen = crate::page_json::post(&mut thief, own.url(), fields).await;
    assert_eq!(stolen.says(), [("TRY_AGAIN", None)]);
    // The same answer in the thief's own form is for another challenge.
    let replayed = act(&mut thief, &own, "passkey", json!({ "passkey_response": response.clone() })).await;
    assert_eq!(replayed.says(), [("PASSKEY_REFUSED", None)]);
    app.pass(Ttl::from_secs(301)).await;
    let late = act(&mut browser, &step, "passkey", json!({ "passkey_response": response })).await;
    assert_eq!((late.status(), late.says()), (StatusCode::UNPROCESSABLE_ENTITY, vec![("TRY_AGAIN", None)]));
    assert_eq!(show(&mut browser, &late, &mut device, &right()).await.done(), "/basket");
}

async fn a_passkey_that_is_refused_leaves_the_form_usable(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let mut device = give_passkey(app, "ada", &right()).await;
    let step = login(&mut browser).await;
    let elsewhere = Says { origin: "http://evil.example".into(), ..right() };
    let refused = show(&mut browser, &step, &mut device, &elsewhere).await;
    assert_eq!((refused.status(), refused.says()), (StatusCode::UNPROCESSABLE_ENTITY, vec![("PASSKEY_REFUSED", None)]));
    let typed = submit(&mut browser, &refused, json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!(typed.name(), "mfa", "ada has a second factor: {}", typed.json);
    let step = login(&mut browser).await;
    assert_eq!(show(&mut browser, &step, &mut device, &right()).await.done(), "/basket");
}

async fn a_passkey_of_somebody_else_signs_nobody_in_over_a_session(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    app.user("grace").await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let step = login(&mut browser).await;
    browser.sign_in("/", "grace", PASSWORD).await;
    let refused = show(&mut browser, &step, &mut device, &Says { flags: UP, ..right() }).await;
    assert_eq!(refused.says(), [("PASSKEY_REFUSED", None)], "nobody is sent on before the passkey was looked at");
    let other = show(&mut browser, &step, &mut device, &right()).await;
    assert_eq!((other.name(), &other.json["name"]), ("switch_user", &json!("grace")));
    app.pass(Ttl::from_secs(120)).await;
    let fresh = crate::browser::fresh(app, "/secret");
    let step = get(&mut browser, &fresh).await;
    assert_eq!(show(&mut browser, &step, &mut device, &right()).await.name(), "switch_user");
    assert_eq!(live_sessions(app, "ada").await, 0);
}

async fn an_answer_that_was_lost_signs_nobody_in_over_another_tabs_session(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    app.user("grace").await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let step = login(&mut browser).await;
    let response = json!({ "passkey_response": device.get(asked(&step), &right()).to_string() });
    assert_eq!(act(&mut browser.clone(), &step, "passkey", response.clone()).await.done(), "/basket");
    browser.sign_in("/", "grace", PASSWORD).await;
    let graces = browser.cookies[SESSION].clone();
    assert_eq!(act(&mut browser, &step, "passkey", response).await.name(), "switch_user");
    assert_eq!(browser.cookies[SESSION], graces);
}

async fn the_passkey_of_whoever_is_signed_in_leads_on(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let mut device = give_passkey(app, "ada", &right()).await;
    let (one, other) = (login(&mut browser).await, get(&mut browser, "/auth/login?return_to=/elsewhere").await);
    assert_eq!(show(&mut browser, &one, &mut device, &right()).await.done(), "/basket");
    assert_eq!(show(&mut browser, &other, &mut device, &right()).await.done(), "/elsewhere");
    assert!(is_signed_in(&browser).await);
    assert_eq!(live_sessions(app, "ada").await, 1, "the new session replaces the old one");
}

async fn a48_a_passkey_that_names_no_user_is_refused_and_one_that_names_null_too(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let mut device = give_passkey(app, "ada", &right()).await;
    let mut step = login(&mut browser).await;
    let response = device.get(asked(&step), &right());
    for (what, odd) in changed(&response).into_iter().filter(|(what, _)| what.contains("userHandle")) {
        step = act(&mut browser, &step, "passkey", json!({ "passkey_response": odd.to_string() })).await;
        assert_eq!(step.says(), [("PASSKEY_REFUSED", None)], "{what}: {}", step.json);
        app.pass(Ttl::from_secs(600)).await;
        step = login(&mut browser).await;
    }
    let step = login(&mut browser).await;
    assert_eq!(show(&mut browser, &step, &mut device, &right()).await.done(), "/basket");
}

async fn after_a_passkey_was_refused_the_page_asks_for_none_by_itself(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    assert!(page.body.contains("data-passkey-autofill=\"now\""), "{}", page.body);
    let (csrf, form) = (page.field("csrf"), page.field("form"));
    let sent = [("csrf", &*csrf), ("form", &*form), ("passkey_response", "{}")];
    let refused = browser.post(&path, &sent).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("data-passkey-autofill=\"wait\""), "{}", refused.body);
}

async fn a_step_that_is_left_follows_at_the_page(app: &App) {
    let client = chancery::service::NewClientRequest { require_email: true, ..crate::browser::site_client("shop") };
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let mut browser = Browser::new(&browser_routes_of(app));
    let mut device = give_passkey(app, "ada", &right()).await;
    let step = login(&mut browser).await;
    let response = json!({ "passkey_response": device.get(asked(&step), &right()).to_string() });
    let next = act(&mut browser, &step, "passkey", response.clone()).await;
    assert_eq!((next.name(), &next.json["name"]), ("ask_address", &json!("ada")));
    let again = act(&mut browser, &step, "passkey", response).await;
    assert_eq!(again.url(), next.url(), "the same form leads to the same step");
    assert_eq!(live_sessions(app, "ada").await, 0);
}
