//! Accounts that are asked for, and the codes and links that open them.

use axum::http::StatusCode;
use chancery::service::Admin;

use super::fixture::{NEW, SiteFixture, follow, hidden, submit};
use crate::{
    browser::{Browser, Page, SESSION, is_signed_in},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        a_code_opens_the_account_and_signs_in_where_the_visitor_was_going,
        a_link_completes_in_the_browser_that_asked_and_opening_it_changes_nothing,
        elsewhere_the_reader_of_a_link_chooses_a_password_and_the_strangers_is_void,
        p10_taken_and_free_addresses_get_the_same_pages,
        a_code_that_is_submitted_many_times_at_once_opens_one_session,
        wrong_fields_are_named_and_secrets_are_not_kept,
        a_form_without_its_token_is_shown_again_and_without_cookies_help_is_shown,
        a37_links_name_the_declared_site_whatever_a_request_says,
        a_name_that_was_taken_meanwhile_is_left_out_and_the_page_says_so,
    }
}

/// Asks for an account; the page that asks for the code.
pub(super) async fn ask(browser: &mut Browser, return_to: &str, email: &str, username: &str) -> (String, Page) {
    let path = format!("/auth/register?return_to={return_to}");
    let page = browser.get(&path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let fields = [("email", email), ("username", username), ("password", PASSWORD)];
    let answer = submit(browser, &path, &page, &fields).await;
    let path = answer.path();
    let page = follow(browser, &answer).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    (path, page)
}

async fn a_code_opens_the_account_and_signs_in_where_the_visitor_was_going(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let (path, page) = ask(&mut browser, "/basket%3Fx%3D1", "grace@example.org", "grace").await;
    assert!(page.body.contains("grace@example.org"));
    // A reload shows the same.
    assert!(browser.get(&path).await.body.contains("id=\"code\""));
    let (code, _) = fixture.code_and_link().await;
    let wrong = submit(&mut browser, "/auth/verify", &page, &[("code", "00000000")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("id=\"code-wrong\""), "{}", wrong.body);
    // Another browser cannot use what stands in the URL.
    let mut other = fixture.browser();
    assert_eq!(other.get(&path).await.status, StatusCode::BAD_REQUEST);
    let done = submit(&mut browser, "/auth/verify", &wrong, &[("code", &code)]).await;
    assert_eq!((done.status, done.path().as_str()), (StatusCode::SEE_OTHER, "/basket?x=1"));
    assert!(done.cookie(SESSION).unwrap().contains("HttpOnly"));
    assert!(is_signed_in(&browser).await);
    assert_eq!(fixture.browser().sign_in("/", "grace", PASSWORD).await.status, StatusCode::SEE_OTHER);
    // Submitted again, it gives the same cookie.
    let again = submit(&mut browser, "/auth/verify", &wrong, &[("code", &code)]).await;
    assert_eq!(again.cookie(SESSION).map(value), done.cookie(SESSION).map(value));
}

pub(super) fn value(cookie: &str) -> &str {
    cookie.split(';').next().unwrap()
}

async fn a_link_completes_in_the_browser_that_asked_and_opening_it_changes_nothing(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    ask(&mut browser, "/basket", "grace@example.org", "grace").await;
    let (_, link) = fixture.code_and_link().await;
    assert!(link.starts_with("/auth/verify?kind=register&token="), "{link}");
    // A program that looks for viruses.
    for method in ["GET", "HEAD", "GET"] {
        let seen = fixture.browser().send(method, &link, &[], String::new()).await;
        assert_eq!(seen.status, StatusCode::OK);
    }
    let page = browser.get(&link).await;
    assert!(page.find_field("new_password").is_none(), "{}", page.body);
    assert!(page.body.contains("grace@example.org"));
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    let done = submit(&mut browser, "/auth/verify", &page, &[]).await;
    assert_eq!(done.path(), "/basket");
    assert!(is_signed_in(&browser).await);
    let mut later = fixture.browser();
    let void = later.get(&link).await;
    assert_eq!(void.status, StatusCode::BAD_REQUEST);
    assert!(void.body.contains("token"), "it names the parameter: {}", void.body);
}

// keycloak#48206
async fn elsewhere_the_reader_of_a_link_chooses_a_password_and_the_strangers_is_void(fixture: &SiteFixture) {
    let (mut stranger, mut owner) = (fixture.browser(), fixture.browser());
    let (_, waiting) = ask(&mut stranger, "/", "grace@example.org", "mallory").await;
    let (code, link) = fixture.code_and_link().await;
    let page = owner.get(&link).await;
    assert!(page.find_field("new_password").is_some(), "{}", page.body);
    let without = submit(&mut owner, "/auth/verify", &page, &[]).await;
    assert_eq!(without.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(without.body.contains("id=\"new_password-wrong\""), "{}", without.body);
    let short = submit(&mut owner, "/auth/verify", &without, &[("new_password", "short")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let done = submit(&mut owner, "/auth/verify", &short, &[("new_password", NEW), ("username", "")]).await;
    // A link alone opens no session.
    assert!(done.path().starts_with("/auth/login?r="), "{}", done.path());
    assert!(done.cookie(SESSION).is_none());
    let late = submit(&mut stranger, "/auth/verify", &waiting, &[("code", &code)]).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!is_signed_in(&stranger).await);
    for (login, password, status) in [
        ("grace@example.org", PASSWORD, StatusCode::UNPROCESSABLE_ENTITY),
        ("mallory", PASSWORD, StatusCode::UNPROCESSABLE_ENTITY),
        ("grace@example.org", NEW, StatusCode::SEE_OTHER),
    ] {
        assert_eq!(fixture.browser().sign_in("/", login, password).await.status, status, "{login}");
    }
    let view = fixture.service().users.get(&Admin::command(), "grace@example.org").await.unwrap();
    assert_eq!(view.logins, ["grace@example.org"]);
}

async fn p10_taken_and_free_addresses_get_the_same_pages(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut pages = Vec::new();
    for email in ["grace@example.org", "other@example.org"] {
        let mut browser = fixture.browser();
        let (_, page) = ask(&mut browser, "/", email, "").await;
        let wrong = submit(&mut browser, "/auth/verify", &page, &[("code", "12345678")]).await;
        let comparable = |page: &Page| {
            // The choice of a language has a token of the browser's own.
            let shown = page.body.split("<footer").next().unwrap();
            let mut text = shown.replace(email, "ADDRESS");
            for (_, value) in hidden(page) {
                text = text.replace(&value, "");
            }
            (page.status, without_flow(&text))
        };
        pages.push([comparable(&page), comparable(&wrong)]);
    }
    assert_eq!(pages[0], pages[1]);
    let kinds: Vec<_> = fixture.send_mails().await.into_iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds.len(), 2);
    assert_ne!(kinds[0], kinds[1], "the owner is told, and nobody else");
}

/// A page without the sealed texts in its URLs and without its request's id.
fn without_flow(text: &str) -> String {
    let mut out = String::new();
    for (n, piece) in text.split("r=").enumerate() {
        let rest = if n == 0 {
            piece
        } else {
            piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        out.push_str(rest);
    }
    out
}

async fn a_code_that_is_submitted_many_times_at_once_opens_one_session(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let (_, page) = ask(&mut browser, "/basket", "grace@example.org", "grace").await;
    let (code, _) = fixture.code_and_link().await;
    let all = futures_util::future::join_all((0..50).map(|_| {
        let (mut browser, page, code) = (browser.clone(), &page, code.as_str());
        async move { submit(&mut browser, "/auth/verify", page, &[("code", code)]).await }
    }));
    let all = all.await;
    let cookies: Vec<_> = all.iter().map(|answer| answer.cookie(SESSION).map(value)).collect();
    assert!(cookies[0].is_some() && cookies.iter().all(|cookie| *cookie == cookies[0]), "{cookies:?}");
    assert!(all.iter().all(|answer| answer.path() == "/basket"));
}

async fn wrong_fields_are_named_and_secrets_are_not_kept(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let page = browser.get("/auth/register").await;
    let fields = [("email", "nonsense"), ("username", "a@b"), ("password", "tiny password")];
    let wrong = submit(&mut browser, "/auth/register", &page, &fields).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for field in ["email", "username", "password"] {
        assert!(wrong.body.contains(&format!("id=\"{field}-wrong\"")), "{field}: {}", wrong.body);
    }
    assert_eq!((wrong.field("email").as_str(), wrong.field("password").as_str()), ("nonsense", ""));
    assert!(!wrong.body.contains("tiny password"));
    assert!(fixture.send_mails().await.is_empty());
    // Strangers cannot fill a mailbox.
    let limited = loop {
        let page = browser.get("/auth/register").await;
        let fields = [("email", "grace@example.org"), ("password", PASSWORD)];
        let answer = submit(&mut browser, "/auth/register", &page, &fields).await;
        if answer.status != StatusCode::SEE_OTHER {
            break answer;
        }
    };
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS, "{}", limited.body);
    assert!(limited.headers.contains_key("retry-after"));
    assert_eq!(limited.field("email"), "grace@example.org");
}

async fn a_form_without_its_token_is_shown_again_and_without_cookies_help_is_shown(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let page = browser.get("/auth/register").await;
    let other = fixture.browser().get("/auth/register").await;
    let typed = [("email", "grace@example.org"), ("password", PASSWORD)];
    let again = submit(&mut browser, "/auth/register", &other, &typed).await;
    assert_eq!((again.status, again.field("email").as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "grace@example.org"));
    assert_eq!(submit(&mut browser, "/auth/register", &again, &typed).await.status, StatusCode::SEE_OTHER);
    let mut blocked = fixture.browser();
    blocked.keeps_cookies = false;
    let once = submit(&mut blocked, "/auth/register", &page, &typed).await;
    assert!(once.find_field("email").is_some(), "{}", once.body);
    let twice = submit(&mut blocked, "/auth/register", &once, &typed).await;
    assert!(twice.find_field("email").is_none(), "{}", twice.body);
    // Another site cannot send the form.
    for site in ["cross-site", "same-site"] {
        let headers = [("sec-fetch-site", site), ("content-type", "application/x-www-form-urlencoded")];
        let body = "email=grace%40example.org".to_owned();
        let answer = browser.send("POST", "/auth/register", &headers, body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{site}");
    }
}

async fn a37_links_name_the_declared_site_whatever_a_request_says(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let path = "/auth/register";
    let page = browser.get(path).await;
    let mut fields = hidden(&page);
    fields.extend([("email", "grace@example.org".to_owned()), ("password", PASSWORD.to_owned())]);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let headers = [
        ("sec-fetch-site", "same-origin"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let answer = browser.send("POST", path, &headers, crate::browser::encode(&fields)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert!(!answer.path().contains("evil"));
    // It fails unless the link is at the declared origin.
    fixture.code_and_link().await;
}

async fn a_name_that_was_taken_meanwhile_is_left_out_and_the_page_says_so(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let (_, page) = ask(&mut browser, "/basket", "grace@example.org", "linus").await;
    let (code, _) = fixture.code_and_link().await;
    fixture.user("linus").await;
    for _ in 0..2 {
        let done = submit(&mut browser, "/auth/verify", &page, &[("code", &code)]).await;
        assert!(done.path().contains("&done=without_name"), "{}", done.path());
        let said = follow(&mut browser, &done).await;
        assert!(said.body.contains("Somebody else has taken the user name"), "{}", said.body);
        assert!(said.body.replace("&#x2f;", "/").contains("id=\"continue\" href=\"/basket\""), "{}", said.body);
    }
    assert!(is_signed_in(&browser).await);
    let view = fixture.service().users.get(&Admin::command(), "grace@example.org").await.unwrap();
    assert_eq!(view.logins, ["grace@example.org"]);
}
