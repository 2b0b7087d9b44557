//! Whoever stores something first is a guest from then on, and keeps it after signing in.

use axum::http::StatusCode;
use chancery::{
    grpc::pb::{DataOwner, StartGuestSessionRequest, auth_service_client::AuthServiceClient},
    service::{Admin, ClientPatch, NewClientRequest},
    time::Ttl,
    web,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    Keeper,
    browser::{CART, answer, etag, get, put, refused, send},
    text,
};
use crate::{
    browser::{Browser, SESSION, is_signed_in, site_client},
    support::{App, ISSUER, PASSWORD},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        the_first_write_makes_a_guest_who_keeps_it,
        writes_at_the_same_moment_are_of_one_guest,
        writes_at_the_same_moment_at_two_processes_are_of_one_guest,
        a_browser_without_cookies_gets_one_and_leaves_nothing_behind,
        a_client_without_the_grant_has_no_guests,
        too_many_guests_are_told_when_to_come_back_and_nothing_is_written,
        a_cart_and_a_form_follow_a_guest_into_the_account_and_to_other_devices,
        a_guest_keeps_data_with_a_token,
        a_client_that_loses_the_grant_keeps_the_guests_in_browsers,
        what_a_guest_keeps_is_bounded_and_what_a_user_keeps_is_not,
        changes_of_a_session_are_limited_and_those_of_guests_by_address,
        a_condition_that_nobody_new_can_meet_makes_no_guest,
        a_request_that_is_wrong_makes_no_guest,
        a_request_with_the_cookie_of_a_session_just_replaced_leaves_the_browser_alone,
        a_first_write_that_a_sign_in_has_overtaken_leaves_the_browser_alone,
        a_sign_in_that_a_first_write_has_overtaken_joins_the_guest,
        a_write_that_a_sign_out_has_overtaken_is_left_to_nobody,
        a_tag_of_a_guest_is_none_of_the_account_nor_of_the_next_user,
    }
}

/// The visitor's cookie at the site.
const VISITOR: &str = "chancery-visitor-8000";

const GRANTS: [&str; 3] = ["direct_login", "refresh_token", "guest"];

/// A browser at a site that may have guests, with a visitor's cookie.
async fn visiting(app: &App) -> Browser {
    let shop = NewClientRequest { grants: GRANTS.map(str::to_owned).to_vec(), ..site_client("shop") };
    app.service.clients.create(&Admin::command(), shop).await.unwrap();
    another(app).await
}

/// Another browser there.
async fn another(app: &App) -> Browser {
    let mut browser = Browser::new(&web::routes(app.service.clone()));
    browser.get("/auth/visitor").await;
    assert!(browser.cookies.contains_key(VISITOR));
    browser
}

async fn sign_out(browser: &mut Browser) {
    let page = browser.get("/auth/logout").await;
    browser.post("/auth/logout", &[("csrf", &page.field("csrf"))]).await;
    assert!(!browser.cookies.contains_key(SESSION));
}

async fn guests(app: &App) -> u64 {
    app.empty.database.sql("UPDATE sessions SET kind = kind WHERE user_id IS NULL").await.unwrap()
}

async fn the_first_write_makes_a_guest_who_keeps_it(app: &App) {
    let mut browser = visiting(app).await;
    assert_eq!(refused(&get(&mut browser, CART).await), (401, "NO_SESSION".into()));
    assert_eq!(guests(app).await, 0, "nobody who reads is a guest");
    let stored = put(&mut browser, CART, &[("if-none-match", "*")], &json!(["book"])).await;
    assert_eq!(answer(&stored), (201, "1"));
    assert!(stored.cookie(SESSION).unwrap().contains("HttpOnly"));
    assert_eq!(get(&mut browser, CART).await.body, "[\"book\"]");
    let read = etag(&stored).to_owned();
    let again = put(&mut browser, CART, &[("if-match", read.as_str())], &json!(["book", "pen"])).await;
    assert_eq!((answer(&again), again.set_cookies().len(), guests(app).await), ((204, "2"), 0, 1));
    let said: Value = serde_json::from_str(&get(&mut browser, "/auth/session").await.body).unwrap();
    assert_eq!(said["guest"], true);
    assert!(!is_signed_in(&browser).await);
    // A guest who was away for longer than a day is another one, and the old cookie is replaced.
    app.pass(Ttl::from_days(2)).await;
    let stored = put(&mut browser, CART, &[], &json!(1)).await;
    assert_eq!((answer(&stored), stored.set_cookies().len(), guests(app).await), ((201, "1"), 1, 2));
    assert_eq!(get(&mut browser, CART).await.body, "1");
}

