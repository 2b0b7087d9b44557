//! Which cookies are sessions: everything else is none, and never an error.

use chancery::{
    domain::session::{RevokedCause, SessionKind},
    keys::{mint_refresh_token, session_cookie},
    secret::{Password, SessionSecret},
    service::{Admin, ClientPatch, NewClientRequest},
    time::Ttl,
};

use super::{Answer, COOKIE, Check, InBrowser, sealing, session, session_with, shop, visitor};
use crate::support::{App, first_party};

on_each_engine! {
    #[tokio::test]
    App => {
        s02_a_cookie_that_is_not_exactly_ours_is_no_session,
        a_session_of_another_kind_or_site_is_none,
        an_ended_session_is_none_whatever_has_ended_it,
        an_expired_session_is_none_and_one_that_was_used_elsewhere_lives_on,
        a_change_of_the_user_reaches_the_application_within_half_a_minute,
        a_sign_out_at_one_process_holds_at_another_as_soon_as_it_follows,
        a_database_that_cannot_be_read_is_unavailable_and_nobody_is_signed_out,
    }
}

/// No session, and no error either.
fn is_none(answer: &Answer, what: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("x-chancery-subject")), (200, ""), "{what}");
    assert_eq!(answer.header("x-chancery-token"), "", "{what}");
}

async fn s02_a_cookie_that_is_not_exactly_ours_is_no_session(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let good = &browser.cookie;
    let secret = SessionSecret::generate(&chancery::entropy::OsEntropy);
    let forged = session_cookie::mint(&sealing(), &browser.session.id, &secret, false);
    let refresh = mint_refresh_token(&sealing(), &browser.session.id, 0, &secret);
    let mut flipped = good.clone().into_bytes();
    flipped[20] ^= 1;
    let flipped = String::from_utf8(flipped).unwrap();
    let (visitors, _) = visitor(app);
    for cookie in [
        format!("{COOKIE}={good}; {COOKIE}={good}"),
        format!("{COOKIE}=x; {COOKIE}={good}"),
        format!("{COOKIE}={good}; {COOKIE}=x"),
        format!("__host-chancery-session={good}"),
        format!("__HOST-CHANCERY-SESSION={good}"),
        format!("chancery-session={good}"),
        format!("__Secure-chancery-session={good}"),
        format!("chancery-session-443={good}"),
        format!("{COOKIE}={}", good.to_uppercase()),
        format!("{COOKIE}={flipped}"),
        format!("{COOKIE}={good}="),
        format!("{COOKIE}={}", &good[..good.len() - 1]),
        format!("{COOKIE}={}", forged.expose()),
        format!("{COOKIE}={}", refresh.expose()),
        format!("{COOKIE}={visitors}"),
        format!("{COOKIE}="),
        COOKIE.to_owned(),
        format!("{COOKIE}={}", "a".repeat(8000)),
        "=;;=; ,".to_owned(),
    ] {
        is_none(&check.ask("?optional", &[("cookie", &cookie)]).await, &cookie);
        assert_eq!(check.ask("", &[("cookie", &cookie)]).await.status, 302, "{cookie}");
    }
    assert_eq!(check.visit("", &browser).await.status, 200);
}

async fn a_session_of_another_kind_or_site_is_none(app: &App) {
    shop(app).await;
    let other = NewClientRequest { site: "https://other.example/auth".into(), ..first_party("other", &["api"]) };
    app.service.clients.create(&Admin::command(), other).await.unwrap();
    let check = Check::of(&app.service);
    for kind in [SessionKind::Token, SessionKind::Pat] {
        let browser = session_with(app, |session| session.kind = kind).await;
        is_none(&check.visit("?optional", &browser).await, kind.as_str());
    }
    for site in [None, Some("https://other.example"), Some("http://shop.example"), Some("https://shop.example:8443")] {
        let browser = session_with(app, |session| session.site = site.map(str::to_owned)).await;
        is_none(&check.visit("?optional", &browser).await, site.unwrap_or_default());
    }
    // One of the shop's means nothing to the other site.
    let browser = session(app).await;
    let cookie = format!("{COOKIE}={}", browser.cookie);
    let elsewhere = [("cookie", &*cookie), ("x-forwarded-host", "other.example")];
    is_none(&check.ask("?optional", &elsewhere).await, "elsewhere");
    assert_eq!(check.visit("", &browser).await.status, 200);
}

