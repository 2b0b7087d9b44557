//! The states of a sign-in: each row and column of the table in docs/architecture.md, "A sign-in in a browser", but for the
//! steps, which are in `steps`.

use axum::http::StatusCode;
use chancery::time::Ttl;

use super::{
    Browser, browser_routes,
    client::{ORIGIN, SESSION, VISITOR, borrowed},
    is_signed_in,
};
use crate::support::{App, PASSWORD};

on_each_engine! {
    #[tokio::test]
    App => {
        ask_reload_shows_the_same_page,
        ask_back_shows_the_same_page_and_it_still_works,
        ask_second_tab_is_independent_and_finds_the_session_for_its_own_path,
        ask_too_late_offers_to_start_again_and_the_home_of_the_client,
        done_reload_is_the_destination_and_shows_no_form,
        done_back_and_second_tab_go_onward_without_a_form,
        two_tabs_and_a_time_out_and_each_ends_at_its_own_path,
        sign_in_in_one_tab_then_submit_the_other_and_nobody_sees_an_error,
        of_two_parallel_submissions_either_cookie_may_be_lost,
        a_session_counts_at_its_own_site_alone,
        an_r_of_another_site_or_client_does_not_count,
        an_old_or_foreign_r_leads_a_user_who_is_signed_in_onward_and_nowhere_else,
    }
}

async fn ask_reload_shows_the_same_page(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, first) = browser.open_login("/basket").await;
    let again = browser.get(&path).await;
    assert_eq!((again.status, again.is_login()), (StatusCode::OK, true));
    assert_eq!(again.field("csrf"), first.field("csrf"), "a token is derived, so that both work");
    let done = browser.sign_in_on(&path, &first, "ada", PASSWORD).await;
    assert_eq!((done.status, done.path().as_str()), (StatusCode::SEE_OTHER, "/basket"));
}

async fn ask_back_shows_the_same_page_and_it_still_works(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let wrong = browser.sign_in_on(&path, &page, "ada", "wrong password, alas").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.field("username"), "ada");
    assert!(!wrong.body.contains("wrong password, alas"));
    // Back, as the browser remembers the page.
    let done = browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    assert_eq!(done.path(), "/basket");
}

async fn ask_second_tab_is_independent_and_finds_the_session_for_its_own_path(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (first, page) = browser.open_login("/first").await;
    let (second, _) = browser.open_login("/second").await;
    assert_eq!(browser.sign_in_on(&first, &page, "ada", PASSWORD).await.path(), "/first");
    let found = browser.get(&second).await;
    assert_eq!((found.status, found.path().as_str()), (StatusCode::SEE_OTHER, "/second"));
}

async fn ask_too_late_offers_to_start_again_and_the_home_of_the_client(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    app.pass(Ttl::from_days(1)).await;
    for late in [browser.get(&path).await, browser.sign_in_on(&path, &page, "ada", PASSWORD).await] {
        assert_eq!((late.status, late.is_login()), (StatusCode::BAD_REQUEST, false), "{}", late.body);
        assert!(late.body.contains("href=\"/\""), "the way home: {}", late.body);
    }
    assert!(!browser.cookies.contains_key(SESSION));
}

async fn done_reload_is_the_destination_and_shows_no_form(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let fields = page.sign_in_fields("ada", PASSWORD);
    let done = browser.post(&path, &borrowed(&fields)).await;
    // The browser reloads the destination, which is the application's. If it sends the form again, that leads there too.
    let again = browser.post(&path, &borrowed(&fields)).await;
    assert_eq!((again.status, again.path()), (StatusCode::SEE_OTHER, done.path()));
}

async fn done_back_and_second_tab_go_onward_without_a_form(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    let back = browser.get(&path).await;
    assert_eq!((back.status, back.path().as_str()), (StatusCode::SEE_OTHER, "/basket"));
    let second_tab = browser.get("/auth/login?return_to=/other").await;
    assert_eq!((second_tab.status, second_tab.path().as_str()), (StatusCode::SEE_OTHER, "/other"));
    assert!(back.set_cookies().is_empty() && second_tab.set_cookies().is_empty());
}

/// keycloak#36150 and kratos#1251: an expired page in one tab took the other's path along, or lost it.
async fn two_tabs_and_a_time_out_and_each_ends_at_its_own_path(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (first, first_page) = browser.open_login("/first").await;
    app.pass(Ttl::from_secs(23 * 3600)).await;
    let (second, second_page) = browser.open_login("/second").await;
    assert_eq!(browser.sign_in_on(&second, &second_page, "ada", PASSWORD).await.path(), "/second");
    assert_eq!(browser.sign_in_on(&first, &first_page, "ada", PASSWORD).await.path(), "/first");
    app.pass(Ttl::from_secs(2 * 3600)).await;
    // Now the first is too old, though the session lives.
    assert_eq!(browser.get(&first).await.path(), "/first");
    assert_eq!(browser.get(&second).await.path(), "/second");
}