async fn writes_at_the_same_moment_are_of_one_guest(app: &App) {
    let browser = visiting(app).await;
    let writes = (0..8).map(|n| {
        let mut tab = browser.clone();
        async move {
            let stored = put(&mut tab, &format!("/auth/data/n{n}"), &[], &json!(n)).await;
            assert_eq!(answer(&stored), (201, "1"), "{}", stored.body);
            tab.cookies[SESSION].clone()
        }
    });
    let cookies = join_all(writes).await;
    // One that was on its way when the first answer was is of the same guest.
    let mut late = browser.clone();
    assert_eq!(answer(&put(&mut late, "/auth/data/late", &[], &json!(0)).await), (201, "1"));
    assert!(cookies.iter().all(|cookie| *cookie == late.cookies[SESSION]));
    assert_eq!(guests(app).await, 1);
    for path in ["/auth/data/n0", "/auth/data/n7", "/auth/data/late"] {
        assert_eq!(get(&mut late, path).await.status, StatusCode::OK);
    }
    // A minute later, a browser without the guest's cookie has lost it, and is somebody else.
    app.pass(Ttl::from_secs(61)).await;
    let mut later = browser.clone();
    put(&mut later, CART, &[], &json!(1)).await;
    assert_ne!(later.cookies[SESSION], late.cookies[SESSION]);
    assert_eq!(guests(app).await, 2);
}

async fn writes_at_the_same_moment_at_two_processes_are_of_one_guest(app: &App) {
    let browser = visiting(app).await;
    let second = app.second_process().await;
    second.live.confirm().await.unwrap();
    let at = |n: usize, tab: &Browser| {
        let mut there =
            Browser::new(&web::routes(if n.is_multiple_of(2) { app.service.clone() } else { second.clone() }));
        there.cookies.clone_from(&tab.cookies);
        there
    };
    let writes = (0..8).map(|n| {
        let mut tab = at(n, &browser);
        async move {
            let stored = put(&mut tab, &format!("/auth/data/n{n}"), &[], &json!(n)).await;
            assert_eq!(answer(&stored), (201, "1"), "{}", stored.body);
            tab.cookies[SESSION].clone()
        }
    });
    let cookies = join_all(writes).await;
    assert_eq!(guests(app).await, 1);
    assert!(cookies.iter().all(|cookie| *cookie == cookies[0]));
    let mut later = browser.clone();
    later.cookies.insert(SESSION.to_owned(), cookies[0].clone());
    for n in 0..8 {
        assert_eq!(get(&mut at(n, &later), &format!("/auth/data/n{n}")).await.body, n.to_string(), "nothing is lost");
    }
    // Once the guest has gone, the same browser is somebody else, at each process.
    let gone = app.service.users.guests(&Admin::command(), "shop", (None, 9)).await.unwrap().remove(0);
    app.service.users.end_session(&Admin::command(), gone.id.as_str()).await.unwrap();
    second.live.confirm().await.unwrap();
    for n in 0..2 {
        put(&mut at(n, &browser), CART, &[], &json!(n)).await;
    }
    assert_eq!(guests(app).await, 2);
}

async fn a_browser_without_cookies_gets_one_and_leaves_nothing_behind(app: &App) {
    visiting(app).await;
    let mut browser = Browser::new(&web::routes(app.service.clone()));
    browser.keeps_cookies = false;
    for _ in 0..3 {
        let refusal = put(&mut browser, CART, &[], &json!(1)).await;
        assert_eq!(refused(&refusal), (409, "VISITOR_UNKNOWN".into()));
        assert!(refusal.cookie(VISITOR).is_some() && refusal.cookie(SESSION).is_none());
    }
    assert_eq!(guests(app).await, 0);
    browser.keeps_cookies = true;
    assert_eq!(refused(&put(&mut browser, CART, &[], &json!(1)).await).0, 409);
    assert_eq!(answer(&put(&mut browser, CART, &[], &json!(1)).await), (201, "1"));
}

