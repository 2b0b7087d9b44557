//! The sign-in form: who may send it, what becomes of it when it is sent again, and what is said when it fails.

use axum::http::StatusCode;
use chancery::{store::SessionFilter, time::Ttl};

use super::{
    Browser, browser_routes,
    client::{DEVICES, ORIGIN, SESSION, VISITOR, borrowed, encode},
    is_signed_in,
};
use crate::support::{App, PASSWORD};

on_each_engine! {
    #[tokio::test]
    App => {
        the_same_form_again_within_a_minute_gets_the_same_cookie,
        a_spent_form_with_something_else_is_a_fresh_form_that_says_to_try_again,
        the_same_form_again_after_a_sign_out_is_the_form_and_not_the_ended_session,
        two_hundred_submissions_of_one_form_open_one_session,
        at_two_processes_one_form_opens_one_session,
        two_hundred_wrong_submissions_of_one_form_count_once,
        a_browser_is_known_from_its_second_sign_in_on,
        a38_what_somebody_has_planted_is_never_signed_in,
        a_shared_computer_forgets_the_session_when_the_browser_is_closed,
        wrong_and_unknown_and_limited_sign_ins_say_so,
        a_database_that_cannot_be_reached_is_said_and_nothing_is_lost,
    }
    #[tokio::test]
    App => {
        s05_a_failed_token_is_the_form_again_with_what_was_typed,
        s05_without_cookies_the_second_time_is_a_page_with_help,
        a39_other_sites_and_other_bodies_are_refused,
        s02_a_cookie_that_is_forged_doubled_or_of_another_kind_is_no_session,
        return_paths_lead_nowhere_else,
        the_cookies_have_the_attributes_of_their_table,
    }
}

async fn live_sessions(app: &App) -> usize {
    let user = app.service.users.get(&chancery::service::Admin::command(), "ada").await.unwrap().user;
    let mut tx = app.service.store().read().await.unwrap();
    tx.sessions_of_user(&user.id, SessionFilter::Live(app.service.now())).await.unwrap().len()
}

async fn the_same_form_again_within_a_minute_gets_the_same_cookie(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    // The first answer is lost on the way.
    let mut unlucky = browser.clone();
    let first = browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    app.pass(Ttl::from_secs(59)).await;
    let again = unlucky.sign_in_on(&path, &page, "ada", PASSWORD).await;
    assert_eq!((again.status, again.path().as_str()), (StatusCode::SEE_OTHER, "/basket"));
    let value = |page: &super::Page| page.cookie(SESSION).unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(value(&again), value(&first));
    assert_eq!(again.cookie(DEVICES), first.cookie(DEVICES));
    assert!(is_signed_in(&unlucky).await);
    assert_eq!(live_sessions(app).await, 1);
}

async fn a_spent_form_with_something_else_is_a_fresh_form_that_says_to_try_again(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let mut other = browser.clone();
    browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    let wrong = other.sign_in_on(&path, &page, "ada", "another password").await;
    assert_eq!((wrong.status, wrong.is_login()), (StatusCode::UNPROCESSABLE_ENTITY, true));
    app.user("grace").await;
    let fresh = other.sign_in_on(&path, &page, "grace", PASSWORD).await;
    assert_eq!((fresh.status, fresh.is_login()), (StatusCode::UNPROCESSABLE_ENTITY, true));
    assert_eq!((fresh.cookie(SESSION), fresh.field("username").as_str()), (None, "grace"));
    assert!(fresh.body.contains("role=\"alert\"") && fresh.body.contains("try again"), "{}", fresh.body);
    // It is never given out by GET, to another visitor, or for long.
    assert_eq!(other.get(&path).await.cookie(SESSION), None);
    let mut thief = Browser::new(&browser_routes_again(app));
    thief.open_login("/x").await;
    let mut fields = page.sign_in_fields("ada", PASSWORD);
    fields[0].1 = thief.get(&path).await.field("csrf");
    let stolen = thief.post(&path, &borrowed(&fields)).await;
    assert_eq!((stolen.is_login(), stolen.cookie(SESSION)), (true, None));
    app.pass(Ttl::from_secs(61)).await;
    let late = other.sign_in_on(&path, &page, "ada", PASSWORD).await;
    assert_eq!((late.is_login(), late.cookie(SESSION)), (true, None));
    assert_eq!(live_sessions(app).await, 1);
    // The fresh form works.
    assert_eq!(other.sign_in_on(&path, &late, "ada", PASSWORD).await.path(), "/basket");
}

