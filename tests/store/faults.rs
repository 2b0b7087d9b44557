//! Outages of the database.

use std::time::Duration;

use chancery::{
    domain::audit::{Actor, AuditFilter, AuditKind},
    error::Error,
    store::{Limits, Location, Store},
};
use futures_util::future::join_all;
use sqlx::Connection;

use crate::{
    fixture::{Fixture, NOW},
    network::{Mode, Network},
};

pub(crate) async fn an_outage_is_reported_as_unavailable_and_recovers(f: &Fixture) {
    match &f.database.location {
        Location::Sqlite(path) => sqlite(f, path).await,
        Location::Postgres(_) => postgres(f).await,
    }
}

/// Another process holds the lock on the file for longer than anybody waits.
async fn sqlite(f: &Fixture, path: &std::path::Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert!(matches!(f.store.write().await, Err(Error::Unavailable(_))));
    // Reads still work meanwhile.
    assert!(f.store.read().await.unwrap().instance().await.unwrap().is_some());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.sessions_delete_dead(&[], NOW).await.unwrap(), 0);
    tx.commit().await.unwrap();
}

/// The network to the server is cut during a transaction.
async fn postgres(f: &Fixture) {
    let network = Network::to(&f.database).await;
    let store = Store::open(&network.database.location, false, f.entropy.clone()).await.unwrap();
    assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    let mut tx = store.write().await.unwrap();
    network.set(Mode::Cut);
    assert!(matches!(tx.instance().await, Err(Error::Unavailable(_))));
    assert!(matches!(store.write().await, Err(Error::Unavailable(_))));
    // Not "no such user": the database could not be asked.
    let missing = match store.read().await {
        Ok(mut tx) => tx.user_by_login("ada").await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(missing, Err(Error::Unavailable(_))), "{missing:?}");
    drop(tx);
    network.set(Mode::Forwards);
    assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    store.close().await;
}

const SHORT: Limits = Limits { transaction: Duration::from_millis(400), follow: Duration::from_millis(200) };

pub(crate) async fn a_database_that_stops_answering_is_unavailable_within_the_limit(f: &Fixture) {
    // A file has no network. What makes SQLite late is another process's lock, which `an_outage_…` holds.
    if f.database.engine == "sqlite" {
        return;
    }
    let network = Network::to(&f.database).await;
    let store = Store::open(&network.database.location, false, f.entropy.clone()).await.unwrap().limited(SHORT);
    drop(store.follow().await.unwrap());
    let (mut reading, mut writing) = (store.read().await.unwrap(), store.write().await.unwrap());
    let writing_too = store.write().await.unwrap();
    network.set(Mode::Swallows);
    let (read, written) = tokio::join!(reading.instance(), writing.feed_head());
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    let committed = writing_too.commit().await;
    assert!(matches!(committed, Err(Error::Unavailable(_))), "{committed:?}");
    assert!(!store.takes_changes());
    let (followed, begun, listening) = tokio::join!(store.follow(), store.write(), store.listen());
    assert!(matches!(followed, Err(Error::Unavailable(_))));
    assert!(matches!(begun, Err(Error::Unavailable(_))));
    assert!(matches!(listening, Err(Error::Unavailable(_))));
    drop((reading, writing));
    network.set(Mode::Forwards);
    // No connection from before is used again: each of them would be silent for a quarter of an hour.
    for _ in 0..20 {
        assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    }
    store.try_change().await.unwrap();
    assert!(store.takes_changes());
    store.close().await;
}

