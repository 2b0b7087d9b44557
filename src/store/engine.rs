//! Transactions on either engine, and the macros that run one SQL text on both.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sqlx::{Postgres, Sqlite};
use tokio::time::Instant;

use super::{TxReports, connection::TxConnection, failure, failure::is_of_another_connection, pools::Interrupt};
use crate::{
    domain::feed::Change,
    entropy::Entropy,
    error::{Error, Result},
};

/// A transaction. It is rolled back if it is dropped without [`Tx::commit`].
pub struct Tx {
    pub(super) inner: Inner,
    terms: Terms,
    /// Whether a statement has failed. PostgreSQL then commits nothing, and says that it succeeded.
    failed: bool,
    pub(super) changes: Vec<Change>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Whether a mail was queued in this transaction.
    pub(super) mailed: bool,
    reports: TxReports,
}

pub(super) enum Inner {
    Sqlite(TxConnection<Sqlite>),
    Postgres(TxConnection<Postgres>),
}

/// On what terms a transaction was begun.
pub(super) struct Terms {
    /// When it must have ended.
    pub(super) limit: Instant,
    /// How long any transaction may take.
    pub(super) full: Duration,
    pub(super) usage: Use,
}

/// What a transaction is for.
pub(super) enum Use {
    Read,
    /// Dropping this interrupts the statement that is running.
    Report(#[expect(dead_code, reason = "it is there to be dropped")] Interrupt),
    Write,
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl Tx {
    pub(super) fn new(inner: Inner, terms: Terms, entropy: Arc<dyn Entropy>, reports: TxReports) -> Self {
        Self { inner, terms, failed: false, changes: Vec::new(), entropy, mailed: false, reports }
    }

    /// Counts a statement, and returns when it must have been answered. Called by the macros below.
    pub(super) fn count(&self) -> Instant {
        self.reports.statements.fetch_add(1, Ordering::Relaxed);
        self.terms.limit
    }

    /// Whether PostgreSQL is to keep statements under names for the connection. Called by the macros below.
    pub(super) fn names_statements(&self) -> bool {
        self.reports.readiness.may_name()
    }

    /// Gives the follower's transaction as long as any other. To be called once there is much to read.
    pub fn allow_full_time(&mut self) {
        self.terms.limit = Instant::now() + self.terms.full;
    }

    /// What the outcome of a statement means. Called by the macros below.
    pub(super) fn answered<T>(&mut self, outcome: sqlx::Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            self.failed = true;
            let error = self.failure(error);
            // The database did not answer, or the connection leads to a server that has become a standby.
            if matches!(error, Error::Unavailable(_)) {
                self.close_after_use();
            }
            error
        })
    }

    /// Has the connection closed instead of given back.
    fn close_after_use(&mut self) {
        match &mut self.inner {
            Inner::Sqlite(connection) => connection.doubt(),
            Inner::Postgres(connection) => connection.doubt(),
        }
    }

    fn failure(&self, error: sqlx::Error) -> Error {
        if is_of_another_connection(&error) {
            self.reports.readiness.found_pooler();
        }
        let error = failure(error);
        if matches!(error, Error::Unavailable(_)) {
            self.reports.readiness.connection_failed();
            if matches!(self.terms.usage, Use::Write) {
                self.reports.readiness.write_failed();
            }
        }
        error
    }

    /// Notes whether the server takes changes. A connection to one that does not is closed after use.
    pub(super) fn set_read_only(&mut self, read_only: bool) {
        self.reports.readiness.set_read_only(read_only);
        if read_only {
            self.close_after_use();
        }
    }

    /// Adds a change to the feed. It is numbered when the transaction commits.
    pub fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Commits. Returns whether the feed has grown. The feed's counter is taken last, so that numbers follow the order
    /// of commits.
    ///
    /// # Errors
    /// If this fails before the commit, nothing is kept. If the commit itself fails, its outcome is unknown.
    pub async fn commit(mut self) -> Result<bool> {
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() {
            self.feed_append(&changes).await?;
        }
        if self.failed {
            return Err(Error::Internal("a transaction with a failed statement was to be committed".into()));
        }
        let committed = match &mut self.inner {
            Inner::Sqlite(connection) => connection.commit(self.terms.limit).await,
            Inner::Postgres(connection) => connection.commit(self.terms.limit).await,
        };
        committed.map_err(|e| self.failure(e))?;
        if matches!(self.terms.usage, Use::Write) {
            self.reports.readiness.write_succeeded();
        }
        if self.mailed {
            self.reports.mail.notify_one();
        }
        Ok(!changes.is_empty())
    }
}

/// A statement in the dialect of each engine.
#[derive(Clone, Copy)]
pub(super) struct Sql {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// Runs a statement. Returns the number of rows changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $arg:expr)* $(,)?) => {{
        let sql = $crate::store::engine::Sql::from($sql);
        let (limit, named) = ($tx.count(), $tx.names_statements());
        let outcome = match &mut $tx.inner {
            $crate::store::engine::Inner::Sqlite(tx) =>
                $crate::store::connection::within(
                    limit, sqlx::query(sql.sqlite)$(.bind($arg))*.execute(&mut **tx)
                ).await.map(|r| r.rows_affected()),
            $crate::store::engine::Inner::Postgres(tx) =>
                $crate::store::connection::within(
                    limit, sqlx::query(sql.postgres).persistent(named)$(.bind($arg))*.execute(&mut **tx)
                ).await.map(|r| r.rows_affected()),
        };
        $tx.answered(outcome)
    }};
}

/// Fetches at most one row as `$row`.
macro_rules! optional {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {{
        let sql = $crate::store::engine::Sql::from($sql);
        let (limit, named) = ($tx.count(), $tx.names_statements());
        let outcome = match &mut $tx.inner {
            $crate::store::engine::Inner::Sqlite(tx) =>
                $crate::store::connection::within(
                    limit, sqlx::query_as::<_, $row>(sql.sqlite)$(.bind($arg))*.fetch_optional(&mut **tx)
                ).await,
            $crate::store::engine::Inner::Postgres(tx) =>
                $crate::store::connection::within(
                    limit, sqlx::query_as::<_, $row>(sql.postgres).persistent(named)$(.bind($arg))*.fetch_optional(&mut **tx)
                ).await,
        };
        $tx.answered(outcome)
    }};
}

/// Fetches all rows as `$row`.
macro_rules! all {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {{
        let sql = $crate::store::engine::Sql::from($sql);
        let (limit, named) = ($tx.count(), $tx.names_statements());
        let outcome = match &mut $tx.inner {
            $crate::store::engine::Inner::Sqlite(tx) =>
                $crate::store::connection::within(
                    limit, sqlx::query_as::<_, $row>(sql.sqlite)$(.bind($arg))*.fetch_all(&mut **tx)
                ).await,
            $crate::store::engine::Inner::Postgres(tx) =>
                $crate::store::connection::within(
                    limit, sqlx::query_as::<_, $row>(sql.postgres).persistent(named)$(.bind($arg))*.fetch_all(&mut **tx)
                ).await,
        };
        $tx.answered(outcome)
    }};
}

pub(super) use {all, execute, optional};
