//! `GET PUT DELETE /auth/data/{namespace}`: what a page's scripts keep.

use axum::http::StatusCode;
use chancery::{service::Admin, web};
use serde_json::{Value, json};

use crate::{
    browser::{Browser, ORIGIN, Page, SESSION, browser_routes},
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_script_stores_reads_and_deletes_a_value,
        every_condition_of_http_is_kept,
        a_tag_that_a_proxy_has_changed_or_put_into_a_list_still_matches,
        of_parallel_writers_with_one_etag_one_wins,
        values_are_of_the_user_or_of_the_session,
        s05_only_scripts_of_the_same_origin_reach_data,
        a_value_that_is_none_is_refused_with_what_is_wrong,
        without_a_session_the_answer_is_401_and_a_dead_cookie_is_taken_away,
        data_move_with_the_session_that_replaces_another,
    }
}

pub(super) const CART: &str = "/auth/data/cart";

async fn signed_in(app: &App) -> Browser {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    assert!(browser.cookies.contains_key(SESSION));
    browser
}

pub(super) async fn send(
    browser: &mut Browser,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Page {
    let usual = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("origin", ORIGIN)];
    let headers: Vec<_> = usual.iter().chain(headers).copied().collect();
    browser.send(method, path, &headers, body.to_owned()).await
}

pub(super) async fn get(browser: &mut Browser, path: &str) -> Page {
    send(browser, "GET", path, &[], "").await
}

pub(super) async fn put(browser: &mut Browser, path: &str, condition: &[(&str, &str)], value: &Value) -> Page {
    let headers: Vec<_> = condition.iter().chain(&[("content-type", "application/json")]).copied().collect();
    send(browser, "PUT", path, &headers, &value.to_string()).await
}

async fn delete(browser: &mut Browser, path: &str, condition: &[(&str, &str)]) -> Page {
    send(browser, "DELETE", path, condition, "").await
}

pub(super) fn etag(page: &Page) -> &str {
    page.headers.get("etag").map_or("", |etag| etag.to_str().unwrap())
}

/// Status and version of an answer.
pub(super) fn answer(page: &Page) -> (u16, &str) {
    (page.status.as_u16(), version(page))
}

/// The version in a tag, whose owner comes first.
fn version(page: &Page) -> &str {
    etag(page).rsplit_once('-').map_or("", |(_, version)| version.trim_end_matches('"'))
}

/// The tag of another version of what was answered with.
fn tag(page: &Page, version: &str) -> String {
    let (of, _) = etag(page).rsplit_once('-').unwrap();
    format!("{of}-{version}\"")
}

/// Status and reason of a refusal.
pub(super) fn refused(page: &Page) -> (u16, String) {
    assert_eq!(page.headers["content-type"], "application/problem+json", "{} {}", page.status, page.body);
    assert_eq!(page.headers["cache-control"], "no-store");
    let body: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(body["status"], page.status.as_u16());
    (page.status.as_u16(), body["reason"].as_str().unwrap().to_owned())
}

fn detail(page: &Page) -> String {
    let body: Value = serde_json::from_str(&page.body).unwrap();
    body["detail"].as_str().unwrap().to_owned()
}

async fn a_script_stores_reads_and_deletes_a_value(app: &App) {
    let mut browser = signed_in(app).await;
    assert_eq!(refused(&get(&mut browser, CART).await), (404, "NOT_FOUND".into()));
    let cart = json!({ "items": [{ "id": "book", "count": 2 }], "note": "ä" });
    let stored = put(&mut browser, CART, &[], &cart).await;
    assert_eq!((answer(&stored), stored.body.as_str()), ((201, "1"), ""));
    let found = get(&mut browser, CART).await;
    assert_eq!(answer(&found), (200, "1"));
    assert_eq!(serde_json::from_str::<Value>(&found.body).unwrap(), cart);
    assert_eq!(found.headers["content-type"], "application/json");
    assert_eq!(found.headers["cache-control"], "no-store");
    assert!(!found.headers.contains_key("access-control-allow-origin") && found.set_cookies().is_empty());
    // A program is told the same.
    let in_json = send(&mut browser, "GET", CART, &[("accept", "application/json")], "").await;
    assert_eq!((in_json.status, &in_json.body), (StatusCode::OK, &found.body));
    let head = send(&mut browser, "HEAD", CART, &[], "").await;
    assert_eq!((answer(&head), head.body.as_str()), ((200, "1"), ""));
    assert_eq!(answer(&put(&mut browser, CART, &[], &json!(null)).await), (204, "2"));
    assert_eq!(get(&mut browser, CART).await.body, "null");
    let deleted = delete(&mut browser, CART, &[]).await;
    assert_eq!((answer(&deleted), deleted.body.as_str()), ((204, ""), ""));
    assert_eq!(answer(&delete(&mut browser, CART, &[]).await), (204, ""));
    assert_eq!(refused(&get(&mut browser, CART).await), (404, "NOT_FOUND".into()));
    let post = send(&mut browser, "POST", CART, &[("content-type", "application/json")], "1").await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
}