pub(crate) async fn a_database_that_takes_no_changes_is_noticed_and_so_is_its_return(f: &Fixture) {
    assert!(f.store.takes_changes());
    match &f.database.location {
        Location::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
            assert!(f.store.write().await.is_err());
            assert!(!f.store.takes_changes());
            sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        }
        Location::Postgres(_) => {
            f.database.set_read_only("on").await;
            // Opened now, as all connections are after a failover.
            let store = f.second().await;
            store.read().await.unwrap().feed_head().await.unwrap();
            assert!(!store.takes_changes());
            let change = store.write().await.unwrap().user_disable(&f.user("ada").user.id, NOW).await;
            assert!(matches!(change, Err(Error::Unavailable(_))), "{change:?}");
            assert!(matches!(store.try_change().await, Err(Error::Unavailable(_))));
            // Connections that were opened while it was read-only stay so. None of them is used again.
            let many = join_all((0..12).map(|_| store.read())).await;
            assert!(many.iter().all(Result::is_ok));
            drop(many);
            let _ = store.try_change().await;
            f.database.keep_connections_and_set_read_only("off").await;
            let _ = store.try_change().await;
            store.follow().await.unwrap().feed_head().await.unwrap();
            store.try_change().await.unwrap();
            assert!(store.takes_changes());
            for _ in 0..20 {
                let mut tx = store.write().await.unwrap();
                tx.user_disable(&f.user("ada").user.id, NOW).await.unwrap();
                tx.commit().await.unwrap();
            }
            store.close().await;
            return;
        }
    }
    f.store.try_change().await.unwrap();
    assert!(f.store.takes_changes());
}

pub(crate) async fn reports_leave_the_follower_its_connection(f: &Fixture) {
    let store = f.second().await.limited(SHORT);
    let mut reports = Vec::new();
    while let Ok(report) = store.report().await {
        reports.push(report);
        assert!(reports.len() < 10, "the number of reports is bounded");
    }
    store.follow().await.unwrap().feed_head().await.unwrap().unwrap();
    assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    let mut tx = store.write().await.unwrap();
    tx.audit(NOW, AuditKind::UserDisabled, &Actor::command(), "usr_1", serde_json::json!({})).await.unwrap();
    tx.commit().await.unwrap();
    drop(reports);
    assert!(store.report().await.unwrap().audit_page(&AuditFilter::default(), None, 1).await.unwrap().len() == 1);
    store.close().await;
}

/// Only SQLite has to be interrupted by its caller: PostgreSQL ends a statement by itself.
pub(crate) async fn a_report_ends_at_its_limit(f: &Fixture) {
    if f.database.engine != "sqlite" {
        return;
    }
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) \
        INSERT INTO audit_events (id, at, kind, actor, subject, details, address) \
        SELECT 'aud_' || printf('%026d', i), i, 'USER_DISABLED', 'a', 's', '{}', '' FROM n";
    f.database.sql(many).await.unwrap();
    let limits = Limits { transaction: Duration::from_millis(5), ..SHORT };
    let store = f.second().await.limited(limits);
    // Nothing matches, so everything is read.
    let filter = AuditFilter { session: Some(f.session(&f.user("x").user).id), ..AuditFilter::default() };
    let page = async { store.report().await?.audit_page(&filter, None, 1).await };
    assert!(matches!(page.await, Err(Error::Unavailable(_))));
    // The newest events are found without reading the others.
    let store = store.limited(Limits { transaction: Duration::from_millis(200), ..SHORT });
    let newest = store.report().await.unwrap().audit_page(&AuditFilter::default(), None, 3).await.unwrap();
    assert_eq!(newest.iter().map(|e| e.at.millis()).collect::<Vec<_>>(), [400_000, 399_999, 399_998]);
    store.close().await;
}

pub(crate) async fn connections_that_the_server_has_closed_cost_nobody_a_call(f: &Fixture) {
    let Location::Postgres(_) = &f.database.location else { return };
    let store = f.second().await;
    drop(join_all((0..8).map(|_| store.read())).await);
    store.write().await.unwrap().commit().await.unwrap();
    f.database.close_connections().await;
    for _ in 0..8 {
        store.write().await.unwrap().commit().await.unwrap();
        assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    }
    store.close().await;
}
