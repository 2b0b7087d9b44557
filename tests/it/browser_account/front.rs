//! The issuer's front page, and what is closed.

use axum::http::StatusCode;
use chancery::{
    domain::network::{ForwardedHeaders, Proxies},
    service::{Admin, NewClientRequest},
    web,
};

use super::fixture::SiteFixture;
use crate::{
    browser::Browser,
    support::{ISSUER, first_party},
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        whoever_opens_the_printed_address_sees_something,
        where_registration_is_closed_there_is_no_page_for_it,
    }
}

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn whoever_opens_the_printed_address_sees_something(fixture: &SiteFixture) {
    let account = NewClientRequest { site: format!("{ISSUER}/auth"), ..first_party("account", &[ISSUER]) };
    fixture.service().clients.create(&Admin::command(), account).await.unwrap();
    let mut browser = fixture.browser();
    let loopback = Proxies { trusted: vec!["127.0.0.0/8".parse().unwrap()], headers: ForwardedHeaders::XForwarded };
    let trusted = web::BrowserOptions { proxies: loopback, ..web::BrowserOptions::default() };
    let routes = web::routes_with(fixture.service().clone(), trusted);
    let mut issuer = Browser::new(&routes);
    let host = ISSUER.strip_prefix("https://").unwrap();
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", host), ("accept", HTML)];
    let page = issuer.send("GET", "/", &forwarded, String::new()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("id=\"sign-in\"") && page.headers.contains_key("content-security-policy"));
    // Other programs get a text, and a host that nobody has declared is told so.
    let plain = browser.send("GET", "/", &[("accept", "*/*")], String::new()).await;
    assert!(plain.status.is_success() && plain.body.contains(ISSUER) && !plain.body.contains('<'), "{}", plain.body);
    let other = issuer.send("GET", "/", &[("x-forwarded-host", "evil.example"), ("accept", HTML)], String::new()).await;
    assert_eq!(other.status, StatusCode::MISDIRECTED_REQUEST);
    // The front page of another site is its application's.
    let shop = browser.send("GET", "/", &[("accept", HTML)], String::new()).await;
    assert_eq!(shop.status, StatusCode::NOT_FOUND);
    assert_eq!(issuer.send("GET", "/dev", &forwarded, String::new()).await.status, StatusCode::NOT_FOUND);
}

async fn where_registration_is_closed_there_is_no_page_for_it(fixture: &SiteFixture) {
    let closed = NewClientRequest { site: "http://localhost:9000/auth".into(), ..first_party("closed", &["api"]) };
    fixture.service().clients.create(&Admin::command(), closed).await.unwrap();
    let mut browser = Browser::at(&fixture.routes, "http://localhost:9000");
    assert_eq!(browser.get("/auth/register").await.status, StatusCode::NOT_FOUND);
    let page = browser.get("/auth/forgot").await;
    assert!(!page.body.contains("/auth/register"), "{}", page.body);
}
