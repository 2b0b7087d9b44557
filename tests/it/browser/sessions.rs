//! What a browser that is signed in can do: go on, change its user, sign out.

use axum::http::StatusCode;
use chancery::{service::Admin, time::Ttl};

use super::{
    Browser, browser_routes,
    client::{DEVICES, SESSION, VISITOR},
    is_signed_in,
};
use crate::support::{App, PASSWORD, login_of, refresh, sign_in, token};

on_each_engine! {
    #[tokio::test]
    App => {
        another_user_while_signed_in_is_asked_to_continue_or_sign_out_first,
        signing_out_asks_and_ends_the_session_and_nothing_else,
        a36_a_link_or_image_or_other_site_signs_nobody_out,
        signing_out_without_a_session_says_signed_out_too,
        a_password_set_elsewhere_ends_the_session,
        a_session_ends_when_it_is_idle_and_at_its_absolute_end,
        a_visitor_is_recognised_before_and_after_a_sign_in,
        pages_that_do_not_exist_and_methods_that_are_not_allowed_are_pages,
        every_page_has_the_headers_of_a_page,
    }
}

async fn another_user_while_signed_in_is_asked_to_continue_or_sign_out_first(app: &App) {
    app.user("grace").await;
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    browser.sign_in("/", "ada", PASSWORD).await;
    let session = browser.cookies[SESSION].clone();
    let asked = browser.sign_in_on(&path, &page, "grace", PASSWORD).await;
    assert_eq!((asked.status, asked.is_login()), (StatusCode::OK, false), "{}", asked.body);
    assert!(asked.body.contains("id=\"continue\"") && asked.body.contains("id=\"logout-confirm\""), "{}", asked.body);
    assert!(asked.body.contains("ada") && !asked.body.contains("grace"), "{}", asked.body);
    assert_eq!(browser.cookies[SESSION], session, "never two accounts");
    let out = [("csrf", asked.field("csrf")), ("return_to", asked.field("return_to"))];
    let out: Vec<_> = out.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let signed_out = browser.post("/auth/logout", &out).await;
    assert!(signed_out.body.contains("Signed out") && signed_out.body.contains("/basket"), "{}", signed_out.body);
    let again = browser.get(&path).await;
    assert_eq!(browser.sign_in_on(&path, &again, "grace", PASSWORD).await.path(), "/basket");
}