/// Ends a session as its owner does.
async fn end(app: &App, browser: &InBrowser) {
    app.service.users.end_session(&Admin::command(), browser.session.id.as_str()).await.unwrap();
}

async fn an_ended_session_is_none_whatever_has_ended_it(app: &App) {
    shop(app).await;
    let check = Check::of(&app.service);
    let browser = session(app).await;
    assert_eq!(check.visit("", &browser).await.status, 200);
    end(app, &browser).await;
    is_none(&check.visit("?optional", &browser).await, "signed out");

    // It was ended before this process ever saw it, and the change feed says nothing of it any more.
    let revoked = |session: &mut chancery::domain::session::Session| {
        session.revoked = Some((session.created_at, RevokedCause::Logout));
    };
    let browser = session_with(app, revoked).await;
    app.sql(&format!(
        "UPDATE sessions SET revoked_at = 1, revoked_cause = 'logout' WHERE id = '{}'",
        browser.session.id
    ))
    .await;
    is_none(&check.visit("?optional", &browser).await, "ended long ago");
    let browser = session(app).await;
    app.sql(&format!("DELETE FROM sessions WHERE id = '{}'", browser.session.id)).await;
    is_none(&check.visit("?optional", &browser).await, "deleted");

    let browser = session(app).await;
    assert_eq!(check.visit("", &browser).await.status, 200);
    app.service
        .users
        .set_password(&Admin::command(), "ada", Password::new("another long password".into()))
        .await
        .unwrap();
    is_none(&check.visit("?optional", &browser).await, "password set");

    let browser = session(app).await;
    assert_eq!(check.visit("", &browser).await.status, 200);
    app.service.users.disable(&Admin::command(), "ada").await.unwrap();
    is_none(&check.visit("?optional", &browser).await, "user disabled");
    app.service.users.enable(&Admin::command(), "ada").await.unwrap();
    is_none(&check.visit("?optional", &browser).await, "user enabled again");

    let browser = session(app).await;
    assert_eq!(check.visit("", &browser).await.status, 200);
    let moved = ClientPatch { site: Some("https://shop.test/auth".into()), ..Default::default() };
    app.service.clients.update(&Admin::command(), "shop", &moved, None).await.unwrap();
    assert_eq!(check.visit("?optional", &browser).await.status, 421);
    let cookie = format!("{COOKIE}={}", browser.cookie);
    let moved = [("cookie", &*cookie), ("x-forwarded-host", "shop.test")];
    is_none(&check.ask("?optional", &moved).await, "the site moved");
    let back = ClientPatch { site: Some("https://shop.example/auth".into()), ..Default::default() };
    app.service.clients.update(&Admin::command(), "shop", &back, None).await.unwrap();
    assert_eq!(check.visit("", &browser).await.status, 200);
    app.service.clients.set_disabled(&Admin::command(), "shop", true).await.unwrap();
    assert_eq!(check.visit("?optional", &browser).await.status, 421, "a disabled client has no site");
}

