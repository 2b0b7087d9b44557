//! Guests in browsers: they have a session, and nobody is signed in.

use axum::http::StatusCode;
use chancery::{
    domain::{client::Client, site::Site},
    entropy::OsEntropy,
    id::VisitorId,
    service::{Admin, ClientPatch},
    time::Ttl,
};
use serde_json::{Value, json};

use super::{App, PASSWORD, claims, rows};
use crate::{
    browser::{Browser, SESSION, is_signed_in},
    browser_account::fixture::{SiteFixture, submit},
    browser_check::Check,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        a_guest_is_not_signed_in_and_scripts_are_told_so,
        s16_a_sign_in_over_a_guests_session_replaces_the_cookie_and_takes_the_data_along,
        a_guest_who_registers_keeps_subject_and_data,
        a_guest_signs_out_and_what_is_left_of_it_goes,
        s17_a_guest_counts_at_the_check_only_where_guests_are_wanted,
        two_tabs_of_a_guest_that_sign_in_at_once_end_in_one_session,
        a_link_that_is_opened_elsewhere_gives_its_reader_another_subject,
        only_a_client_with_the_grant_has_guests_in_browsers,
    }
}

/// Lets the shop have guests.
async fn allow(fixture: &SiteFixture) {
    let grants = Some(["direct_login", "refresh_token", "guest"].map(str::to_owned).to_vec());
    let guest_data = Some(vec!["both=return_both".to_owned(), "stays=keep_account".to_owned()]);
    let patch = ClientPatch { grants, guest_data, browser_tokens: Some(true), ..ClientPatch::default() };
    fixture.service().clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
}

fn site(client: &Client) -> &Site {
    client.config.site.as_ref().unwrap()
}

/// Makes a browser a guest's, as the first data that it stores does. Returns the guest's session and subject.
async fn become_guest(fixture: &SiteFixture, browser: &mut Browser) -> (String, String) {
    let service = fixture.service();
    let client = service.live.snapshot().clients["shop"].clone();
    let guest =
        service.browser.begin_guest(&service.context(), (&client, site(&client)), &VisitorId::new(&OsEntropy)).await;
    let guest = (*guest).as_ref().unwrap();
    browser.cookies.insert(SESSION.to_owned(), guest.cookies.cookie.expose().to_owned());
    (guest.session.id.to_string(), guest.session.subject.clone())
}

fn owner_of(id: &str) -> String {
    if id.starts_with("usr_") { format!("{id}/shop") } else { id.to_owned() }
}

async fn store(app: &App, owner: &str, namespace: &str, value: &str) {
    let owner = owner_of(owner);
    let kind = if app.empty.database.engine == "postgres" { "BYTEA" } else { "BLOB" };
    let columns = "owner, namespace, value, version, updated_at";
    let values = format!("'{owner}', '{namespace}', CAST('{value}' AS {kind}), 1, 1");
    app.sql(&format!("INSERT INTO session_data ({columns}) VALUES ({values})")).await;
}

/// The owners of what is stored in a namespace.
async fn has(app: &App, owner: &str, namespace: &str) -> bool {
    let owner = owner_of(owner);
    rows(app, &format!("session_data WHERE owner = '{owner}' AND namespace = '{namespace}'")).await == 1
}

