//! The database: SQLite or PostgreSQL behind one concrete [`Store`]. Imports `domain`, `id`, `secret`,
//! `time`, `entropy`, `error`. The only place that may name sqlx.
//!
//! One SQL text serves both engines. Rules for it: placeholders `$1…$n`, each used; no `?`, `::`,
//! `ILIKE`, arrays, `FOR UPDATE`, `now()`; instants are milliseconds in BIGINT; lists are JSON. Where a
//! dialect truly differs, the text is an `engine::Sql` with both forms: the batch of refreshes, its
//! jump ahead, the lists of ids, the counts of failures, and users by the thousand.
//!
//! Reads go through [`Store::read`], changes through [`Store::write`]; a transaction that is dropped is
//! rolled back. What a change writes to the feed is collected in the [`Tx`] and numbered as the last
//! step before the commit, so that commit order is number order.

mod audit;
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
    audit::AuditFilter,
    engine::Tx,
    failure::failure,
    import::KnownUser,
    instance::{BINARY_VERSION, Claim, Instance},
    mails::{ClaimedMail, MailsWaiting},
    migrate::Schema,
    revoke::{By, Revoke},
    sessions::{SessionFilter, Walk},
    status_lists::Lease,
    users::{NameRange, NewUser, SignInUser, UserFilter},
};
use crate::{
    entropy::Entropy,
    error::{Error, Result},
    time::{Clock, Ttl},
};

/// How long a statement waits for its turn before the database counts as out of reach.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has rested for longer is tried out before it is used: the server may have gone. In a
/// stream of batches that would be one question in four.
const TRIED_OUT_AFTER: Duration = Duration::from_millis(200);

/// How long SQLite itself waits for its turn before it says that there was none. It looks again after
/// 1, 2, 5 and 2 ms within that time: a gap longer than 5 ms is seen by everybody.
const SQLITE_BUSY: &str = "PRAGMA busy_timeout = 10";
/// How much of the file the writing connection may keep in memory, in KiB (negative, says SQLite): the upper
/// levels of ten million sessions' trees take some 15 MiB, and every refresh descends through them.
const SQLITE_CACHE: &str = "-32768";
/// How often, and for how long, a process that writes without end lets others in.
const GAP_EVERY: Ttl = Ttl::from_millis(400);
const GAP: Duration = Duration::from_millis(6);

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A `postgres://` URL; it may hold a password and is never printed.
    Postgres(DatabaseUrl),
}

/// A database URL. Prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, password and all, for connecting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
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
    /// Understands `postgres://…`, `postgresql://…`, `sqlite:PATH` and nothing else.
    ///
    /// # Errors
    /// A sentence that names what is understood.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // Only the reason is passed on: the URL may hold a password.
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
    noted: Noted,
}

/// What the transactions of a process tell it.
#[derive(Clone, Debug, Default)]
struct Noted {
    /// Statements sent.
    statements: Arc<AtomicU64>,
    /// A mail was handed in.
    mail: Arc<Notify>,
}

#[derive(Clone, Debug)]
enum Pools {
    /// One connection writes, in turn; others read.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
        path: PathBuf,
    },
    Postgres(PgPool),
}

