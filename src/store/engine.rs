//! Transactions on either engine, and the macros that run one SQL text on both.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use sqlx::{Postgres, Sqlite, Transaction};

use super::{TxReports, failure};
use crate::{domain::feed::Change, entropy::Entropy, error::Result};

/// A transaction. It is rolled back if it is dropped without [`Tx::commit`].
pub struct Tx {
    pub(super) inner: Inner,
    pub(super) changes: Vec<Change>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Whether a mail was queued in this transaction.
    pub(super) mailed: bool,
    reports: TxReports,
}

pub(super) enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl Tx {
    pub(super) fn new(inner: Inner, entropy: Arc<dyn Entropy>, reports: TxReports) -> Self {
        Self { inner, changes: Vec::new(), entropy, mailed: false, reports }
    }

    /// Counts a statement. Called by the macros below.
    pub(super) fn count(&self) {
        self.reports.statements.fetch_add(1, Ordering::Relaxed);
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
        match self.inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres(tx) => tx.commit().await,
        }
        .map_err(failure)?;
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
        $tx.count();
        match &mut $tx.inner {
            $crate::store::engine::Inner::Sqlite(tx) =>
                sqlx::query(sql.sqlite)$(.bind($arg))*.execute(&mut **tx).await.map(|r| r.rows_affected()),
            $crate::store::engine::Inner::Postgres(tx) =>
                sqlx::query(sql.postgres)$(.bind($arg))*.execute(&mut **tx).await.map(|r| r.rows_affected()),
        }
        .map_err($crate::store::failure)
    }};
}

/// Fetches at most one row as `$row`.
macro_rules! optional {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {{
        let sql = $crate::store::engine::Sql::from($sql);
        $tx.count();
        match &mut $tx.inner {
            $crate::store::engine::Inner::Sqlite(tx) =>
                sqlx::query_as::<_, $row>(sql.sqlite)$(.bind($arg))*.fetch_optional(&mut **tx).await,
            $crate::store::engine::Inner::Postgres(tx) =>
                sqlx::query_as::<_, $row>(sql.postgres)$(.bind($arg))*.fetch_optional(&mut **tx).await,
        }
        .map_err($crate::store::failure)
    }};
}

/// Fetches all rows as `$row`.
macro_rules! all {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {{
        let sql = $crate::store::engine::Sql::from($sql);
        $tx.count();
        match &mut $tx.inner {
            $crate::store::engine::Inner::Sqlite(tx) =>
                sqlx::query_as::<_, $row>(sql.sqlite)$(.bind($arg))*.fetch_all(&mut **tx).await,
            $crate::store::engine::Inner::Postgres(tx) =>
                sqlx::query_as::<_, $row>(sql.postgres)$(.bind($arg))*.fetch_all(&mut **tx).await,
        }
        .map_err($crate::store::failure)
    }};
}

pub(super) use {all, execute, optional};
