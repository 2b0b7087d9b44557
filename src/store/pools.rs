//! The pools of connections to each engine, by use, so that one use cannot take the connections of another.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, PgPool, Sqlite, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::{Instant, timeout};

use super::{
    ACQUIRE_TIMEOUT, connection::TxConnection, failure, private_file, readiness::Readiness, setup_lock::setup_lock,
};
use crate::error::{Error, Result};

/// A connection that was idle for longer is pinged before use: the server may be gone. Pinging every time would
/// add one round trip to every three in a stream of batches.
const PING_AFTER_IDLE: Duration = Duration::from_millis(200);
/// How long to wait for the answer. Then the next connection is tried, or a new one is opened.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections to PostgreSQL for everything but following the feed (2), listening (1) and reports (2).
const MAIN_CONNECTIONS: u32 = 12;

/// How long SQLite itself waits for the write lock before it reports BUSY. Within that time it retries after 1,
/// 2, 5 and 2 ms, so every waiting process notices a gap longer than 5 ms.
const SQLITE_BUSY: &str = "PRAGMA busy_timeout = 10";
/// Page cache of the writing connection, in KiB (SQLite wants that negative). The upper levels of the B-trees of
/// ten million sessions take about 15 MiB, and every refresh goes through them.
const SQLITE_CACHE: &str = "-32768";
/// How many instructions of SQLite's virtual machine run between two looks at whether to interrupt: about 50 µs.
const INTERRUPT_EVERY: i32 = 10_000;

#[derive(Clone)]
pub(super) enum Pools {
    /// One connection for writing; others for reading.
    Sqlite { write: SqlitePool, read: SqlitePool, follow: SqlitePool, report: SqlitePool, path: PathBuf },
    /// All but `main` are connected when they are first used. The follower has a second connection for the moment in
    /// which its first goes back to the pool.
    Postgres { main: PgPool, follow: PgPool, report: PgPool, listen: Box<PgConnectOptions> },
}

impl fmt::Debug for Pools {
    /// Omits the options for connecting: theirs prints the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path, .. } => f.debug_struct("Sqlite").field("path", path).finish_non_exhaustive(),
            Self::Postgres { main, .. } => f.debug_struct("Postgres").field("main", main).finish_non_exhaustive(),
        }
    }
}

impl Pools {
    /// Closes all connections.
    pub(super) async fn close(&self) {
        match self {
            // The last connection to close tidies up the write-ahead log, so the writing one is last.
            Self::Sqlite { write, read, follow, report, .. } => {
                tokio::join!(read.close(), follow.close(), report.close());
                write.close().await;
            }
            Self::Postgres { main, follow, report, .. } => {
                tokio::join!(main.close(), follow.close(), report.close());
            }
        }
    }
}

/// Opens PostgreSQL.
pub(super) async fn open_postgres(url: &str, readiness: &Arc<Readiness>) -> Result<Pools> {
    let options = PgConnectOptions::from_str(url).map_err(failure)?.application_name("chancery");
    let pool = |connections| postgres_pool(connections, readiness.clone());
    let lazy = |connections| pool(connections).connect_lazy_with(options.clone());
    let main = match pool(MAIN_CONNECTIONS).connect_with(options.clone()).await {
        Ok(pool) => pool,
        // The pool retries for a while and then reports only a timeout. A single attempt tells the cause.
        Err(sqlx::Error::PoolTimedOut) => {
            let attempt = timeout(ACQUIRE_TIMEOUT, options.connect()).await;
            return Err(failure(attempt.ok().and_then(Result::err).unwrap_or(sqlx::Error::PoolTimedOut)));
        }
        Err(error) => return Err(failure(error)),
    };
    Ok(Pools::Postgres { main, follow: lazy(2), report: lazy(2), listen: Box::new(options) })
}

fn postgres_pool(connections: u32, readiness: Arc<Readiness>) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let trusted = readiness.trusts(meta.age);
            Box::pin(async move {
                if !trusted {
                    return Ok(false);
                }
                if meta.idle_for <= PING_AFTER_IDLE {
                    return Ok(true);
                }
                // A connection that does not answer is closed without a farewell.
                timeout(PING_TIMEOUT, connection.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                Ok(true)
            })
        })
}

/// Opens a SQLite file.
pub(super) async fn open_sqlite(path: &Path, create: bool) -> Result<Pools> {
    // Switching a new file to WAL fails without waiting while another process has it open.
    let _lock = setup_lock(path.to_owned()).await?;
    if create {
        private_file::make_private(path).map_err(|e| Error::Unavailable(Box::new(e)))?;
    }
    private_file::tighten(path);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        // A lost commit could make a revoked token valid again.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(ACQUIRE_TIMEOUT);
    // A file does not disappear as a server does, so connections need no ping before use.
    let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
    // Opening may wait for long; after that, transactions poll for the lock themselves.
    let write = pool().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move { sqlx::query(SQLITE_BUSY).execute(connection).await.map(drop) })
    });
    let write = write.connect_with(options.clone().pragma("cache_size", SQLITE_CACHE)).await.map_err(failure)?;
    let options = options.create_if_missing(false).pragma("query_only", "ON");
    let read = pool().max_connections(4).connect_with(options.clone()).await.map_err(failure)?;
    let follow = pool().max_connections(2).connect_with(options.clone()).await.map_err(failure)?;
    let report = pool().max_connections(2).connect_lazy_with(options);
    Ok(Pools::Sqlite { write, read, follow, report, path: path.to_owned() })
}

/// Interrupts a running statement of SQLite when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes the statements of a connection end at `limit`, or when the returned guard is dropped. SQLite has no time-out
/// of its own, and its thread would go on reading for nobody.
pub(super) async fn interruptible(connection: &mut TxConnection<Sqlite>, limit: Instant) -> Result<Interrupt> {
    let interrupt = Interrupt::default();
    let is_over = interrupt.0.clone();
    let mut handle = connection.lock_handle().await.map_err(failure)?;
    handle.set_progress_handler(INTERRUPT_EVERY, move || !is_over.load(Ordering::Relaxed) && Instant::now() < limit);
    Ok(interrupt)
}
