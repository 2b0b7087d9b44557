//! Every row of the refresh decision table, on both engines.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chancery::{
    error::{Error, Reason},
    service::{Admin, ClientCredentials, Service, TokenPair},
    time::{Clock, FixedClock, Timestamp, Ttl},
};

use crate::support::{App, Empty, PASSWORD, refresh, token};

on_each_engine! {
    #[tokio::test]
    App => {
        the_current_token_rotates,
        o23_within_grace_the_predecessor_yields_the_same_successor,
        g14_a_retry_with_the_same_request_id_gets_the_same_answer_at_any_time,
        a_slow_parallel_refresh_is_superseded_without_ending_the_session,
        o22_a_token_three_generations_old_ends_its_session_and_no_other,
        o21_idle_and_absolute_expiry_end_a_session,
        o19_a_refused_refresh_changes_nothing,
        a_disabled_users_sessions_end_and_sign_in_fails_like_a_wrong_password,
        logging_out_twice_succeeds_and_other_processes_learn_of_it,
        a_sign_in_in_flight_does_not_survive_a_password_change,
        a_dropped_transaction_is_rolled_back,
        a_read_only_transaction_refuses_writes,
        restoring_an_older_row_from_a_backup_logs_nobody_out,
        the_error_for_an_ended_session_names_the_cause,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        o25_a27_a_hundred_parallel_refreshes_have_one_successor,
    }
    #[tokio::test]
    Empty => {
        a_slow_commit_does_not_shorten_the_grace_period,
    }
}

fn reason(result: Result<TokenPair, Error>) -> Reason {
    result.map(|p| p.session_id).unwrap_err().reason()
}

async fn the_current_token_rotates(app: &App) {
    let first = app.sign_in().await;
    let second = app.refresh(&token(&first), "").await.unwrap();
    assert_ne!(token(&first), token(&second));
    assert_eq!(first.session_id, second.session_id);
    assert!(app.refresh(&token(&second), "").await.is_ok());
}

async fn o23_within_grace_the_predecessor_yields_the_same_successor(app: &App) {
    let first = app.sign_in().await;
    let second = app.refresh(&token(&first), "").await.unwrap();
    app.clock.advance(Ttl::from_millis(9_999));
    let again = app.refresh(&token(&first), "").await.unwrap();
    assert_eq!(token(&second), token(&again));
    assert_ne!(second.access.token.expose(), again.access.token.expose());
    app.clock.advance(Ttl::from_millis(1));
    assert_eq!(reason(app.refresh(&token(&first), "").await), Reason::RefreshTokenReused);
}

async fn g14_a_retry_with_the_same_request_id_gets_the_same_answer_at_any_time(app: &App) {
    let first = app.sign_in().await;
    let second = app.refresh(&token(&first), "call-1").await.unwrap();
    app.pass(Ttl::from_days(3)).await;
    let again = app.refresh(&token(&first), "call-1").await.unwrap();
    assert_eq!(token(&second), token(&again));
    let other = refresh(&app.service, "app", &token(&first), "other", &["read"], "call-1").await.unwrap();
    assert_eq!((token(&other), other.access.audience.as_str()), (token(&second), "other"));
    assert_eq!(other.access.scopes, ["read"]);
    assert_eq!(reason(app.refresh(&token(&first), "call-2").await), Reason::RefreshTokenReused);
}

async fn a_slow_parallel_refresh_is_superseded_without_ending_the_session(app: &App) {
    let first = app.sign_in().await;
    let second = app.refresh(&token(&first), "").await.unwrap();
    let third = app.refresh(&token(&second), "").await.unwrap();
    assert_eq!(reason(app.refresh(&token(&first), "").await), Reason::RefreshTokenSuperseded);
    assert!(app.refresh(&token(&third), "").await.is_ok());
}

async fn o22_a_token_three_generations_old_ends_its_session_and_no_other(app: &App) {
    let (victim, bystander) = (app.sign_in().await, app.sign_in().await);
    let mut newest = token(&victim);
    for _ in 0..3 {
        newest = token(&app.refresh(&newest, "").await.unwrap());
    }
    let Err(Error::Reused { session, rotated_at }) = app.refresh(&token(&victim), "").await else {
        panic!("not reported as reuse")
    };
    assert_eq!(session, victim.session_id);
    assert_eq!(rotated_at, app.service.context().now);
    assert_eq!(reason(app.refresh(&newest, "").await), Reason::SessionRevoked);
    assert!(app.refresh(&token(&bystander), "").await.is_ok());
    let events = app.service.store().read().await.unwrap().audit_kinds().await.unwrap();
    assert!(events.iter().any(|(kind, _)| kind == "REFRESH_TOKEN_REUSED"));
    assert!(app.service.live.snapshot().revoked_sessions.contains_key(&victim.session_id));
}

