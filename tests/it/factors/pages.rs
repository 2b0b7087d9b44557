//! The same steps in a browser.

use axum::http::StatusCode;
use chancery::{
    secret::Password,
    service::{Admin, NewClientRequest, NewUserRequest},
    time::{Clock, Ttl},
    web,
};

use super::Phone;
use crate::{
    browser::{Browser, DEVICES, Page, SESSION, is_signed_in, last_code, site_client},
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        an_app_is_set_up_its_codes_are_kept_and_it_is_asked_for,
        recovery_codes_are_shown_until_they_are_kept_and_count_once,
        what_is_no_code_is_said_and_a_wrong_one_leaves_the_step_as_it_is,
        after_five_wrong_codes_the_page_begins_anew_and_says_why,
        an_account_opened_at_a_client_that_demands_two_factors_is_not_signed_in_without,
        a_browser_that_signed_in_with_two_factors_is_known,
    }
}

async fn at_site(app: &App, require_mfa: bool) -> Browser {
    let client = NewClientRequest { require_mfa, registration: true, ..site_client("shop") };
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let user = NewUserRequest {
        name: "grace".into(),
        emails: vec!["grace@example.com".into()],
        password: Some(Password::new(PASSWORD.into())),
        ..NewUserRequest::default()
    };
    app.service.users.create(&Admin::command(), user).await.unwrap();
    Browser::new(&web::routes(app.service.clone()))
}

async fn begin(browser: &mut Browser) -> String {
    let step = browser.sign_in("/basket", "grace", PASSWORD).await;
    assert_eq!(step.status, StatusCode::SEE_OTHER, "{}", step.body);
    let path = step.path();
    assert!(path.starts_with("/auth/step/tkt_"), "{path}");
    path
}

async fn fill(browser: &mut Browser, path: &str, page: &Page, name: &str, value: &str) -> Page {
    let (csrf, revision) = (page.field("csrf"), page.field("revision"));
    let fields = [("csrf", csrf.as_str()), ("revision", revision.as_str()), (name, value)];
    browser.post(path, &fields).await
}

/// What stands between two texts.
fn between<'a>(body: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = body.split_once(from).unwrap_or_else(|| panic!("{from} in {body}"));
    rest.split_once(to).unwrap().0
}

/// Sets an app up at the step, up to the page with the recovery codes.
async fn enrol(app: &App, browser: &mut Browser, path: &str) -> Phone {
    let page = browser.get(path).await;
    let secret = between(&page.body, "<code id=\"secret\" data-copy>", "</code>").replace(' ', "");
    assert!(page.body.contains("data:image/svg+xml;base64,"), "{}", page.body);
    let phone = Phone::with(&secret);
    let next = fill(browser, path, &page, "code", &phone.code_at(app.clock.now())).await;
    assert_eq!((next.status, next.path().as_str()), (StatusCode::SEE_OTHER, path), "{}", next.body);
    phone
}

fn codes_on(page: &Page) -> Vec<String> {
    let list = between(&page.body, "id=\"recovery-codes\"", "</pre>");
    between(list, "<code data-copy>", "</code>").lines().map(str::to_owned).collect()
}

async fn an_app_is_set_up_its_codes_are_kept_and_it_is_asked_for(app: &App) {
    let mut browser = at_site(app, true).await;
    let path = begin(&mut browser).await;
    let phone = enrol(app, &mut browser, &path).await;
    assert!(!is_signed_in(&browser).await, "not before the codes are kept");
    let page = browser.get(&path).await;
    assert_eq!(codes_on(&page).len(), 10, "{}", page.body);
    let done = fill(&mut browser, &path, &page, "action", "codes_kept").await;
    assert_eq!((done.status, done.path().as_str()), (StatusCode::SEE_OTHER, "/basket"), "{}", done.body);
    assert!(is_signed_in(&browser).await);
    let sessions = app.service.users.sessions(&Admin::command(), "grace").await.unwrap();
    assert_eq!((sessions.len(), sessions[0].acr.as_str(), sessions[0].amr.join(" ").as_str()), (1, "2", "pwd otp mfa"));
    // The next time, in another browser, the app is asked for.
    app.pass(Ttl::from_secs(30)).await;
    let mut other = Browser::new(&web::routes(app.service.clone()));
    let path = begin(&mut other).await;
    let page = other.get(&path).await;
    assert!(page.body.contains("id=\"code\"") && page.body.contains("id=\"recovery_code\""), "{}", page.body);
    let done = fill(&mut other, &path, &page, "code", &phone.code_at(app.clock.now())).await;
    assert_eq!(done.path(), "/basket", "{}", done.body);
    assert!(is_signed_in(&other).await);
}

async fn recovery_codes_are_shown_until_they_are_kept_and_count_once(app: &App) {
    let mut browser = at_site(app, true).await;
    let path = begin(&mut browser).await;
    enrol(app, &mut browser, &path).await;
    let shown = codes_on(&browser.get(&path).await);
    assert_eq!(codes_on(&browser.get(&path).await), shown, "a page that is loaded again has them still");
    let page = browser.get(&path).await;
    fill(&mut browser, &path, &page, "action", "codes_kept").await;
    let after = browser.get(&path).await;
    assert!(!after.body.contains(&shown[0]));
    for (n, code) in [&shown[0], &shown[1]].into_iter().enumerate() {
        let mut other = Browser::new(&web::routes(app.service.clone()));
        let path = begin(&mut other).await;
        let page = other.get(&path).await;
        if n == 1 {
            let again = fill(&mut other, &path, &page, "recovery_code", &shown[0]).await;
            assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", again.body);
            assert!(again.body.contains("The code is wrong"), "{}", again.body);
        }
        let done = fill(&mut other, &path, &page, "recovery_code", &code.to_lowercase()).await;
        assert_eq!(done.path(), "/basket", "{}", done.body);
    }
}

