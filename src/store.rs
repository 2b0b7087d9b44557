//! The database: SQLite or PostgreSQL behind one concrete [`Store`]. Imports `domain`, `passwords`, `id`,
//! `secret`, `time`, `entropy` and `error`. This is the only module that may name sqlx.
//!
//! One SQL text serves both engines. Its rules: placeholders `$1…$n`, each used; no `?`, `::`, `ILIKE`,
//! arrays, `FOR UPDATE` or `now()`; instants are milliseconds in BIGINT; lists are JSON. Where the dialects
//! really differ, the statement is an `engine::Sql` with both forms: the batch of refreshes, fast-forwarding,
//! lists of ids, counts of failures, and the import of users.
//!
//! Reads go through [`Store::read`], changes through [`Store::write`]. A dropped transaction is rolled back.
//! Changes for the feed are collected in the [`Tx`] and numbered as the last step before the commit, so that
//! numbers follow the order of commits.

mod audit;
mod backup;
mod clients;
mod creations;
mod engine;
mod failure;
mod feed;
mod foreign_keys;
mod import;
mod instance;
mod keys;
mod login_failures;
mod mails;
mod migrate;
mod refresh;
mod revoke;
mod roles;
mod sessions;
mod status_lists;
mod tickets;
mod users;
mod wake;

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, PgPool, Row, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{sync::Notify, time::Instant};

pub use self::wake::Wake;
pub use self::{
    backup::{Contents, DatabaseFile, Examined, GoOn},
    engine::Tx,
    failure::failure,
    import::KnownUser,
    instance::{BINARY_VERSION, Claim, Instance},
    mails::{ClaimedMail, MailsWaiting},
    migrate::Schema,
    revoke::{By, Revoke},
    sessions::{SessionFilter, Walk},
    status_lists::Lease,
    users::{NewUser, SignInUser, TakenName},
};
use crate::{
    entropy::Entropy,
    error::{Error, Result},
    time::{Clock, Ttl},
};

/// How long to wait for a connection or a lock before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is pinged before use: the server may be gone. Pinging every time would
/// add one round trip to every three in a stream of batches.
const PING_AFTER_IDLE: Duration = Duration::from_millis(200);

/// How long SQLite itself waits for the write lock before it reports BUSY. Within that time it retries after 1,
/// 2, 5 and 2 ms, so every waiting process notices a gap longer than 5 ms.
const SQLITE_BUSY: &str = "PRAGMA busy_timeout = 10";
/// Page cache of the writing connection, in KiB (SQLite wants that negative). The upper levels of the B-trees of
/// ten million sessions take about 15 MiB, and every refresh goes through them.
const SQLITE_CACHE: &str = "-32768";
/// How often, and for how long, a process that writes continuously lets others write.
const GAP_EVERY: Ttl = Ttl::from_millis(400);
const GAP: Duration = Duration::from_millis(6);

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A `postgres://` URL. It may contain a password, and is never printed whole.
    Postgres(DatabaseUrl),
}

/// A database URL. It prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL including the password, for connecting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL for PostgreSQL's own tools, without the password and without parameters that only this server knows.
    #[must_use]
    pub fn without_password(&self) -> String {
        backup::url_for_tools(&self.0)
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl std::fmt::Display for DatabaseUrl {
    /// The URL without user, password and parameters.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let after = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let host = after.rsplit_once('@').map_or(after, |(_, host)| host);
        write!(f, "postgres://{}", host.split('?').next().unwrap_or(""))
    }
}

impl std::fmt::Display for Location {
    /// The path, or the URL without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Location {
    /// Parses `postgres://…`, `postgresql://…` or `sqlite:PATH`.
    ///
    /// # Errors
    /// A description of what is accepted.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // The error must not quote the URL, which may contain a password.
            PgConnectOptions::from_str(url).map_err(|_| "is not a valid postgres:// URL".to_owned())?;
            return Ok(Self::Postgres(DatabaseUrl(url.to_owned())));
        }
        match url.strip_prefix("sqlite:") {
            Some(path) if !path.trim_start_matches('/').is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("must begin with postgres:// or sqlite:".to_owned()),
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    entropy: Arc<dyn Entropy>,
    reports: TxReports,
}

/// What transactions report to their process.
#[derive(Clone, Debug, Default)]
struct TxReports {
    /// Statements sent.
    statements: Arc<AtomicU64>,
    /// Notified when a mail was queued.
    mail: Arc<Notify>,
}

#[derive(Clone, Debug)]
enum Pools {
    /// One connection for writing; a few others for reading.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
        path: PathBuf,
    },
    Postgres(PgPool),
}

