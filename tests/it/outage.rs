//! What a process does while its database is silent or takes no changes, and with callers whose sessions have ended.

use std::{sync::Arc, time::Duration};

use chancery::{
    entropy::OsEntropy,
    error::{Error, Reason},
    keys::SealingKey,
    metrics::Metrics,
    secret::RefreshToken,
    service::{ClientCredentials, Service, StartOptions},
    store::{Limits, Store},
    time::Ttl,
    web,
};
use futures_util::future::join_all;
use http::StatusCode;
use tokio::time::Instant;

use crate::{
    database::with_postgres,
    network::{Mode, Network},
    support::{App, passwords, token},
    web::get,
};

on_each_engine! {
    #[tokio::test]
    App => {
        an_ended_session_is_refused_without_a_transaction,
        a_repeated_logout_writes_nothing,
    }
}

/// A service on the app's database, reached through a network that can be broken.
pub(crate) async fn served_through(app: &App, network: &Network) -> Service {
    let entropy = Arc::new(OsEntropy);
    let store = Store::open(&network.database.location, false, entropy.clone()).await.unwrap();
    let limits = Limits { transaction: Duration::from_millis(600), follow: Duration::from_millis(300) };
    let options = StartOptions { issuer: None, default_issuer: None, dev: None, claim: false };
    let sealing = vec![SealingKey::new(&SealingKey::parse(&[7; 32]).unwrap())];
    let passwords = passwords(entropy.clone());
    let store = store.limited(limits);
    Service::start(store, sealing, passwords, app.clock.clone(), entropy, &options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_for_a_silent_database_are_answered_within_two_rounds() {
    if !with_postgres() {
        return;
    }
    let app = App::postgres().await;
    let network = Network::to(&app.empty.database).await;
    let service = served_through(&app, &network).await;
    let pair = app.sign_in().await;
    network.set(Mode::Swallows);
    let began = Instant::now();
    let all = join_all((0..100).map(|_| service.live.confirm())).await;
    assert!(all.iter().all(|outcome| matches!(outcome, Err(Error::Unavailable(_)))));
    // One after another, they would have waited for 30 s.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let refused = crate::support::refresh(&service, "app", &token(&pair), "", &[], "").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    network.set(Mode::Forwards);
    service.live.confirm().await.unwrap();
    // The same token: nothing was lost by the failed try.
    crate::support::refresh(&service, "app", &token(&pair), "", &[], "").await.unwrap();
    service.store().close().await;
    app.finish().await;
}

#[tokio::test]
async fn a_process_is_ready_only_while_its_database_takes_changes() {
    if !with_postgres() {
        return;
    }
    let app = App::postgres().await;
    app.empty.database.set_read_only("on").await;
    let network = Network::to(&app.empty.database).await;
    let service = served_through(&app, &network).await;
    let metrics = Arc::new(Metrics::default());
    metrics.set_ready(true);
    let routes = web::telemetry_routes(service.clone(), metrics, Vec::new);
    let answer = get(&routes, "/readyz", &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("takes no changes"), "{}", answer.body);
    app.empty.database.set_read_only("off").await;
    // Closes the connections that were opened when the server was read-only.
    network.set(Mode::Cut);
    let _ = service.live.confirm().await;
    network.set(Mode::Forwards);
    let mut tries = 0;
    while service.live.confirm().await.is_err() || !service.store().takes_changes() {
        tries += 1;
        assert!(tries < 20);
    }
    assert_eq!(get(&routes, "/readyz", &[]).await.status, StatusCode::OK);
    service.store().close().await;
    app.empty.database.drop().await;
}

async fn an_ended_session_is_refused_without_a_transaction(app: &App) {
    let (signed_out, expired) = (app.sign_in().await, app.sign_in().await);
    let none = ClientCredentials::None;
    let log_out = async |token: String| {
        app.service.tokens.log_out(&app.service.context(), &none, "app", &RefreshToken::new(token)).await
    };
    log_out(token(&signed_out)).await.unwrap();
    let first = app.refresh(&token(&signed_out), "").await;
    assert!(matches!(first, Err(Error::Ended { cause: "logout" })), "{first:?}");
    app.pass(Ttl::from_days(31)).await;
    let first = app.refresh(&token(&expired), "").await;
    assert!(matches!(first, Err(Error::Unauthenticated(Reason::SessionExpired))), "{first:?}");
    let before = app.service.store().statements();
    for _ in 0..10 {
        let again = app.refresh(&token(&signed_out), "").await;
        assert!(matches!(again, Err(Error::Ended { cause: "logout" })), "{again:?}");
        let again = app.refresh(&token(&expired), "").await;
        assert!(matches!(again, Err(Error::Unauthenticated(Reason::SessionExpired))), "{again:?}");
    }
    assert_eq!(app.service.store().statements(), before);
}

async fn a_repeated_logout_writes_nothing(app: &App) {
    let pair = app.sign_in().await;
    let none = ClientCredentials::None;
    let log_out = || async {
        app.service.tokens.log_out(&app.service.context(), &none, "app", &RefreshToken::new(token(&pair))).await
    };
    log_out().await.unwrap();
    let before = app.service.store().statements();
    for _ in 0..10 {
        log_out().await.unwrap();
    }
    // One read each. Ending a session takes four statements.
    assert_eq!(app.service.store().statements() - before, 10);
    app.service.tokens.revoke(&app.service.context(), &none, "app", &token(&pair)).await.unwrap();
    assert_eq!(app.service.store().statements() - before, 11);
}
