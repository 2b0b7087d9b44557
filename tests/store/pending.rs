//! What is said about missing migrations, and whether it is true.

use std::{collections::BTreeMap, fs};

use chancery::store::{BINARIES, BINARY_VERSION, Location, MIGRATION_NOTES, Schema, TableLock};
use sqlx::{Connection, PgConnection};

use crate::{
    database::{Database, with_postgres},
    fixture::Fixture,
    upgrades::{dumps, load, newest, root, row_counts},
};

pub(crate) async fn what_every_older_schema_lacks_is_known(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, known) = load(f, &dump).await;
        let have: i64 = dump[..4].parse().unwrap();
        let pending = older.store.pending().await.unwrap();
        let lacks: Vec<i64> = pending.migrations.iter().map(|migration| migration.note.version).collect();
        let want: Vec<i64> = MIGRATION_NOTES.iter().map(|note| note.version).filter(|n| *n > have).collect();
        assert_eq!(lacks, want, "{dump}");
        assert!(pending.migrations.iter().all(|migration| !migration.name.is_empty()), "{dump}");
        let counted = row_counts(&older.database).await;
        for (table, rows) in &pending.rows {
            assert_eq!(counted.get(*table), Some(rows), "{dump}: {table}");
        }
        let touches = pending.migrations.iter().flat_map(|migration| migration.note.touches);
        for touched in touches.filter(|touched| counted.contains_key(touched.table)) {
            assert!(pending.rows.contains_key(touched.table), "{dump}: {}", touched.table);
        }
        if !lacks.is_empty() {
            assert_eq!(pending.min_binary, 1, "{dump}");
        }
        older.store.migrate(known.soon_after()).await.unwrap();
        assert!(older.store.pending().await.unwrap().migrations.is_empty(), "{dump}");
        older.finish().await;
    }
}

pub(crate) async fn a_copy_of_every_older_sqlite_schema_is_migrated_in_a_rehearsal(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, _) = load(f, &dump).await;
        let before = row_counts(&older.database).await;
        if let Location::Sqlite(_) = &older.database.location {
            older.store.rehearse().await.unwrap();
            assert_eq!(older.store.schema().await.unwrap(), Schema::Current(newest().parse().unwrap()), "{dump}");
        } else {
            older.store.rehearse().await.unwrap_err();
            assert_eq!(row_counts(&older.database).await, before, "{dump}");
        }
        older.finish().await;
    }
}

/// Number and text of each migration, in their order.
fn migrations(engine: &str) -> Vec<(i64, String)> {
    let folder = root().join("migrations").join(engine);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let number = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap()[..4].parse().unwrap();
    files.into_iter().map(|path| (number(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn each_migration_has_a_note_and_each_binary_a_name() {
    for engine in ["sqlite", "postgres"] {
        let all = migrations(engine);
        let noted: Vec<i64> = MIGRATION_NOTES.iter().map(|note| note.version).collect();
        assert_eq!(all.iter().map(|(number, _)| *number).collect::<Vec<_>>(), noted, "src/store/migration_notes.rs");
        for ((number, text), note) in all.iter().zip(MIGRATION_NOTES) {
            assert!(note.does.ends_with('.') && !note.does.contains('\n'), "{number}");
            // The first makes the column.
            let raises = *number > 1 && text.contains("min_binary");
            assert_eq!(raises, note.min_binary.is_some(), "{number}");
        }
    }
    let numbers: Vec<i64> = BINARIES.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=BINARY_VERSION).collect::<Vec<_>>());
}

/// The strongest lock that the transaction of a connection holds on each table.
async fn locks(connection: &mut PgConnection) -> BTreeMap<String, TableLock> {
    const SQL: &str = "SELECT CAST(c.relname AS TEXT), l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = pg_backend_pid() AND l.granted \
        AND n.nspname = 'public' AND c.relkind = 'r'";
    let rows: Vec<(String, String)> = sqlx::query_as(SQL).fetch_all(connection).await.unwrap();
    let mut locks = BTreeMap::new();
    for (table, mode) in rows {
        let lock = match &*mode {
            "AccessExclusiveLock" => TableLock::AccessExclusive,
            "ShareRowExclusiveLock" => TableLock::ShareRowExclusive,
            "ShareLock" => TableLock::Share,
            "ShareUpdateExclusiveLock" => TableLock::ShareUpdateExclusive,
            // Those of ordinary statements.
            "AccessShareLock" | "RowShareLock" | "RowExclusiveLock" => continue,
            other => panic!("{other} on {table}"),
        };
        let strongest = locks.entry(table).or_insert(lock);
        *strongest = lock.max(*strongest);
    }
    locks
}

#[tokio::test]
async fn the_locks_are_those_that_postgresql_takes() {
    if !with_postgres() {
        return;
    }
    let database = Database::postgres().await;
    let Location::Postgres(url) = &database.location else { panic!("not PostgreSQL") };
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    for ((number, text), note) in migrations("postgres").into_iter().zip(MIGRATION_NOTES) {
        let before = row_counts(&database).await;
        let mut tx = connection.begin().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut *tx).await.unwrap();
        let mut taken = locks(&mut tx).await;
        taken.retain(|table, _| before.contains_key(table));
        let noted = note.touches.iter().map(|touched| (touched.table.to_owned(), touched.lock)).collect();
        assert_eq!(taken, noted, "migration {number}, src/store/migration_notes.rs");
        tx.commit().await.unwrap();
    }
    drop(connection);
    database.drop().await;
}