async fn an_expired_session_is_none_and_one_that_was_used_elsewhere_lives_on(app: &App) {
    shop(app).await;
    let check = Check::of(&app.service);
    let (browser, used, absolute) = (
        session(app).await,
        session(app).await,
        session_with(app, |session| session.absolute_expires_at = session.created_at.plus(Ttl::from_secs(600))).await,
    );
    for browser in [&browser, &used, &absolute] {
        assert_eq!(check.visit("?idle=0", browser).await.status, 200);
    }
    app.pass(Ttl::from_secs(600)).await;
    is_none(&check.visit("?optional", &absolute).await, "at its absolute expiry");
    app.pass(Ttl::from_days(7)).await;
    app.pass(Ttl::from_secs(2980)).await;
    // Read again less than half a minute ago, when both were live.
    for browser in [&browser, &used] {
        assert_eq!(check.visit("?idle=0", browser).await.status, 200);
    }
    app.sql(&format!("UPDATE sessions SET idle_expires_at = 4102444800000 WHERE id = '{}'", used.session.id)).await;
    app.pass(Ttl::from_secs(20)).await;
    assert_eq!(check.visit("?optional", &used).await.header("x-chancery-subject"), used.session.subject);
    let statements = app.service.store().statements();
    is_none(&check.visit("?optional", &browser).await, "idle");
    let read = app.service.store().statements();
    assert!(read > statements, "it is read again before it counts as expired");
    is_none(&check.visit("?optional", &browser).await, "idle");
    assert_eq!(app.service.store().statements(), read, "and once is enough");
}

async fn a_change_of_the_user_reaches_the_application_within_half_a_minute(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    assert_eq!(check.visit("", &browser).await.header("x-chancery-name"), "ada");
    let attributes = serde_json::json!({ "name": "Ada Lovelace" }).as_object().unwrap().clone();
    let patch = chancery::service::UserPatch {
        emails: Some(vec!["ada@example.com".into()]),
        attributes: Some(attributes),
        ..Default::default()
    };
    app.service.users.update(&Admin::command(), "ada", &patch, None).await.unwrap();
    app.pass(Ttl::from_secs(30)).await;
    let answer = check.visit("", &browser).await;
    assert_eq!(answer.header("x-chancery-name"), "Ada%20Lovelace");
    assert_eq!(answer.header("x-chancery-email"), "ada@example.com");
    let clerk = chancery::service::NewRoleRequest {
        name: "clerk".into(),
        permissions: vec!["orders.read@api".into()],
        ..Default::default()
    };
    app.service.roles.create(&Admin::command(), clerk).await.unwrap();
    app.service.users.set_role(&Admin::command(), "ada", "clerk", true).await.unwrap();
    app.pass(Ttl::from_secs(30)).await;
    assert_eq!(check.visit("", &browser).await.header("x-chancery-permissions"), "orders.read");
    app.service.users.set_role(&Admin::command(), "ada", "clerk", false).await.unwrap();
    app.pass(Ttl::from_secs(30)).await;
    assert_eq!(check.visit("", &browser).await.header("x-chancery-permissions"), "");
}

async fn a_sign_out_at_one_process_holds_at_another_as_soon_as_it_follows(app: &App) {
    shop(app).await;
    let (browser, other) = (session(app).await, app.second_process().await);
    let (here, there) = (Check::of(&app.service), Check::of(&other));
    for check in [&here, &there] {
        assert_eq!(check.visit("", &browser).await.status, 200);
    }
    end(app, &browser).await;
    assert_eq!(here.fetch("", "GET", &browser).await.status, 401);
    // A round of the feed, as there are five each second.
    other.live.confirm().await.unwrap();
    let statements = other.store().statements();
    assert_eq!(there.fetch("", "GET", &browser).await.status, 401);
    assert_eq!(other.store().statements(), statements);
    other.store().close().await;
}

async fn a_database_that_cannot_be_read_is_unavailable_and_nobody_is_signed_out(app: &App) {
    shop(app).await;
    let (known, unknown, other) = (session(app).await, session(app).await, app.second_process().await);
    let check = Check::of(&other);
    assert_eq!(check.visit("", &known).await.status, 200);
    other.store().close().await;
    for query in ["", "?optional"] {
        assert_eq!(check.visit(query, &unknown).await.problem(), (503, "UNAVAILABLE".into()), "{query}");
        assert_eq!(check.visit(query, &known).await.status, 200, "it is remembered");
    }
    app.clock.advance(Ttl::from_secs(9));
    assert_eq!(check.visit("", &known).await.status, 200, "and no sign-out can have been missed for long");
    app.clock.advance(Ttl::from_secs(2));
    assert_eq!(check.visit("", &known).await.problem(), (503, "UNAVAILABLE".into()));
}