async fn o21_idle_and_absolute_expiry_end_a_session(app: &App) {
    let mut newest = token(&app.sign_in().await);
    app.pass(Ttl::from_days(7)).await;
    assert_eq!(reason(app.refresh(&newest, "").await), Reason::SessionExpired);
    newest = token(&app.sign_in().await);
    for _ in 0..5 {
        app.pass(Ttl::from_days(5)).await;
        newest = token(&app.refresh(&newest, "").await.unwrap());
    }
    app.pass(Ttl::from_days(5)).await;
    assert_eq!(reason(app.refresh(&newest, "").await), Reason::SessionExpired);
}

async fn o19_a_refused_refresh_changes_nothing(app: &App) {
    app.client("stranger", &["api"]).await;
    let first = token(&app.sign_in().await);
    let call = |client: &'static str, audience: &'static str, scopes: &'static [&'static str]| {
        refresh(&app.service, client, &first, audience, scopes, "")
    };
    assert_eq!(reason(call("stranger", "", &[]).await), Reason::RefreshTokenInvalid);
    assert_eq!(reason(call("app", "nowhere", &[]).await), Reason::InvalidArgument);
    assert_eq!(reason(call("app", "", &["admin"]).await), Reason::InvalidArgument);
    app.clock.advance(Ttl::from_secs(11));
    // The feed has not been confirmed for longer than a process may keep signing.
    assert_eq!(reason(call("app", "", &[]).await), Reason::Unavailable);
    app.service.live.confirm().await.unwrap();
    let second = call("app", "", &["read"]).await.unwrap();
    assert_eq!(second.access.scopes, ["read"]);
    let wide = app.refresh(&token(&second), "").await.unwrap();
    assert_eq!(wide.access.scopes, ["read", "write"]);
}

async fn a_disabled_users_sessions_end_and_sign_in_fails_like_a_wrong_password(app: &App) {
    let first = token(&app.sign_in().await);
    assert_eq!(app.service.users.disable(&Admin::command(), "ada").await.unwrap().unwrap().sessions, 1);
    assert_eq!(reason(app.refresh(&first, "").await), Reason::SessionRevoked);
    assert_eq!(reason(app.try_sign_in(PASSWORD).await), Reason::InvalidCredentials);
    assert_eq!(reason(app.try_sign_in("wrong").await), Reason::InvalidCredentials);
    app.service.users.enable(&Admin::command(), "ada").await.unwrap();
    assert!(app.try_sign_in(PASSWORD).await.is_ok());
    assert_eq!(reason(app.refresh(&first, "").await), Reason::SessionRevoked);
}

async fn logging_out_twice_succeeds_and_other_processes_learn_of_it(app: &App) {
    let pair = app.sign_in().await;
    let other = app.second_process().await;
    let log_out = || async {
        let refresh = pair.refresh.as_ref().unwrap();
        app.service.tokens.log_out(&app.service.context(), &ClientCredentials::None, "app", refresh).await
    };
    log_out().await.unwrap();
    log_out().await.unwrap();
    other.live.confirm().await.unwrap();
    assert!(other.live.snapshot().revoked_sessions.contains_key(&pair.session_id));
    assert_eq!(reason(refresh(&other, "app", &token(&pair), "", &[], "").await), Reason::SessionRevoked);
}

