//! The database: SQLite or PostgreSQL behind one concrete [`Store`]. Imports `domain`, `passwords`, `id`,
//! `secret`, `time`, `entropy` and `error`. This is the only module that may name sqlx.
//!
//! One SQL text serves both engines. Its rules: placeholders `$1…$n`, each used; no `?`, `::`, `ILIKE`,
//! arrays, `FOR UPDATE` or `now()`; instants are milliseconds in BIGINT; lists are JSON. Where the dialects
//! really differ, the statement is an `engine::Sql` with both forms: the batches of refreshes and of data,
//! fast-forwarding, lists of ids, counts of failures, combinations of roles, and the import of users.
//!
//! Reads go through [`Store::read`], reports of unknown size through [`Store::report`], the follower of the feed through
//! [`Store::follow`], and changes through [`Store::write`]; each has turns of its own. Every transaction has a
//! deadline. A dropped transaction is rolled back, and a connection in doubt is closed.
//! Changes for the feed are collected in the [`Tx`] and numbered as the last step before the commit, so that
//! numbers follow the order of commits.

mod audit;
mod backup;
mod checkup;
mod clients;
mod connection;
mod connection_figures;
mod creations;
mod declared;
mod engine;
mod factors;
mod failure;
mod feed;
mod foreign_file;
mod foreign_keys;
mod guest_browsers;
mod guest_data;
mod guests;
mod import;
mod instance;
mod keys;
mod largest;
mod location;
mod login_failures;
mod mails;
mod migrate;
mod migrate_postgres;
mod migration_notes;
mod openings;
mod passkeys;
mod pending;
mod pools;
mod postgres;
mod private_file;
mod processes;
mod readable;
mod readiness;
mod refresh;
mod revoke;
mod roles;
mod sealing_keys;
mod seats;
mod session_data;
mod session_data_owners;
mod sessions;
mod setup_lock;
mod status_lists;
mod ticket_results;
mod tickets;
mod tls;
mod url_parameters;
mod users;
mod wake;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::Row;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

pub use self::wake::Wake;
pub use self::{
    backup::{Contents, DatabaseFile, Examined, GoOn},
    checkup::{Checkup, Durability, ReadOnly},
    connection_figures::ConnectionFigures,
    declared::REMEMBERED_SECRETS,
    engine::Tx,
    factors::StoredTotp,
    failure::{SITE_TAKEN, failure},
    import::KnownUser,
    instance::{BINARIES, BINARY_VERSION, Claim, Instance, SCHEMA_VERSION},
    location::{DatabaseUrl, Location},
    mails::{ClaimedMail, MailsWaiting},
    migrate::Schema,
    migration_notes::{MIGRATION_NOTES, MigrationNote, TableLock, Touched},
    openings::Opening,
    pending::{Pending, PendingMigration},
    postgres::{Connected, USUAL_CONNECTIONS},
    private_file::{open_to_others, private, unusable_companion},
    revoke::{By, Revoke},
    sealing_keys::SealedRow,
    session_data_owners::OwnedData,
    sessions::{SessionFilter, Walk},
    status_lists::Lease,
    ticket_results::SeenTicket,
    tickets::TicketAdvance,
    tls::DatabaseTls,
    users::{NewUser, SignInUser, TakenName},
};
use self::{
    connection::{Engine, TxConnection, within},
    engine::{Inner, Terms, Use},
    failure::{is_broken, is_timeout},
    pools::Pools,
    readiness::Readiness,
};
use crate::{
    entropy::Entropy,
    error::{Error, Result},
    time::{Clock, Ttl},
};

/// How long to wait for a connection or a lock before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long transactions may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Any transaction. The server of PostgreSQL is told 10 s as well.
    pub transaction: Duration,
    /// The follower's wait for the head of the feed. Watchers are cut off after 3 s without it.
    pub follow: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transaction: Duration::from_secs(10), follow: Duration::from_secs(2) }
    }
}

/// How long to wait for a pool to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The limits are set by the same message as `BEGIN`, because poolers forget what was set outside a transaction. They
/// make the server give up the locks of a process that has lost its network. The isolation is named because a role or
/// a database may have another default. Whether changes are allowed is not: that default is how a server is made
/// read-only. The number of the server's process shows whether a pooler has put the transaction on another connection.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 10000; \
    SET LOCAL lock_timeout = 2000; SET LOCAL idle_in_transaction_session_timeout = 10000; \
    SELECT pg_backend_pid()";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = 10000; \
    SET LOCAL lock_timeout = 2000; SET LOCAL idle_in_transaction_session_timeout = 10000; \
    SELECT pg_backend_pid()";

