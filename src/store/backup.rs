//! Copies of an SQLite file: making one beside running servers, examining one, and what a restored one needs.
//!
//! A copy is made by `VACUUM INTO`, in one read transaction: it is one moment of the database, and in WAL mode
//! readers and writers do not wait for each other. SQLite's backup interface starts over whenever another process
//! writes, unless it copies everything in one step, which is the same read transaction; it also cannot be called
//! without `unsafe`. While the copy is made, the write-ahead log cannot be reset and grows. The file that comes out
//! is packed, has no write-ahead log, and depends on no other file.

use std::{
    fmt,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    ACQUIRE_TIMEOUT,
    engine::{Tx, all, execute},
    failure,
    failure::corrupt,
    private_file::make_private,
};
use crate::{
    domain::{audit::AuditKind, status_list::ENTRIES},
    error::{Error, Result},
    id::SessionId,
    time::Timestamp,
};

/// The first bytes of every SQLite database.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// How many steps of SQLite's machine pass between two questions whether to go on: a few milliseconds of copying.
const STEPS: i32 = 5_000;
/// SQLite's code for a statement that was told to end.
const INTERRUPTED: &str = "9";

/// Whether to go on with work that may take minutes.
pub type GoOn = Arc<dyn Fn() -> bool + Send + Sync>;

/// An SQLite file that is not opened as the database of this process.
#[derive(Clone)]
pub struct DatabaseFile {
    path: PathBuf,
    go_on: GoOn,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// No SQLite database.
    Foreign,
    /// An SQLite database that is damaged, and how.
    Damaged(String),
    /// A sound database without Chancery's tables, or one that no server has set up.
    Empty,
    /// A sound database of Chancery's.
    Sound(Contents),
}

/// What identifies a sound database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The newest migration that was applied.
    pub schema: i64,
    /// The lowest `BINARY_VERSION` that may use it.
    pub min_binary: i64,
    /// The issuer.
    pub issuer: String,
    /// The check value of the sealing key in use.
    pub check_value: Vec<u8>,
    /// The check values of the older sealing keys that it needs as well: those that were in use, and were not dropped.
    pub older_check_values: Vec<Vec<u8>>,
    /// The number of users.
    pub users: i64,
    /// The number of sessions that can be refreshed.
    pub sessions: i64,
    /// When the newest copy was begun: this one, if `chancery backup` made it.
    pub copied_at: Option<Timestamp>,
}

impl fmt::Debug for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseFile").field(&self.path).finish()
    }
}

impl DatabaseFile {
    /// A file, and whether to go on with it.
    #[must_use]
    pub fn new(path: &Path, go_on: GoOn) -> Self {
        Self { path: path.to_owned(), go_on }
    }

    /// Copies it into `to`, which must be missing or empty.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a file cannot be read or written, or there is no reason to go on.
    pub async fn copy_to(&self, to: &Path) -> Result<()> {
        let name = to.to_str().ok_or_else(|| Error::Unavailable("the name of the copy is not UTF-8".into()))?;
        make_private(to).map_err(|e| Error::Unavailable(Box::new(e)))?;
        let mut connection = self.connect().await?;
        let copied = sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await;
        copied.map_err(ended_or_failed)?;
        connection.close().await.map_err(failure)
    }

    /// Checks the whole file, and says what it is. Reads every page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be read, or there is no reason to go on.
    pub async fn examine(&self, now: Timestamp) -> Result<Examined> {
        if !self.begins_as_a_database()? {
            return Ok(Examined::Foreign);
        }
        let examined = match self.connect().await {
            Ok(mut connection) => {
                let examined = examine(&mut connection, now).await;
                connection.close().await.map_err(failure)?;
                examined
            }
            Err(error) => Err(error),
        };
        match examined {
            Err(Error::Internal(cause)) => Ok(Examined::Damaged(cause.to_string())),
            other => other,
        }
    }

    fn begins_as_a_database(&self) -> Result<bool> {
        let unreadable = |e: std::io::Error| Error::Unavailable(Box::new(e));
        let mut start = Vec::new();
        let file = std::fs::File::open(&self.path).map_err(unreadable)?;
        file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(unreadable)?;
        Ok(start == MAGIC)
    }

    async fn connect(&self) -> Result<SqliteConnection> {
        let options = SqliteConnectOptions::new().filename(&self.path).busy_timeout(ACQUIRE_TIMEOUT);
        let mut connection = options.disable_statement_logging().connect().await.map_err(failure)?;
        let go_on = self.go_on.clone();
        connection.lock_handle().await.map_err(failure)?.set_progress_handler(STEPS, move || go_on());
        Ok(connection)
    }
}

/// The error of a statement that may have been told to end.
fn ended_or_failed(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
    if code.as_deref() == Some(INTERRUPTED) {
        return Error::Unavailable("it was stopped before it was done".into());
    }
    failure(error)
}