/// Refreshes until it succeeds: calls without an effect may be retried.
async fn refresh_with_retries(service: &Service, token: &str) -> TokenPair {
    for _ in 0..100 {
        match refresh(service, "app", token, "", &[], "").await {
            Ok(pair) => return pair,
            Err(Error::Conflict | Error::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("no answer after a hundred tries")
}

async fn o25_a27_a_hundred_parallel_refreshes_have_one_successor(app: &App) {
    let first = token(&app.sign_in().await);
    let processes = [app.service.clone(), app.second_process().await];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (service, first) = (processes[n % 2].clone(), first.clone());
        tasks.spawn(async move { token(&refresh_with_retries(&service, &first).await) });
    }
    let successors: std::collections::BTreeSet<String> = tasks.join_all().await.into_iter().collect();
    assert_eq!(successors.len(), 1);
    assert!(app.refresh(successors.first().unwrap(), "").await.is_ok());
}

async fn a_sign_in_in_flight_does_not_survive_a_password_change(app: &App) {
    let store = app.service.store();
    let found = store.read().await.unwrap().user_by_login("ada").await.unwrap().unwrap();
    app.service
        .users
        .set_password(&Admin::command(), "ada", chancery::secret::Password::new("another long pass phrase".into()))
        .await
        .unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(!tx.user_hold(&found.user.id, found.user.security_version).await.unwrap());
    drop(tx);
    assert_eq!(reason(app.try_sign_in(PASSWORD).await), Reason::InvalidCredentials);
    assert!(app.try_sign_in("another long pass phrase").await.is_ok());
}

async fn a_dropped_transaction_is_rolled_back(app: &App) {
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    let mut tx = app.service.store().write().await.unwrap();
    assert!(tx.user_disable(&user.id, app.service.context().now).await.unwrap());
    drop(tx);
    assert!(app.try_sign_in(PASSWORD).await.is_ok());
}

async fn a_read_only_transaction_refuses_writes(app: &App) {
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    let mut tx = app.service.store().read().await.unwrap();
    assert!(tx.user_disable(&user.id, app.service.context().now).await.is_err());
}

async fn restoring_an_older_row_from_a_backup_logs_nobody_out(app: &App) {
    let mut newest = app.sign_in().await;
    for _ in 0..4 {
        newest = app.refresh(&token(&newest), "").await.unwrap();
    }
    app.sql("UPDATE sessions SET generation = 1").await;
    app.clock.advance(Ttl::from_secs(5));
    let jumped = app.refresh(&token(&newest), "").await.unwrap();
    assert_ne!(token(&jumped), token(&newest));
    // A repeated call gets the usual grace period.
    assert_eq!(token(&app.refresh(&token(&newest), "").await.unwrap()), token(&jumped));
    assert!(app.refresh(&token(&jumped), "").await.is_ok());
    let events = app.service.store().read().await.unwrap().audit_kinds().await.unwrap();
    assert_eq!(events.iter().filter(|(kind, _)| kind == "SESSION_FAST_FORWARDED").count(), 1);
    assert!(events.iter().all(|(kind, _)| kind != "REFRESH_TOKEN_REUSED"));
}

async fn a_slow_commit_does_not_shorten_the_grace_period(empty: &Empty) {
    let clock = Arc::new(SlowClock { inner: empty.clock.clone(), slow: AtomicBool::new(false) });
    let app = App::prepared(empty.clone(), clock.clone()).await;
    let first = app.sign_in().await;
    clock.slow.store(true, Ordering::SeqCst);
    let second = app.refresh(&token(&first), "").await.unwrap();
    clock.slow.store(false, Ordering::SeqCst);
    app.service.live.confirm().await.unwrap();
    let id = second.session_id.parse().unwrap();
    let row = app.service.store().read().await.unwrap().session_by_id(&id).await.unwrap().unwrap();
    // Stamped again with the time after the commit, ten seconds later.
    assert!(row.rotated_at > row.previous_rotated_at.plus(Ttl::from_secs(1)));
    assert_eq!(token(&app.refresh(&token(&first), "").await.unwrap()), token(&second));
}

/// A clock on which every reading takes a long time.
#[derive(Debug)]
struct SlowClock {
    inner: Arc<FixedClock>,
    slow: AtomicBool,
}

impl Clock for SlowClock {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn elapsed(&self) -> Ttl {
        if self.slow.load(Ordering::SeqCst) {
            self.inner.advance(Ttl::from_millis(1100));
        }
        self.inner.elapsed()
    }

    fn yields_to_database(&self) -> bool {
        false
    }
}

async fn the_error_for_an_ended_session_names_the_cause(app: &App) {
    let pair = app.sign_in().await;
    app.service.users.end_session(&Admin::command(), &pair.session_id).await.unwrap();
    let refused = app.refresh(&token(&pair), "").await.unwrap_err();
    assert!(matches!(refused, Error::Ended { cause: "administrator" }), "{refused:?}");
}
