//! Every row of the table of answers, and who may ask.

use chancery::{
    keys::flow_seal,
    service::{Admin, ClientPatch, NewRoleRequest, UserPatch},
    time::Ttl,
};

use super::{COOKIE, Check, HEADERS, sealing, session, session_with, shop, visitor};
use crate::support::{App, claims};

on_each_engine! {
    #[tokio::test]
    App => {
        a_live_session_passes_with_a_token_and_all_headers,
        a_person_without_a_session_is_sent_to_the_sign_in_page_and_a_program_is_told,
        with_optional_everybody_passes_and_the_headers_are_empty,
        a_sign_in_that_is_too_weak_or_too_old_counts_for_nothing,
        a_missing_permission_is_named,
        a_request_from_another_site_that_could_change_something_is_refused,
        what_a_proxy_lacks_is_named_and_what_it_must_not_send_is_refused,
        only_declared_proxies_with_the_secret_may_ask,
        parameters_that_are_not_understood_are_refused_by_name,
        an_unknown_host_is_misdirected,
        headers_that_would_be_too_large_leave_the_claims_out,
        headers_that_are_too_large_even_so_are_refused_with_their_size,
        a_state_that_may_be_old_is_unavailable,
    }
}

async fn a_live_session_passes_with_a_token_and_all_headers(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let (visitor_cookie, visitor_id) = visitor(app);
    let cookie = format!("{COOKIE}={}; __Host-chancery-visitor={visitor_cookie}; theme=dark", browser.cookie);
    let answer = check.ask("?audience=other", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(HEADERS.iter().all(|name| answer.headers.get_all(*name).iter().count() == 1), "{:?}", answer.headers);
    assert_eq!(answer.header("x-chancery-subject"), browser.session.subject);
    assert_eq!(answer.header("x-chancery-client-id"), "shop");
    assert_eq!(answer.header("x-chancery-session-id"), browser.session.id.as_str());
    assert_eq!(answer.header("x-chancery-scopes"), "read write");
    assert_eq!(answer.header("x-chancery-name"), "ada");
    assert_eq!(answer.header("x-chancery-email"), "");
    assert_eq!(answer.header("x-chancery-visitor"), visitor_id);
    let token = answer.header("x-chancery-token");
    let claims = claims(token);
    assert_eq!((&claims["aud"], &claims["sid"]), (&"other".into(), &browser.session.id.as_str().into()));
    assert_eq!((&claims["client_id"], &claims["acr"]), (&"shop".into(), &"1".into()));
    assert_eq!(Some(answer.header("x-chancery-claims")), token.split('.').nth(1));
    assert!(check.counted("passed"));
}

async fn a_person_without_a_session_is_sent_to_the_sign_in_page_and_a_program_is_told(app: &App) {
    shop(app).await;
    let check = Check::of(&app.service);
    for method in ["GET", "HEAD"] {
        let answer = check.ask("", &[("x-forwarded-method", method)]).await;
        assert_eq!(answer.status, 302);
        let r = answer.header("location").strip_prefix("https://shop.example/auth/login?r=").unwrap();
        let (client, site) = app.service.live.snapshot().site_of("https", "shop.example").unwrap();
        let flow = flow_seal::open_state(&sealing(), r, &site).unwrap();
        assert_eq!((flow.client(), flow.issued_at()), (&client.id, app.service.now()));
        assert_eq!(flow.destination(&site), "https://shop.example/orders?page=2");
    }
    // nginx passes on no 302.
    let answer = check.ask("?redirect=header", &[]).await;
    assert_eq!(answer.problem(), (401, "NO_SESSION".into()));
    assert!(answer.header("x-chancery-location").starts_with("https://shop.example/auth/login?r="));
    assert!(!answer.headers.contains_key("location"));
    assert!(check.counted("sign_in"));

    // What is no navigation of a page gets no page.
    for changes in [
        &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")][..],
        &[("sec-fetch-dest", "iframe")],
        &[("x-forwarded-method", "POST")],
        &[("sec-fetch-site", ""), ("sec-fetch-mode", ""), ("sec-fetch-dest", ""), ("accept", "application/json")],
        &[("sec-fetch-site", ""), ("sec-fetch-mode", ""), ("sec-fetch-dest", "")],
    ] {
        for query in ["", "?redirect=header"] {
            let answer = check.ask(query, changes).await;
            assert_eq!(answer.problem(), (401, "NO_SESSION".into()), "{changes:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert!(!answer.headers.contains_key("x-chancery-location"), "{changes:?}");
        }
    }
    assert!(check.counted("no_session"));
    // Browsers of old say what they want to see.
    let old =
        [("sec-fetch-site", ""), ("sec-fetch-mode", ""), ("sec-fetch-dest", ""), ("accept", "text/html,*/*;q=0.8")];
    assert_eq!(check.ask("", &old).await.status, 302);
}

async fn with_optional_everybody_passes_and_the_headers_are_empty(app: &App) {
    shop(app).await;
    let check = Check::of(&app.service);
    let (visitor_cookie, visitor_id) = visitor(app);
    let visitor_cookie = format!("__Host-chancery-visitor={visitor_cookie}");
    for (cookie, visitor) in [("", ""), ("a=b", ""), (&*visitor_cookie, &*visitor_id)] {
        // Programs with tokens of their own are the application's to check.
        let answer = check.ask("?optional", &[("cookie", cookie), ("authorization", "Bearer theirs")]).await;
        assert_eq!(answer.status, 200);
        for name in &HEADERS[..10] {
            assert_eq!(answer.header(name), "", "{name}");
        }
        assert_eq!(answer.header("x-chancery-visitor"), visitor);
    }
    // Without a session there is nothing that another site could make use of.
    let foreign = [("x-forwarded-method", "POST"), ("sec-fetch-site", "cross-site")];
    assert_eq!(check.ask("?optional", &foreign).await.status, 200);
    assert!(check.counted("anonymous"));
}

async fn a_sign_in_that_is_too_weak_or_too_old_counts_for_nothing(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    assert_eq!(check.visit("?acr=1&max_age=300", &browser).await.status, 200);
    let weak = session_with(app, |session| session.acr = "0".into()).await;
    let answer = check.visit("?acr=1", &weak).await;
    assert_eq!(answer.status, 302);
    let answer = check.fetch("?acr=1&max_age=300", "GET", &weak).await;
    assert_eq!(answer.problem(), (401, "SESSION_TOO_WEAK".into()));
    let challenge = "Bearer error=\"insufficient_user_authentication\", acr_values=\"1\", max_age=\"300\"";
    assert_eq!(answer.header("www-authenticate"), challenge);
    app.pass(Ttl::from_secs(301)).await;
    let answer = check.fetch("?max_age=300", "GET", &browser).await;
    assert_eq!(answer.problem(), (401, "SESSION_TOO_WEAK".into()));
    assert_eq!(check.visit("?max_age=301", &browser).await.status, 200);
    let answer = check.visit("?max_age=300&optional", &browser).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-chancery-subject")), (200, ""));
    assert!(check.counted("too_weak"));
}

async fn a_missing_permission_is_named(app: &App) {
    shop(app).await;
    let clerk =
        NewRoleRequest { name: "clerk".into(), permissions: vec!["orders.read@api".into()], ..Default::default() };
    let role = app.service.roles.create(&Admin::command(), clerk).await.unwrap().id;
    let (stranger, check) = (session(app).await, Check::of(&app.service));
    let answer = check.fetch("?permission=orders.read", "GET", &stranger).await;
    assert_eq!(answer.problem(), (403, "PERMISSION_DENIED".into()));
    assert!(answer.detail().contains("orders.read"));
    let clerk = session_with(app, |session| session.roles = vec![role]).await;
    let answer = check.visit("?permission=orders.read", &clerk).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-chancery-permissions")), (200, "orders.read"));
    assert_eq!(answer.header("x-chancery-roles"), "clerk");
    assert_eq!(check.visit("?permission=orders.read&permission=orders.write", &clerk).await.status, 403);
    // It is a permission at another audience.
    assert_eq!(check.visit("?permission=orders.read&audience=other", &clerk).await.status, 403);
    assert!(check.counted("permission_denied"));
}

async fn a_request_from_another_site_that_could_change_something_is_refused(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let cookie = format!("{COOKIE}={}", browser.cookie);
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        assert_eq!(check.fetch("", method, &browser).await.status, 200, "{method}");
        for site in ["cross-site", "same-site", "none"] {
            let changes = [("cookie", &*cookie), ("x-forwarded-method", method), ("sec-fetch-site", site)];
            let answer = check.ask("", &changes).await;
            assert_eq!(answer.problem(), (403, "CROSS_SITE_REQUEST".into()), "{method} {site}");
            assert_eq!(check.ask("?optional", &changes).await.status, 403, "{method} {site}");
        }
        // Browsers of old send the origin alone.
        for (origin, status) in
            [("https://shop.example", 200), ("https://shop.example.evil", 403), ("null", 403), ("", 403)]
        {
            let changes = [
                ("cookie", &*cookie),
                ("x-forwarded-method", method),
                ("sec-fetch-site", ""),
                ("sec-fetch-mode", ""),
                ("sec-fetch-dest", ""),
                ("origin", origin),
            ];
            assert_eq!(check.ask("", &changes).await.status, status, "{method} {origin}");
        }
    }
    // What follows an upgrade is not asked about.
    let socket = |site| {
        [("cookie", &*cookie), ("upgrade", "websocket"), ("sec-fetch-mode", "websocket"), ("sec-fetch-site", site)]
    };
    assert_eq!(check.ask("", &socket("same-origin")).await.status, 200);
    assert_eq!(check.ask("", &socket("cross-site")).await.problem().1, "CROSS_SITE_REQUEST");
    // A method that only the application sees.
    let hidden = [("cookie", &*cookie), ("x-http-method-override", "DELETE"), ("sec-fetch-site", "cross-site")];
    assert_eq!(check.ask("", &hidden).await.status, 403);
    // A link on another site may lead here.
    assert_eq!(check.ask("", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")]).await.status, 200);
    assert!(check.counted("cross_site"));
}

async fn what_a_proxy_lacks_is_named_and_what_it_must_not_send_is_refused(app: &App) {
    shop(app).await;
    let check = Check::of(&app.service);
    for (name, line) in [
        ("x-forwarded-method", "X-Forwarded-Method $request_method"),
        ("x-forwarded-uri", "X-Forwarded-Uri $request_uri"),
        ("x-forwarded-proto", "X-Forwarded-Proto $scheme"),
        ("x-forwarded-host", "X-Forwarded-Host $http_host"),
    ] {
        let answer = check.ask("", &[(name, "")]).await;
        assert_eq!(answer.problem(), (500, "PROXY_INCOMPLETE".into()), "{name}");
        assert!(answer.detail().contains(line), "{}", answer.detail());
    }
    for name in ["forwarded", "x-chancery-subject", "X-Chancery-Token", "x_chancery_roles", "x-chancery-check"] {
        let answer = check.ask("", &[(name, "host=shop.example;proto=https")]).await;
        assert_eq!(answer.problem(), (400, "INVALID_ARGUMENT".into()), "{name}");
        assert!(answer.detail().contains(&name.to_lowercase()), "{}", answer.detail());
    }
}

async fn only_declared_proxies_with_the_secret_may_ask(app: &App) {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    shop(app).await;
    let browser = session(app).await;
    let cookie = format!("{COOKIE}={}", browser.cookie);
    let headers = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("cookie", &*cookie),
    ];
    let check = Check::of(&app.service);
    assert_eq!(check.send("", "127.0.0.1:4000", headers).await.status, 200);
    let answer = check.send("", "192.0.2.1:4000", headers).await;
    assert_eq!(answer.problem(), (403, "PROXY_UNKNOWN".into()));
    let check = Check::with_secret(&app.service, SECRET);
    for wrong in [&[][..], &[""], &["0123456789abcdef0123456789abcdeF"], &[SECRET, SECRET], &[SECRET, "x"]] {
        let with = headers.into_iter().chain(wrong.iter().map(|secret| ("chancery-check-secret", *secret)));
        assert_eq!(check.send("", "127.0.0.1:4000", with).await.problem().1, "PROXY_UNKNOWN", "{wrong:?}");
    }
    let with = headers.into_iter().chain([("chancery-check-secret", SECRET)]);
    assert_eq!(check.send("", "127.0.0.1:4000", with).await.status, 200);
    assert!(check.counted("not_a_proxy"));
}

async fn parameters_that_are_not_understood_are_refused_by_name(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    for (query, named) in [
        ("?premission=admin", "premission"),
        ("?max_age=1h", "max_age"),
        ("?guest=0", "guest"),
        // Nobody who signed in for these would ever get in.
        ("?acr=3", "acr"),
        ("?acr=foo", "acr"),
        ("?max_age=0", "max_age"),
    ] {
        let answer = check.visit(query, &browser).await;
        assert_eq!(answer.problem(), (400, "INVALID_ARGUMENT".into()), "{query}");
        assert!(answer.detail().starts_with(named), "{}", answer.detail());
    }
}

async fn an_unknown_host_is_misdirected(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let cookie = format!("{COOKIE}={}", browser.cookie);
    for (proto, host) in [
        ("http", "shop.example"),
        ("https", "shop.example:8443"),
        ("https", "www.shop.example"),
        ("https", "shop.example.evil"),
    ] {
        let changes = [("cookie", &*cookie), ("x-forwarded-proto", proto), ("x-forwarded-host", host)];
        let answer = check.ask("?optional", &changes).await;
        assert_eq!(answer.problem(), (421, "MISDIRECTED_REQUEST".into()), "{proto} {host}");
        assert!(answer.detail().contains(host), "{}", answer.detail());
    }
    let changes = [("cookie", &*cookie), ("x-forwarded-host", "SHOP.example:443")];
    assert_eq!(check.ask("", &changes).await.status, 200);
}

async fn headers_that_would_be_too_large_leave_the_claims_out(app: &App) {
    shop(app).await;
    // A name is encoded, which makes it up to twelve times as long as it looks.
    let attributes = serde_json::json!({ "name": "🦉".repeat(900) }).as_object().unwrap().clone();
    let patch = UserPatch { attributes: Some(attributes), ..Default::default() };
    app.service.users.update(&Admin::command(), "ada", &patch, None).await.unwrap();
    let permissions = (0..100).map(|n| format!("orders.read.{n:0>8}@api")).collect();
    let clerk = NewRoleRequest { name: "clerk".into(), permissions, ..Default::default() };
    let role = app.service.roles.create(&Admin::command(), clerk).await.unwrap().id;
    let (clerk, plain) = (session_with(app, |session| session.roles = vec![role]).await, session(app).await);
    let check = Check::of(&app.service);
    assert!(!check.visit("", &plain).await.header("x-chancery-claims").is_empty());
    let answer = check.visit("", &clerk).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-chancery-claims")), (200, ""));
    assert_eq!(answer.header("x-chancery-permissions").split(' ').count(), 100);
    assert_eq!(answer.header("x-chancery-name"), "%F0%9F%A6%89".repeat(256));
    assert!(!answer.header("x-chancery-token").is_empty());
    let size: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    assert!(size <= 12 * 1024, "{size}");
}

async fn headers_that_are_too_large_even_so_are_refused_with_their_size(app: &App) {
    shop(app).await;
    let attributes = serde_json::json!({ "name": "🦉".repeat(900) }).as_object().unwrap().clone();
    let patch = UserPatch { attributes: Some(attributes), ..Default::default() };
    app.service.users.update(&Admin::command(), "ada", &patch, None).await.unwrap();
    // A token has at most 4 KiB, but `%` is encoded too.
    let scopes = (10..60).map(|n| format!("{}{n}", "%".repeat(40)).parse().unwrap()).collect::<Vec<_>>();
    let patch = ClientPatch { scopes: Some(scopes.iter().map(ToString::to_string).collect()), ..Default::default() };
    app.service.clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
    let browser = session_with(app, |session| session.scopes = scopes).await;
    let check = Check::of(&app.service);
    let answer = check.visit("", &browser).await;
    assert_eq!(answer.problem(), (500, "TOKEN_TOO_LARGE".into()));
    assert!(answer.detail().starts_with("the headers for the application of the client shop"), "{}", answer.detail());
    assert!(check.counted("too_large"));
}

async fn a_state_that_may_be_old_is_unavailable(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    assert_eq!(check.visit("", &browser).await.status, 200);
    app.clock.advance(Ttl::from_secs(11));
    let answer = check.visit("", &browser).await;
    assert_eq!(answer.problem(), (503, "UNAVAILABLE".into()));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(check.visit("?optional", &browser).await.status, 503);
    assert_eq!(check.ask("", &[]).await.status, 503, "nobody could sign in either");
    assert_eq!(check.ask("?optional", &[]).await.status, 200, "without a session, nothing can have been missed");
    app.service.live.confirm().await.unwrap();
    assert_eq!(check.visit("", &browser).await.status, 200);
    assert!(check.counted("unavailable"));
}
