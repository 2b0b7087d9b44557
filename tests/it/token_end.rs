//! Whoever ends a session is told when its last access token expires: never too early, and not an hour for tokens of
//! five minutes.

use chancery::{
    secret::Password,
    service::{Admin, ClientCredentials, ClientPatch, SessionsEnded, TokenPair, UserPasswordReset, UserPatch},
    time::{Timestamp, Ttl},
};

use crate::support::{App, ISSUER, PASSWORD, admit_me, login_of, sign_in, token};

on_each_engine! {
    #[tokio::test]
    App => {
        a_log_out_says_when_the_last_token_of_the_session_expires,
        every_call_that_ends_sessions_says_the_same,
        what_ends_all_sessions_of_a_user_says_the_same,
        a_session_that_had_expired_was_not_ended_by_anybody,
        tokens_issued_before_the_lifetime_was_lowered_are_counted,
        a_refresh_that_the_database_lost_is_counted,
        no_token_outlives_the_idle_time_of_its_session,
        a_lifetime_that_is_raised_later_does_not_count,
        a_longer_lifetime_that_the_database_lost_is_counted,
    }
}

async fn log_out(app: &App, pair: &TokenPair) -> Timestamp {
    let (ctx, nobody) = (app.service.context(), ClientCredentials::None);
    app.service.tokens.log_out(&ctx, &nobody, "app", pair.refresh.as_ref().unwrap()).await.unwrap()
}

fn seconds(n: i64) -> Ttl {
    Ttl::from_secs(n)
}

async fn set_lifetime(app: &App, lifetime: i64) {
    let patch = ClientPatch { token_lifetime: Some(lifetime), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "app", &patch, None).await.unwrap();
}

async fn a_log_out_says_when_the_last_token_of_the_session_expires(app: &App) {
    let pair = app.sign_in().await;
    app.pass(seconds(100)).await;
    assert_eq!(log_out(app, &pair).await, pair.access.expires_at);
    // The answer to a second log-out is the same.
    app.pass(seconds(100)).await;
    assert_eq!(log_out(app, &pair).await, pair.access.expires_at);

    let pair = app.sign_in().await;
    app.pass(seconds(100)).await;
    let next = app.refresh(&token(&pair), "").await.unwrap();
    app.pass(seconds(200)).await;
    // For some seconds, the exchanged token may have been presented again.
    let end = log_out(app, &next).await;
    assert!(end >= next.access.expires_at && end <= next.access.expires_at.plus(seconds(60)), "{end}");

    // With a request id, a call may be repeated however late.
    let pair = app.sign_in().await;
    app.refresh(&token(&pair), "r-1").await.unwrap();
    app.pass(seconds(1000)).await;
    let late = app.refresh(&token(&pair), "r-1").await.unwrap();
    assert_eq!(log_out(app, &late).await, late.access.expires_at);
}

