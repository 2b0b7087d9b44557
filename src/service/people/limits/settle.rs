//! What an attempt leaves in the database.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{
    GuessAudit, Limits,
    attempt::{Counted, Counter},
};
use crate::{
    domain::{
        audit::AuditKind,
        limit::{LimitKey, LimitKind, LimitStep, Rule, Tally, UnderWay},
    },
    error::{Error, Result},
    service::runtime::TRIES,
    time::Timestamp,
};

/// A step that a counter has reached.
type Step = (LimitKind, Tally, LimitStep);

impl Limits {
    /// Stores that a guess has failed: in the counters that have held it, and in the audit log where that makes a
    /// counter reach a step that operators should know about.
    pub(super) async fn record_failure(&self, counters: Vec<Counter>, who: GuessAudit) -> Result<()> {
        self.remember(&counters);
        self.0.stats.failures.fetch_add(1, Ordering::Relaxed);
        let step = |c: &Counter| -> Option<Step> {
            let after = c.counted.as_ref()?.after;
            Some((c.key.kind, after, c.rule.step(&after).filter(|_| c.key.kind != LimitKind::Device)?))
        };
        let steps: Vec<Step> = counters.iter().filter_map(step).collect();
        let held: Vec<(LimitKey, Rule)> =
            counters.iter().filter(|c| c.held.is_some()).map(|c| (c.key, c.rule)).collect();
        if steps.is_empty() && held.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES {
            match self.record_failure_once(&held, &steps, &who).await {
                Err(Error::Conflict) => {}
                // Only now the guess is no longer in flight.
                done => return done,
            }
        }
        Err(Error::Unavailable("cannot store a failed attempt".into()))
    }

    /// Counts a guess whose caller stopped waiting for the answer.
    pub(super) async fn record_abandoned(&self, counters: &[Counter], kinds: &[LimitKind]) -> Result<()> {
        let counts = |c: &&Counter| kinds.contains(&c.key.kind);
        let rules: Vec<(LimitKey, Rule)> = counters.iter().filter(counts).map(|c| (c.key, c.rule)).collect();
        if rules.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES {
            match self.record_failure_once(&rules, &[], &GuessAudit::default()).await {
                Err(Error::Conflict) => {}
                done => return done,
            }
        }
        Err(Error::Unavailable("cannot count an abandoned attempt".into()))
    }

    async fn record_failure_once(&self, held: &[(LimitKey, Rule)], steps: &[Step], who: &GuessAudit) -> Result<()> {
        let now = self.0.live.now();
        let mut tx = self.0.store.write().await?;
        let after = if held.is_empty() { Vec::new() } else { tx.login_failures_add(held, now).await? };
        for (kind, tally, step) in steps {
            let details = json!({
                "failures": tally.failures,
                "known_devices": *kind == LimitKind::Devices,
                "closed": *step == LimitStep::Closed,
            });
            tx.audit(now, AuditKind::AccountThrottled, &who.actor, &who.subject, details).await?;
        }
        tx.commit().await?;
        let stats = &self.0.stats;
        for (.., step) in steps {
            let of_step = if *step == LimitStep::Closed { &stats.closed } else { &stats.max_delay };
            of_step.fetch_add(1, Ordering::Relaxed);
        }
        let mut cache = self.cache();
        for ((key, rule), after) in held.iter().zip(&after) {
            cache.record(*key, rule.verdict(Some(after), UnderWay::NONE, now), now);
        }
        Ok(())
    }

    /// Takes a guess back, even if the caller stops waiting. After a success, counts in a row are cleared as well.
    pub(super) async fn settle(&self, counters: Vec<Counter>, success: bool) -> Result<()> {
        let limits = self.clone();
        let task = tokio::spawn(async move { limits.settle_now(&counters, success).await });
        task.await.unwrap_or_else(|e| Err(Error::Internal(Box::new(e))))
    }

    pub(super) async fn settle_now(&self, counters: &[Counter], success: bool) -> Result<()> {
        for _ in 0..TRIES {
            match self.settle_once(counters, success).await {
                Err(Error::Conflict) => {}
                done => return done,
            }
        }
        Err(Error::Unavailable("cannot take back an attempt".into()))
    }

    async fn settle_once(&self, counters: &[Counter], success: bool) -> Result<()> {
        let cleared = |c: &Counter| success && matches!(c.rule, Rule::InARow { .. });
        let touched: Vec<&Counter> = counters.iter().filter(|c| c.counted.is_some() || cleared(c)).collect();
        if touched.is_empty() {
            return Ok(());
        }
        let keys: Vec<LimitKey> = touched.iter().map(|c| c.key).collect();
        let mut tx = self.0.store.write().await?;
        let current = tx.login_failures_lock(&keys, self.0.live.now()).await?;
        let mut gone = Vec::new();
        for (counter, current) in touched.iter().zip(current) {
            let counted = counter.counted.as_ref().filter(|_| !cleared(counter));
            let taken_back = |(c, now): (&Counted, Tally)| counter.rule.taken_back(c.before.as_ref(), &c.after, &now);
            let left = counted.zip(current).and_then(taken_back);
            match left {
                Some(left) => tx.login_failures_put(&counter.key, &left).await?,
                None => gone.push(counter.key),
            }
        }
        tx.login_failures_clear(&gone).await?;
        tx.commit().await?;
        let mut cache = self.cache();
        for key in &keys {
            cache.remove(key);
        }
        Ok(())
    }

    /// Caches what the counters say now.
    pub(super) fn remember(&self, counters: &[Counter]) {
        let now: Timestamp = self.0.live.now();
        let mut cache = self.cache();
        for counter in counters.iter().filter(|c| c.key.kind != LimitKind::Inbox) {
            let Some(Counted { after, .. }) = &counter.counted else { continue };
            cache.record(counter.key, counter.rule.verdict(Some(after), UnderWay::NONE, now), now);
        }
    }
}