async fn the_same_form_again_after_a_sign_out_is_the_form_and_not_the_ended_session(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    let asked = browser.get("/auth/logout").await;
    browser.post("/auth/logout", &[("csrf", &asked.field("csrf"))]).await;
    let again = browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    assert_eq!((again.status, again.is_login()), (StatusCode::UNPROCESSABLE_ENTITY, true));
    assert!(again.cookie(SESSION).is_none() && again.body.contains("role=\"alert\""), "{}", again.body);
    assert_eq!(browser.sign_in_on(&path, &again, "ada", PASSWORD).await.path(), "/basket");
    assert!(is_signed_in(&browser).await);
}

fn browser_routes_again(app: &App) -> axum::Router {
    chancery::web::routes(app.service.clone())
}

async fn two_hundred_submissions_of_one_form_open_one_session(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let sends = (0..200).map(|_| {
        let (mut browser, page, path) = (browser.clone(), &page, &path);
        async move { browser.sign_in_on(path, page, "ada", PASSWORD).await }
    });
    let answers = futures_util::future::join_all(sends).await;
    let cookies: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.path(), "/basket");
            answer.cookie(SESSION).unwrap().split(';').next().unwrap().to_owned()
        })
        .collect();
    assert_eq!((cookies.len(), live_sessions(app).await), (1, 1));
}

async fn at_two_processes_one_form_opens_one_session(app: &App) {
    let (here, second) = (browser_routes(app).await, app.second_process().await);
    let there = chancery::web::routes(second.clone());
    let mut browser = Browser::new(&here);
    for round in 1..=3 {
        let (path, page) = browser.open_login("/basket").await;
        let (mut one, mut two) = (browser.clone(), browser.through(&there));
        let (a, b) =
            tokio::join!(one.sign_in_on(&path, &page, "ada", PASSWORD), two.sign_in_on(&path, &page, "ada", PASSWORD),);
        assert_eq!((a.path().as_str(), b.path().as_str()), ("/basket", "/basket"));
        assert_eq!(one.cookies[SESSION], two.cookies[SESSION]);
        assert_eq!(live_sessions(app).await, round);
    }
    second.store().close().await;
}

async fn two_hundred_wrong_submissions_of_one_form_count_once(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let sends = (0..200).map(|_| {
        let (mut browser, page, path) = (browser.clone(), &page, &path);
        async move { browser.sign_in_on(path, page, "ada", "mistyped").await }
    });
    for answer in futures_util::future::join_all(sends).await {
        assert_eq!((answer.status, answer.is_login()), (StatusCode::UNPROCESSABLE_ENTITY, true), "{}", answer.body);
    }
    assert_eq!(browser.sign_in_on(&path, &page, "ada", PASSWORD).await.path(), "/basket");
}

