//! Session writes that share a commit: how they are grouped, and that one does not affect another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chancery::{
    domain::session::Session,
    error::{Error, Reason},
    secret::RefreshToken,
    service::{Admin, ClientCredentials, RefreshInput, RequestContext, Service, TokenPair},
    store::{Store, Tx},
    time::{SystemClock, Ttl},
};
use futures_util::{future::join_all, poll};

use crate::{
    database::with_postgres,
    forgetful::app_with_lossy_proxy,
    support::{self, App, Empty, token},
};

on_each_engine! {
    #[tokio::test]
    App => {
        requests_that_arrive_during_a_commit_share_the_next_one,
        two_requests_for_one_session_in_a_batch_get_the_same_successor,
        a_bad_row_fails_only_its_own_caller,
        nothing_is_written_for_a_caller_that_timed_out_or_disconnected,
        a_logout_completes_even_if_its_caller_disconnects,
    }
}

async fn refresh(service: &Service, ctx: RequestContext, pair: &TokenPair) -> Result<TokenPair, Error> {
    let input = RefreshInput {
        client_id: "app".into(),
        refresh_token: RefreshToken::new(token(pair)),
        audience: String::new(),
        scopes: Vec::new(),
        request_id: String::new(),
    };
    service.tokens.refresh(&ctx, &ClientCredentials::None, input).await
}

async fn stored(app: &App, pair: &TokenPair) -> Session {
    let id = pair.session_id.parse().unwrap();
    app.service.store().read().await.unwrap().session_by_id(&id).await.unwrap().unwrap()
}

/// A transaction that locks a session's row; on SQLite it locks the whole database.
async fn hold(app: &App, pair: &TokenPair) -> Tx {
    let session = stored(app, pair).await;
    let mut tx = app.service.store().write().await.unwrap();
    let later = session.rotated_at.plus(Ttl::from_millis(1));
    assert!(tx.rotation_stamp(&session.id, session.generation, later).await.unwrap());
    tx
}

/// Makes the writer wait for the locked row of `pair`, so that later writes queue up.
async fn occupy(app: &App, pair: &TokenPair) -> tokio::task::JoinHandle<Result<TokenPair, Error>> {
    let before = app.service.store().statements();
    let (service, refresh_token) = (app.service.clone(), token(pair));
    let occupied = tokio::spawn(async move { support::refresh(&service, "app", &refresh_token, "", &[], "").await });
    tokio::task::yield_now().await;
    while app.empty.database.engine == "postgres" && app.service.store().statements() == before {
        tokio::task::yield_now().await;
    }
    occupied
}

async fn sign_ins(app: &App, count: usize) -> Vec<TokenPair> {
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push(app.sign_in().await);
    }
    pairs
}

async fn requests_that_arrive_during_a_commit_share_the_next_one(app: &App) {
    let pairs = sign_ins(app, 21).await;
    let held = hold(app, &pairs[0]).await;
    let first = occupy(app, &pairs[0]).await;
    // On PostgreSQL, the first statement is already sent; on SQLite it joins the others.
    let before = app.service.store().statements();
    let rest = join_all(pairs[1..].iter().map(|p| refresh(&app.service, app.service.context(), p)));
    tokio::pin!(rest);
    assert!(poll!(&mut rest).is_pending());
    drop(held);
    assert!(first.await.unwrap().is_ok());
    let done = rest.await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(app.service.store().statements() - before, 1);
    for pair in done {
        assert!(app.refresh(&token(&pair.unwrap()), "").await.is_ok());
    }
}

async fn two_requests_for_one_session_in_a_batch_get_the_same_successor(app: &App) {
    let pairs = sign_ins(app, 2).await;
    let held = hold(app, &pairs[0]).await;
    let first = occupy(app, &pairs[0]).await;
    let twice = join_all([1, 1].map(|n: usize| refresh(&app.service, app.service.context(), &pairs[n])));
    tokio::pin!(twice);
    assert!(poll!(&mut twice).is_pending());
    drop(held);
    assert!(first.await.unwrap().is_ok());
    let done: Vec<String> = twice.await.into_iter().map(|p| token(&p.unwrap())).collect();
    assert_eq!(done[0], done[1]);
    assert_eq!(stored(app, &pairs[1]).await.generation, 1);
}