async fn a_client_without_the_grant_has_no_guests(app: &App) {
    app.service.clients.create(&Admin::command(), site_client("shop")).await.unwrap();
    let mut browser = another(app).await;
    assert_eq!(refused(&put(&mut browser, CART, &[], &json!(1)).await), (401, "NO_SESSION".into()));
    assert_eq!(guests(app).await, 0);
}

async fn too_many_guests_are_told_when_to_come_back_and_nothing_is_written(app: &App) {
    app.service.instance.set(&Admin::command(), "address_guests", "2").await.unwrap();
    let mut first = visiting(app).await;
    assert_eq!(answer(&put(&mut first, CART, &[], &json!(1)).await), (201, "1"));
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut browser = another(app).await;
        let answered = put(&mut browser, CART, &[], &json!(1)).await;
        others.push((answered.status.as_u16(), answered.headers.contains_key("retry-after")));
        if answered.status.as_u16() == 429 {
            assert_eq!(refused(&answered).1, "TOO_MANY_ATTEMPTS");
        }
    }
    assert_eq!(others, [(201, false), (429, true), (429, true), (429, true)]);
    assert_eq!(guests(app).await, 2);
    // Who is a guest already is none of them.
    assert_eq!(answer(&put(&mut first, CART, &[], &json!(2)).await), (204, "2"));
}