impl Store {
    /// Opens the database. A missing SQLite file is created only if `create` says so.
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
                            if meta.idle_for > TRIED_OUT_AFTER {
                                connection.ping().await?;
                            }
                            Ok(true)
                        })
                    });
                match pool.connect_with(options.clone()).await {
                    Ok(pool) => Pools::Postgres(pool),
                    // The pool tries for a while and then says only that it did: a single try says why.
                    Err(sqlx::Error::PoolTimedOut) => {
                        let cause = options.connect().await.err().unwrap_or(sqlx::Error::PoolTimedOut);
                        return Err(failure(cause));
                    }
                    Err(error) => return Err(failure(error)),
                }
            }
        };
        Ok(Self { pools, entropy, noted: Noted::default() })
    }

    /// A transaction that changes something. On SQLite there is one at a time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn write(&self) -> Result<Tx> {
        let inner = match &self.pools {
            Pools::Sqlite { write, .. } => begin_sqlite(write).await?,
            Pools::Postgres(pool) => apart(pool.begin()).await.map(engine::Inner::Postgres).map_err(failure)?,
        };
        Ok(Tx::new(inner, self.entropy.clone(), self.noted.clone()))
    }

    /// For who writes one transaction after another: on SQLite, where the database has no queue, stands
    /// back now and then. Takes and gives the time of the last such gap.
    pub async fn leave_gap(&self, clock: &dyn Clock, last: Ttl) -> Ttl {
        if matches!(self.pools, Pools::Postgres(_)) || clock.elapsed() < last.plus(GAP_EVERY) {
            return last;
        }
        self.stand_back().await;
        clock.elapsed()
    }

    /// On SQLite, lets others write: pauses long enough for every other process to find the file free.
    #[expect(clippy::disallowed_methods, reason = "other processes have to be let in")]
    pub async fn stand_back(&self) {
        if matches!(self.pools, Pools::Sqlite { .. }) {
            tokio::time::sleep(GAP).await;
        }
    }

    /// A transaction that only reads; the database refuses changes in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn read(&self) -> Result<Tx> {
        let inner = match &self.pools {
            Pools::Sqlite { read, .. } => apart(read.begin()).await.map(engine::Inner::Sqlite),
            Pools::Postgres(pool) => {
                let begun = apart(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"));
                begun.await.map(engine::Inner::Postgres)
            }
        };
        Ok(Tx::new(inner.map_err(failure)?, self.entropy.clone(), self.noted.clone()))
    }

    /// What SQLite's writing and reading connections say of a pragma; nothing on PostgreSQL. For tests.
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
        let mut said = Vec::new();
        for (_, sql) in SQL.into_iter().filter(|(n, _)| *n == name) {
            for pool in [write, read] {
                let row = sqlx::query(sql).fetch_one(pool).await.map_err(failure)?;
                let number = row.try_get::<i64, _>(0).map(|n| n.to_string());
                said.push(number.or_else(|_| row.try_get::<String, _>(0)).map_err(failure)?);
            }
        }
        Ok(said)
    }

    /// How many statements were sent so far, without the beginnings and ends of transactions.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.noted.statements.load(Ordering::Relaxed)
    }

    /// Waits until a transaction of this process has committed a mail, or one had since the last wait.
    pub async fn mail_handed_in(&self) {
        self.noted.mail.notified().await;
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

/// Keeps a future of the library's out of those that wait for it: looking for a connection takes 15 KiB of
/// state, which every call would carry along that might come to the database at all.
fn apart<F: Future>(future: F) -> Pin<Box<F>> {
    Box::pin(future)
}

/// Begins a transaction that writes. A deferred one that upgrades itself fails with BUSY without waiting.
async fn begin_sqlite(pool: &SqlitePool) -> Result<engine::Inner> {
    let give_up = Instant::now() + ACQUIRE_TIMEOUT;
    loop {
        match apart(pool.begin_with("BEGIN IMMEDIATE")).await.map_err(failure) {
            Ok(tx) => return Ok(engine::Inner::Sqlite(tx)),
            Err(Error::Conflict) if Instant::now() < give_up => {}
            // Who has waited in vain for its turn is told of an outage, not of a race to try again at once.
            Err(Error::Conflict) => return Err(Error::Unavailable("another process holds the database".into())),
            Err(other) => return Err(other),
        }
    }
}

async fn open_sqlite(path: &Path, create: bool) -> Result<Pools> {
    // Switching a new file to WAL fails at once, without waiting, while another process has it open.
    let _lock = migrate::set_up_lock(path.to_owned()).await?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        // A lost commit could bring a revoked token back to life.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(ACQUIRE_TIMEOUT);
    // A file does not go away as a server does: its connections need no trying out before each use.
    let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
    // It opens with all patience; then its transactions look often for their turn.
    let write = pool().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move { sqlx::query(SQLITE_BUSY).execute(connection).await.map(drop) })
    });
    let write = write.connect_with(options.clone().pragma("cache_size", SQLITE_CACHE)).await.map_err(failure)?;
    let read = pool().max_connections(4);
    let read = read.connect_with(options.create_if_missing(false).pragma("query_only", "ON")).await.map_err(failure)?;
    Ok(Pools::Sqlite { write, read, path: path.to_owned() })
}