async fn a_browser_is_known_from_its_second_sign_in_on(app: &App) {
    app.user("grace").await;
    let mut browser = Browser::new(&browser_routes(app).await);
    for name in ["ada", "grace", "ada"] {
        assert_eq!(browser.sign_in("/", name, PASSWORD).await.path(), "/");
        browser.cookies.remove(SESSION);
    }
    let tokens: Vec<_> = browser.cookies[DEVICES].split('.').collect();
    assert_eq!(tokens.len(), 2, "one for each account");
    // Strangers use up the attempts at the account; the known browser has its own.
    let mut stranger = Browser::new(&browser_routes_again(app));
    let mut last = StatusCode::OK;
    for n in 0..40 {
        last = stranger.sign_in("/", "ada", &format!("wrong password {n}")).await.status;
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(browser.sign_in("/mine", "ada", PASSWORD).await.path(), "/mine");
}

/// Session fixation: an attacker plants cookies, waits until the victim has signed in, and uses them.
async fn a38_what_somebody_has_planted_is_never_signed_in(app: &App) {
    let routes = browser_routes(app).await;
    let mut attacker = Browser::new(&routes);
    attacker.sign_in("/", "ada", PASSWORD).await;
    let planted = attacker.cookies.clone();
    // The attacker's session is over; its cookie is planted together with the visitor's.
    let mut out = attacker.clone();
    let page = out.get("/auth/logout").await;
    out.post("/auth/logout", &[("csrf", &page.field("csrf"))]).await;
    app.user("victim").await;
    let mut victim = Browser::new(&routes);
    victim.cookies = planted.clone();
    let done = victim.sign_in("/basket", "victim", PASSWORD).await;
    assert_eq!(done.path(), "/basket");
    assert_ne!(victim.cookies[SESSION], planted[SESSION], "a sign-in makes a new session");
    assert!(is_signed_in(&victim).await);
    assert!(!is_signed_in(&attacker).await);
    // The visitor's id alone is worth nothing.
    let mut visitor = Browser::new(&routes);
    visitor.cookies.insert(VISITOR.to_owned(), victim.cookies[VISITOR].clone());
    assert!(!is_signed_in(&visitor).await);
}

async fn a_shared_computer_forgets_the_session_when_the_browser_is_closed(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/").await;
    let mut fields = page.sign_in_fields("ada", PASSWORD);
    fields.push(("shared_computer", "1".to_owned()));
    let mut again = browser.clone();
    for browser in [&mut browser, &mut again] {
        let done = browser.post(&path, &borrowed(&fields)).await;
        let cookie = done.cookie(SESSION).unwrap();
        assert!(!cookie.contains("Max-Age") && !cookie.contains("Expires"), "{cookie}");
    }
}

async fn wrong_and_unknown_and_limited_sign_ins_say_so(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let wrong = browser.sign_in_on(&path, &page, "ada", "wrong password").await;
    let unknown = browser.sign_in_on(&path, &page, "nobody", "wrong password").await;
    for answer in [&wrong, &unknown] {
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.body.contains("role=\"alert\""), "{}", answer.body);
    }
    let said = |page: &super::Page| {
        page.body.split("role=\"alert\"").nth(1).unwrap().split("</div>").next().unwrap().to_owned()
    };
    assert_eq!(said(&wrong), said(&unknown), "p10: nothing tells who has an account");
    let empty = browser.sign_in_on(&path, &page, "", "").await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(empty.body.contains("username-wrong") && empty.body.contains("password-wrong"), "{}", empty.body);
    let mut limited = None;
    for n in 0..40 {
        let answer = browser.sign_in("/basket", "ada", &format!("wrong password {n}")).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("attempts are limited");
    assert!(limited.is_login() && limited.field("username") == "ada");
    let seconds: i64 = limited.headers["retry-after"].to_str().unwrap().parse().unwrap();
    app.pass(Ttl::from_secs(seconds)).await;
    assert_eq!(browser.sign_in("/basket", "ada", PASSWORD).await.path(), "/basket");
}

async fn a_database_that_cannot_be_reached_is_said_and_nothing_is_lost(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    let mut out = browser.clone();
    out.cookies.remove(SESSION);
    app.service.store().close().await;
    let failed = out.sign_in_on(&path, &page, "ada", PASSWORD).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE, "{}", failed.body);
    assert_eq!(failed.headers["retry-after"], "1");
    assert!(failed.is_login() && failed.field("username") == "ada", "{}", failed.body);
    assert!(browser.cookies.contains_key(SESSION));
}

