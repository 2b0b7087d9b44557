//! What an operator has to know about the engine below.

use super::engine::{Sql, Tx, optional};
use crate::error::{Error, Result};

/// An engine, and how it keeps what it has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkup {
    /// Its version.
    pub version: String,
    /// PostgreSQL's `fsync`, `full_page_writes` and `synchronous_commit`; `None` on SQLite, where they are this program's.
    pub durability: Option<Durability>,
    /// Why PostgreSQL takes no changes, as far as its settings say.
    pub read_only: Option<ReadOnly>,
}

/// Why PostgreSQL takes no changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// It follows another server.
    Standby,
    /// `default_transaction_read_only` is on, for the server, the database or the role.
    ByDefault,
}

/// PostgreSQL's settings about durability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// Whether anything is flushed at all.
    pub fsync: bool,
    /// Whether a page that was half written can be repaired.
    pub full_page_writes: bool,
    /// What a commit waits for.
    pub synchronous_commit: String,
}

#[derive(sqlx::FromRow)]
struct CheckupRow {
    version: String,
    fsync: Option<String>,
    full_page_writes: Option<String>,
    synchronous_commit: Option<String>,
    standby: bool,
    read_only: bool,
}

const CHECKUP: Sql = Sql {
    sqlite: "SELECT sqlite_version() AS version, CAST(NULL AS TEXT) AS fsync, CAST(NULL AS TEXT) AS full_page_writes, \
        CAST(NULL AS TEXT) AS synchronous_commit, false AS standby, false AS read_only",
    postgres: "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync, \
        current_setting('full_page_writes') AS full_page_writes, \
        current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS standby, \
        current_setting('default_transaction_read_only') = 'on' AS read_only",
};

impl Tx {
    /// Looks at the engine.
    pub async fn checkup(&mut self) -> Result<Checkup> {
        let row = optional!(self, CheckupRow, CHECKUP)?;
        let row = row.ok_or_else(|| Error::Internal("a row that is always there is missing".into()))?;
        let settings = row.fsync.zip(row.full_page_writes).zip(row.synchronous_commit);
        let durability = settings.map(|((fsync, pages), commit)| Durability {
            fsync: fsync == "on",
            full_page_writes: pages == "on",
            synchronous_commit: commit,
        });
        let read_only =
            if row.standby { Some(ReadOnly::Standby) } else { row.read_only.then_some(ReadOnly::ByDefault) };
        Ok(Checkup { version: row.version, durability, read_only })
    }
}