/// oauth2-proxy#3258.
async fn sign_in_in_one_tab_then_submit_the_other_and_nobody_sees_an_error(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (first, first_page) = browser.open_login("/first").await;
    let (second, second_page) = browser.open_login("/second").await;
    browser.sign_in_on(&second, &second_page, "ada", PASSWORD).await;
    let session = browser.cookies[SESSION].clone();
    // Even a mistyped password: whoever is signed in need not be asked.
    let done = browser.sign_in_on(&first, &first_page, "ada", "mistyped password").await;
    assert_eq!((done.status, done.path().as_str()), (StatusCode::SEE_OTHER, "/first"));
    assert_eq!(browser.cookies[SESSION], session);
}

/// zitadel#12656: a cookie that is lost in mid-navigation must leave a session or a clean page.
async fn of_two_parallel_submissions_either_cookie_may_be_lost(app: &App) {
    let routes = browser_routes(app).await;
    let mut browser = Browser::new(&routes);
    let (first, first_page) = browser.open_login("/first").await;
    let (second, second_page) = browser.open_login("/second").await;
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (a, b) = tokio::join!(
        one.sign_in_on(&first, &first_page, "ada", PASSWORD),
        two.sign_in_on(&second, &second_page, "ada", PASSWORD),
    );
    assert_eq!((a.path().as_str(), b.path().as_str()), ("/first", "/second"));
    assert!(is_signed_in(&one).await && is_signed_in(&two).await);
    // Both are lost: a clean sign-in.
    let page = browser.get(&first).await;
    assert!(page.is_login());
    assert_eq!(browser.sign_in_on(&first, &page, "ada", PASSWORD).await.path(), "/first");
}

async fn a_session_counts_at_its_own_site_alone(app: &App) {
    let routes = browser_routes(app).await;
    let mut other = super::site_client("other");
    "http://localhost:9000/auth".clone_into(&mut other.site);
    app.service.clients.create(&chancery::service::Admin::command(), other).await.unwrap();
    let mut browser = Browser::new(&routes);
    browser.sign_in("/basket", "ada", PASSWORD).await;
    let (session, visitor) = (browser.cookies[SESSION].clone(), browser.cookies[VISITOR].clone());
    let mut elsewhere = Browser::at(&routes, "http://localhost:9000");
    elsewhere.cookies.insert("chancery-session-9000".to_owned(), session);
    elsewhere.cookies.insert("chancery-visitor-9000".to_owned(), visitor);
    let page = elsewhere.get("/auth/login?return_to=/x").await;
    let path = page.location().strip_prefix("http://localhost:9000").unwrap().to_owned();
    let page = elsewhere.get(&path).await;
    assert!(page.is_login());
    assert!(page.cookie("chancery-session-9000").unwrap().contains("Max-Age=0"), "overwritten");
}

async fn an_r_of_another_site_or_client_does_not_count(app: &App) {
    let routes = browser_routes(app).await;
    let mut other = super::site_client("other");
    "http://localhost:9000/auth".clone_into(&mut other.site);
    app.service.clients.create(&chancery::service::Admin::command(), other).await.unwrap();
    let (path, _) = Browser::new(&routes).open_login("/basket").await;
    let page = Browser::at(&routes, "http://localhost:9000").get(&path).await;
    assert_eq!((page.status, page.is_login()), (StatusCode::BAD_REQUEST, false));
    for bad in ["x", "", "AAAA", &path["/auth/login?r=".len()..path.len() - 2]] {
        let page = Browser::new(&routes).get(&format!("/auth/login?r={bad}")).await;
        assert!(!page.is_login(), "{bad}");
        assert!(page.status == StatusCode::BAD_REQUEST || page.path().starts_with("/auth/login?r="), "{bad}");
    }
    assert!(path.starts_with("/auth/login?r=") && ORIGIN.ends_with(":8000"));
}

/// kratos#1251: an expired flow loses its path. Only what this server has sealed names one.
async fn an_old_or_foreign_r_leads_a_user_who_is_signed_in_onward_and_nowhere_else(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (old, page) = browser.open_login("/old").await;
    app.pass(Ttl::from_days(2)).await;
    browser.sign_in("/", "ada", PASSWORD).await;
    let garbled = format!("{}AA", &old[..old.len() - 2]);
    for (r, home) in [(old.as_str(), "/old"), (garbled.as_str(), "/"), ("/auth/login?r=//evil.example", "/")] {
        assert_eq!(browser.get(r).await.path(), home, "{r}");
        assert_eq!(browser.sign_in_on(r, &page, "ada", PASSWORD).await.path(), home, "{r}");
    }
    assert_eq!(browser.get(&format!("{old}&r=x")).await.status, StatusCode::BAD_REQUEST);
}