/// Why a transaction may not have begun in time.
const NO_BEGIN: &str = "the database did not answer in time; if there is a pooler, it may have fewer connections \
    (default_pool_size) than database_connections of all servers";

/// How often, and for how long, a process that writes continuously lets others write.
const GAP_EVERY: Ttl = Ttl::from_millis(400);
const GAP: Duration = Duration::from_millis(6);

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    entropy: Arc<dyn Entropy>,
    reports: TxReports,
    limits: Limits,
    connected: Option<Connected>,
}

/// What transactions report to their process.
#[derive(Clone, Debug, Default)]
struct TxReports {
    /// Statements sent.
    statements: Arc<AtomicU64>,
    /// Notified when a mail was queued.
    mail: Arc<Notify>,
    /// Whether the database takes changes.
    readiness: Arc<Readiness>,
}

impl Store {
    /// Opens the database. Creates a missing SQLite file only if `create` is set.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be reached.
    pub async fn open(location: &Location, create: bool, entropy: Arc<dyn Entropy>) -> Result<Self> {
        Self::open_with(location, create, entropy, None).await
    }

    /// The same, with at most so many connections to PostgreSQL.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be reached; [`Error::Precondition`] if it cannot be used.
    pub async fn open_with(
        location: &Location,
        create: bool,
        entropy: Arc<dyn Entropy>,
        connections: Option<u32>,
    ) -> Result<Self> {
        let reports = TxReports::default();
        let (pools, connected) = match location {
            Location::Sqlite(path) => (pools::open_sqlite(path, create).await?, None),
            Location::Postgres(url) => {
                let (pools, connected) = Box::pin(postgres::open(url, connections, &reports.readiness)).await?;
                (pools, Some(connected))
            }
        };
        Ok(Self { pools, entropy, reports, limits: Limits::default(), connected })
    }

    /// How this process is connected to PostgreSQL; nothing on SQLite.
    #[must_use]
    pub const fn connected(&self) -> Option<Connected> {
        self.connected
    }