async fn what_is_no_code_is_said_and_a_wrong_one_leaves_the_step_as_it_is(app: &App) {
    let mut browser = at_site(app, true).await;
    let path = begin(&mut browser).await;
    let page = browser.get(&path).await;
    let none = fill(&mut browser, &path, &page, "code", "12345").await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(none.body.contains("Enter the 6 digits that the app shows."), "{}", none.body);
    let wrong = fill(&mut browser, &path, &page, "code", "000000").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.body);
    assert!(wrong.body.contains("The code is wrong"), "{}", wrong.body);
    enrol(app, &mut browser, &path).await;
}

/// What the page at a step says and asks for after five wrong codes, and after the right one that comes too late.
async fn assert_over(browser: &mut Browser, path: &str, phone: &Phone, app: &App) {
    let page = browser.get(path).await;
    for n in 1..=5 {
        let wrong = fill(browser, path, &page, "code", "000000").await;
        assert_eq!(wrong.status.as_u16(), if n < 5 { 422 } else { 303 }, "{n}: {}", wrong.body);
    }
    let late = fill(browser, path, &page, "code", &phone.code_at(app.clock.now())).await;
    assert_eq!((late.status.as_u16(), late.path().as_str()), (303, path), "{}", late.body);
    let over = browser.get(path).await;
    assert!(over.is_login() && over.body.contains("Too many codes were wrong."), "{}", over.body);
    assert!(!is_signed_in(browser).await);
    let headers = [("accept", "application/json"), ("sec-fetch-site", "same-origin")];
    let json = browser.send("GET", path, &headers, String::new()).await;
    let json: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!((&json["step"], &json["messages"][0]["code"]), (&"login".into(), &"SIGN_IN_EXPIRED".into()), "{json}");
}

async fn after_five_wrong_codes_the_page_begins_anew_and_says_why(app: &App) {
    let mut browser = at_site(app, true).await;
    let path = begin(&mut browser).await;
    let page = browser.get(&path).await;
    let phone = Phone::with(&between(&page.body, "<code id=\"secret\" data-copy>", "</code>").replace(' ', ""));
    assert_over(&mut browser, &path, &phone, app).await;
    let path = begin(&mut browser).await;
    let phone = enrol(app, &mut browser, &path).await;
    app.pass(Ttl::from_secs(30)).await;
    let mut other = Browser::new(&web::routes(app.service.clone()));
    let path = begin(&mut other).await;
    assert_over(&mut other, &path, &phone, app).await;
    // Wrong codes count like wrong passwords.
    app.pass(Ttl::from_days(2)).await;
    let path = begin(&mut other).await;
    let page = other.get(&path).await;
    let done = fill(&mut other, &path, &page, "code", &phone.code_at(app.clock.now())).await;
    assert_eq!(done.path(), "/basket", "{}", done.body);
}

async fn an_account_opened_at_a_client_that_demands_two_factors_is_not_signed_in_without(app: &App) {
    let mut browser = at_site(app, true).await;
    let page = browser.get("/auth/register").await;
    let (csrf, form) = (page.field("csrf"), page.field("form"));
    let fields = [
        ("csrf", csrf.as_str()),
        ("form", form.as_str()),
        ("email", "heidi@example.com"),
        ("username", ""),
        ("password", PASSWORD),
    ];
    let sent = browser.post("/auth/register", &fields).await;
    let page = browser.get(&sent.path()).await;
    let code = last_code(app).await;
    let (csrf, form) = (page.field("csrf"), page.field("form"));
    let fields = [("csrf", csrf.as_str()), ("form", form.as_str()), ("code", code.as_str())];
    browser.post("/auth/verify", &fields).await;
    assert!(!is_signed_in(&browser).await);
    let step = browser.sign_in("/basket", "heidi@example.com", PASSWORD).await;
    assert!(step.path().starts_with("/auth/step/tkt_"), "{}", step.body);
}

async fn a_browser_that_signed_in_with_two_factors_is_known(app: &App) {
    let mut browser = at_site(app, true).await;
    let path = begin(&mut browser).await;
    let phone = enrol(app, &mut browser, &path).await;
    let page = browser.get(&path).await;
    fill(&mut browser, &path, &page, "action", "codes_kept").await;
    assert!(browser.cookies.contains_key(DEVICES));
    // Strangers guess until they are refused; the known browser is not.
    let mut stranger = Browser::new(&web::routes(app.service.clone()));
    for _ in 0..8 {
        stranger.sign_in("/basket", "grace", "not the right password").await;
    }
    app.pass(Ttl::from_secs(30)).await;
    browser.cookies.remove(SESSION);
    let path = begin(&mut browser).await;
    let page = browser.get(&path).await;
    let done = fill(&mut browser, &path, &page, "code", &phone.code_at(app.clock.now())).await;
    assert_eq!(done.path(), "/basket", "{}", done.body);
}