/// nextcloud/server#9010: a sign-out that takes foreign cookies along.
async fn signing_out_asks_and_ends_the_session_and_nothing_else(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let tokens = sign_in(&app.service, login_of("shop", "ada", PASSWORD)).await.unwrap();
    browser.sign_in("/", "ada", PASSWORD).await;
    browser.cookies.insert("application".to_owned(), "basket".to_owned());
    let asked = browser.get("/auth/logout?return_to=/bye").await;
    assert!(asked.body.contains("id=\"logout-confirm\"") && is_signed_in(&browser).await);
    let copy = browser.clone();
    let fields = [("csrf", asked.field("csrf")), ("return_to", asked.field("return_to"))];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let out = browser.post("/auth/logout", &fields).await;
    assert_eq!(out.status, StatusCode::OK);
    assert!(out.body.contains("Signed out") && out.body.contains("href=\"/bye\""), "{}", out.body);
    assert_eq!(out.set_cookies().len(), 1, "{:?}", out.set_cookies());
    assert_eq!(out.cookie(SESSION).unwrap(), format!("{SESSION}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    assert!(!out.headers.contains_key("clear-site-data"));
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["application", DEVICES, VISITOR]);
    assert!(!is_signed_in(&copy).await, "the session has ended, whoever kept its cookie");
    refresh(&app.service, "shop", &token(&tokens), "", &[], "").await.expect("other sessions live on");
}

async fn a36_a_link_or_image_or_other_site_signs_nobody_out(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    browser.get("/auth/logout").await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let other = browser.send("POST", "/auth/logout", &[("sec-fetch-site", "cross-site"), form], String::new()).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    for csrf in ["", "x"] {
        let asked = browser.post("/auth/logout", &[("csrf", csrf)]).await;
        assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(asked.body.contains("id=\"logout-confirm\""), "{}", asked.body);
    }
    // The token is of this session, this form and this place to go on to.
    let asked = browser.get("/auth/logout?return_to=/bye").await;
    let csrf = asked.field("csrf");
    let elsewhere = browser.post("/auth/logout", &[("csrf", &csrf), ("return_to", "/other")]).await;
    assert_eq!(elsewhere.status, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, page) = {
        let mut fresh = browser.clone();
        fresh.cookies.remove(SESSION);
        fresh.open_login("/").await
    };
    assert_eq!(
        browser.post("/auth/logout", &[("csrf", &page.field("csrf"))]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert!(is_signed_in(&browser).await);
}

async fn signing_out_without_a_session_says_signed_out_too(app: &App) {
    let routes = browser_routes(app).await;
    let mut nobody = Browser::new(&routes);
    for page in [nobody.get("/auth/logout?return_to=/bye").await, nobody.post("/auth/logout", &[]).await] {
        assert!(page.status == StatusCode::OK && page.body.contains("Signed out"), "{}", page.body);
        assert!(page.cookie(SESSION).is_none());
    }
    let mut browser = Browser::new(&routes);
    browser.sign_in("/", "ada", PASSWORD).await;
    let asked = browser.get("/auth/logout").await;
    let mut late = browser.clone();
    for browser in [&mut browser, &mut late] {
        let out = browser.post("/auth/logout", &[("csrf", &asked.field("csrf"))]).await;
        assert!(out.body.contains("Signed out") && out.cookie(SESSION).unwrap().contains("Max-Age=0"), "{}", out.body);
    }
}

async fn a_password_set_elsewhere_ends_the_session(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    let new = chancery::secret::Password::new("a wholly new pass phrase".into());
    app.service.users.set_password(&Admin::command(), "ada", new).await.unwrap();
    assert!(!is_signed_in(&browser).await);
    let page = browser.get("/auth/logout").await;
    assert!(page.body.contains("Signed out") && page.cookie(SESSION).unwrap().contains("Max-Age=0"));
}

async fn a_session_ends_when_it_is_idle_and_at_its_absolute_end(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_days(6)).await;
    assert!(is_signed_in(&browser).await);
    app.pass(Ttl::from_days(8)).await;
    assert!(!is_signed_in(&browser).await, "idle");
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_days(31)).await;
    assert!(!is_signed_in(&browser).await, "at the absolute end");
}

async fn a_visitor_is_recognised_before_and_after_a_sign_in(app: &App) {
    let routes = browser_routes(app).await;
    let mut browser = Browser::new(&routes);
    let id = |page: super::Page| serde_json::from_str::<serde_json::Value>(&page.body).unwrap()["visitor_id"].clone();
    let first = id(browser.get("/auth/visitor").await);
    assert!(first.as_str().unwrap().starts_with("vis_"));
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_days(300)).await;
    assert_eq!(id(browser.get("/auth/visitor").await), first);
    assert_ne!(id(Browser::new(&routes).get("/auth/visitor").await), first);
    for from in ["cross-site", "same-site"] {
        let page = Browser::new(&routes).send("GET", "/auth/visitor", &[("sec-fetch-site", from)], String::new()).await;
        assert_eq!(
            (page.status, page.set_cookies().len()),
            (StatusCode::FORBIDDEN, page.set_cookies().len()),
            "{from}"
        );
        assert!(!page.body.contains("vis_"), "{from}");
    }
    // A link from another site leads on by a page, which keeps its cookies.
    let mut arriving = Browser::new(&routes);
    let headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    let page = arriving.send("GET", "/auth/visitor?return_to=/basket", &headers, String::new()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.cookie(VISITOR).is_some() && page.body.contains("href=\"/basket\""), "{}", page.body);
    assert_eq!(page.headers["refresh"], "0;url=http://localhost:8000/basket");
    let page = arriving.get("/auth/visitor?return_to=//evil.example").await;
    assert_eq!(page.headers["refresh"], "0;url=http://localhost:8000/");
}

async fn pages_that_do_not_exist_and_methods_that_are_not_allowed_are_pages(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    for (method, path, status) in [
        ("GET", "/auth/nothing", StatusCode::NOT_FOUND),
        ("GET", "/auth/step/nothing", StatusCode::NOT_FOUND),
        ("GET", "/auth/assets/nothing.css", StatusCode::NOT_FOUND),
        ("DELETE", "/auth/login", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/auth/visitor", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let page = browser.send(method, path, &[("sec-fetch-site", "same-origin")], String::new()).await;
        assert_eq!(page.status, status, "{method} {path}");
        let id = page.headers["x-request-id"].to_str().unwrap();
        assert!(page.body.contains("<h1") && page.body.contains(id), "{method} {path}: {}", page.body);
    }
    assert_eq!(browser.get("/auth").await.path(), "/auth/account");
    let worker = browser.send("GET", "/auth/assets/x.js", &[("service-worker", "script")], String::new()).await;
    assert_eq!(worker.status, StatusCode::FORBIDDEN);
    let misdirected =
        Browser::at(&chancery::web::routes(app.service.clone()), "http://evil.example").get("/auth/login").await;
    assert_eq!(misdirected.status, StatusCode::MISDIRECTED_REQUEST);
    assert!(misdirected.body.contains("http://evil.example") && !misdirected.body.contains("localhost:8000"));
}

async fn every_page_has_the_headers_of_a_page(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, login) = browser.open_login("/").await;
    let wrong = browser.sign_in_on(&path, &login, "ada", "wrong password").await;
    let pages = [login, wrong, browser.get("/auth/nothing").await, browser.get("/auth/logout").await];
    for page in pages {
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{policy}");
        assert_eq!(page.headers["cache-control"], "no-store");
        assert_eq!(page.headers["referrer-policy"], "same-origin");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        assert_eq!(page.headers["cross-origin-opener-policy"], "same-origin");
        assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(!page.headers.contains_key("strict-transport-security"), "not on http");
    }
}