async fn every_call_that_ends_sessions_says_the_same(app: &App) {
    app.client("portal", &["api", ISSUER]).await;
    let portal = async |audience: &str| {
        let mut request = login_of("portal", "ada", PASSWORD);
        request.audience = audience.into();
        sign_in(&app.service, request).await.unwrap()
    };
    let own = portal(ISSUER).await;
    let me = admit_me(&app.service, &ClientCredentials::Bearer(own.access.token.expose().to_owned())).await.unwrap();
    let (ctx, service, admin) = (app.service.context(), &app.service, Admin::command());

    let other = portal("api").await;
    app.pass(seconds(50)).await;
    let ended = service.accounts.revoke_session(&me, Some(&other.session_id)).await.unwrap();
    assert_eq!((ended.sessions, ended.token_end), (1, Some(other.access.expires_at)));
    let ended = service.accounts.revoke_session(&me, Some(&other.session_id)).await.unwrap();
    assert_eq!((ended.sessions, ended.token_end), (0, None));

    portal("api").await;
    app.pass(seconds(1)).await;
    let newest = portal("api").await;
    let ended = service.accounts.revoke_session(&me, None).await.unwrap();
    assert_eq!((ended.sessions, ended.token_end), (2, Some(newest.access.expires_at)));

    let one = portal("api").await;
    let ended = service.users.end_session(&admin, &one.session_id).await.unwrap();
    assert_eq!((ended.sessions, ended.token_end), (1, Some(one.access.expires_at)));
    let ended = service.users.end_session(&admin, &one.session_id).await.unwrap();
    assert_eq!((ended.sessions, ended.token_end), (0, Some(one.access.expires_at)));

    let one = portal("api").await;
    for token in [token(&one), one.access.token.expose().to_owned()] {
        let end = service.tokens.revoke(&ctx, &ClientCredentials::None, "portal", &token).await.unwrap();
        // An access token of a session that has ended is not valid, so there is nothing to say.
        assert!(end == Some(one.access.expires_at) || (end.is_none() && token.contains('.')), "{end:?}");
    }

    let one = portal("api").await;
    let ended = service.users.end_sessions(&admin, "ada", &[]).await.unwrap();
    // The session of `me` was opened before.
    assert_eq!((ended.sessions, ended.token_end), (2, Some(one.access.expires_at)));
    let ended = service.users.end_sessions(&admin, "ada", &[]).await.unwrap();
    assert_eq!((ended.sessions, ended.token_end), (0, None));
}

async fn tokens_issued_before_the_lifetime_was_lowered_are_counted(app: &App) {
    set_lifetime(app, 3600).await;
    let pair = app.sign_in().await;
    set_lifetime(app, 600).await;
    set_lifetime(app, 60).await;
    app.pass(seconds(1000)).await;
    assert_eq!(log_out(app, &pair).await, pair.access.expires_at);
    // A session that was opened afterwards never had such a token.
    let pair = app.sign_in().await;
    assert_eq!(log_out(app, &pair).await, pair.access.expires_at);
    // Nor is a raised lifetime too short for a new token.
    set_lifetime(app, 1800).await;
    let pair = app.sign_in().await;
    assert_eq!(log_out(app, &pair).await, pair.access.expires_at);
}

async fn a_refresh_that_the_database_lost_is_counted(app: &App) {
    let (kept, presented) = (app.sign_in().await, app.sign_in().await);
    app.pass(seconds(200)).await;
    let (lost, newest) =
        (app.refresh(&token(&kept), "").await.unwrap(), app.refresh(&token(&presented), "").await.unwrap());
    let before =
        format!("rotated_at = created_at, generation = 0 WHERE id IN ('{}', '{}')", lost.session_id, newest.session_id);
    app.sql(&format!("UPDATE sessions SET {before}")).await;
    // The presented token shows that its refresh was lost.
    let end = log_out(app, &newest).await;
    assert!(end >= newest.access.expires_at, "{end}");
    // For any other session, the feed that went back shows it.
    app.set_feed_back().await;
    app.service.live.confirm().await.unwrap();
    app.service.live.confirm().await.unwrap();
    let end = app.service.users.end_session(&Admin::command(), &lost.session_id).await.unwrap().token_end.unwrap();
    assert!(end >= lost.access.expires_at && end <= app.service.now().plus(seconds(3600)), "{end}");
}

async fn no_token_outlives_the_idle_time_of_its_session(app: &App) {
    let patch = ClientPatch { session_idle: Some(600), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "app", &patch, None).await.unwrap();
    let pair = app.sign_in().await;
    // The session keeps the idle time that it was opened with.
    let patch = ClientPatch { session_idle: Some(86_400), token_lifetime: Some(3600), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "app", &patch, None).await.unwrap();
    let next = app.refresh(&token(&pair), "").await.unwrap();
    assert_eq!(next.access.expires_at, app.service.now().plus(seconds(600)));
    assert_eq!(next.refresh_expires_at, next.access.expires_at);
    assert_eq!(log_out(app, &next).await, next.access.expires_at);
}