async fn every_condition_of_http_is_kept(app: &App) {
    let mut browser = signed_in(app).await;
    let mismatch = (412, "VERSION_MISMATCH".to_owned());
    for condition in [("if-match", "*"), ("if-match", "\"1\"")] {
        let refusal = put(&mut browser, CART, &[condition], &json!(1)).await;
        assert_eq!((refused(&refusal), etag(&refusal)), (mismatch.clone(), ""));
        assert_eq!(refused(&delete(&mut browser, CART, &[condition]).await), mismatch);
    }
    let first = put(&mut browser, CART, &[("if-none-match", "*")], &json!(1)).await;
    assert_eq!(answer(&first), (201, "1"));
    let [one, three] = ["1", "3"].map(|version| tag(&first, version));
    let again = put(&mut browser, CART, &[("if-none-match", "*")], &json!(2)).await;
    assert_eq!((refused(&again), etag(&again)), (mismatch.clone(), &*one));
    assert_eq!(answer(&put(&mut browser, CART, &[("if-match", &one)], &json!(3)).await), (204, "2"));
    assert_eq!(answer(&put(&mut browser, CART, &[("if-match", "*")], &json!(4)).await), (204, "3"));
    for stale in [&*one, "\"3\"", "\"x\"", &format!("{one}, \"3\"")] {
        let refusal = put(&mut browser, CART, &[("if-match", stale)], &json!(5)).await;
        assert_eq!((refused(&refusal), etag(&refusal)), (mismatch.clone(), &*three), "{stale}");
        assert_eq!(refused(&delete(&mut browser, CART, &[("if-match", stale)]).await), mismatch);
    }
    assert_eq!(get(&mut browser, CART).await.body, "4");
    // A script that has the value is not sent it again.
    for known in [&*three, &format!("{one}, W/{three}")] {
        let same = send(&mut browser, "GET", CART, &[("if-none-match", known)], "").await;
        assert_eq!((answer(&same), same.body.as_str()), ((304, "3"), ""));
    }
    assert_eq!(answer(&send(&mut browser, "GET", CART, &[("if-none-match", &one)], "").await), (200, "3"));
    for (method, condition) in [
        ("PUT", &[("if-match", "3")][..]),
        ("PUT", &[("if-none-match", &three)]),
        ("PUT", &[("if-match", &three), ("if-none-match", "*")]),
        ("DELETE", &[("if-none-match", "*")]),
    ] {
        let headers: Vec<_> = condition.iter().chain(&[("content-type", "application/json")]).copied().collect();
        let refusal = send(&mut browser, method, CART, &headers, "6").await;
        assert_eq!(refused(&refusal), (400, "INVALID_ARGUMENT".into()), "{condition:?}");
    }
    assert_eq!(answer(&delete(&mut browser, CART, &[("if-match", &three)]).await), (204, ""));
    // An ETag from before is none of what is stored later.
    assert_eq!(answer(&put(&mut browser, CART, &[], &json!(7)).await), (201, "4"));
}

async fn a_tag_that_a_proxy_has_changed_or_put_into_a_list_still_matches(app: &App) {
    let mut browser = signed_in(app).await;
    let mut read = etag(&put(&mut browser, CART, &[], &json!(0)).await).to_owned();
    let changes: [fn(&str) -> String; 4] = [
        |tag| format!("W/{tag}"),
        |tag| format!("W/{}-gzip\"", tag.trim_end_matches('"')),
        |tag| format!("{};gzip\"", tag.trim_end_matches('"')),
        |tag| format!("\"x\", {tag}"),
    ];
    for change in changes {
        let stored = put(&mut browser, CART, &[("if-match", &change(&read))], &json!(1)).await;
        assert_eq!(stored.status, StatusCode::NO_CONTENT, "{}", change(&read));
        etag(&stored).clone_into(&mut read);
    }
}

