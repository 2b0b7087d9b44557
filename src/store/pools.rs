//! The pools of connections to each engine, by use, so that one use cannot take the connections of another.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sqlx::{
    Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::Instant;

use super::{
    ACQUIRE_TIMEOUT, connection::TxConnection, connection_figures::ConnectionFigures, failure,
    foreign_file::refuse_foreign_file, private_file, seats::Seats, setup_lock::setup_lock,
};
use crate::error::{Error, Result};

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
    /// The uses share the connections. `listen` tells whether one more may listen for notifications.
    Postgres { main: Seats, follow: Seats, report: Seats, listen: bool },
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
    /// How many connections there are now.
    pub(super) fn figures(&self) -> ConnectionFigures {
        match self {
            Self::Sqlite { write, read, follow, report, .. } => {
                let mut figures = ConnectionFigures::default();
                for pool in [write, read, follow, report] {
                    let open = u64::from(pool.size());
                    figures.open += open;
                    figures.used += open.saturating_sub(pool.num_idle() as u64);
                    figures.most += u64::from(pool.options().get_max_connections());
                }
                figures
            }
            Self::Postgres { main, .. } => main.figures(),
        }
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        match self {
            // The last connection to close tidies up the write-ahead log, so the writing one is last.
            Self::Sqlite { write, read, follow, report, .. } => {
                tokio::join!(read.close(), follow.close(), report.close());
                write.close().await;
            }
            Self::Postgres { main, .. } => main.close().await,
        }
    }
}

/// Opens a SQLite file.
pub(super) async fn open_sqlite(path: &Path, create: bool) -> Result<Pools> {
    refuse_foreign_file(path).await?;
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