async fn examine(connection: &mut SqliteConnection, now: Timestamp) -> Result<Examined> {
    if let Some(damage) = damage(connection).await? {
        return Ok(Examined::Damaged(damage));
    }
    let tables: i64 = number(connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'instance'", None).await?;
    if tables == 0 {
        return Ok(Examined::Empty);
    }
    let instance: Option<(i64, String)> = sqlx::query_as("SELECT min_binary, issuer FROM instance WHERE id = 1")
        .fetch_optional(&mut *connection)
        .await
        .map_err(ended_or_failed)?;
    let Some((min_binary, issuer)) = instance else { return Ok(Examined::Empty) };
    // Older schemas know one version of the sealing key.
    const VERSIONED: &str = "SELECT count(*) FROM pragma_table_info('instance') WHERE name = 'sealing_version'";
    const ONE: &str = "SELECT check_value FROM sealing_keys ORDER BY version DESC LIMIT 1";
    const NEEDED: &str = "SELECT check_value FROM sealing_keys WHERE used_from IS NOT NULL AND dropped_at IS NULL \
        ORDER BY version = (SELECT sealing_version FROM instance WHERE id = 1) DESC, version DESC";
    let needed = if number(connection, VERSIONED, None).await? == 0 { ONE } else { NEEDED };
    let needed: Vec<Vec<u8>> = sqlx::query_scalar(needed).fetch_all(&mut *connection).await.map_err(ended_or_failed)?;
    let mut needed = needed.into_iter();
    const SESSIONS: &str = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL AND idle_expires_at > $1 \
        AND absolute_expires_at > $1";
    let copied: Option<i64> = sqlx::query_scalar("SELECT max(at) FROM audit_events WHERE kind = $1")
        .bind(AuditKind::BackupStarted.as_str())
        .fetch_one(&mut *connection)
        .await
        .map_err(ended_or_failed)?;
    Ok(Examined::Sound(Contents {
        schema: number(connection, "SELECT max(version) FROM _sqlx_migrations WHERE success", None).await?,
        min_binary,
        issuer,
        check_value: needed.next().unwrap_or_default(),
        older_check_values: needed.collect(),
        users: number(connection, "SELECT count(*) FROM users", None).await?,
        sessions: number(connection, SESSIONS, Some(now)).await?,
        copied_at: copied.map(Timestamp::from_millis),
    }))
}

/// What is wrong with the pages, indices or references, if anything.
async fn damage(connection: &mut SqliteConnection) -> Result<Option<String>> {
    // One problem is enough, and a damaged file may have millions.
    let first: Option<String> = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_optional(&mut *connection)
        .await
        .map_err(ended_or_failed)?;
    if let Some(problem) = first.filter(|text| text != "ok") {
        return Ok(Some(problem));
    }
    let table = "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1";
    let table: Option<String> =
        sqlx::query_scalar(table).fetch_optional(&mut *connection).await.map_err(ended_or_failed)?;
    Ok(table.map(|table| format!("a row of {table} refers to a row that is missing")))
}

async fn number(connection: &mut SqliteConnection, sql: &'static str, at: Option<Timestamp>) -> Result<i64> {
    let query = sqlx::query_scalar(AssertSqlSafe(sql));
    let query = match at {
        Some(at) => query.bind(at.millis()),
        None => query,
    };
    query.fetch_one(connection).await.map_err(ended_or_failed)
}

/// A `postgres://` URL that libpq accepts, without password and parameters.
pub(super) fn url_for_tools(url: &str) -> String {
    let (url, _) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    match rest.rsplit_once('@') {
        Some((credentials, host)) => format!("{scheme}://{}@{host}", credentials.split(':').next().unwrap_or("")),
        None => format!("{scheme}://{rest}"),
    }
}

impl Tx {
    /// At most `count` sessions after `after`, by id, that can be refreshed at `now`.
    pub async fn sessions_live(
        &mut self,
        after: Option<&SessionId>,
        now: Timestamp,
        count: i64,
    ) -> Result<Vec<SessionId>> {
        const SQL: &str = "SELECT id FROM sessions WHERE id > $1 AND revoked_at IS NULL AND idle_expires_at > $2 \
            AND absolute_expires_at > $2 ORDER BY id LIMIT $3";
        let after = after.map_or("", SessionId::as_str);
        let rows = all!(self, (String,), SQL, after, now.millis(), count)?;
        rows.into_iter().map(|(id,)| id.parse().map_err(|_| corrupt("sessions", "id", &id))).collect()
    }

    /// Closes every status list: the next lease begins a new one.
    pub async fn status_lists_close(&mut self) -> Result<()> {
        execute!(self, "UPDATE status_lists SET leased = $1 WHERE leased < $1", i64::from(ENTRIES)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_for_tools_has_neither_password_nor_parameters() {
        for (url, shown) in [
            ("postgres://ada:p%40ss@db/id", "postgres://ada@db/id"),
            ("postgres://ada@db:5433/id?sslmode=require&password=x", "postgres://ada@db:5433/id"),
            ("postgresql://db/id?statement-cache-capacity=9", "postgresql://db/id"),
            ("postgres:///id?host=/run/pg&user=ada", "postgres:///id"),
        ] {
            assert_eq!(url_for_tools(url), shown);
        }
    }
}
