//! A migration that fails or is cut off changes nothing, and succeeds later.

use std::path::PathBuf;

use chancery::{
    store::{Location, Schema},
    time::Ttl,
};

use crate::{
    fixture::Fixture,
    upgrades::{dumps, load, newest, refresh, row_counts, serve},
};

/// The second statement names a table that is not there.
const BROKEN: &[(i64, &str)] =
    &[(9998, "CREATE TABLE half (id BIGINT PRIMARY KEY); INSERT INTO missing (id) VALUES (1)")];
const MENDED: &[(i64, &str)] = &[(9998, "CREATE TABLE half (id BIGINT PRIMARY KEY); INSERT INTO half (id) VALUES (1)")];

fn current() -> Schema {
    Schema::Current(newest().parse().unwrap())
}

/// The copies that were made before.
fn copies(f: &Fixture) -> Vec<PathBuf> {
    let Location::Sqlite(path) = &f.database.location else { return Vec::new() };
    let beside = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path());
    beside.filter(|path| path.to_string_lossy().contains(".schema-")).collect()
}

pub(crate) async fn a_failed_migration_leaves_the_schema_and_what_was_issued_in_use(f: &Fixture) {
    let dump = dumps(f.database.engine).pop().unwrap();
    let (older, known) = load(f, &dump).await;
    let service = serve(&older, &known).await;
    let before = row_counts(&older.database).await;
    older.store.migrate_with(BROKEN, known.soon_after()).await.unwrap_err();
    assert_eq!(older.store.schema().await.unwrap(), current());
    assert_eq!(row_counts(&older.database).await, before);
    // A server that has been running goes on, and another one starts.
    let pair = refresh(&service, &known, &known.refresh_token).await.unwrap();
    let another = serve(&older, &known).await;
    let pair = refresh(&another, &known, pair.refresh.unwrap().expose()).await.unwrap();
    older.store.migrate_with(MENDED, known.soon_after()).await.unwrap();
    assert_eq!(row_counts(&older.database).await["half"], 1);
    refresh(&service, &known, pair.refresh.unwrap().expose()).await.unwrap();
    drop((service, another));
    older.finish().await;
}

pub(crate) async fn a_failure_after_others_takes_them_back(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, known) = load(f, &dump).await;
        let (before, schema) = (row_counts(&older.database).await, older.store.schema().await.unwrap());
        older.store.migrate_with(BROKEN, known.soon_after()).await.unwrap_err();
        assert_eq!(older.store.schema().await.unwrap(), schema, "{dump}");
        assert_eq!(row_counts(&older.database).await, before, "{dump}");
        // A copy of what has not changed is of no use.
        assert_eq!(copies(&older), Vec::<PathBuf>::new(), "{dump}");
        older.store.migrate(known.soon_after()).await.unwrap();
        assert_eq!(older.store.schema().await.unwrap(), current(), "{dump}");
        let is_old = older.database.engine == "sqlite" && schema != current();
        assert_eq!(copies(&older).len(), usize::from(is_old), "{dump}");
        older.finish().await;
    }
}

pub(crate) async fn a_caller_that_goes_away_half_way_leaves_the_schema_as_it_was(f: &Fixture) {
    let dump = dumps(f.database.engine).swap_remove(0);
    let (older, known) = load(f, &dump).await;
    let (before, schema) = (row_counts(&older.database).await, older.store.schema().await.unwrap());
    // However far it had come: a future that is polled so often and then dropped.
    for polls in [1, 2, 3, 5, 8, 13, 21, 34] {
        // Each makes a copy with a name of its own.
        let now = known.soon_after().plus(Ttl::from_secs(polls));
        let mut migration = Box::pin(older.store.migrate(now));
        let mut left = polls;
        let ended = std::future::poll_fn(|context| {
            left -= 1;
            match migration.as_mut().poll(context) {
                std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
                poll => std::task::Poll::Ready(poll.is_ready()),
            }
        });
        let ended = ended.await;
        drop(migration);
        if ended {
            break;
        }
        assert_eq!(older.store.schema().await.unwrap(), schema, "after {polls}");
        assert_eq!(row_counts(&older.database).await, before, "after {polls}");
    }
    older.store.migrate(known.soon_after()).await.unwrap();
    assert_eq!(older.store.schema().await.unwrap(), current());
    older.finish().await;
}
