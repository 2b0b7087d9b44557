//! Copies of database files, and what a restored database needs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chancery::{
    domain::{
        audit::{Actor, AuditKind},
        sealing::Switched,
        session::RevokedCause,
    },
    error::Error,
    store::{By, Contents, DatabaseFile, Examined, GoOn, Location, Revoke},
};
use serde_json::json;

use crate::fixture::{Fixture, ISSUER, NOW};

fn always() -> GoOn {
    Arc::new(|| true)
}

async fn examine(path: &Path) -> Examined {
    DatabaseFile::new(path, always()).examine(NOW).await.unwrap()
}

pub(crate) async fn live_sessions_are_walked_by_id(f: &Fixture) {
    let user = f.ada().await;
    let mut live = Vec::new();
    for _ in 0..5 {
        live.push(f.signed_in(&user).await.id);
    }
    let mut expired = f.session(&user);
    expired.idle_expires_at = NOW;
    let revoked = f.signed_in(&user).await.id;
    let mut tx = f.store.write().await.unwrap();
    tx.session_insert(&expired).await.unwrap();
    let by = By { actor: &Actor::command(), cause: RevokedCause::DatabaseRestored, settings: &f.settings, now: NOW };
    assert_eq!(tx.revoke(Revoke::Sessions(&[revoked]), &by).await.unwrap(), 1);
    tx.commit().await.unwrap();
    live.sort();
    let mut tx = f.store.read().await.unwrap();
    let first = tx.sessions_live(None, NOW, 2).await.unwrap();
    let rest = tx.sessions_live(first.last(), NOW, 9).await.unwrap();
    assert_eq!([first, rest.clone()].concat(), live);
    assert!(tx.sessions_live(rest.last(), NOW, 9).await.unwrap().is_empty());
}

pub(crate) async fn after_closing_the_lists_a_lease_begins_a_new_one(f: &Fixture) {
    let lease = async |size, key: &[u8]| {
        let mut tx = f.store.write().await.unwrap();
        let lease = tx.status_list_lease(size, key, NOW).await.unwrap();
        tx.commit().await.unwrap();
        lease
    };
    let before = lease(64, &[1]).await;
    let mut tx = f.store.write().await.unwrap();
    tx.status_lists_close().await.unwrap();
    tx.commit().await.unwrap();
    let after = lease(64, &[2]).await;
    assert_eq!((after.list, after.from, after.to, after.key), (before.list + 1, 0, 64, vec![2]));
}

#[tokio::test]
async fn a_copy_is_one_moment_of_the_database_while_others_write() {
    let f = Fixture::sqlite().await;
    let Location::Sqlite(path) = f.database.location.clone() else { panic!() };
    let user = f.ada().await;
    f.signed_in(&user).await;
    let mut tx = f.store.write().await.unwrap();
    tx.audit(NOW, AuditKind::BackupStarted, &Actor::command(), "", json!({})).await.unwrap();
    tx.commit().await.unwrap();
    // A transaction that is under way is not in the copy, and does not hold it up.
    let mut open = f.store.write().await.unwrap();
    open.session_insert(&f.session(&user)).await.unwrap();
    let copy = path.with_extension("copy");
    DatabaseFile::new(&path, always()).copy_to(&copy).await.unwrap();
    open.commit().await.unwrap();
    let Examined::Sound(contents) = examine(&copy).await else { panic!() };
    let schema = contents.schema;
    let want = Contents {
        schema,
        min_binary: 1,
        issuer: ISSUER.into(),
        check_value: vec![7, 0, 255],
        older_check_values: Vec::new(),
        users: 1,
        sessions: 1,
        copied_at: Some(NOW),
    };
    assert_eq!(contents, want);
    let Examined::Sound(now) = examine(&path).await else { panic!() };
    assert_eq!(now, Contents { sessions: 2, ..want });
    // A key that was not dropped is needed as well; one that was never used is not.
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.sealing_key_add(2, &[2], NOW).await.unwrap() && tx.sealing_key_add(3, &[3], NOW).await.unwrap());
    assert_eq!(tx.sealing_key_switch(1, (2, &[2]), 1, NOW).await.unwrap(), Switched::Done);
    tx.commit().await.unwrap();
    let Examined::Sound(rotated) = examine(&path).await else { panic!() };
    assert_eq!((rotated.check_value, rotated.older_check_values), (vec![2], vec![vec![7, 0, 255]]));
    // It is never written over another.
    assert!(DatabaseFile::new(&path, always()).copy_to(&copy).await.is_err());
    f.finish().await;
}

#[tokio::test]
async fn a_copy_that_is_told_to_stop_ends_soon() {
    let f = Fixture::sqlite().await;
    let Location::Sqlite(path) = f.database.location.clone() else { panic!() };
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
        INSERT INTO principals (name, kind) SELECT 'principal ' || i, 'user' FROM n";
    f.database.sql(rows).await.unwrap();
    let asked = Arc::new(AtomicI64::new(0));
    let count = asked.clone();
    let go_on: GoOn = Arc::new(move || count.fetch_add(1, Ordering::Relaxed) < 1);
    let file = DatabaseFile::new(&path, go_on);
    let stopped = file.copy_to(&path.with_extension("copy")).await.unwrap_err();
    assert!(matches!(&stopped, Error::Unavailable(_)), "{stopped:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert!(matches!(file.examine(NOW).await, Err(Error::Unavailable(_))));
    assert!(matches!(examine(&path).await, Examined::Sound(_)));
    f.finish().await;
}

#[tokio::test]
async fn foreign_empty_and_damaged_files_are_told_apart() {
    let f = Fixture::sqlite().await;
    let Location::Sqlite(path) = f.database.location.clone() else { panic!() };
    let user = f.ada().await;
    f.signed_in(&user).await;
    let (other, copy) = (path.with_extension("other"), path.with_extension("copy"));
    for text in ["", "SQLite format", "nothing of the kind, at length"] {
        std::fs::write(&other, text).unwrap();
        assert_eq!(examine(&other).await, Examined::Foreign, "{text}");
    }
    DatabaseFile::new(&path, always()).copy_to(&copy).await.unwrap();
    let good = std::fs::read(&copy).unwrap();
    std::fs::write(&other, &good[..good.len() - 4096]).unwrap();
    assert!(matches!(examine(&other).await, Examined::Damaged(_)));
    // A row that refers to nothing.
    let orphan = "PRAGMA foreign_keys = OFF; DELETE FROM users";
    f.database.sql(orphan).await.unwrap();
    let Examined::Damaged(how) = examine(&path).await else { panic!() };
    assert!(how.contains("refers to a row that is missing"), "{how}");
    // A schema that nobody has claimed.
    f.database.sql("DELETE FROM instance").await.unwrap();
    f.database.sql("DELETE FROM sessions").await.unwrap();
    f.database.sql("DELETE FROM logins").await.unwrap();
    f.database.sql("DELETE FROM passwords").await.unwrap();
    assert_eq!(examine(&path).await, Examined::Empty);
    f.finish().await;
}
