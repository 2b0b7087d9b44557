//! Which answer a request gets: HTML or JSON, a step or a problem.

use axum::http::{StatusCode, header};
use chancery::service::{Admin, NewClientRequest};
use serde_json::json;

use super::client::{Step, get};
use crate::{
    browser::{Browser, ORIGIN, browser_routes, site_client},
    support::App,
};

on_each_engine! {
    #[tokio::test]
    App => {
        browsers_get_html_and_programs_json,
        errors_are_problem_documents,
        a_request_for_no_site_is_a_problem_too,
        what_leads_on_is_said_and_not_done,
        every_answer_of_one_request_has_one_id,
    }
}

async fn browser(app: &App) -> Browser {
    Browser::new(&browser_routes(app).await)
}

async fn browsers_get_html_and_programs_json(app: &App) {
    let mut browser = browser(app).await;
    let path = browser.get("/auth/login").await.path();
    for (accept, in_json) in [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ("*/*", false),
        ("text/html, application/json", false),
        ("application/json;q=0.1, text/html;q=0.2", false),
        ("application/json", true),
        ("application/json, text/plain, */*", true),
        ("text/html;q=0.2, application/json;q=0.3", true),
    ] {
        let answer = browser.send("GET", &path, &[("accept", accept)], String::new()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers[header::VARY], "accept, accept-language, cookie");
        assert_eq!(answer.headers[header::CONTENT_TYPE] == "application/json", in_json, "{accept}");
        assert_eq!(answer.is_login(), !in_json, "{accept}");
    }
    // Redirects differ by what was asked for, too.
    let redirect = browser.get("/auth/login").await;
    assert_eq!(redirect.headers[header::VARY], "accept, accept-language, cookie");
    // The front pages are for people.
    let front = browser.send("GET", "/", &[("accept", "application/json")], String::new()).await;
    assert!(!front.body.contains("\"step\""), "{}", front.body);
}

async fn errors_are_problem_documents(app: &App) {
    let mut browser = browser(app).await;
    for (method, path, status, reason, parameter) in [
        ("GET", "/auth/nothing", 404, "NOT_FOUND", None),
        ("GET", "/auth/step/nonsense", 404, "NOT_FOUND", None),
        ("GET", "/auth/register", 404, "NOT_FOUND", None),
        ("DELETE", "/auth/login", 405, "METHOD_NOT_ALLOWED", None),
        ("GET", "/auth/login?r=a&r=b", 400, "INVALID_ARGUMENT", Some("r")),
        ("GET", "/auth/logout?return_to=/a&return_to=/b", 400, "INVALID_ARGUMENT", Some("return_to")),
        ("GET", "/auth/reset?token=nonsense", 400, "CODE_INVALID", Some("token")),
        ("GET", "/auth/visitor?return_to=/a&return_to=/b", 400, "INVALID_ARGUMENT", Some("return_to")),
    ] {
        let headers = [("origin", ORIGIN), ("accept", "application/json")];
        let answer = Step::of(browser.send(method, path, &headers, String::new()).await);
        assert_eq!((answer.status().as_u16(), answer.name()), (status, reason), "{path}");
        assert_eq!(answer.json["status"], status, "{path}");
        assert_eq!(answer.json["parameter"].as_str(), parameter, "{path}");
        assert_eq!(answer.json["request_id"].as_str().unwrap(), answer.page.headers["x-request-id"], "{path}");
        assert_eq!(answer.page.headers["cross-origin-resource-policy"], "same-origin");
    }
    let started = get(&mut browser, "/auth/login?r=nonsense").await;
    assert_eq!(
        (started.status(), started.name(), started.link("continue")),
        (StatusCode::BAD_REQUEST, "start_again", "/")
    );
    // A language that there is no text in is English; the code is the same.
    let headers = [("accept", "application/json"), ("accept-language", "tlh")];
    let answer = Step::of(browser.send("GET", "/auth/nothing", &headers, String::new()).await);
    assert_eq!(answer.json["title"], "There is no such page");
}

async fn a_request_for_no_site_is_a_problem_too(app: &App) {
    let routes = browser_routes(app).await;
    let mut lost = Browser::at(&routes, "http://elsewhere.example");
    let answer = lost.send("GET", "/auth/login", &[("accept", "application/json")], String::new()).await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["reason"], "MISDIRECTED_REQUEST");
    assert!(problem["detail"].as_str().unwrap().contains("http://elsewhere.example"), "{problem}");
    assert!(!answer.body.contains("localhost:8000"), "what is declared stays in the log: {problem}");
}

async fn what_leads_on_is_said_and_not_done(app: &App) {
    let client = NewClientRequest { registration: true, ..site_client("shop") };
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let mut browser = Browser::new(&chancery::web::routes(app.service.clone()));
    let on = get(&mut browser, "/auth/visitor?return_to=/basket").await;
    assert_eq!((on.name(), on.done(), on.link("continue")), ("go_on", "/basket", "/basket"));
    assert!(on.page.headers.get(header::REFRESH).is_none(), "{:?}", on.page.headers);
    // The prefix itself, and an account without a session: the sign-in, and then the account at once.
    for path in ["/auth", "/auth/", "/auth/account"] {
        let login = get(&mut browser.clone(), path).await;
        assert_eq!((login.status(), login.name()), (StatusCode::OK, "login"), "{path}");
    }
    let login = get(&mut browser, "/auth/account").await;
    let typed = json!({ "username": "ada", "password": crate::support::PASSWORD });
    let account = super::client::submit(&mut browser, &login, typed).await;
    assert_eq!((account.name(), &account.json["name"]), ("account", &json!("ada")));
    assert!(account.page.cookie(crate::browser::SESSION).is_some(), "{:?}", account.page.headers);
    // HEAD says the same, and changes nothing.
    let head = browser.send("HEAD", "/auth/account", &[("accept", "application/json")], String::new()).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.headers[header::CONTENT_TYPE], "application/json");
}

async fn every_answer_of_one_request_has_one_id(app: &App) {
    let mut browser = browser(app).await;
    let step = get(&mut browser, "/auth/account").await;
    assert_eq!(step.page.headers.get_all("x-request-id").iter().count(), 1);
    // The visitor's cookie comes once, from the page at the end.
    let cookies = step.page.set_cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
}
