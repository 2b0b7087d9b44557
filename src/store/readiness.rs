//! Whether the database takes changes: it may be full, or have become a read-only standby.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// What was last seen of the database.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// When something last failed for want of the database.
    failed_at: Mutex<Option<Instant>>,
    /// The last transaction for changes failed for want of the database.
    failing: AtomicBool,
    /// The server has said that it takes no changes.
    read_only: AtomicBool,
    /// A pooler puts each transaction on another connection.
    pooled: AtomicBool,
    /// It was seen that connections lead to the server's processes directly.
    direct: AtomicBool,
}

impl Readiness {
    /// A change was not made for want of the database.
    pub(super) fn write_failed(&self) {
        self.failing.store(true, Ordering::Relaxed);
    }

    /// A connection was found broken, or to a server that is not the right one any more.
    pub(super) fn connection_failed(&self) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age may be used: none from before a failure. After a failover, each of those may
    /// still lead to the old server.
    pub(super) fn trusts(&self, age: Duration) -> bool {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_none_or(|at| age < at.elapsed())
    }

    pub(super) fn write_succeeded(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(super) fn set_read_only(&self, read_only: bool) {
        if read_only {
            self.connection_failed();
        }
        self.read_only.store(read_only, Ordering::Relaxed);
    }

    /// A pooler was found between this process and the server. Connections from before may know statements by names.
    pub(super) fn found_pooler(&self) {
        if !self.pooled.swap(true, Ordering::Relaxed) {
            tracing::info!("a pooler puts each transaction on another connection: statements get no names");
        }
        self.connection_failed();
    }

    /// No pooler was found, although it was looked for.
    pub(super) fn found_none(&self) {
        self.direct.store(true, Ordering::Relaxed);
    }

    /// Whether statements may have names. Every process gives the same ones, so that behind a pooler the statement of
    /// another process could run under a name of this one's: none are given as long as there may be a pooler.
    pub(super) fn may_name(&self) -> bool {
        self.direct.load(Ordering::Relaxed) && !self.is_pooled()
    }

    /// Whether a pooler was found.
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    /// Whether the last change failed for want of the database.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether the database takes changes, as far as is known.
    pub(super) fn takes_changes(&self) -> bool {
        !self.is_failing() && !self.read_only.load(Ordering::Relaxed)
    }
}
