//! The servers that run on a database. Each says so every few seconds.

use sqlx::types::Json;

use super::engine::{Sql, Tx, all, execute, optional};
use crate::{
    domain::process::{MOST_PROCESSES, Process},
    error::Result,
    id::ProcessId,
    store::failure::corrupt,
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct ProcessRow {
    id: String,
    version: String,
    binary_version: i64,
    host: String,
    sealing_versions: Json<Vec<i64>>,
    started_at: i64,
    seen_at: i64,
}

impl Tx {
    /// Notes that a process runs. Where there is no room, those that were not seen since `since` are forgotten. Returns whether it
    /// was noted: there may be too many that run.
    pub async fn process_seen(&mut self, process: &Process, since: Timestamp) -> Result<bool> {
        const SWEEP: &str =
            "DELETE FROM processes WHERE seen_at < $1 AND id <> $2 AND (SELECT count(*) FROM processes) >= $3";
        const SQL: &str = "INSERT INTO processes (id, version, binary_version, host, sealing_versions, started_at, seen_at) \
            SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT count(*) FROM processes WHERE id <> $1) < $8 \
            ON CONFLICT (id) DO UPDATE SET sealing_versions = excluded.sealing_versions, seen_at = excluded.seen_at";
        let p = process;
        let (versions, started, seen) = (Json(&p.sealing_versions), p.started_at.millis(), p.seen_at.millis());
        let (id, most) = (p.id.as_str(), i64::try_from(MOST_PROCESSES).unwrap_or(i64::MAX));
        execute!(self, SWEEP, since.millis(), id, most)?;
        let noted = execute!(self, SQL, id, &p.version, p.binary_version, &p.host, versions, started, seen, most)?;
        Ok(noted == 1)
    }

    /// How many connections there are of processes that do not say that they run: their binary is older than the table. Not
    /// known on SQLite, nor behind a pooler that gives connections a name of its own.
    pub async fn connections_of_older(&mut self) -> Result<i64> {
        const SQL: Sql = Sql {
            sqlite: "SELECT 0",
            postgres: "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name = 'chancery'",
        };
        Ok(optional!(self, (i64,), SQL)?.map_or(0, |(count,)| count))
    }

    /// Forgets a process that has ended.
    pub async fn process_forget(&mut self, id: &ProcessId) -> Result<()> {
        execute!(self, "DELETE FROM processes WHERE id = $1", id.as_str()).map(|_| ())
    }

    /// Forgets the processes that were not seen since `before`. Returns their number.
    pub async fn processes_forget(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, "DELETE FROM processes WHERE seen_at < $1", before.millis())
    }

    /// The processes that were seen since `since`, in the order of their start.
    pub async fn processes_since(&mut self, since: Timestamp) -> Result<Vec<Process>> {
        const SQL: &str = "SELECT id, version, binary_version, host, sealing_versions, started_at, seen_at FROM processes \
            WHERE seen_at >= $1 ORDER BY started_at, id";
        let rows = all!(self, ProcessRow, SQL, since.millis())?;
        rows.into_iter().map(Process::try_from).collect()
    }
}

impl TryFrom<ProcessRow> for Process {
    type Error = crate::error::Error;
    fn try_from(row: ProcessRow) -> Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("processes", "id", &row.id))?,
            version: row.version,
            binary_version: row.binary_version,
            host: row.host,
            sealing_versions: row.sealing_versions.0,
            started_at: Timestamp::from_millis(row.started_at),
            seen_at: Timestamp::from_millis(row.seen_at),
        })
    }
}