async fn of_parallel_writers_with_one_etag_one_wins(app: &App) {
    let browser = signed_in(app).await;
    let other = web::routes(app.second_process().await);
    let mut condition = ("if-none-match", "*".to_owned());
    for won in ["1", "2"] {
        let writers = (0..10).map(|n| {
            let mut tab = if n % 2 == 0 { browser.clone() } else { browser.through(&other) };
            let (name, value) = &condition;
            async move { put(&mut tab, CART, &[(*name, value.as_str())], &json!(n)).await }
        });
        let answers = futures_util::future::join_all(writers).await;
        let winners: Vec<_> = answers.iter().filter(|page| page.status.is_success()).collect();
        assert_eq!(winners.iter().map(|page| version(page)).collect::<Vec<_>>(), [won]);
        let mut losers = answers.iter().filter(|page| !page.status.is_success());
        assert!(losers.all(|page| refused(page).0 == 412 && etag(page) == etag(winners[0])));
        condition = ("if-match", etag(winners[0]).to_owned());
    }
}

async fn values_are_of_the_user_or_of_the_session(app: &App) {
    let mut laptop = signed_in(app).await;
    let mut phone = Browser::new(&web::routes(app.service.clone()));
    phone.sign_in("/", "ada", PASSWORD).await;
    put(&mut laptop, CART, &[], &json!("of the user")).await;
    put(&mut laptop, "/auth/data/cart?owner=session", &[], &json!("of the session")).await;
    for path in [CART, "/auth/data/cart?owner=user"] {
        assert_eq!(get(&mut phone, path).await.body, "\"of the user\"");
    }
    assert_eq!(get(&mut phone, "/auth/data/cart?owner=session").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&mut laptop, "/auth/data/cart?owner=session").await.body, "\"of the session\"");
    for owner in ["?owner=SESSION", "?owner=ses_01J00000000000000000000000", "?owner=user&owner=session"] {
        assert_eq!(refused(&get(&mut phone, &format!("{CART}{owner}")).await), (400, "INVALID_ARGUMENT".into()));
    }
    app.user("grace").await;
    let mut grace = Browser::new(&web::routes(app.service.clone()));
    grace.sign_in("/", "grace", PASSWORD).await;
    assert_eq!(get(&mut grace, CART).await.status, StatusCode::NOT_FOUND);
}

async fn s05_only_scripts_of_the_same_origin_reach_data(app: &App) {
    let mut browser = signed_in(app).await;
    put(&mut browser, CART, &[], &json!(1)).await;
    let evil = "https://evil.example";
    let from = [
        &[("sec-fetch-site", "cross-site"), ("origin", evil)][..],
        &[("sec-fetch-site", "same-site"), ("origin", "http://evil.localhost:8000")],
        &[("sec-fetch-site", "none")],
        &[("origin", evil)],
        &[],
    ];
    for (method, from) in [("GET", &from[..2]), ("PUT", &from), ("DELETE", &from)] {
        for headers in from {
            let headers: Vec<_> = headers.iter().chain(&[("content-type", "application/json")]).copied().collect();
            let page = browser.send(method, CART, &headers, "2".to_owned()).await;
            assert_eq!(refused(&page), (403, "CROSS_SITE_REQUEST".into()), "{method} {headers:?}");
        }
    }
    let found = get(&mut browser, CART).await;
    assert_eq!((found.body.as_str(), version(&found)), ("1", "1"));
    // A browser asks before it sends such a request for another site, and is not answered.
    let preflight = [("origin", evil), ("access-control-request-method", "PUT")];
    let preflight = browser.send("OPTIONS", CART, &preflight, String::new()).await;
    assert!(!preflight.status.is_success() && !preflight.headers.contains_key("access-control-allow-origin"));
}

