//! Visitors without a session cost nothing: no row, and no statement.

use axum::http::StatusCode;
use chancery::service::{ClientCredentials, RequestContext};

use super::{Browser, browser_routes};
use crate::support::{App, PASSWORD, login_of};

on_each_engine! {
    #[tokio::test]
    App => {
        pages_before_a_sign_in_cost_no_statement_and_a_sign_in_costs_one_more_than_login,
    }
}

/// The number of rows in every table that a sign-in could write to.
async fn rows(app: &App) -> Vec<i64> {
    let mut all = Vec::new();
    for table in [
        "sessions",
        "tickets",
        "spent_forms",
        "session_data",
        "login_failures",
        "mails",
        "audit_events",
        "feed_entries",
    ] {
        all.push(app.empty.database.count(table).await);
    }
    all
}

/// On one engine: that no statement is sent is checked on both.
#[tokio::test]
async fn a_hundred_thousand_pages_without_cookies_leave_the_database_as_it_was() {
    let app = &App::sqlite().await;
    let routes = browser_routes(app).await;
    let mut browser = Browser::new(&routes);
    browser.keeps_cookies = false;
    let (path, _) = browser.open_login("/basket").await;
    let (rows_before, statements) = (rows(app).await, app.service.store().statements());
    // A debug build renders slowly: the pages themselves are a part of the hundred thousand.
    for n in 0..100_000_u32 {
        let page = match n % 100 {
            0 => browser.get(&path).await,
            1 => browser.get("/auth/logout").await,
            2 => browser.get("/auth/visitor").await,
            _ => browser.get("/auth/login?return_to=/basket").await,
        };
        assert!(page.status == StatusCode::SEE_OTHER || page.status == StatusCode::OK);
    }
    assert_eq!(app.service.store().statements() - statements, 0);
    assert_eq!(rows(app).await, rows_before);
}

async fn pages_before_a_sign_in_cost_no_statement_and_a_sign_in_costs_one_more_than_login(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    // A process leases indexes of the status lists in blocks.
    browser.sign_in("/", "ada", PASSWORD).await;
    browser.cookies.clear();
    let before = app.service.store().statements();
    let (path, page) = browser.open_login("/basket").await;
    let form = app.service.store().statements();
    assert_eq!(form - before, 0);
    assert_eq!(browser.sign_in_on(&path, &page, "ada", PASSWORD).await.path(), "/basket");
    let page = app.service.store().statements();
    // Login, from the same address.
    let ctx = RequestContext { peer: browser.peer.ip().to_string(), ..app.service.context() };
    let login = login_of("shop", "ada", PASSWORD);
    app.service.sign_ins.sign_in(&ctx, &ClientCredentials::None, login).await.unwrap();
    let login = app.service.store().statements() - page;
    // The form that is spent.
    assert_eq!(page - form, login + 1);
}