impl Store {
    /// Opens the database. Creates a missing SQLite file only if `create` is set.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be reached.
    pub async fn open(location: &Location, create: bool, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let pools = match location {
            Location::Sqlite(path) => open_sqlite(path, create).await?,
            Location::Postgres(url) => {
                let options = PgConnectOptions::from_str(&url.0).map_err(failure)?.application_name("chancery");
                let pool = PgPoolOptions::new()
                    .max_connections(16)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .test_before_acquire(false)
                    .before_acquire(|connection, meta| {
                        Box::pin(async move {
                            if meta.idle_for > PING_AFTER_IDLE {
                                connection.ping().await?;
                            }
                            Ok(true)
                        })
                    });
                match pool.connect_with(options.clone()).await {
                    Ok(pool) => Pools::Postgres(pool),
                    // The pool retries for a while and then reports only a timeout. A single attempt tells the cause.
                    Err(sqlx::Error::PoolTimedOut) => {
                        let cause = options.connect().await.err().unwrap_or(sqlx::Error::PoolTimedOut);
                        return Err(failure(cause));
                    }
                    Err(error) => return Err(failure(error)),
                }
            }
        };
        Ok(Self { pools, entropy, reports: TxReports::default() })
    }

    /// Begins a transaction for changes. On SQLite there is only one at a time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn write(&self) -> Result<Tx> {
        let inner = match &self.pools {
            Pools::Sqlite { write, .. } => begin_sqlite(write).await?,
            Pools::Postgres(pool) => boxed(pool.begin()).await.map(engine::Inner::Postgres).map_err(failure)?,
        };
        Ok(Tx::new(inner, self.entropy.clone(), self.reports.clone()))
    }

    /// To be called by code that writes one transaction after another. SQLite has no queue for the write lock, so
    /// this pauses now and then for other processes. Takes and returns the time of the last pause.
    pub async fn leave_gap(&self, clock: &dyn Clock, last: Ttl) -> Ttl {
        if matches!(self.pools, Pools::Postgres(_)) || clock.elapsed() < last.plus(GAP_EVERY) {
            return last;
        }
        self.stand_back().await;
        clock.elapsed()
    }

    /// On SQLite, lets others write: pauses long enough for every waiting process to notice that the lock is free.
    #[expect(clippy::disallowed_methods, reason = "other processes have to be let in")]
    pub async fn stand_back(&self) {
        if matches!(self.pools, Pools::Sqlite { .. }) {
            tokio::time::sleep(GAP).await;
        }
    }

    /// Begins a read-only transaction. The database refuses changes in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn read(&self) -> Result<Tx> {
        let inner = match &self.pools {
            Pools::Sqlite { read, .. } => boxed(read.begin()).await.map(engine::Inner::Sqlite),
            Pools::Postgres(pool) => {
                let begun = boxed(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"));
                begun.await.map(engine::Inner::Postgres)
            }
        };
        Ok(Tx::new(inner.map_err(failure)?, self.entropy.clone(), self.reports.clone()))
    }

    /// The values of a pragma on SQLite's writing and reading connections; nothing on PostgreSQL. For tests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn sqlite_pragma(&self, name: &'static str) -> Result<Vec<String>> {
        const SQL: [(&str, &str); 3] = [
            ("journal_mode", "PRAGMA journal_mode"),
            ("synchronous", "PRAGMA synchronous"),
            ("foreign_keys", "PRAGMA foreign_keys"),
        ];
        let Pools::Sqlite { write, read, .. } = &self.pools else { return Ok(Vec::new()) };
        let mut values = Vec::new();
        for (_, sql) in SQL.into_iter().filter(|(n, _)| *n == name) {
            for pool in [write, read] {
                let row = sqlx::query(sql).fetch_one(pool).await.map_err(failure)?;
                let number = row.try_get::<i64, _>(0).map(|n| n.to_string());
                values.push(number.or_else(|_| row.try_get::<String, _>(0)).map_err(failure)?);
            }
        }
        Ok(values)
    }

    /// The number of statements sent so far, not counting the begin and end of transactions.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.reports.statements.load(Ordering::Relaxed)
    }

    /// Waits until a transaction of this process commits a mail. Returns at once if one did since the last wait.
    pub async fn mail_handed_in(&self) {
        self.reports.mail.notified().await;
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// Boxes a future of the library. Acquiring a connection takes 15 KiB of state, which would otherwise be part of
/// the future of every call that may use the database.
fn boxed<F: Future>(future: F) -> Pin<Box<F>> {
    Box::pin(future)
}

/// Begins a transaction for changes. It takes the lock at once, because a deferred transaction that has to upgrade
/// fails with BUSY without waiting.
async fn begin_sqlite(pool: &SqlitePool) -> Result<engine::Inner> {
    let give_up = Instant::now() + ACQUIRE_TIMEOUT;
    loop {
        match boxed(pool.begin_with("BEGIN IMMEDIATE")).await.map_err(failure) {
            Ok(tx) => return Ok(engine::Inner::Sqlite(tx)),
            Err(Error::Conflict) if Instant::now() < give_up => {}
            // After a full wait this is an outage, not a race that the caller should retry at once.
            Err(Error::Conflict) => return Err(Error::Unavailable("another process holds the database".into())),
            Err(other) => return Err(other),
        }
    }
}

async fn open_sqlite(path: &Path, create: bool) -> Result<Pools> {
    // Switching a new file to WAL fails without waiting while another process has it open.
    let _lock = migrate::setup_lock(path.to_owned()).await?;
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
    let read = pool().max_connections(4);
    let read = read.connect_with(options.create_if_missing(false).pragma("query_only", "ON")).await.map_err(failure)?;
    Ok(Pools::Sqlite { write, read, path: path.to_owned() })
}