async fn s05_a_failed_token_is_the_form_again_with_what_was_typed(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let mut other = Browser::new(&browser_routes_again(app));
    let (_, foreign) = other.open_login("/basket").await;
    for csrf in ["", "x", &foreign.field("csrf"), &"A".repeat(43)] {
        let mut fields = page.sign_in_fields("ada", PASSWORD);
        csrf.clone_into(&mut fields[0].1);
        let again = browser.post(&path, &borrowed(&fields)).await;
        assert_eq!((again.status, again.is_login()), (StatusCode::UNPROCESSABLE_ENTITY, true), "{csrf}");
        assert_eq!((again.field("username").as_str(), again.cookie(SESSION)), ("ada", None));
        assert!(!again.body.contains(PASSWORD) && again.body.contains("role=\"alert\""), "{}", again.body);
        assert_eq!(browser.clone().sign_in_on(&path, &again, "ada", PASSWORD).await.path(), "/basket");
    }
}

async fn s05_without_cookies_the_second_time_is_a_page_with_help(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.keeps_cookies = false;
    let (path, page) = browser.open_login("/basket").await;
    let first = browser.sign_in_on(&path, &page, "ada", PASSWORD).await;
    assert!(first.is_login() && first.cookie(VISITOR).is_some() && first.field("username") == "ada");
    let second = browser.sign_in_on(&path, &first, "ada", PASSWORD).await;
    assert!(!second.is_login() && second.body.to_lowercase().contains("cookies"), "{}", second.body);
    assert_eq!(second.cookie(SESSION), None);
    // A browser that lost its cookies once goes on.
    let mut forgetful = Browser::new(&browser_routes_again(app));
    let (path, page) = forgetful.open_login("/basket").await;
    forgetful.cookies.clear();
    let again = forgetful.sign_in_on(&path, &page, "ada", PASSWORD).await;
    assert!(again.is_login());
    assert_eq!(forgetful.sign_in_on(&path, &again, "ada", PASSWORD).await.path(), "/basket");
}

