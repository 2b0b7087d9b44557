//! One guess, from start to result.

use std::{fmt, sync::atomic::Ordering};

use serde_json::json;

use super::{GuessAudit, Limits};
use crate::{
    domain::{
        audit::AuditKind,
        limit::{LimitKey, LimitKind, LimitStep, LimitVerdict, Rule, Tally},
    },
    error::{Error, Result},
    service::runtime::TRIES,
    store::Tx,
};

/// A guess in progress. Until its result is recorded, it counts as failed. If it is dropped, it does not count.
#[must_use]
pub struct Attempt {
    limits: Limits,
    counters: Vec<Counter>,
}

/// One counter that a guess counts against.
struct Counter {
    key: LimitKey,
    rule: Rule,
    tally: Option<Tally>,
    /// Guesses with the same key that were in flight when this one started. Buckets do not need this: a burst beyond
    /// their capacity has to drain first.
    others: i64,
    _in_flight: Option<InFlight>,
}

/// Marks a guess as in flight until dropped.
struct InFlight(Limits, LimitKey);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.cache().finish(&self.1);
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counters.iter().map(|c| c.key)).finish()
    }
}

impl Limits {
    /// Starts a guess without checking the limits. Guesses in flight are noted before the counters are read, so each
    /// earlier failure is either in the counters or counted as in flight.
    pub(in crate::service::people) fn start(&self, keys: &[LimitKey]) -> Attempt {
        let snapshot = self.0.live.snapshot();
        let count = |key: &LimitKey| {
            let rule = snapshot.settings.limits.rule(key.kind)?;
            let (key, tally) = (*key, None);
            let Rule::InARow { .. } = rule else {
                return Some(Counter { key, rule, tally, others: 0, _in_flight: None });
            };
            let others = self.cache().start(key);
            Some(Counter { key, rule, tally, others, _in_flight: Some(InFlight(self.clone(), key)) })
        };
        Attempt { limits: self.clone(), counters: keys.iter().filter_map(count).collect() }
    }

    /// Counts a failure. Steps that operators should know about are audited in the same transaction.
    async fn count(&self, counters: &[Counter], who: &GuessAudit) -> Result<()> {
        let rules: Vec<(LimitKey, Rule)> = counters.iter().map(|c| (c.key, c.rule)).collect();
        let now = self.0.live.now();
        let mut tx = self.0.store.write().await?;
        let tallies = tx.login_failures_add(&rules, now).await?;
        let mut steps = Vec::new();
        for ((key, rule), tally) in rules.iter().zip(&tallies) {
            let Some(step) = rule.step(tally).filter(|_| key.kind != LimitKind::Device) else { continue };
            let details = json!({
                "failures": tally.failures,
                "known_devices": key.kind == LimitKind::Devices,
                "closed": step == LimitStep::Closed,
            });
            tx.audit(now, AuditKind::AccountThrottled, &who.actor, &who.subject, details).await?;
            steps.push(step);
        }
        tx.commit().await?;
        let stats = &self.0.stats;
        stats.failures.fetch_add(1, Ordering::Relaxed);
        for step in steps {
            let of_step = if step == LimitStep::Closed { &stats.closed } else { &stats.max_delay };
            of_step.fetch_add(1, Ordering::Relaxed);
        }
        let mut cache = self.cache();
        for ((key, rule), tally) in rules.iter().zip(&tallies) {
            cache.record(*key, rule.verdict(Some(tally), 0, now), now);
        }
        Ok(())
    }
}

impl Attempt {
    /// Reads the counters.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub(in crate::service::people) async fn read(&mut self, tx: &mut Tx) -> Result<()> {
        let keys: Vec<LimitKey> = self.counters.iter().map(|c| c.key).collect();
        let tallies = tx.login_failures_of(&keys).await?;
        for (counter, tally) in self.counters.iter_mut().zip(tallies) {
            counter.tally = tally;
        }
        Ok(())
    }

    /// Refuses the guess if a counter of one of these kinds does.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(in crate::service::people) fn check_due(&self, kinds: &[LimitKind]) -> Result<()> {
        let now = self.limits.0.live.now();
        let mut verdicts = Vec::new();
        for counter in self.counters.iter().filter(|c| kinds.contains(&c.key.kind)) {
            let verdict = counter.rule.verdict(counter.tally.as_ref(), counter.others, now);
            if counter.others == 0 {
                self.limits.cache().record(counter.key, verdict, now);
            }
            verdicts.push((counter.key.kind, verdict));
        }
        self.limits.refuse(&verdicts)
    }

    /// Whether a counter of this kind is closed.
    pub(in crate::service::people) fn is_closed(&self, kind: LimitKind) -> bool {
        let now = self.limits.0.live.now();
        let closed = |c: &Counter| matches!(c.rule.verdict(c.tally.as_ref(), c.others, now), LimitVerdict::Closed(_));
        self.counters.iter().any(|c| c.key.kind == kind && closed(c))
    }

    /// Drops all counters but those of these kinds.
    pub(in crate::service::people) fn retain_kinds(mut self, kinds: &[LimitKind]) -> Self {
        self.counters.retain(|counter| kinds.contains(&counter.key.kind));
        self
    }

    /// Records a failed guess. It is counted before this returns, and even if the caller stops waiting.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it could not be counted: the caller must then not reveal that the guess was wrong.
    pub async fn failed(self, who: GuessAudit) -> Result<()> {
        let task = tokio::spawn(async move {
            for _ in 0..TRIES {
                match self.limits.count(&self.counters, &who).await {
                    Err(Error::Conflict) => {}
                    done => return done,
                }
            }
            Err(Error::Unavailable("cannot count a failed attempt".into()))
        });
        task.await.unwrap_or_else(|e| Err(Error::Internal(Box::new(e))))
    }

    /// Records a correct guess: its consecutive-failure counters are reset.
    ///
    /// # Errors
    /// If the database cannot be reached: the counters are then kept.
    pub async fn succeeded(self) -> Result<()> {
        let in_a_row = |c: &&Counter| c.tally.is_some() && matches!(c.rule, Rule::InARow { .. });
        let keys: Vec<LimitKey> = self.counters.iter().filter(in_a_row).map(|c| c.key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut tx = self.limits.0.store.write().await?;
        tx.login_failures_clear(&keys).await?;
        tx.commit().await?;
        let mut cache = self.limits.cache();
        for key in &keys {
            cache.remove(key);
        }
        Ok(())
    }
}
