//! Deleting what has expired, in steps so small that nobody notices.

use std::sync::Arc;

use super::live::Live;
use crate::{domain::settings::SKEW, error::Result, id::SessionId, store::Store, time::Ttl};

/// Sessions looked at in one step: a fraction of a millisecond's reading.
const LOOK_AT: i64 = 1000;
/// How long a creation can be repeated.
const CREATIONS: Ttl = Ttl::from_days(1);
/// Most sessions deleted in one transaction: a few milliseconds of everybody's time to write.
const DELETE: usize = 100;
/// Most counts of failures deleted in one transaction.
const FORGET: i64 = 100;

/// How far a walk over all sessions has come.
#[derive(Debug, Default)]
pub struct Sweep {
    after: Option<SessionId>,
    found: Vec<SessionId>,
    at_end: bool,
    /// Whether all sessions have been looked at, and only counts of failures are left.
    walked: bool,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Sessions deleted.
    pub deleted: u64,
    /// Counts of failed guesses deleted.
    pub forgotten: u64,
    /// Whether the walk has come to its end, and begins again with the next step.
    pub ended: bool,
}

/// Deletes what has expired.
#[derive(Debug)]
pub struct Sweeper {
    store: Store,
    live: Arc<Live>,
}

impl Sweeper {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>) -> Self {
        Self { store, live }
    }

    /// Takes one step: deletes some of the sessions found dead, or looks at the next ones.
    ///
    /// # Errors
    /// If the database cannot be reached; the next step goes on from the same place.
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
            // A process that could not confirm for that long signs nothing, and reads everything anew.
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

    /// Deletes more of the counts that have expired; the walk ends when there are none left.
    async fn sweep_failures(&self, sweep: &mut Sweep) -> Result<Swept> {
        let mut tx = self.store.write().await?;
        let forgotten = tx.login_failures_sweep(self.live.now(), FORGET).await?;
        tx.commit().await?;
        sweep.walked = forgotten >= FORGET.unsigned_abs();
        Ok(Swept { deleted: 0, forgotten, ended: !sweep.walked })
    }
}
