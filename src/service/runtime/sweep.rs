//! Deletes expired rows in steps small enough not to delay other writers.

use std::sync::Arc;

use serde_json::json;

use super::live::Live;
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        session::RESULT_TTL,
        settings::SKEW,
    },
    error::Result,
    id::SessionId,
    store::{Store, Tx},
    time::{Timestamp, Ttl},
};

/// Sessions scanned per step. Reading them takes a fraction of a millisecond.
const SCAN_BATCH: i64 = 1000;
/// How long a create request can be retried under the same request id.
const CREATION_TTL: Ttl = Ttl::from_days(1);
/// Maximum sessions deleted in one transaction. It blocks other writers for a few milliseconds.
const DELETE_BATCH: usize = 100;
/// Maximum values of sessions deleted in one transaction. They are up to 16 KiB each.
const DATA_BATCH: i64 = 200;
/// Maximum rows deleted in one transaction from each table whose rows are found by their time.
const TIMED_BATCH: i64 = 100;
/// How long a sign-in form that was spent is remembered: as long as one may be open, and an hour more, because the clocks
/// of two processes may differ.
const FORM_TTL: Ttl = Ttl::from_secs(25 * 3600);
/// Maximum audit events deleted in one transaction. It blocks other writers for some ten milliseconds.
const AUDIT_BATCH: i64 = 500;

/// A log without events for so long may be a sign of a clock that was set ahead.
const LONG_SILENCE: Ttl = Ttl::from_days(7);
/// What was written under such a clock does not confirm it before it is this old.
const CONFIRMED_AFTER: Ttl = Ttl::from_days(1);

/// The part of a pass that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Sessions,
    Timed,
    Audit,
}

/// Progress of one pass: over all sessions, then over what is found by its time.
#[derive(Debug, Default)]
pub struct SweepProgress {
    cursor: Option<SessionId>,
    expired: Vec<SessionId>,
    scan_done: bool,
    stage: Stage,
}

/// The result of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepStep {
    /// Sessions deleted.
    pub deleted: u64,
    /// Failure counters deleted.
    pub counters_deleted: u64,
    /// Audit events deleted.
    pub audit_deleted: u64,
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
        match progress.stage {
            Stage::Sessions => self.sweep_sessions(progress).await,
            Stage::Timed => self.sweep_more(progress).await,
            Stage::Audit => self.sweep_audit(progress).await,
        }
    }

    async fn sweep_sessions(&self, progress: &mut SweepProgress) -> Result<SweepStep> {
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
            return Ok(SweepStep { pass_done, ..SweepStep::default() });
        }
        let mut tx = self.store.write().await?;
        // What belongs to sessions goes before them: afterwards nothing says whose it was.
        if !tx.session_data_sweep(batch, dead_before, DATA_BATCH).await? {
            tx.commit().await?;
            return Ok(SweepStep::default());
        }
        let deleted = tx.sessions_delete_dead(batch, dead_before).await?;
        let (mut counters_deleted, mut more) = (0, false);
        if pass_done {
            // A process that has not confirmed for this long cannot sign, and reloads everything.
            tx.feed_forget(now, now.minus(SKEW)).await?;
            tx.creations_forget(now.minus(CREATION_TTL)).await?;
            (counters_deleted, more) = sweep_timed(&mut tx, now).await?;
        }
        tx.commit().await?;
        let count = batch.len();
        progress.expired.drain(..count);
        if pass_done {
            progress.stage = self.after_timed(more);
        }
        let pass_done = pass_done && progress.stage == Stage::Sessions;
        Ok(SweepStep { deleted, counters_deleted, pass_done, ..SweepStep::default() })
    }

    /// What comes after a step that deleted what is found by its time, and left more of it or not.
    fn after_timed(&self, more: bool) -> Stage {
        if more {
            Stage::Timed
        } else if self.live.snapshot().settings.audit_retention_days > 0 {
            Stage::Audit
        } else {
            Stage::Sessions
        }
    }

    /// Deletes more of what is found by its time.
    async fn sweep_more(&self, progress: &mut SweepProgress) -> Result<SweepStep> {
        let mut tx = self.store.write().await?;
        let (counters_deleted, more) = sweep_timed(&mut tx, self.live.now()).await?;
        tx.commit().await?;
        progress.stage = self.after_timed(more);
        Ok(SweepStep { counters_deleted, pass_done: progress.stage == Stage::Sessions, ..SweepStep::default() })
    }

    /// Deletes some of the audit events that are older than the setting; the pass ends when none are left.
    async fn sweep_audit(&self, progress: &mut SweepProgress) -> Result<SweepStep> {
        let now = self.live.now();
        let settings = self.live.snapshot().settings.clone();
        let is_due = if settings.audit_retention_days > 0 {
            let mut tx = self.store.read().await?;
            match settings.audit_kept_since(plausible_now(&mut tx, now).await?) {
                Some(since) => tx.audit_has_before(since).await?,
                None => false,
            }
        } else {
            false
        };
        let audit_deleted = if is_due { self.delete_audit(now).await? } else { 0 };
        let pass_done = audit_deleted < AUDIT_BATCH.unsigned_abs();
        progress.stage = if pass_done { Stage::Sessions } else { Stage::Audit };
        Ok(SweepStep { audit_deleted, pass_done, ..SweepStep::default() })
    }

    /// Deletes a batch, together with the first one of a day the event that says so.
    async fn delete_audit(&self, now: Timestamp) -> Result<u64> {
        let mut tx = self.store.write().await?;
        // Another process may have changed the setting, or have written the event.
        let mut settings = tx.settings_hold().await?;
        let Some(before) = settings.audit_kept_since(plausible_now(&mut tx, now).await?) else { return Ok(0) };
        if settings.audit_deleted_before.is_none_or(|done| done < before) {
            let details = json!({ "before": before.to_string(), "retention_days": settings.audit_retention_days });
            tx.audit(now, AuditKind::AuditEventsDeleted, &Actor::system(), "audit_events", details).await?;
            settings.audit_deleted_before = Some(before);
            tx.settings_set(&settings).await?;
        }
        let deleted = tx.audit_sweep(before, AUDIT_BATCH).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

/// Deletes expired counters, tickets and forms. Returns how many counters, and whether there is more to delete.
async fn sweep_timed(tx: &mut Tx, now: Timestamp) -> Result<(u64, bool)> {
    let counters = tx.login_failures_sweep(now, TIMED_BATCH).await?;
    let tickets = tx.tickets_forget(now, TIMED_BATCH).await?;
    let results = tx.form_results_forget(now.minus(RESULT_TTL), TIMED_BATCH).await?;
    let forms = tx.spent_forms_forget(now.minus(FORM_TTL), TIMED_BATCH).await?;
    let most = [counters, tickets, results, forms].into_iter().max().unwrap_or_default();
    Ok((counters, most >= TIMED_BATCH.unsigned_abs()))
}

/// The time by which the age of audit events is judged: now, unless the log says that the clock may have been set far
/// ahead. Then it is the time of its last event, until other events have followed for a day. So a wrong clock can be
/// noticed and put right before it has events deleted.
async fn plausible_now(tx: &mut Tx, now: Timestamp) -> Result<Timestamp> {
    let last = tx.audit_last_before(now.minus(CONFIRMED_AFTER)).await?;
    Ok(last.filter(|last| last.plus(LONG_SILENCE) < now).unwrap_or(now))
}
