//! The feed's numbers, entries and epochs.

use chancery::{
    domain::feed::{Change, ChangeKind, Head},
    time::{Clock, SystemClock, Timestamp, Ttl},
};

use crate::fixture::{Fixture, NOW};

fn change(subject: &str, ends_at: Timestamp) -> Change {
    Change { kind: ChangeKind::SessionRevoked, subject: subject.into(), at: NOW, ends_at, status: None }
}

async fn head(f: &Fixture) -> Head {
    f.store.read().await.unwrap().feed_head().await.unwrap().unwrap().0
}

pub(crate) async fn numbers_follow_the_order_of_commits_without_gaps(f: &Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            tx.change(change(&format!("{n}-first"), NOW));
            tx.change(change(&format!("{n}-second"), NOW));
            if n % 3 == 0 {
                return; // rolled back: no number is lost
            }
            assert!(tx.commit().await.unwrap());
            // After a commit, its own entries and all with smaller numbers are visible.
            let mut tx = store.read().await.unwrap();
            let newest = tx.feed_head().await.unwrap().unwrap().0.seq;
            let entries = tx.feed_from(1).await.unwrap();
            assert_eq!(entries.len(), usize::try_from(newest).unwrap());
            assert!(entries.iter().any(|e| e.change.subject == format!("{n}-second")));
        });
    }
    tasks.join_all().await;
    let entries = f.store.read().await.unwrap().feed_from(1).await.unwrap();
    let numbers: Vec<i64> = entries.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    let last = entries.last().unwrap();
    assert_eq!((head(f).await.seq, head(f).await.tag), (16, last.tag.clone()));
    let tags: std::collections::BTreeSet<_> = entries.iter().map(|e| &e.tag).collect();
    assert_eq!(tags.len(), 16);
}

pub(crate) async fn entries_are_read_from_a_number_or_while_not_expired(f: &Fixture) {
    let at = |ms| NOW.plus(Ttl::from_millis(ms));
    let mut tx = f.store.write().await.unwrap();
    for (subject, ends) in [("a", 1), ("b", 2), ("c", 3)] {
        tx.change(change(subject, at(ends)));
    }
    tx.commit().await.unwrap();
    let subjects = |entries: Vec<chancery::domain::feed::Entry>| -> String {
        entries.into_iter().map(|e| e.change.subject).collect()
    };
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(subjects(tx.feed_from(2).await.unwrap()), "bc");
    assert_eq!(subjects(tx.feed_live(at(1)).await.unwrap()), "bc");
    // No entry is deleted while a process may still have to continue from it.
    assert_eq!(tx.feed_forget(at(9), NOW).await.unwrap(), 0);
    // The newest entry is kept, whatever its age: its tag reveals a restored database.
    assert_eq!(tx.feed_forget(at(9), at(9)).await.unwrap(), 2);
    assert_eq!(subjects(tx.feed_from(1).await.unwrap()), "c");
}

pub(crate) async fn concurrent_calls_start_one_new_epoch(f: &Fixture) {
    let old = head(f).await.epoch;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        let old = old.clone();
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            let won = tx.feed_new_epoch(&old).await.unwrap();
            tx.commit().await.unwrap();
            won
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
    assert_ne!(head(f).await.epoch, old);
}

pub(crate) async fn the_database_has_the_time_if_machines_share_it(f: &Fixture) {
    let (_, with_head) = f.store.read().await.unwrap().feed_head().await.unwrap().unwrap();
    let alone = f.store.read().await.unwrap().database_time().await.unwrap();
    if f.database.engine == "sqlite" {
        assert_eq!((with_head, alone), (None, None));
        return;
    }
    let own = SystemClock.now();
    for time in [with_head, alone] {
        let off = own.since(time.unwrap()).millis().abs();
        assert!(off < 60_000, "{off} ms from this machine's clock");
    }
}

pub(crate) async fn a_listener_is_woken_by_another_process_if_the_engine_can(f: &Fixture) {
    use futures_util::FutureExt;
    let other = f.second().await;
    let mut wake = f.store.listen().await.unwrap();
    let mut tx = other.write().await.unwrap();
    tx.change(change("a", NOW));
    drop(tx);
    assert!(wake.grown().now_or_never().is_none(), "nothing was committed");
    let mut tx = other.write().await.unwrap();
    tx.change(change("a", NOW));
    tx.change(change("b", NOW));
    tx.commit().await.unwrap();
    if f.database.engine == "postgres" {
        tokio::time::timeout(std::time::Duration::from_secs(30), wake.grown()).await.unwrap().unwrap();
    } else {
        assert!(wake.grown().now_or_never().is_none(), "on SQLite nothing comes");
    }
}
