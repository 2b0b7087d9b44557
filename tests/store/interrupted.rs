//! Callers that go away at any moment, and statements that fail.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use chancery::{
    domain::audit::{Actor, AuditFilter, AuditKind},
    error::{Error, Result},
    store::Store,
};

use futures_util::future::join_all;

use crate::{
    fixture::{Fixture, NOW},
    network::Network,
};

/// How many times a future is polled before it is dropped, at most. Fewer see a transaction to its end.
const POLLS: usize = 16;
/// At least as many as PostgreSQL's pool has.
const CONNECTIONS: usize = 16;

pub(crate) async fn callers_that_go_away_leave_no_transaction_behind(f: &Fixture) {
    let network = if f.database.engine == "postgres" { Some(Network::to(&f.database).await) } else { None };
    let database = network.as_ref().map_or(&f.database, |n| &n.database);
    if let Some(network) = &network {
        // Far enough away that every message is waited for.
        network.delay(1);
    }
    let store = Store::open(&database.location, false, f.entropy.clone()).await.unwrap();
    for polls in 1..POLLS {
        drop_after(polls, async { store.read().await?.audit_page(&AuditFilter::default(), None, 1).await }).await;
        drop_after(polls, async { store.report().await?.audit_page(&AuditFilter::default(), None, 1).await }).await;
        drop_after(polls, async { store.follow().await?.feed_head().await }).await;
        drop_after(polls, write(&store, "dropped, or not")).await;
        // As many as there are connections, so that each is used. None finds a transaction of somebody else.
        for written in join_all((0..CONNECTIONS).map(|_| write(&store, "kept"))).await {
            written.unwrap();
        }
    }
    let all = store.read().await.unwrap().audit_page(&AuditFilter::default(), None, 10_000).await.unwrap();
    assert_eq!(all.iter().filter(|e| e.subject == "kept").count(), (POLLS - 1) * CONNECTIONS);
    store.close().await;
}

async fn write(store: &Store, subject: &str) -> Result<()> {
    let mut tx = store.write().await?;
    tx.audit(NOW, AuditKind::UserDisabled, &Actor::command(), subject, serde_json::json!({})).await?;
    tx.commit().await.map(drop)
}

/// Polls a future this many times, each time when it was woken, and drops it.
async fn drop_after<T>(polls: usize, future: impl Future<Output = Result<T>>) {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => {
            assert!(outcome.is_ok(), "{:?}", outcome.err());
            Poll::Ready(())
        }
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }
    })
    .await;
}

/// PostgreSQL answers such a `COMMIT` with success, and keeps nothing.
pub(crate) async fn a_transaction_is_not_committed_after_a_failed_statement(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    tx.user_disable(&ada.id, NOW).await.unwrap();
    assert!(tx.session_insert(&f.session(&f.user("nobody").user)).await.is_err());
    assert!(matches!(tx.commit().await, Err(Error::Internal(_))));
    assert_eq!(f.store.read().await.unwrap().user_by_id(&ada.id).await.unwrap().unwrap().disabled_at, None);
    write(&f.store, "later").await.unwrap();
}
