//! Deletes expired rows in steps small enough not to delay other writers.

use std::sync::Arc;

use super::live::Live;
use crate::{domain::settings::SKEW, error::Result, id::SessionId, store::Store, time::Ttl};

/// Sessions scanned per step. Reading them takes a fraction of a millisecond.
const LOOK_AT: i64 = 1000;
/// How long a create request can be retried under the same request id.
const CREATIONS: Ttl = Ttl::from_days(1);
/// Maximum sessions deleted in one transaction. It blocks other writers for a few milliseconds.
const DELETE: usize = 100;
/// Maximum failure counters deleted in one transaction.
const FORGET: i64 = 100;

/// Progress of one pass over all sessions.
#[derive(Debug, Default)]
pub struct Sweep {
    after: Option<SessionId>,
    found: Vec<SessionId>,
    at_end: bool,
    /// Whether all sessions have been scanned and only failure counters are left.
    walked: bool,
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Sessions deleted.
    pub deleted: u64,
    /// Failure counters deleted.
    pub forgotten: u64,
    /// Whether the pass is complete; the next step starts a new one.
    pub ended: bool,
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
    pub async fn step(&self, sweep: &mut Sweep) -> Result<Swept> {
        if sweep.walked {
            return self.sweep_failures(sweep).await;
        }
        let now = self.live.now();
        let dead_before = now.minus(self.live.snapshot().settings.revocation_ttl(now));
        if sweep.found.is_empty() {
            let mut tx = self.store.read().await?;
            let walk = tx.sessions_walk(sweep.after.as_ref(), dead_before, LOOK_AT).await?;
            sweep.at_end = walk.last.is_none();
            (sweep.after, sweep.found) = (walk.last, walk.dead);
        }
        let some = sweep.found.get(..DELETE).unwrap_or(&sweep.found);
        let ended = sweep.at_end && some.len() == sweep.found.len();
        if some.is_empty() && !ended {
            return Ok(Swept { deleted: 0, forgotten: 0, ended });
        }
        let mut tx = self.store.write().await?;
        let deleted = tx.sessions_delete_dead(some, dead_before).await?;
        let mut forgotten = 0;
        if ended {
            // A process that has not confirmed for this long cannot sign, and reloads everything.
            tx.feed_forget(now, now.minus(SKEW)).await?;
            tx.tickets_forget(now).await?;
            tx.creations_forget(now.minus(CREATIONS)).await?;
            forgotten = tx.login_failures_sweep(now, FORGET).await?;
        }
        tx.commit().await?;
        let count = some.len();
        sweep.found.drain(..count);
        sweep.walked = forgotten >= FORGET.unsigned_abs();
        Ok(Swept { deleted, forgotten, ended: ended && !sweep.walked })
    }

    /// Deletes more expired counters; the pass ends when none are left.
    async fn sweep_failures(&self, sweep: &mut Sweep) -> Result<Swept> {
        let mut tx = self.store.write().await?;
        let forgotten = tx.login_failures_sweep(self.live.now(), FORGET).await?;
        tx.commit().await?;
        sweep.walked = forgotten >= FORGET.unsigned_abs();
        Ok(Swept { deleted: 0, forgotten, ended: !sweep.walked })
    }
}