async fn said(browser: &mut Browser) -> Value {
    let headers = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("accept", "application/json")];
    let answer = browser.send("GET", "/auth/session", &headers, String::new()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

async fn a_guest_is_not_signed_in_and_scripts_are_told_so(fixture: &SiteFixture) {
    allow(fixture).await;
    let mut browser = fixture.browser();
    let (session, subject) = become_guest(fixture, &mut browser).await;
    let body = said(&mut browser).await;
    assert_eq!((&body["guest"], &body["subject"]), (&json!(true), &json!(subject)));
    assert_eq!((&body["session_id"], &body["name"], &body["roles"]), (&json!(session), &json!(""), &json!([])));
    assert!(!is_signed_in(&browser).await);
    let account = browser.get("/auth/account").await;
    assert!(account.path().starts_with("/auth/login?r="), "{}", account.path());
    for page in ["/auth/login?return_to=/", "/auth/register"] {
        let page = browser.get(page).await;
        assert!(matches!(page.status, StatusCode::OK | StatusCode::SEE_OTHER), "{}", page.status);
    }
    assert!(browser.cookies.contains_key(SESSION), "no page takes it away");
    // A form of the account pages leads to the sign-in.
    let changed = browser.post("/auth/account", &[("action", "end_all"), ("csrf", "x")]).await;
    assert!(changed.path().starts_with("/auth/login?r="), "{}", changed.path());
    // A script that asks for a token must ask for that of a guest.
    let token = browser.post("/auth/token", &[]).await;
    assert_eq!(token.status, StatusCode::UNAUTHORIZED, "{}", token.body);
    let token = browser.post("/auth/token", &[("guest", "1")]).await;
    let body: Value = serde_json::from_str(&token.body).unwrap();
    assert_eq!(claims(body["access_token"].as_str().unwrap())["acr"], "0");
}

async fn s16_a_sign_in_over_a_guests_session_replaces_the_cookie_and_takes_the_data_along(fixture: &SiteFixture) {
    allow(fixture).await;
    fixture.user("grace").await;
    let app = &fixture.app;
    let grace = fixture.service().users.get(&Admin::command(), "grace").await.unwrap().user.id.to_string();
    let mut browser = fixture.browser();
    let (session, subject) = become_guest(fixture, &mut browser).await;
    for namespace in ["cart", "stays", "both"] {
        store(app, &subject, namespace, "[1]").await;
        store(app, &grace, namespace, "[2]").await;
    }
    store(app, &subject, "wishes", "[1]").await;
    let planted = browser.clone();
    let answer = browser.sign_in("/basket", "grace", PASSWORD).await;
    assert_eq!(answer.path(), "/basket");
    assert_ne!(browser.cookies[SESSION], planted.cookies[SESSION]);
    let body = said(&mut browser).await;
    assert_eq!((&body["guest"], &body["name"]), (&json!(false), &json!("grace")));
    let now = body["session_id"].as_str().unwrap();
    assert!(has(app, &grace, "wishes").await && has(app, now, "both").await && !has(app, &subject, "cart").await);
    // Session fixation: whoever has planted the guest's cookie has nothing.
    assert!(!is_signed_in(&planted).await);
    assert!(fixture.service().live.snapshot().revoked_sessions.contains_key(&session));
}

async fn a_guest_who_registers_keeps_subject_and_data(fixture: &SiteFixture) {
    allow(fixture).await;
    let mut browser = fixture.browser();
    let (session, subject) = become_guest(fixture, &mut browser).await;
    store(&fixture.app, &subject, "cart", "[1]").await;
    store(&fixture.app, &session, "form", "[2]").await;
    let planted = browser.clone();
    let page = browser.get("/auth/register?return_to=/pay").await;
    let fields = [("email", "new@example.org"), ("username", "new"), ("password", PASSWORD)];
    let asked = submit(&mut browser, "/auth/register?return_to=/pay", &page, &fields).await;
    let waiting = browser.get(&asked.path()).await;
    // The guest goes on until then.
    assert_eq!(said(&mut browser).await["guest"], true);
    let (code, _) = fixture.code_and_link().await;
    let done = submit(&mut browser, "/auth/verify", &waiting, &[("code", &code)]).await;
    assert_eq!(done.path(), "/pay", "{}", done.body);
    let body = said(&mut browser).await;
    assert_eq!((&body["guest"], &body["subject"]), (&json!(false), &json!(subject)));
    assert_ne!(body["session_id"], session);
    assert!(has(&fixture.app, &subject, "cart").await, "the account has what the guest had");
    assert!(!is_signed_in(&planted).await);
    let mut elsewhere = fixture.browser();
    elsewhere.sign_in("/", "new", PASSWORD).await;
    assert_eq!(said(&mut elsewhere).await["subject"], subject);
}

async fn a_guest_signs_out_and_what_is_left_of_it_goes(fixture: &SiteFixture) {
    allow(fixture).await;
    let mut browser = fixture.browser();
    let (session, _) = become_guest(fixture, &mut browser).await;
    let asked = browser.get("/auth/logout?return_to=/bye").await;
    assert!(asked.body.contains("logout-confirm") && asked.body.contains("have not signed in"), "{}", asked.body);
    let fields = [("csrf", asked.field("csrf")), ("return_to", asked.field("return_to"))];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let out = browser.post("/auth/logout", &fields).await;
    assert!(out.body.contains("Signed out"), "{}", out.body);
    assert!(!browser.cookies.contains_key(SESSION));
    assert!(fixture.service().live.snapshot().revoked_sessions.contains_key(&session));
}

async fn s17_a_guest_counts_at_the_check_only_where_guests_are_wanted(fixture: &SiteFixture) {
    allow(fixture).await;
    let mut browser = fixture.browser();
    let (_, subject) = become_guest(fixture, &mut browser).await;
    let check = Check::of(fixture.service());
    let cookie = format!("{SESSION}={}", browser.cookies[SESSION]);
    let at = [("cookie", &*cookie), ("x-forwarded-proto", "http"), ("x-forwarded-host", "localhost:8000")];
    let answer = check.ask("", &at).await;
    assert_eq!(answer.status, 302);
    let answer = check.ask("?optional", &at).await;
    assert_eq!((answer.status, answer.header("x-chancery-subject")), (StatusCode::OK, ""));
    let answer = check.ask("?guest=1", &at).await;
    assert_eq!((answer.status, answer.header("x-chancery-subject")), (StatusCode::OK, &*subject));
    let token = answer.header("x-chancery-token");
    assert_eq!((&claims(token)["acr"], answer.header("x-chancery-roles")), (&json!("0"), ""));
    assert_eq!(Some(answer.header("x-chancery-claims")), token.split('.').nth(1));
    // A step up from a guest is a sign-in.
    for asked in ["?guest=1&acr=1", "?guest=1&max_age=300", "?guest=1&permission=orders.read"] {
        assert_eq!(check.ask(asked, &at).await.status, 302, "{asked}");
    }
    // So it is for a script, which is told why.
    let script = [&at[..], &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")][..]].concat();
    for (asked, reason) in [("?guest=1&max_age=300", "SESSION_TOO_WEAK"), ("?guest=1&permission=a", "NO_SESSION")] {
        let answer = check.ask(asked, &script).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{asked}");
        assert!(answer.body.contains(reason), "{asked}: {}", answer.body);
    }
    let answer = check.ask("?guest=1&permission=orders.read&optional=1", &at).await;
    assert_eq!((answer.status, answer.header("x-chancery-subject")), (StatusCode::OK, ""));
}

async fn two_tabs_of_a_guest_that_sign_in_at_once_end_in_one_session(fixture: &SiteFixture) {
    allow(fixture).await;
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    become_guest(fixture, &mut browser).await;
    let (first_path, first) = browser.open_login("/one").await;
    let (second_path, second) = browser.open_login("/two").await;
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let answers = tokio::join!(
        one.sign_in_on(&first_path, &first, "grace", PASSWORD),
        two.sign_in_on(&second_path, &second, "grace", PASSWORD)
    );
    assert_eq!((answers.0.path().as_str(), answers.1.path().as_str()), ("/one", "/two"));
    let live = [is_signed_in(&one).await, is_signed_in(&two).await];
    assert_eq!(live.iter().filter(|live| **live).count(), 1, "the later cookie replaces the earlier session");
}

async fn a_link_that_is_opened_elsewhere_gives_its_reader_another_subject(fixture: &SiteFixture) {
    allow(fixture).await;
    let mut stranger = fixture.browser();
    let (_, subject) = become_guest(fixture, &mut stranger).await;
    let page = stranger.get("/auth/register").await;
    let fields = [("email", "victim@example.org"), ("username", ""), ("password", PASSWORD)];
    submit(&mut stranger, "/auth/register", &page, &fields).await;
    let (_, link) = fixture.code_and_link().await;
    let mut owner = fixture.browser();
    let page = owner.get(&link).await;
    let new = "an entirely different phrase";
    submit(&mut owner, "/auth/verify", &page, &[("new_password", new), ("username", "")]).await;
    owner.sign_in("/", "victim@example.org", new).await;
    assert_ne!(said(&mut owner).await["subject"], subject);
    assert_eq!(said(&mut stranger).await["guest"], true, "the stranger is who they were");
}

async fn only_a_client_with_the_grant_has_guests_in_browsers(fixture: &SiteFixture) {
    let service = fixture.service();
    let client = service.live.snapshot().clients["shop"].clone();
    let refused =
        service.browser.begin_guest(&service.context(), (&client, site(&client)), &VisitorId::new(&OsEntropy)).await;
    let refused = refused.as_ref().as_ref().map_err(chancery::error::Error::reason);
    assert_eq!(refused.err(), Some(chancery::error::Reason::ClientNotAllowed));
    allow(fixture).await;
    let mut browser = fixture.browser();
    become_guest(fixture, &mut browser).await;
    // A guest's cookie ends with its idle time.
    fixture.app.pass(Ttl::from_secs(26 * 3600)).await;
    let gone = browser.get("/auth/session").await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
}