async fn a_bad_row_fails_only_its_own_caller(app: &App) {
    let pairs = sign_ins(app, 4).await;
    let spoil = "UPDATE sessions SET revoked_at = 1, revoked_cause = 'nonsense'";
    app.sql(&format!("{spoil} WHERE id = '{}'", pairs[2].session_id)).await;
    let held = hold(app, &pairs[0]).await;
    let first = occupy(app, &pairs[0]).await;
    let rest = join_all(pairs[1..].iter().map(|p| refresh(&app.service, app.service.context(), p)));
    tokio::pin!(rest);
    assert!(poll!(&mut rest).is_pending());
    drop(held);
    assert!(first.await.unwrap().is_ok());
    let done = rest.await;
    assert!(done[0].is_ok() && done[2].is_ok());
    assert!(matches!(done[1], Err(Error::Internal(_))), "{:?}", done[1]);
}

async fn nothing_is_written_for_a_caller_that_timed_out_or_disconnected(app: &App) {
    let pairs = sign_ins(app, 3).await;
    let held = hold(app, &pairs[0]).await;
    let first = occupy(app, &pairs[0]).await;
    let at = tokio::time::Instant::now() + Duration::from_millis(2);
    let ctx = RequestContext { deadline: Some(at), ..app.service.context() };
    let mut late = Box::pin(refresh(&app.service, ctx, &pairs[1]));
    let mut gone = Box::pin(refresh(&app.service, app.service.context(), &pairs[2]));
    assert!(poll!(&mut late).is_pending() && poll!(&mut gone).is_pending());
    drop(gone);
    while tokio::time::Instant::now() < at {
        tokio::task::yield_now().await;
    }
    drop(held);
    assert!(first.await.unwrap().is_ok());
    assert_eq!(late.await.map(|p| p.session_id).unwrap_err().reason(), Reason::DeadlineExceeded);
    for pair in &pairs[1..] {
        assert_eq!(stored(app, pair).await.generation, 0);
    }
}