async fn a_lifetime_that_is_raised_later_does_not_count(app: &App) {
    let pair = app.sign_in().await;
    app.pass(seconds(100)).await;
    set_lifetime(app, 3600).await;
    assert_eq!(log_out(app, &pair).await, pair.access.expires_at);
}

async fn a_longer_lifetime_that_the_database_lost_is_counted(app: &App) {
    let pair = app.sign_in().await;
    let copied = app.service.clients.get(&Admin::command(), "app").unwrap().config.clone();
    set_lifetime(app, 3600).await;
    app.pass(seconds(200)).await;
    let lost = app.refresh(&token(&pair), "").await.unwrap();
    // What the copy had.
    let back = format!("rotated_at = created_at, generation = 0 WHERE id = '{}'", lost.session_id);
    app.sql(&format!("UPDATE sessions SET {back}")).await;
    let config = serde_json::to_string(&copied).unwrap();
    app.sql(&format!("UPDATE clients SET config = '{config}' WHERE id = 'app'")).await;
    app.set_feed_back().await;
    app.service.live.confirm().await.unwrap();
    app.service.live.confirm().await.unwrap();
    // The refresh since then says nothing about the one that was lost.
    app.pass(seconds(100)).await;
    let next = app.refresh(&token(&lost), "").await.unwrap();
    assert!(next.access.expires_at < lost.access.expires_at);
    let end = log_out(app, &next).await;
    assert!(end >= lost.access.expires_at, "{end}");
}

async fn what_ends_all_sessions_of_a_user_says_the_same(app: &App) {
    let (users, admin) = (&app.service.users, Admin::command());
    let says = |ended: SessionsEnded, pair: &TokenPair| {
        assert_eq!((ended.sessions, ended.token_end), (1, Some(pair.access.expires_at)));
    };
    let one = app.sign_in().await;
    app.pass(seconds(20)).await;
    says(users.set_password(&admin, "ada", Password::new(PASSWORD.into())).await.unwrap(), &one);

    let one = app.sign_in().await;
    says(users.disable(&admin, "ada").await.unwrap().unwrap(), &one);
    assert_eq!(users.disable(&admin, "ada").await.unwrap(), None);
    assert!(users.enable(&admin, "ada").await.unwrap());

    let template = Some("https://shop.example/{kind}?token={token}".to_owned());
    let patch = ClientPatch { link_template: template, ..ClientPatch::default() };
    app.service.clients.update(&admin, "app", &patch, None).await.unwrap();
    let patch = UserPatch { emails: Some(vec!["ada@example.org".to_owned()]), ..UserPatch::default() };
    users.update(&admin, "ada", &patch, None).await.unwrap();
    let one = app.sign_in().await;
    let reset = |keep_current| UserPasswordReset { user: "ada", client_id: "app", keep_current };
    let kept = users.start_reset(&admin, reset(true)).await.unwrap().ended;
    assert_eq!((kept.sessions, kept.token_end), (0, None));
    says(users.start_reset(&admin, reset(false)).await.unwrap().ended, &one);
    users.set_password(&admin, "ada", Password::new(PASSWORD.into())).await.unwrap();

    let one = app.sign_in().await;
    says(users.delete(&admin, "ada", None).await.unwrap(), &one);
}

async fn a_session_that_had_expired_was_not_ended_by_anybody(app: &App) {
    let patch = ClientPatch { session_idle: Some(600), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "app", &patch, None).await.unwrap();
    let pair = app.sign_in().await;
    app.pass(seconds(601)).await;
    let ended = app.service.users.end_session(&Admin::command(), &pair.session_id).await.unwrap();
    assert_eq!(ended.sessions, 0);
    assert!(ended.token_end.is_none_or(|end| end <= app.service.now()), "{ended:?}");
}
