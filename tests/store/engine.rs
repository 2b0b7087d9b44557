//! Properties of every transaction.

use chancery::{
    domain::feed::{Change, ChangeKind},
    error::Error,
    time::{Timestamp, Ttl},
};

use chancery::domain::user::UserFilter;

use crate::fixture::{Fixture, NOW};

pub(crate) async fn a_dropped_transaction_changes_nothing_and_uses_no_number(f: &Fixture) {
    let ada = f.ada().await;
    let before = f.store.read().await.unwrap().feed_head().await.unwrap().unwrap().0;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_disable(&ada.id, NOW).await.unwrap());
    tx.change(Change { kind: ChangeKind::User, subject: "x".into(), at: NOW, ends_at: NOW, status: None });
    drop(tx);
    assert_eq!(f.store.read().await.unwrap().user_by_id(&ada.id).await.unwrap().unwrap().disabled_at, None);
    assert_eq!(f.store.read().await.unwrap().feed_head().await.unwrap().unwrap().0, before);
}

pub(crate) async fn a_read_transaction_refuses_changes(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.user_disable(&ada.id, NOW).await.is_err());
    drop(tx);
    assert_eq!(f.store.read().await.unwrap().user_by_id(&ada.id).await.unwrap().unwrap().disabled_at, None);
}

pub(crate) async fn a_read_transaction_sees_one_snapshot(f: &Fixture) {
    let ada = f.ada().await;
    let mut reading = f.store.read().await.unwrap();
    assert_eq!(reading.users_page(&UserFilter::default(), "", 10).await.unwrap().len(), 1);
    let mut tx = f.store.write().await.unwrap();
    tx.user_disable(&ada.id, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(reading.user_by_id(&ada.id).await.unwrap().unwrap().disabled_at, None);
}

pub(crate) async fn references_are_enforced(f: &Fixture) {
    let stranger = f.user("nobody").user;
    let mut tx = f.store.write().await.unwrap();
    assert!(matches!(tx.session_insert(&f.session(&stranger)).await, Err(Error::Internal(_))));
    drop(tx);
    if f.database.engine == "sqlite" {
        // SQLite needs these for every connection: a lost commit could make a revoked token valid again.
        for (pragma, want) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
            assert_eq!(f.store.sqlite_pragma(pragma).await.unwrap(), [want, want], "{pragma}");
        }
    }
}

pub(crate) async fn texts_and_instants_are_stored_unchanged(f: &Fixture) {
    let ada = f.ada().await;
    for (n, text) in
        ["", "'; DROP TABLE users; --", "é e\u{301} 🦀 \u{202e}", "line\nline\ttab"].into_iter().enumerate()
    {
        let mut session = f.session(&ada);
        session.device_label = text.into();
        session.created_at = Timestamp::from_millis(if n == 0 { 1 } else { NOW.millis() + 999 });
        let mut tx = f.store.write().await.unwrap();
        tx.session_insert(&session).await.unwrap();
        tx.commit().await.unwrap();
        let stored = f.stored(&session.id).await;
        assert_eq!((stored.device_label, stored.created_at), (session.device_label, session.created_at));
    }
}

pub(crate) async fn statements_are_counted(f: &Fixture) {
    let before = f.store.statements();
    let mut tx = f.store.write().await.unwrap();
    tx.user_by_login("ada").await.unwrap();
    tx.change(Change {
        kind: ChangeKind::User,
        subject: "x".into(),
        at: NOW,
        ends_at: NOW.plus(Ttl::from_secs(1)),
        status: None,
    });
    assert_eq!(f.store.statements() - before, 1);
    // The feed's counter, and one entry.
    tx.commit().await.unwrap();
    assert_eq!(f.store.statements() - before, 3);
}

pub(crate) async fn an_engine_says_what_it_is_and_how_durable_a_commit_is(f: &Fixture) {
    let checkup = f.store.read().await.unwrap().checkup().await.unwrap();
    assert_eq!(checkup.read_only, None);
    let major: u32 = checkup.version.split('.').next().unwrap().parse().unwrap();
    match checkup.durability {
        None => assert_eq!(major, 3),
        // The cluster of the tests gives durability up for speed.
        Some(durability) => {
            assert!(major >= 13, "{}", checkup.version);
            assert!(["on", "off"].contains(&&*durability.synchronous_commit), "{durability:?}");
        }
    }
}