async fn a39_other_sites_and_other_bodies_are_refused(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let (path, page) = browser.open_login("/basket").await;
    let fields = page.sign_in_fields("ada", PASSWORD);
    let body = encode(&borrowed(&fields));
    let form = ("content-type", "application/x-www-form-urlencoded");
    for headers in [
        vec![("sec-fetch-site", "cross-site"), form],
        vec![("sec-fetch-site", "same-site"), form],
        vec![("sec-fetch-site", "cross-site"), ("origin", ORIGIN), form],
        vec![("origin", "https://evil.example"), form],
        vec![("origin", "null"), form],
        vec![form],
    ] {
        for target in [path.as_str(), "/auth/logout", "/auth/step/tkt_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            let refused = browser.send("POST", target, &headers, body.clone()).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{target} {headers:?}: {}", refused.body);
            assert_eq!(refused.cookie(SESSION), None);
        }
    }
    let same = ("sec-fetch-site", "same-origin");
    for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json", ""] {
        let headers = if kind.is_empty() { vec![same] } else { vec![same, ("content-type", kind)] };
        let refused = browser.send("POST", &path, &headers, body.clone()).await;
        assert!(refused.status.is_client_error() && refused.cookie(SESSION).is_none(), "{kind}: {}", refused.status);
    }
    for (method, headers) in [("GET", vec![("x-http-method-override", "POST"), form, same]), ("PUT", vec![form, same])]
    {
        let refused = browser.send(method, &path, &headers, body.clone()).await;
        assert_eq!(refused.cookie(SESSION), None, "{method}");
    }
    let twice = format!("{body}&username=grace");
    let refused = browser.send("POST", &path, &[same, form], twice).await;
    assert!(refused.status == StatusCode::BAD_REQUEST && refused.body.contains("username"), "{}", refused.body);
    let large = format!("{body}&x={}", "a".repeat(70_000));
    assert_eq!(browser.send("POST", &path, &[same, form], large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    // A reload of the page that the form was sent from, which the browser asked for itself.
    let reload = browser.send("POST", &path, &[("sec-fetch-site", "none"), form], body).await;
    assert_eq!(reload.path(), "/basket");
}

async fn s02_a_cookie_that_is_forged_doubled_or_of_another_kind_is_no_session(app: &App) {
    let routes = browser_routes(app).await;
    let mut signed_in = Browser::new(&routes);
    signed_in.sign_in("/", "ada", PASSWORD).await;
    let good = signed_in.cookies[SESSION].clone();
    let visitor = signed_in.cookies[VISITOR].clone();
    let mut last = good.clone();
    last.replace_range(20..21, if &good[20..21] == "A" { "B" } else { "A" });
    let header = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ");
    let cases = [
        (header(&[(SESSION, &last)]), true),
        (header(&[(SESSION, &visitor)]), true),
        (header(&[(SESSION, &good), (SESSION, &good)]), true),
        (header(&[(SESSION, &good), (SESSION, "x")]), true),
        (header(&[("Chancery-Session-8000", &good)]), false),
        (header(&[("__Host-chancery-session", &good)]), false),
        (header(&[("chancery-session", &good)]), false),
        (header(&[("chancery-session-8001", &good)]), false),
        (header(&[(SESSION, &format!("\"{good}\""))]), true),
        (header(&[(SESSION, "")]), true),
        (header(&[(SESSION, &"A".repeat(5000))]), true),
    ];
    for (cookies, overwritten) in cases {
        let mut browser = Browser::new(&routes);
        browser.keeps_cookies = false;
        let begun = browser.send("GET", "/auth/login?return_to=/x", &[("cookie", &cookies)], String::new()).await;
        let page = browser.send("GET", &begun.path(), &[("cookie", &cookies)], String::new()).await;
        assert!(page.is_login(), "{cookies}");
        assert_eq!(page.cookie(SESSION).is_some_and(|c| c.contains("Max-Age=0")), overwritten, "{cookies}");
    }
    assert!(is_signed_in(&signed_in).await);
}

async fn return_paths_lead_nowhere_else(app: &App) {
    let routes = browser_routes(app).await;
    for (return_to, end) in [
        ("/basket%3Fx%3D1", "/basket?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/%5Cevil.example", "/"),
        ("/auth/login", "/"),
        ("", "/"),
    ] {
        let mut browser = Browser::new(&routes);
        let (path, page) = browser.open_login(return_to).await;
        // Nobody can supply another one afterwards.
        let with_other = format!("{path}&return_to=/elsewhere");
        let mut fields = page.sign_in_fields("ada", PASSWORD);
        fields.push(("return_to", "/elsewhere".to_owned()));
        assert_eq!(browser.post(&with_other, &borrowed(&fields)).await.path(), end, "{return_to}");
    }
    let twice = Browser::new(&routes).get("/auth/login?return_to=/a&return_to=/b").await;
    assert!(twice.status == StatusCode::BAD_REQUEST && twice.body.contains("return_to"), "{}", twice.body);
}

async fn the_cookies_have_the_attributes_of_their_table(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let begun = browser.get("/auth/login").await;
    assert!(begun.set_cookies().is_empty(), "a redirect sets none");
    let page = browser.get(&begun.path()).await;
    let visitor = page.cookie(VISITOR).unwrap();
    assert!(visitor.ends_with("; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"), "{visitor}");
    assert_eq!(browser.get(&begun.path()).await.cookie(VISITOR), None, "once a day");
    let done = browser.sign_in_on(&begun.path(), &page, "ada", PASSWORD).await;
    let (session, devices) = (done.cookie(SESSION).unwrap(), done.cookie(DEVICES).unwrap());
    assert!(session.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"), "{session}");
    assert!(devices.ends_with("; Path=/; Max-Age=34560000; HttpOnly; SameSite=Strict"), "{devices}");
    app.pass(Ttl::from_days(1)).await;
    let visitor = browser.get("/auth/logout").await.cookie(VISITOR).map(str::to_owned);
    assert!(visitor.is_some(), "the day is noted on pages");
}
