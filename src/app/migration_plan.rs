//! `chancery migrate --check`: what a migration would do, and how long it would take.

use std::{path::Path, sync::Arc};

use super::{
    database::{explain, open_store},
    workplace::Workplace,
};
use crate::{
    entropy::Entropy,
    store::{BINARIES, DatabaseFile, Location, PendingMigration, Store},
    time::{Clock, SystemClock, Ttl},
};

/// How long PostgreSQL takes to read a million sessions and build an index of them, rounded up. `scripts/measure-migrations`
/// measures it.
const MILLION_ROWS: i64 = 1_000;
/// Each migration takes this long on an empty table.
const EACH: i64 = 50;
/// A rehearsal needs room for the copy, for what the migrations write anew, and for the log of that.
const ROOM: u64 = 3;

/// What a migration would do to a database.
#[derive(Clone, Debug)]
pub struct MigrationPlan {
    /// The newest migration that was applied.
    pub have: i64,
    /// The newest migration of this binary.
    pub want: i64,
    /// The migrations that are missing.
    pub steps: Vec<MigrationStep>,
    /// How long everything takes together.
    pub time: TimeTaken,
    /// How many bytes the copy takes that is made first; nothing on PostgreSQL.
    pub copied: Option<u64>,
    /// How many user names are deleted because they are addresses.
    pub deleted_names: i64,
    /// The lowest number of binaries that may use the database afterwards.
    pub min_binary: i64,
    /// Which those are.
    pub binaries: &'static str,
    /// Whether servers that run on the older schema may go on beside those of this release.
    pub runs_beside: bool,
}

/// A missing migration.
#[derive(Clone, Debug)]
pub struct MigrationStep {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// What it does.
    pub does: &'static str,
    /// What it does to tables that are there now.
    pub tables: Vec<TableHeld>,
}

/// A table that is locked until the migrations are done.
#[derive(Clone, Debug)]
pub struct TableHeld {
    /// Its name.
    pub table: &'static str,
    /// How many rows it has now.
    pub rows: i64,
    /// The lock; nothing on SQLite, which has one for all.
    pub lock: Option<&'static str>,
    /// What waits for it.
    pub blocks: &'static str,
}

/// How long the migrations take.
#[derive(Clone, Debug)]
pub enum TimeTaken {
    /// They took that on a copy.
    Rehearsed(Ttl),
    /// They failed on a copy, and why.
    Failed(String),
    /// Estimated by numbers of rows.
    Estimated(Ttl),
    /// Not known, and why.
    Unknown(String),
}

/// Looks at what the migrations from `have` to `want` would do.
pub(super) async fn look(
    store: &Store,
    location: &Location,
    (have, want): (i64, i64),
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<MigrationPlan> {
    let pending = store.pending().await.map_err(|e| explain(&e))?;
    let (time, copied) = match location {
        Location::Sqlite(path) => (rehearse(path, entropy).await, Some(size(path))),
        Location::Postgres(_) => (estimate(&pending.migrations, |table| pending.rows.get(table).copied()), None),
    };
    let on_sqlite = copied.is_some();
    let held = |migration: &PendingMigration| {
        let touched = migration.note.touches.iter();
        touched.filter_map(|t| pending.rows.get(t.table).map(|rows| held(t, *rows, on_sqlite))).collect()
    };
    let steps = pending.migrations.iter().map(|migration| MigrationStep {
        version: migration.note.version,
        name: migration.name.clone(),
        does: migration.note.does,
        tables: held(migration),
    });
    let newest = BINARIES.iter().rfind(|(number, _)| *number <= pending.min_binary);
    Ok(MigrationPlan {
        have,
        want,
        steps: steps.collect(),
        time,
        copied,
        deleted_names: store.names_to_delete().await.map_err(|e| explain(&e))?,
        min_binary: pending.min_binary,
        binaries: newest.map_or("none that is known", |(_, which)| which),
        runs_beside: pending.migrations.iter().all(|migration| migration.note.min_binary.is_none()),
    })
}

fn held(touched: &crate::store::Touched, rows: i64, on_sqlite: bool) -> TableHeld {
    let (lock, blocks) =
        if on_sqlite { (None, "changes") } else { (Some(touched.lock.as_str()), touched.lock.blocks()) };
    TableHeld { table: touched.table, rows, lock, blocks }
}

/// The sum over the tables that are read: `rows_of` knows those that are there now.
fn estimate(migrations: &[PendingMigration], rows_of: impl Fn(&str) -> Option<i64>) -> TimeTaken {
    let touched = migrations.iter().flat_map(|migration| migration.note.touches);
    let rows: i64 =
        touched.map(|t| rows_of(t.table).unwrap_or(0).saturating_mul(t.passes)).fold(0, i64::saturating_add);
    let each = i64::try_from(migrations.len()).unwrap_or(i64::MAX).saturating_mul(EACH);
    TimeTaken::Estimated(Ttl::from_millis(each.saturating_add(rows / (1_000_000 / MILLION_ROWS))))
}

/// Migrates a copy beside the database, and removes it.
async fn rehearse(path: &Path, entropy: &Arc<dyn Entropy>) -> TimeTaken {
    let needed = size(path).saturating_mul(ROOM);
    match free(path) {
        None => return TimeTaken::Unknown("how much room there is beside the database cannot be told".to_owned()),
        Some(free) if free < needed => {
            let why = format!("a rehearsal on a copy needs {} MiB, there are {}", needed >> 20, free >> 20);
            return TimeTaken::Unknown(why);
        }
        Some(_) => {}
    }
    match copy(path, entropy).await {
        Err(error) => TimeTaken::Unknown(format!("no copy could be made for a rehearsal: {error:#}")),
        Ok((copy, _workplace)) => {
            let clock = SystemClock;
            let began = clock.elapsed();
            let done = copy.rehearse().await;
            let took = Ttl::from_millis(clock.elapsed().millis() - began.millis());
            copy.close().await;
            done.map_or_else(|e| TimeTaken::Failed(explain(&e).to_string()), |()| TimeTaken::Rehearsed(took))
        }
    }
}

async fn copy(path: &Path, entropy: &Arc<dyn Entropy>) -> anyhow::Result<(Store, Workplace)> {
    let workplace = Workplace::beside(path, "rehearsal", &**entropy)?;
    let (to, _) = workplace.file("copy.db")?;
    DatabaseFile::new(path, Arc::new(|| true)).copy_to(&to).await.map_err(|e| explain(&e))?;
    let store = Box::pin(open_store(&Location::Sqlite(to), false, entropy)).await?;
    Ok((store, workplace))
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// How many bytes are free on the disk of a file.
#[cfg(target_os = "linux")]
fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(target_os = "linux"))]
fn free(_: &Path) -> Option<u64> {
    None
}
