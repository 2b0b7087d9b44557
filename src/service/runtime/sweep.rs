//! Deletes expired rows in steps small enough not to delay other writers.

use std::sync::Arc;

use super::live::Live;
use crate::{domain::settings::SKEW, error::Result, id::SessionId, store::Store, time::Ttl};

/// Sessions scanned per step. Reading them takes a fraction of a millisecond.
const SCAN_BATCH: i64 = 1000;
/// How long a create request can be retried under the same request id.
const CREATION_TTL: Ttl = Ttl::from_days(1);
/// Maximum sessions deleted in one transaction. It blocks other writers for a few milliseconds.
const DELETE_BATCH: usize = 100;
/// Maximum failure counters deleted in one transaction.
const COUNTER_BATCH: i64 = 100;

/// Progress of one pass over all sessions.
#[derive(Debug, Default)]
pub struct SweepProgress {
    cursor: Option<SessionId>,
    expired: Vec<SessionId>,
    scan_done: bool,
    /// Whether all sessions have been scanned and only failure counters are left.
    sessions_done: bool,
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepStep {
    /// Sessions deleted.
    pub deleted: u64,
    /// Failure counters deleted.
    pub counters_deleted: u64,
    /// Whether the pass is complete; the next step starts a new one.
    pub pass_done: bool,
}

/// Deletes expired rows.
#[derive(Debug)]
pub struct Sweeper {
    store: Store,
    live: Arc<Live>,
}

impl Sweeper {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>) -> Self {
        Self { store, live }
    }

    /// Runs one step: deletes some of the expired sessions found so far, or scans for more.
    ///
    /// # Errors
    /// If the database is unreachable; the next step resumes from the same place.
    pub async fn step(&self, progress: &mut SweepProgress) -> Result<SweepStep> {
        if progress.sessions_done {
            return self.sweep_counters(progress).await;
        }
        let now = self.live.now();
        let dead_before = now.minus(self.live.snapshot().settings.revocation_ttl(now));
        if progress.expired.is_empty() {
            let mut tx = self.store.read().await?;
            let walk = tx.sessions_walk(progress.cursor.as_ref(), dead_before, SCAN_BATCH).await?;
            progress.scan_done = walk.last.is_none();
            (progress.cursor, progress.expired) = (walk.last, walk.dead);
        }
        let batch = progress.expired.get(..DELETE_BATCH).unwrap_or(&progress.expired);
        let pass_done = progress.scan_done && batch.len() == progress.expired.len();
        if batch.is_empty() && !pass_done {
            return Ok(SweepStep { deleted: 0, counters_deleted: 0, pass_done });
        }
        let mut tx = self.store.write().await?;
        let deleted = tx.sessions_delete_dead(batch, dead_before).await?;
        let mut counters_deleted = 0;
        if pass_done {
            // A process that has not confirmed for this long cannot sign, and reloads everything.
            tx.feed_forget(now, now.minus(SKEW)).await?;
            tx.tickets_forget(now).await?;
            tx.creations_forget(now.minus(CREATION_TTL)).await?;
            counters_deleted = tx.login_failures_sweep(now, COUNTER_BATCH).await?;
        }
        tx.commit().await?;
        let count = batch.len();
        progress.expired.drain(..count);
        progress.sessions_done = counters_deleted >= COUNTER_BATCH.unsigned_abs();
        Ok(SweepStep { deleted, counters_deleted, pass_done: pass_done && !progress.sessions_done })
    }

    /// Deletes more expired counters; the pass ends when none are left.
    async fn sweep_counters(&self, progress: &mut SweepProgress) -> Result<SweepStep> {
        let mut tx = self.store.write().await?;
        let counters_deleted = tx.login_failures_sweep(self.live.now(), COUNTER_BATCH).await?;
        tx.commit().await?;
        progress.sessions_done = counters_deleted >= COUNTER_BATCH.unsigned_abs();
        Ok(SweepStep { deleted: 0, counters_deleted, pass_done: !progress.sessions_done })
    }
}