    /// The same database with other limits. For tests.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Begins a transaction for changes. On SQLite there is only one at a time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn write(&self) -> Result<Tx> {
        let limit = Instant::now() + self.limits.transaction;
        let begun = match &self.pools {
            Pools::Sqlite { write, .. } => begin_sqlite(write, limit).await.map(Inner::Sqlite),
            Pools::Postgres { main, .. } => self.begin(main, BEGIN_WRITE, limit).await.map(Inner::Postgres),
        };
        if let Err(Error::Unavailable(_)) = &begun {
            self.reports.readiness.write_failed();
        }
        Ok(self.tx(begun?, limit, Use::Write))
    }

    /// Begins a read-only transaction. The database refuses changes in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn read(&self) -> Result<Tx> {
        let limit = Instant::now() + self.limits.transaction;
        let inner = match &self.pools {
            Pools::Sqlite { read, .. } => Inner::Sqlite(self.begin(read, "BEGIN", limit).await?),
            Pools::Postgres { main, .. } => Inner::Postgres(self.begin(main, BEGIN_READ, limit).await?),
        };
        Ok(self.tx(inner, limit, Use::Read))
    }

    /// Begins a read-only transaction on the connection that is kept for following the feed. It is given little time:
    /// whoever follows would rather try again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn follow(&self) -> Result<Tx> {
        let limit = Instant::now() + self.limits.follow;
        let inner = match &self.pools {
            Pools::Sqlite { follow, .. } => Inner::Sqlite(self.begin(follow, "BEGIN", limit).await?),
            Pools::Postgres { follow, .. } => Inner::Postgres(self.begin(follow, BEGIN_READ, limit).await?),
        };
        Ok(self.tx(inner, limit, Use::Read))
    }

    /// Begins a read-only transaction for pages and lists, which may read much. There are few connections for these,
    /// so that they delay only each other. On SQLite, the statement is interrupted when its caller goes away.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached, or too many reports are being read.
    pub async fn report(&self) -> Result<Tx> {
        let limit = Instant::now() + self.limits.transaction;
        let inner = match &self.pools {
            Pools::Sqlite { report, .. } => {
                let mut connection = self.begin(report, "BEGIN", limit).await?;
                let interrupt = pools::interruptible(&mut connection, limit).await?;
                return Ok(self.tx(Inner::Sqlite(connection), limit, Use::Report(interrupt)));
            }
            Pools::Postgres { report, .. } => Inner::Postgres(self.begin(report, BEGIN_READ, limit).await?),
        };
        Ok(self.tx(inner, limit, Use::Read))
    }

    /// Takes a connection and begins a transaction on it. If the connection turns out to be broken, a newer one is tried:
    /// nothing has been done yet.
    async fn begin<DB: Engine>(
        &self,
        pool: &DB::Lender,
        sql: &'static str,
        limit: Instant,
    ) -> Result<TxConnection<DB>> {
        match begin_once::<DB>(pool, sql, limit).await {
            Err(error) if is_broken(&error) => {
                self.reports.readiness.connection_failed();
                begin_once::<DB>(pool, sql, limit).await.map_err(failure)
            }
            // Not if all connections are in use: then none of them has failed.
            Err(error) if is_timeout(&error) => {
                self.reports.readiness.connection_failed();
                let on_sqlite = matches!(self.pools, Pools::Sqlite { .. });
                Err(if on_sqlite { failure(error) } else { Error::Unavailable(NO_BEGIN.into()) })
            }
            begun => begun.map_err(failure),
        }
    }

    fn tx(&self, inner: Inner, limit: Instant, usage: Use) -> Tx {
        Tx::new(
            inner,
            Terms { limit, full: self.limits.transaction, usage },
            self.entropy.clone(),
            self.reports.clone(),
        )
    }

    /// How many connections there are now.
    #[must_use]
    pub fn connection_figures(&self) -> ConnectionFigures {
        self.pools.figures()
    }

    /// To be called by code that writes one transaction after another. SQLite has no queue for the write lock, so
    /// this pauses now and then for other processes. Takes and returns the time of the last pause.
    pub async fn leave_gap(&self, clock: &dyn Clock, last: Ttl) -> Ttl {
        if matches!(self.pools, Pools::Postgres { .. }) || clock.elapsed() < last.plus(GAP_EVERY) {
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

    /// Whether the database takes changes, as far as is known: it may be full, or have become a read-only standby.
    #[must_use]
    pub fn takes_changes(&self) -> bool {
        self.reports.readiness.takes_changes()
    }

    /// After a failed change, tries one that alters nothing. Does nothing if the last change succeeded.
    ///
    /// # Errors
    /// If the database still takes no changes.
    pub async fn try_change(&self) -> Result<()> {
        if !self.reports.readiness.is_failing() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        tx.feed_touch().await?;
        tx.commit().await.map(drop)
    }

    /// Makes a change that alters nothing, and takes it back: nothing of it remains.
    ///
    /// # Errors
    /// If the database takes no changes.
    pub async fn rehearse_change(&self) -> Result<()> {
        // Dropped, it is rolled back.
        self.write().await?.feed_touch().await
    }

    /// Closes all connections. A database that does not answer is not waited for.
    pub async fn close(&self) {
        let _ = timeout(CLOSE_TIMEOUT, self.pools.close()).await;
    }

    /// Closes all connections and waits until the last has moved the write-ahead log of an SQLite file into the file,
    /// which takes as long as the disk does.
    pub async fn close_and_settle(&self) {
        self.pools.close().await;
    }
}

async fn begin_once<DB: Engine>(
    pool: &DB::Lender,
    sql: &'static str,
    limit: Instant,
) -> sqlx::Result<TxConnection<DB>> {
    let mut connection = within(limit, TxConnection::<DB>::acquire(pool)).await?;
    connection.begin(sql, limit).await?;
    Ok(connection)
}

/// Begins a transaction for changes. It takes the lock at once, because a deferred transaction that has to upgrade
/// fails with BUSY without waiting.
async fn begin_sqlite(pool: &sqlx::SqlitePool, limit: Instant) -> Result<TxConnection<sqlx::Sqlite>> {
    let give_up = Instant::now() + ACQUIRE_TIMEOUT;
    let mut connection = TxConnection::<sqlx::Sqlite>::acquire(pool).await.map_err(failure)?;
    loop {
        match connection.begin("BEGIN IMMEDIATE", limit).await.map_err(failure) {
            Ok(()) => return Ok(connection),
            Err(Error::Conflict) if Instant::now() < give_up => {}
            // After a full wait this is an outage, not a race that the caller should retry at once.
            Err(Error::Conflict) => return Err(Error::Unavailable("another process holds the database".into())),
            Err(other) => return Err(other),
        }
    }
}