async fn a_cart_and_a_form_follow_a_guest_into_the_account_and_to_other_devices(app: &App) {
    let mut browser = visiting(app).await;
    let form = "/auth/data/checkout?owner=session";
    put(&mut browser, CART, &[], &json!(["book"])).await;
    put(&mut browser, form, &[], &json!({ "step": "address" })).await;
    let as_guest = browser.clone();
    browser.sign_in("/", "ada", PASSWORD).await;
    assert_ne!(browser.cookies[SESSION], as_guest.cookies[SESSION]);
    assert_eq!(get(&mut browser, CART).await.body, "[\"book\"]");
    let found = get(&mut browser, form).await;
    assert_eq!((answer(&found), found.body.as_str()), ((200, "1"), "{\"step\":\"address\"}"));
    let mut phone = another(app).await;
    phone.sign_in("/", "ada", PASSWORD).await;
    assert_eq!(get(&mut phone, CART).await.body, "[\"book\"]");
    // The guest's session is nobody's: who had planted it reads nothing.
    let mut planted = as_guest.clone();
    assert_eq!(refused(&get(&mut planted, CART).await), (401, "NO_SESSION".into()));
    // What is written next goes on from there.
    let version = get(&mut phone, CART).await.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(
        put(&mut phone, CART, &[("if-match", version.as_str())], &json!([])).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(get(&mut browser, CART).await.body, "[]");
}

async fn a_guest_keeps_data_with_a_token(app: &App) {
    let kiosk = NewClientRequest {
        grants: GRANTS.map(str::to_owned).to_vec(),
        ..crate::support::first_party("kiosk", &["api", ISSUER])
    };
    app.service.clients.create(&Admin::command(), kiosk).await.unwrap();
    let channel = served(app).await;
    let mut keepers = Vec::new();
    for _ in 0..2 {
        let request = StartGuestSessionRequest {
            client_id: "kiosk".into(),
            audience: ISSUER.into(),
            ..StartGuestSessionRequest::default()
        };
        let pair = AuthServiceClient::new(channel.clone()).start_guest_session(request).await.unwrap().into_inner();
        keepers.push(Keeper::new(&channel, format!("Bearer {}", pair.tokens.unwrap().access_token)));
    }
    for owner in [DataOwner::Session, DataOwner::User] {
        let [one, two] = [keepers[0].with(owner), keepers[1].with(owner)];
        assert_eq!(one.put("cart", text("book")).await.unwrap(), 1);
        assert_eq!(one.get("cart").await.unwrap().value, Some(text("book")));
        assert_eq!(two.list().await.unwrap(), [], "each guest is by itself");
    }
}

async fn a_client_that_loses_the_grant_keeps_the_guests_in_browsers(app: &App) {
    let mut browser = visiting(app).await;
    put(&mut browser, CART, &[], &json!(["book"])).await;
    let grants = Some(["direct_login", "refresh_token"].map(str::to_owned).to_vec());
    let patch = ClientPatch { grants, ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
    assert_eq!(answer(&put(&mut browser, CART, &[], &json!(["pen"])).await), (204, "2"));
    let mut new = another(app).await;
    assert_eq!(refused(&put(&mut new, CART, &[], &json!(1)).await), (401, "NO_SESSION".into()));
    browser.sign_in("/", "ada", PASSWORD).await;
    assert_eq!(get(&mut browser, CART).await.body, "[\"pen\"]");
}

async fn what_a_guest_keeps_is_bounded_and_what_a_user_keeps_is_not(app: &App) {
    let mut browser = visiting(app).await;
    // 16 KiB, as JSON.
    let large = json!("x".repeat(16 * 1024 - 2));
    for owner in ["user", "session"] {
        let at = |n: usize| format!("/auth/data/n{n}?owner={owner}");
        for n in 0..8 {
            assert_eq!(put(&mut browser, &at(n), &[], &large).await.status, StatusCode::CREATED, "{owner} {n}");
        }
        let refusal = put(&mut browser, &at(8), &[], &json!(1)).await;
        assert_eq!(refused(&refusal), (409, "FAILED_PRECONDITION".into()));
        assert!(refusal.body.contains("131072 bytes"), "{}", refusal.body);
        // What does not grow is stored, and what has become free is used.
        assert_eq!(put(&mut browser, &at(7), &[], &large).await.status, StatusCode::NO_CONTENT);
        assert_eq!(put(&mut browser, &at(7), &[], &json!(1)).await.status, StatusCode::NO_CONTENT);
        assert_eq!(put(&mut browser, &at(8), &[], &json!(1)).await.status, StatusCode::CREATED);
        assert_eq!(refused(&put(&mut browser, &at(8), &[], &large).await).0, 409);
    }
    app.service.instance.set(&Admin::command(), "guest_data_bytes", "262144").await.unwrap();
    assert_eq!(put(&mut browser, "/auth/data/n9", &[], &large).await.status, StatusCode::CREATED);
    browser.sign_in("/", "ada", PASSWORD).await;
    for n in 10..40 {
        let stored = put(&mut browser, &format!("/auth/data/n{n}"), &[], &large).await;
        assert_eq!(stored.status, StatusCode::CREATED, "{n} {}", stored.body);
    }
}

async fn changes_of_a_session_are_limited_and_those_of_guests_by_address(app: &App) {
    for (name, value) in [("session_writes", "4"), ("address_guest_writes", "6")] {
        app.service.instance.set(&Admin::command(), name, value).await.unwrap();
    }
    let mut first = visiting(app).await;
    for _ in 0..4 {
        assert!(put(&mut first, CART, &[], &json!(1)).await.status.is_success());
    }
    let refusal = put(&mut first, CART, &[], &json!(2)).await;
    assert_eq!(refused(&refusal), (429, "TOO_MANY_ATTEMPTS".into()));
    assert!(refusal.body.contains("this session"), "{}", refusal.body);
    assert!(refusal.headers.contains_key("retry-after"));
    assert_eq!(refused(&send(&mut first, "DELETE", CART, &[], "").await).0, 429);
    assert_eq!(get(&mut first, CART).await.body, "1", "whoever reads is not counted");
    let mut second = another(app).await;
    for _ in 0..2 {
        assert!(put(&mut second, CART, &[], &json!(1)).await.status.is_success());
    }
    let refusal = put(&mut second, CART, &[], &json!(2)).await;
    assert_eq!(refused(&refusal).0, 429);
    assert!(refusal.body.contains("from this address"), "{}", refusal.body);
    // Users have counts of their own alone.
    let mut user = another(app).await;
    user.sign_in("/", "ada", PASSWORD).await;
    for _ in 0..4 {
        assert!(put(&mut user, CART, &[], &json!(1)).await.status.is_success());
    }
    assert_eq!(refused(&put(&mut user, CART, &[], &json!(1)).await).0, 429);
    // Five a second.
    app.pass(Ttl::from_secs(1)).await;
    assert!(put(&mut first, CART, &[], &json!(2)).await.status.is_success());
}

async fn a_condition_that_nobody_new_can_meet_makes_no_guest(app: &App) {
    let mut browser = visiting(app).await;
    for condition in ["*", "\"1\""] {
        let refusal = put(&mut browser, CART, &[("if-match", condition)], &json!(1)).await;
        assert_eq!((refused(&refusal), etag(&refusal)), ((412, "VERSION_MISMATCH".into()), ""));
        assert!(refusal.cookie(SESSION).is_none());
    }
    assert_eq!(guests(app).await, 0);
}

async fn a_request_that_is_wrong_makes_no_guest(app: &App) {
    let mut browser = visiting(app).await;
    for path in ["/auth/data/BAD", "/auth/data/%ff", "/auth/data/cart?owner=x"] {
        assert_eq!(refused(&put(&mut browser, path, &[], &json!(1)).await), (400, "INVALID_ARGUMENT".into()), "{path}");
    }
    let json = [("content-type", "application/json")];
    assert_eq!(refused(&send(&mut browser, "PUT", CART, &json, "{").await), (400, "INVALID_ARGUMENT".into()));
    assert!(!browser.cookies.contains_key(SESSION));
    assert_eq!(guests(app).await, 0);
}

async fn a_request_with_the_cookie_of_a_session_just_replaced_leaves_the_browser_alone(app: &App) {
    let mut browser = visiting(app).await;
    put(&mut browser, CART, &[], &json!(["book"])).await;
    let before = browser.clone();
    browser.sign_in("/", "ada", PASSWORD).await;
    let (json, replaced) = ([("content-type", "application/json")], before.cookies[SESSION].clone());
    for (method, path, status) in [
        ("GET", CART, 401),
        ("PUT", CART, 409),
        ("DELETE", CART, 409),
        ("GET", "/auth/session", 401),
        ("GET", "/auth/account", 200),
        ("GET", "/auth/login", 200),
        ("POST", "/auth/token", 403),
    ] {
        let mut in_flight = before.clone();
        let answered = send(&mut in_flight, method, path, &json, if method == "PUT" { "1" } else { "" }).await;
        assert_eq!(answered.status.as_u16(), status, "{method} {path} {}", answered.body);
        assert_eq!((answered.cookie(SESSION), &in_flight.cookies[SESSION]), (None, &replaced), "{method} {path}");
        if status == 409 {
            assert_eq!(refused(&answered).1, "SESSION_REPLACED");
        }
    }
    assert_eq!(guests(app).await, 1);
    assert!(is_signed_in(&browser).await);
    // Who has the old cookie for longer has missed the new one, and begins anew.
    app.pass(Ttl::from_secs(61)).await;
    let mut late = before.clone();
    assert_eq!(refused(&get(&mut late, CART).await), (401, "NO_SESSION".into()));
    assert!(!late.cookies.contains_key(SESSION));
    let mut late = before.clone();
    assert_eq!(answer(&put(&mut late, CART, &[], &json!(1)).await), (201, "1"));
    assert_ne!(late.cookies[SESSION], replaced);
}

async fn a_first_write_that_a_sign_in_has_overtaken_leaves_the_browser_alone(app: &App) {
    let mut browser = visiting(app).await;
    let before = browser.clone();
    browser.sign_in("/", "ada", PASSWORD).await;
    let second = app.second_process().await;
    second.live.confirm().await.unwrap();
    for service in [&app.service, &second] {
        let mut in_flight = Browser::new(&web::routes(service.clone()));
        in_flight.cookies.clone_from(&before.cookies);
        let refusal = put(&mut in_flight, CART, &[], &json!(["book"])).await;
        assert_eq!((refused(&refusal), refusal.cookie(SESSION)), ((409, "SESSION_REPLACED".into()), None));
    }
    assert_eq!(guests(app).await, 0);
    assert!(is_signed_in(&browser).await);
    // Whoever has signed out is a guest again at once.
    sign_out(&mut browser).await;
    assert_eq!(answer(&put(&mut browser, CART, &[], &json!(1)).await), (201, "1"));
    // A browser that has only the visitor's cookie for longer has lost the other one.
    let mut browser = another(app).await;
    let mut lost = browser.clone();
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_secs(61)).await;
    assert_eq!(answer(&put(&mut lost, CART, &[], &json!(1)).await), (201, "1"));
}

async fn a_sign_in_that_a_first_write_has_overtaken_joins_the_guest(app: &App) {
    let second = app.second_process().await;
    let first = visiting(app).await;
    second.live.confirm().await.unwrap();
    for (n, service) in [&app.service, &second].into_iter().enumerate() {
        let mut browser = if n == 0 { first.clone() } else { another(app).await };
        let mut tab = Browser::new(&web::routes(service.clone()));
        tab.cookies.clone_from(&browser.cookies);
        let path = format!("/auth/data/n{n}");
        assert_eq!(answer(&put(&mut tab, &path, &[], &json!(n)).await), (201, "1"));
        // The form is sent with the visitor's cookie alone.
        browser.sign_in("/", "ada", PASSWORD).await;
        assert_eq!(get(&mut browser, &path).await.body, n.to_string(), "it is the user's now");
        let ended = get(&mut tab, &path).await;
        assert_eq!((refused(&ended), ended.cookie(SESSION)), ((401, "NO_SESSION".into()), None));
    }
    let live = app.service.users.guests(&Admin::command(), "shop", (None, 9)).await.unwrap();
    assert!(live.is_empty(), "no guest is left behind");
}

async fn a_write_that_a_sign_out_has_overtaken_is_left_to_nobody(app: &App) {
    let mut browser = visiting(app).await;
    browser.sign_in("/", "ada", PASSWORD).await;
    let mut in_flight = browser.clone();
    sign_out(&mut browser).await;
    let refusal = put(&mut in_flight, CART, &[], &json!("private")).await;
    assert_eq!((refused(&refusal), guests(app).await), ((401, "NO_SESSION".into()), 0));
    assert!(!in_flight.cookies.contains_key(SESSION), "the cookie is taken away");
    assert_eq!(answer(&put(&mut in_flight, CART, &[], &json!(1)).await), (201, "1"), "and then it is a guest's");
}

async fn a_tag_of_a_guest_is_none_of_the_account_nor_of_the_next_user(app: &App) {
    let mut phone = visiting(app).await;
    phone.sign_in("/", "ada", PASSWORD).await;
    put(&mut phone, CART, &[], &json!("ada's")).await;
    let mut browser = another(app).await;
    let of_guest = etag(&put(&mut browser, CART, &[], &json!("guest's")).await).to_owned();
    browser.sign_in("/", "ada", PASSWORD).await;
    app.user("grace").await;
    let mut grace = another(app).await;
    grace.sign_in("/", "grace", PASSWORD).await;
    put(&mut grace, CART, &[], &json!("grace's")).await;
    let of_ada = etag(&get(&mut phone, CART).await).to_owned();
    for (mut reader, stale) in [(browser, &of_guest), (grace.clone(), &of_guest), (grace, &of_ada)] {
        let found = get(&mut reader, CART).await;
        assert_eq!(found.status, StatusCode::OK);
        let same = send(&mut reader, "GET", CART, &[("if-none-match", stale)], "").await;
        assert_eq!((same.status, &same.body), (StatusCode::OK, &found.body), "another value is sent");
        let refusal = put(&mut reader, CART, &[("if-match", stale)], &json!("stale")).await;
        assert_eq!((refused(&refusal).0, etag(&refusal)), (412, etag(&found)));
        assert_eq!(refused(&send(&mut reader, "DELETE", CART, &[("if-match", stale)], "").await).0, 412);
    }
}
