//! The second factors on the account page.

use chancery::{service::Admin, time::Ttl};

use super::{
    Browser, Page, browser_routes,
    client::{SESSION, borrowed},
    is_signed_in,
    second_factor::{follow, only, secret, take},
};
use crate::{
    step_up::Authenticator,
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        an_app_is_added_with_its_first_code_and_recovery_codes_are_shown_once,
        whoever_has_missed_the_answer_to_the_first_code_gets_the_same_codes_and_cookie,
        s09_with_a_second_factor_an_old_sign_in_changes_nothing_until_both_are_shown_again,
        after_five_wrong_codes_an_app_is_set_up_anew,
        the_last_factor_goes_only_with_the_password,
        new_recovery_codes_are_shown_once,
        p01_the_hint_for_a_new_password_says_what_holds_for_its_user,
        the_section_is_in_json_too,
    }
}

const ACCOUNT: &str = "/auth/account";

async fn send(browser: &mut Browser, page: &Page, action: &str, fields: &[(&'static str, &str)]) -> Page {
    let mut all = vec![("csrf", page.field("csrf")), ("action", action.to_owned())];
    all.extend(fields.iter().map(|(name, text)| (*name, (*text).to_owned())));
    browser.post(ACCOUNT, &borrowed(&all)).await
}

/// Begins to add an app on the account page. Returns the page that shows what it is set up with.
async fn begin(browser: &mut Browser, name: &str) -> (Page, String) {
    let page = browser.get(ACCOUNT).await;
    let begun = send(browser, &page, "add_totp", &[("factor_name", name)]).await;
    let at = begun.path();
    let (_, enrolment) = at.split_once("?e=").unwrap();
    (browser.get(&at).await, enrolment.to_owned())
}

/// Signs Ada in and adds an app. The next code is another one.
async fn with_app(app: &App, browser: &mut Browser) -> Authenticator {
    browser.sign_in("/", "ada", PASSWORD).await;
    let (page, enrolment) = begin(browser, "").await;
    let authenticator = Authenticator::new(&secret(&page));
    let code = authenticator.code(app.service.now());
    let codes = send(browser, &page, "confirm_totp", &[("form", &enrolment), ("code", &code)]).await;
    assert!(codes.body.contains("id=\"recovery-codes\""), "{}", codes.body);
    app.pass(Ttl::from_secs(31)).await;
    authenticator
}

fn factor_id(page: &Page) -> String {
    page.field("factor_id")
}

async fn an_app_is_added_with_its_first_code_and_recovery_codes_are_shown_once(app: &App) {
    let routes = browser_routes(app).await;
    let (mut browser, mut elsewhere) = (Browser::new(&routes), Browser::new(&routes));
    browser.sign_in("/", "ada", PASSWORD).await;
    elsewhere.sign_in("/", "ada", PASSWORD).await;
    let old = browser.clone();
    let (page, enrolment) = begin(&mut browser, "My <phone>").await;
    assert!(
        page.body.contains("data:image/svg+xml;base64,") && page.body.contains("id=\"totp-code\""),
        "{}",
        page.body
    );
    for wrong in ["000000", "12345", "١٢٣٤٥٦", "1234567"] {
        let again = send(&mut browser, &page, "confirm_totp", &[("form", &enrolment), ("code", wrong)]).await;
        assert_eq!(again.status.as_u16(), 422, "{wrong}");
        assert!(again.body.contains("href=\"#totp-code\"") && again.body.contains("id=\"secret\""), "{}", again.body);
    }
    let code = Authenticator::new(&secret(&page)).code(app.service.now());
    let codes = send(&mut browser, &page, "confirm_totp", &[("form", &enrolment), ("code", &code)]).await;
    assert!(codes.status.is_success() && codes.body.contains("id=\"recovery-codes\""), "{}", codes.body);
    assert!(is_signed_in(&browser).await && !is_signed_in(&old).await && !is_signed_in(&elsewhere).await);
    let session = only(app).await;
    assert_eq!((session.acr.as_str(), session.amr.join(" ").as_str()), ("2", "pwd otp mfa"));
    let page = browser.get(ACCOUNT).await;
    assert!(page.body.contains("My &lt;phone&gt;") && !page.body.contains("id=\"recovery-codes\""), "{}", page.body);
    // The address does not show it once more.
    let gone = browser.get(&format!("{ACCOUNT}?e={enrolment}")).await;
    assert!(gone.status.is_success() && !gone.body.contains("id=\"secret\""), "{}", gone.body);
}

async fn whoever_has_missed_the_answer_to_the_first_code_gets_the_same_codes_and_cookie(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    let (page, enrolment) = begin(&mut browser, "").await;
    let code = Authenticator::new(&secret(&page)).code(app.service.now());
    let mut unlucky = browser.clone();
    let fields = [("form", enrolment.as_str()), ("code", code.as_str())];
    let first = send(&mut browser, &page, "confirm_totp", &fields).await;
    let again = send(&mut unlucky, &page, "confirm_totp", &fields).await;
    assert!(again.body.contains("id=\"recovery-codes\"") && again.body == first.body, "{}", again.body);
    assert_eq!(unlucky.cookies[SESSION], browser.cookies[SESSION]);
}

async fn s09_with_a_second_factor_an_old_sign_in_changes_nothing_until_both_are_shown_again(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let authenticator = with_app(app, &mut browser).await;
    let fresh = browser.get(ACCOUNT).await;
    let id = factor_id(&fresh);
    app.pass(Ttl::from_secs(15 * 60)).await;
    let page = browser.get(ACCOUNT).await;
    assert!(page.body.contains("id=\"sign-in-again\"") && !page.body.contains("id=\"email-submit\""), "{}", page.body);
    for (action, fields) in [
        ("add_totp", vec![]),
        ("remove_factor", vec![("factor_id", id.as_str()), ("password", PASSWORD)]),
        ("new_recovery_codes", vec![]),
        ("change_name", vec![("username", "lovelace"), ("current_password", PASSWORD)]),
        ("change_email", vec![("email", "ada@new.example"), ("current_password", PASSWORD)]),
        ("change_password", vec![("current_password", PASSWORD), ("new_password", "a wholly new pass phrase")]),
        ("delete", vec![("password", PASSWORD)]),
    ] {
        let refused = send(&mut browser, &fresh, action, &fields).await;
        assert!(refused.path().starts_with("/auth/login?r="), "{action}: {}", refused.body);
    }
    let again = send(&mut browser, &fresh, "add_totp", &[]).await.path();
    let (at, page) = follow(&mut browser, &again).await;
    assert!(page.is_login(), "{}", page.body);
    let step = browser.sign_in_on(&at, &page, "ada", PASSWORD).await.path();
    let page = browser.get(&step).await;
    let done = take(&mut browser, &step, &page, ("code", &authenticator.code(app.service.now()))).await;
    assert_eq!(done.path(), ACCOUNT);
    let page = browser.get(ACCOUNT).await;
    assert_eq!(
        send(&mut browser, &page, "change_name", &[("username", "lovelace")]).await.path(),
        "/auth/account?done=name"
    );
}

async fn after_five_wrong_codes_an_app_is_set_up_anew(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    let (page, enrolment) = begin(&mut browser, "").await;
    let right = Authenticator::new(&secret(&page)).code(app.service.now());
    for (n, code) in ["000000", "000000", "000000", "000000", "000000", &right].into_iter().enumerate() {
        let refused = send(&mut browser, &page, "confirm_totp", &[("form", &enrolment), ("code", code)]).await;
        let over = refused.body.contains("This setup is over");
        assert_eq!((refused.status.as_u16(), over), (422, n >= 4), "{n}: {}", refused.body);
        assert_eq!(refused.body.contains("id=\"totp-code\""), n < 4, "{n}: {}", refused.body);
        assert_eq!(refused.body.contains("id=\"totp-add\""), n >= 4, "{n}: {}", refused.body);
    }
    let (page, enrolment) = begin(&mut browser, "").await;
    let code = Authenticator::new(&secret(&page)).code(app.service.now());
    let codes = send(&mut browser, &page, "confirm_totp", &[("form", &enrolment), ("code", &code)]).await;
    assert!(codes.body.contains("id=\"recovery-codes\""), "{}", codes.body);
}

async fn the_last_factor_goes_only_with_the_password(app: &App) {
    let routes = browser_routes(app).await;
    let mut browser = Browser::new(&routes);
    with_app(app, &mut browser).await;
    let page = browser.get(ACCOUNT).await;
    let id = factor_id(&page);
    for password in ["", "not the password"] {
        let fields = [("factor_id", id.as_str()), ("password", password)];
        let refused = send(&mut browser, &page, "remove_factor", &fields).await;
        assert!(refused.status.as_u16() == 422 && refused.body.contains("#factor-password"), "{}", refused.body);
    }
    let fields = [("factor_id", id.as_str()), ("password", PASSWORD)];
    let removed = send(&mut browser, &page, "remove_factor", &fields).await;
    assert_eq!(removed.path(), "/auth/account?done=factor_removed");
    // Nothing that has not happened is said of a factor that is not there.
    for id in [id.as_str(), "fct_01J00000000000000000000000", "junk", ""] {
        let fields = [("factor_id", id), ("password", PASSWORD)];
        let gone = send(&mut browser, &page, "remove_factor", &fields).await;
        assert_eq!(gone.path(), "/auth/account?done=factor_gone", "{id}");
    }
    let gone = browser.get("/auth/account?done=factor_gone").await;
    assert!(gone.body.contains("There is no such second factor any more."), "{}", gone.body);
    assert!(browser.get(ACCOUNT).await.find_field("factor_id").is_none());
    let mut elsewhere = Browser::new(&routes);
    assert_eq!(elsewhere.sign_in("/basket", "ada", PASSWORD).await.path(), "/basket");
    assert_eq!(app.service.users.get(&Admin::command(), "ada").await.unwrap().user.second_factors, 0);
}

async fn new_recovery_codes_are_shown_once(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    with_app(app, &mut browser).await;
    let page = browser.get(ACCOUNT).await;
    let codes = send(&mut browser, &page, "new_recovery_codes", &[]).await;
    assert!(codes.body.contains("id=\"recovery-codes\"") && codes.body.contains("id=\"continue\""), "{}", codes.body);
    assert!(!browser.get(ACCOUNT).await.body.contains("id=\"recovery-codes\""));
}

async fn p01_the_hint_for_a_new_password_says_what_holds_for_its_user(app: &App) {
    let routes = browser_routes(app).await;
    let mut browser = Browser::new(&routes);
    browser.sign_in("/", "ada", PASSWORD).await;
    assert!(browser.get(ACCOUNT).await.body.contains("At least 15 characters."));
    let mut browser = Browser::new(&routes);
    let authenticator = with_app(app, &mut browser).await;
    assert!(browser.get(ACCOUNT).await.body.contains("At least 8 characters."));
    // The same where the password has to be replaced.
    app.service.users.require_new_password(&Admin::command(), "ada").await.unwrap();
    let mut browser = Browser::new(&routes);
    let step = browser.sign_in("/", "ada", PASSWORD).await.path();
    let page = browser.get(&step).await;
    let next = take(&mut browser, &step, &page, ("code", &authenticator.code(app.service.now()))).await;
    let page = browser.get(&next.path()).await;
    assert!(page.body.contains("At least 8 characters.") && page.body.contains("id=\"new_password\""), "{}", page.body);
}

async fn the_section_is_in_json_too(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    with_app(app, &mut browser).await;
    let headers = [("accept", "application/json"), ("sec-fetch-site", "same-origin")];
    let answer = browser.send("GET", ACCOUNT, &headers, String::new()).await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&json["factors"][0]["kind"], json["factors"].as_array().unwrap().len()), (&"totp".into(), 1));
    assert!(json["recovery_codes_left"].as_i64().unwrap() > 0 && json["totp"].is_null(), "{json}");
    let named = |name: &str| json["actions"].as_array().unwrap().iter().any(|action| action["name"] == name);
    assert!(named("add_totp") && named("remove_factor") && named("new_recovery_codes"), "{json}");
    let body = serde_json::json!({ "csrf": json["csrf"], "action": "add_totp", "factor_name": "tablet" }).to_string();
    let headers = [headers[0], headers[1], ("content-type", "application/json")];
    let answer = browser.send("POST", ACCOUNT, &headers, body).await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let confirm = json["actions"].as_array().unwrap().iter().find(|action| action["name"] == "confirm_totp").unwrap();
    let tablet = Authenticator::new(json["totp"]["secret"].as_str().unwrap());
    let code = tablet.code(app.service.now());
    let form = confirm["fields"].as_array().unwrap().iter().find(|field| field["name"] == "form").unwrap();
    let body = serde_json::json!({
        "csrf": json["csrf"], "action": "confirm_totp", "form": form["value"], "code": code,
    });
    let answer = browser.send("POST", ACCOUNT, &headers, body.to_string()).await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&json["step"], json["factors"].as_array().unwrap().len()), (&"account".into(), 2), "{json}");
    assert_eq!(json["messages"][0]["code"], "FACTOR_ADDED");
}