async fn a_logout_completes_even_if_its_caller_disconnects(app: &App) {
    let pairs = sign_ins(app, 2).await;
    let held = hold(app, &pairs[0]).await;
    let first = occupy(app, &pairs[0]).await;
    let (ctx, secret) = (app.service.context(), pairs[1].refresh.as_ref().unwrap());
    let mut gone = Box::pin(app.service.tokens.log_out(&ctx, &ClientCredentials::None, "app", secret));
    // It reads the session first and then waits in the queue.
    for _ in 0..200 {
        assert!(poll!(&mut gone).is_pending());
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(gone);
    drop(held);
    assert!(first.await.unwrap().is_ok());
    // Any later write comes after it.
    let ended = app.refresh(&token(&pairs[1]), "").await.map(|p| p.session_id).unwrap_err();
    assert_eq!(ended.reason(), Reason::SessionRevoked);
}

#[tokio::test]
async fn two_deadlocked_transactions_both_complete() {
    if !with_postgres() {
        return;
    }
    let app = App::postgres().await;
    let mut pairs = sign_ins(&app, 2).await;
    pairs.sort_by(|a, b| a.session_id.cmp(&b.session_id));
    let mut held = hold(&app, &pairs[1]).await;
    let before = app.service.store().statements();
    let both = pairs.iter().map(|p| refresh(&app.service, app.service.context(), p));
    let mut both = Box::pin(join_all(both));
    let locked = format!("SELECT 1 FROM sessions WHERE id = '{}' FOR UPDATE SKIP LOCKED", pairs[0].session_id);
    while app.empty.database.sql(&locked).await.unwrap() > 0 {
        assert!(poll!(&mut both).is_pending());
    }
    // The batch holds the first row and waits for the second; this transaction does the opposite.
    let other = async {
        let session = stored(&app, &pairs[0]).await;
        let later = session.rotated_at.plus(Ttl::from_millis(1));
        let result = held.rotation_stamp(&session.id, session.generation, later).await;
        drop(held);
        result
    };
    let (done, other) = tokio::join!(both, other);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    // PostgreSQL aborts the one that waited first: the batch was rolled back and retried.
    assert!(other.is_ok(), "{other:?}");
    assert!(app.service.store().statements() - before > 3);
    app.finish().await;
}

#[tokio::test]
async fn a_refresh_whose_commit_reply_is_lost_has_one_successor() {
    let Some((app, way)) = app_with_lossy_proxy().await else { return };
    for grace in ["10", "0"] {
        app.service.instance.set(&Admin::command(), "refresh_grace", grace).await.unwrap();
        let first = app.sign_in().await;
        way.arm();
        let second = app.refresh(&token(&first), "").await.unwrap();
        assert!(way.has_dropped_reply());
        assert_eq!(stored(&app, &first).await.generation, 1);
        assert!(app.refresh(&token(&second), "").await.is_ok());
    }
    app.finish().await;
}

#[tokio::test]
async fn a_logout_whose_commit_reply_is_lost_succeeds() {
    let Some((app, way)) = app_with_lossy_proxy().await else { return };
    let pair = app.sign_in().await;
    way.arm();
    let done = app.service.users.end_session(&Admin::command(), &pair.session_id).await;
    assert!(way.has_dropped_reply() && done.is_ok(), "{done:?}");
    assert!(app.service.live.snapshot().revoked_sessions.contains_key(&pair.session_id));
    let events = app.service.store().read().await.unwrap().audit_kinds().await.unwrap();
    assert_eq!(events.iter().filter(|(kind, _)| kind == "SESSION_REVOKED").count(), 1);
    app.finish().await;
}

#[tokio::test]
async fn a_sign_in_whose_commit_reply_is_lost_is_not_repeated() {
    let Some((app, way)) = app_with_lossy_proxy().await else { return };
    // The status list index is leased in a separate transaction.
    app.sign_in().await;
    // The first commit counts the attempt, the second opens the session.
    way.arm_for(2);
    let refused = app.try_sign_in(support::PASSWORD).await.map(|p| p.session_id).unwrap_err();
    assert!(way.has_dropped_reply());
    assert_eq!(refused.reason(), Reason::Unavailable);
    assert_eq!(app.service.users.sessions(&Admin::command(), "ada").await.unwrap().len(), 2);
    app.finish().await;
}

/// SQLite has no locks of rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_somebody_else_has_locked_is_refused_alone() {
    if !with_postgres() {
        return;
    }
    let app = App::postgres().await;
    let pairs = sign_ins(&app, 6).await;
    let held = hold(&app, &pairs[0]).await;
    let done = join_all(pairs.iter().map(|p| refresh(&app.service, app.service.context(), p))).await;
    assert!(matches!(done[0], Err(Error::Throttled { .. })), "{:?}", done[0]);
    assert!(done[1..].iter().all(Result::is_ok));
    assert!(app.service.store().takes_changes());
    drop(held);
    app.refresh(&token(&pairs[0]), "").await.unwrap();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_on_the_same_file_can_write_during_constant_refreshes() {
    let app = App::prepared(Empty::sqlite().await, Arc::new(SystemClock)).await;
    let entropy = Arc::new(chancery::entropy::OsEntropy);
    let other = Store::open(&app.empty.database.location, false, entropy).await.unwrap();
    let (over, refreshed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut chains = tokio::task::JoinSet::new();
    for mut pair in sign_ins(&app, 32).await {
        let (service, over, refreshed) = (app.service.clone(), over.clone(), refreshed.clone());
        chains.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                pair = refresh(&service, service.context(), &pair).await.unwrap();
                refreshed.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let (mut longest, mut writes) = (Duration::ZERO, 0);
    while writes < 20 || refreshed.load(Ordering::SeqCst) < 2000 {
        let began = tokio::time::Instant::now();
        other.write().await.unwrap().commit().await.unwrap();
        (longest, writes) = (longest.max(began.elapsed()), writes + 1);
    }
    over.store(true, Ordering::SeqCst);
    chains.join_all().await;
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}
