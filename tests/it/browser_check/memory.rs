//! The memory: no statement and no signature for a browser that is in use, within bounds.

use chancery::{
    service::{Admin, ClientPatch, NewRoleRequest, RolePatch},
    time::Ttl,
};

use super::{Check, InBrowser, session, session_with, shop};
use crate::support::{App, claims};

on_each_engine! {
    #[tokio::test]
    App => {
        a_warm_check_costs_no_statement_and_no_signature,
        requests_that_come_together_share_one_read_and_one_signature,
        a_session_that_has_ended_costs_one_read_and_not_one_for_each_request,
        events_of_keys_clients_and_roles_drop_the_tokens_that_are_remembered,
        a_token_is_given_until_half_of_its_life_is_over,
        the_memory_stays_within_its_bounds,
    }
}

/// Statements and signatures so far.
fn costs(app: &App) -> (u64, u64) {
    let (issued, _) = app.service.tokens.sizes();
    (app.service.store().statements(), issued.iter().map(|(_, figures)| figures.count).sum())
}

async fn a_warm_check_costs_no_statement_and_no_signature(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    for audience in ["", "?audience=other"] {
        assert_eq!(check.visit(audience, &browser).await.status, 200);
    }
    let before = costs(app);
    for _ in 0..100 {
        for query in ["", "?audience=api", "?audience=other", "?acr=1&max_age=600", "?optional&idle=0"] {
            assert_eq!(check.visit(query, &browser).await.status, 200);
        }
        assert_eq!(check.ask("?optional", &[]).await.status, 200);
        assert_eq!(check.ask("", &[]).await.status, 302);
    }
    assert_eq!(costs(app), before);
    // A session is read again after half a minute, and signs nothing again for that.
    app.pass(Ttl::from_secs(30)).await;
    let (statements, signatures) = costs(app);
    assert_eq!(check.visit("", &browser).await.status, 200);
    assert_eq!(costs(app), (statements + 3, signatures));
}

async fn requests_that_come_together_share_one_read_and_one_signature(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let (statements, signatures) = costs(app);
    let all = (0..50).map(|_| check.visit("", &browser));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(costs(app), (statements + 3, signatures + 1));
}

async fn a_session_that_has_ended_costs_one_read_and_not_one_for_each_request(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    app.sql(&format!("DELETE FROM sessions WHERE id = '{}'", browser.session.id)).await;
    let (statements, _) = costs(app);
    for _ in 0..10 {
        assert_eq!(check.visit("", &browser).await.status, 302);
    }
    assert_eq!(costs(app).0, statements + 1);
}

/// The id of the token that is given now.
async fn token_id(check: &Check, browser: &InBrowser) -> String {
    let answer = check.visit("", browser).await;
    claims(answer.header("x-chancery-token"))["jti"].as_str().unwrap().to_owned()
}

async fn events_of_keys_clients_and_roles_drop_the_tokens_that_are_remembered(app: &App) {
    shop(app).await;
    let clerk =
        NewRoleRequest { name: "clerk".into(), permissions: vec!["orders.read@api".into()], ..Default::default() };
    let role = app.service.roles.create(&Admin::command(), clerk).await.unwrap().id;
    let browser = session_with(app, |session| session.roles = vec![role]).await;
    let check = Check::of(&app.service);
    let mut last = token_id(&check, &browser).await;
    assert_eq!(token_id(&check, &browser).await, last);

    let more = RolePatch { permissions: Some(vec!["orders.write@api".into()]), ..Default::default() };
    app.service.roles.update(&Admin::command(), "clerk", more, None).await.unwrap();
    let answer = check.visit("", &browser).await;
    assert_eq!(answer.header("x-chancery-permissions"), "orders.write", "at once");
    last = changed(&check, &browser, &last).await;

    let fewer = ClientPatch { scopes: Some(vec!["read".into()]), ..Default::default() };
    app.service.clients.update(&Admin::command(), "shop", &fewer, None).await.unwrap();
    assert_eq!(check.visit("", &browser).await.header("x-chancery-scopes"), "read");
    last = changed(&check, &browser, &last).await;

    let kid = app.service.live.snapshot().ring.signing(chancery::domain::keys::Algorithm::Es256).unwrap().kid.clone();
    app.service.signing_keys.revoke(&Admin::command(), &kid).await.unwrap();
    let answer = check.visit("", &browser).await;
    assert!(!header_of(answer.header("x-chancery-token")).contains(&kid));
    changed(&check, &browser, &last).await;
}

async fn changed(check: &Check, browser: &InBrowser, last: &str) -> String {
    let now = token_id(check, browser).await;
    assert_ne!(now, last);
    assert_eq!(token_id(check, browser).await, now, "and the new one is remembered");
    now
}

/// The first part of a token.
fn header_of(token: &str) -> String {
    use base64::Engine;
    let part = token.split('.').next().unwrap();
    String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn a_token_is_given_until_half_of_its_life_is_over(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let first = token_id(&check, &browser).await;
    for _ in 0..149 {
        app.pass(Ttl::from_secs(1)).await;
        assert_eq!(token_id(&check, &browser).await, first);
    }
    app.pass(Ttl::from_secs(1)).await;
    assert_ne!(token_id(&check, &browser).await, first);
    // No token outlives its session.
    let ending = session_with(app, |s| s.absolute_expires_at = s.created_at.plus(Ttl::from_secs(60))).await;
    let answer = check.visit("", &ending).await;
    let claims = claims(answer.header("x-chancery-token"));
    assert_eq!(claims["exp"].as_i64().unwrap(), ending.session.absolute_expires_at.seconds());
}

async fn the_memory_stays_within_its_bounds(app: &App) {
    shop(app).await;
    let check = Check::of(&app.service);
    let (empty, _) = app.service.browser.remembered_bytes();
    assert_eq!(empty, 0);
    let mut claims = serde_json::Map::new();
    claims.insert("x".into(), "y".repeat(1000).into());
    let mut last = 0;
    for _ in 0..20 {
        let browser = session_with(app, |session| session.claims.clone_from(&claims)).await;
        assert_eq!(check.visit("", &browser).await.status, 200);
        let (sessions, tokens) = app.service.browser.remembered_bytes();
        // Each counts with its content. That a flood drops what is old is tested beside the memory itself.
        assert!(sessions > last + 1000 && tokens > last + 1000, "{sessions} {tokens} {last}");
        last = sessions.min(tokens);
    }
}