async fn a_value_that_is_none_is_refused_with_what_is_wrong(app: &App) {
    let mut browser = signed_in(app).await;
    let large = format!("\"{}\"", "x".repeat(16 * 1024 - 2));
    let json = [("content-type", "application/json")];
    assert_eq!(send(&mut browser, "PUT", CART, &json, &large).await.status, StatusCode::CREATED);
    // What is stored counts, not how it was written.
    let written = format!("{}{}", " ".repeat(16 * 1024), large);
    let utf8 = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(send(&mut browser, "PUT", CART, &utf8, &written).await.status, StatusCode::NO_CONTENT);
    let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
    let too_large = (413, "REQUEST_TOO_LARGE");
    let wrong = (400, "INVALID_ARGUMENT");
    for (body, want, says) in [
        (format!("[{large}]"), too_large, "16384 bytes"),
        (" ".repeat(64 * 1024 + 1), too_large, "16384 bytes"),
        // Written out, each number is longer.
        (format!("[{}1]", "15e8,".repeat(2500)), too_large, "16384 bytes"),
        (String::new(), wrong, "no JSON"),
        ("{\"a\":}".into(), wrong, "no JSON"),
        ("[1] 2".into(), wrong, "no JSON"),
        (deep, wrong, "16 levels"),
        ("[\"a\\u0000\"]".into(), wrong, "NUL"),
        ("9007199254740992".into(), wrong, "2^53-1"),
    ] {
        let page = send(&mut browser, "PUT", CART, &json, &body).await;
        let (status, reason) = refused(&page);
        assert_eq!((status, reason.as_str()), want, "{body:.20} {}", page.body);
        assert!(detail(&page).contains(says), "{}", page.body);
    }
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        assert_eq!(refused(&send(&mut browser, "PUT", CART, headers, "1").await), (415, "INVALID_ARGUMENT".into()));
    }
    for name in ["Cart", "a%20b", "%ff", ".a", &"a".repeat(65)] {
        let page = put(&mut browser, &format!("/auth/data/{name}"), &[], &json!(1)).await;
        assert_eq!(refused(&page), (400, "INVALID_ARGUMENT".into()), "{name}");
        assert!(detail(&page).starts_with("namespace: "), "{}", page.body);
    }
    for n in 0..63 {
        assert_eq!(put(&mut browser, &format!("/auth/data/n{n}"), &[], &json!(n)).await.status, StatusCode::CREATED);
    }
    let page = put(&mut browser, "/auth/data/one-more", &[], &json!(1)).await;
    assert_eq!(refused(&page), (409, "FAILED_PRECONDITION".into()));
    assert!(detail(&page).contains("64 values"), "{}", page.body);
}

async fn without_a_session_the_answer_is_401_and_a_dead_cookie_is_taken_away(app: &App) {
    let mut browser = signed_in(app).await;
    put(&mut browser, CART, &[], &json!(1)).await;
    let mut nobody = Browser::new(&web::routes(app.service.clone()));
    let no_session = (401, "NO_SESSION".to_owned());
    assert_eq!(refused(&get(&mut nobody, CART).await), no_session);
    assert_eq!(refused(&put(&mut nobody, CART, &[], &json!(1)).await), no_session);
    assert_eq!(refused(&delete(&mut nobody, CART, &[]).await), no_session);
    app.service.users.end_sessions(&Admin::command(), "ada", &[]).await.unwrap();
    let mut ended = browser.clone();
    assert_eq!(refused(&get(&mut ended, CART).await), no_session);
    assert!(!ended.cookies.contains_key(SESSION));
    assert_eq!(refused(&put(&mut browser, CART, &[], &json!(1)).await), no_session);
}

async fn data_move_with_the_session_that_replaces_another(app: &App) {
    let mut browser = signed_in(app).await;
    let form = "/auth/data/form?owner=session";
    let first = put(&mut browser, form, &[], &json!({ "step": 1 })).await;
    put(&mut browser, form, &[("if-match", etag(&first))], &json!({ "step": 2 })).await;
    let (before, mut old) = (browser.cookies[SESSION].clone(), browser.clone());
    let account = browser.get("/auth/account").await;
    let csrf = account.field("csrf");
    let fields = [
        ("csrf", csrf.as_str()),
        ("action", "change_password"),
        ("current_password", PASSWORD),
        ("new_password", "another horse battery staple"),
    ];
    let changed = browser.post("/auth/account", &fields).await;
    assert_ne!(browser.cookies[SESSION], before, "{} {}", changed.status, changed.body);
    let found = get(&mut browser, form).await;
    assert_eq!((answer(&found), found.body.as_str()), ((200, "2"), "{\"step\":2}"));
    // A request that was on its way meanwhile does not sign the browser out.
    for path in [form, "/auth/session"] {
        assert_eq!(refused(&get(&mut old, path).await), (401, "NO_SESSION".into()));
    }
    assert_eq!(refused(&put(&mut old, form, &[], &json!(1)).await), (409, "SESSION_REPLACED".into()));
    assert_eq!(old.cookies[SESSION], before);
}
