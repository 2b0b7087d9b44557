//! What the migrations that a database lacks would do to it.

use std::collections::BTreeMap;

use super::{
    MIGRATION_NOTES, MigrationNote, Store, Tx,
    engine::{Inner, optional},
};
use crate::error::{Error, Result};

/// Tables of PostgreSQL up to this size are counted; of others the server's estimate is taken.
const COUNTED_UP_TO: i64 = 16 << 20;
/// How many bytes a row takes where the server has no estimate yet. Most take more, so that there are fewer of them.
const BYTES_OF_A_ROW: i64 = 200;

/// A migration that a database lacks.
#[derive(Clone, Debug)]
pub struct PendingMigration {
    /// Its name.
    pub name: String,
    /// What it does.
    pub note: MigrationNote,
}

/// What a database lacks.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// The migrations, in their order.
    pub migrations: Vec<PendingMigration>,
    /// How many rows the tables have that they touch. Large ones of PostgreSQL are estimated.
    pub rows: BTreeMap<&'static str, i64>,
    /// The lowest `BINARY_VERSION` that may use the database afterwards.
    pub min_binary: i64,
}

impl Store {
    /// What the missing migrations would do. Nothing if there is no schema yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn pending(&self) -> Result<Pending> {
        let mut pending = Pending::default();
        for (version, name) in self.missing().await? {
            let note = MIGRATION_NOTES.iter().find(|note| note.version == version);
            let note =
                *note.ok_or_else(|| Error::Internal(format!("nothing is noted about migration {version}").into()))?;
            pending.migrations.push(PendingMigration { name, note });
        }
        if pending.migrations.is_empty() {
            return Ok(pending);
        }
        let mut tx = self.report().await?;
        let min_binary = optional!(tx, (i64,), "SELECT min_binary FROM instance WHERE id = 1")?;
        let written = pending.migrations.iter().filter_map(|migration| migration.note.min_binary).max();
        pending.min_binary = min_binary.map_or(1, |(least,)| least).max(written.unwrap_or(1));
        for touched in pending.migrations.iter().flat_map(|migration| migration.note.touches) {
            if !pending.rows.contains_key(touched.table)
                && let Some(rows) = rows_of(&mut tx, touched.table, touched.count).await?
            {
                pending.rows.insert(touched.table, rows);
            }
        }
        Ok(pending)
    }
}

/// How many rows a table has; nothing if an earlier one of the missing migrations makes it.
async fn rows_of(tx: &mut Tx, table: &str, count: &'static str) -> Result<Option<i64>> {
    const OF_SQLITE: &str =
        "SELECT CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM sqlite_schema WHERE type = 'table' AND name = $1";
    const OF_POSTGRES: &str =
        "SELECT pg_relation_size(oid), CAST(reltuples AS BIGINT) FROM pg_class WHERE oid = to_regclass($1)";
    let look = match &tx.inner {
        Inner::Sqlite(_) => OF_SQLITE,
        Inner::Postgres(_) => OF_POSTGRES,
    };
    let Some((size, estimate)) = optional!(tx, (i64, i64), look, table)? else { return Ok(None) };
    if size > COUNTED_UP_TO {
        // Without an estimate, the server says -1.
        return Ok(Some(if estimate < 0 { size / BYTES_OF_A_ROW } else { estimate }));
    }
    Ok(optional!(tx, (i64,), count)?.map(|(rows,)| rows))
}
