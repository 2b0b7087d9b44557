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
    time::Timestamp,
};

/// A guess in progress. It is counted as failed before it is looked at, so that concurrent guesses in any number of
/// processes cannot be allowed by the same count. If it is dropped without a result, it is taken back.
#[must_use]
pub struct Attempt {
    limits: Limits,
    counters: Vec<Counter>,
}

/// One counter that a guess may count against.
struct Counter {
    key: LimitKey,
    rule: Rule,
    /// What counting the guess has done, once that is done.
    counted: Option<Counted>,
}

/// A count before and after a guess was counted.
struct Counted {
    before: Option<Tally>,
    after: Tally,
    _in_flight: InFlight,
}

/// A step that a counter has reached.
type Step = (LimitKind, Tally, LimitStep);

/// Marks a guess that was counted as in flight until dropped.
struct InFlight(Limits, LimitKey);

impl InFlight {
    fn start(limits: &Limits, key: LimitKey) -> Self {
        limits.cache().start(key);
        Self(limits.clone(), key)
    }
}

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

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.counters.iter().all(|c| c.counted.is_none()) {
            return;
        }
        // The caller has stopped waiting, so nobody learns whether the guess was right.
        let (limits, counters) = (self.limits.clone(), std::mem::take(&mut self.counters));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = limits.settle(&counters, false).await {
                tracing::warn!(cause = ?error, "cannot take back an abandoned attempt; it counts as failed");
            }
        });
    }
}

impl Limits {
    /// Starts a guess without counting it yet.
    pub(in crate::service::people) fn start(&self, keys: &[LimitKey]) -> Attempt {
        let snapshot = self.0.live.snapshot();
        let count = |key: &LimitKey| {
            let rule = snapshot.settings.limits.rule(key.kind)?;
            Some(Counter { key: *key, rule, counted: None })
        };
        Attempt { limits: self.clone(), counters: keys.iter().filter_map(count).collect() }
    }

    /// Audits the steps that operators should know about.
    async fn audit_steps(&self, steps: &[Step], who: &GuessAudit) -> Result<()> {
        for _ in 0..TRIES {
            match self.audit_steps_once(steps, who).await {
                Err(Error::Conflict) => {}
                done => return done,
            }
        }
        Err(Error::Unavailable("cannot audit a failed attempt".into()))
    }

    async fn audit_steps_once(&self, steps: &[Step], who: &GuessAudit) -> Result<()> {
        let now = self.0.live.now();
        let mut tx = self.0.store.write().await?;
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
        Ok(())
    }

    /// Takes a guess back. After a success, counts in a row are cleared as well.
    async fn settle(&self, counters: &[Counter], success: bool) -> Result<()> {
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
}

impl Attempt {
    /// Whether a counter of one of these kinds is closed.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub(in crate::service::people) async fn is_closed(&self, tx: &mut Tx, kinds: &[LimitKind]) -> Result<bool> {
        let of_kinds: Vec<&Counter> = self.counters.iter().filter(|c| kinds.contains(&c.key.kind)).collect();
        let keys: Vec<LimitKey> = of_kinds.iter().map(|c| c.key).collect();
        let tallies = tx.login_failures_of(&keys).await?;
        let now = self.limits.0.live.now();
        let closed = |(counter, tally): (&&Counter, Option<Tally>)| {
            matches!(counter.rule.verdict(tally.as_ref(), 0, now), LimitVerdict::Closed(_))
        };
        Ok(of_kinds.iter().zip(tallies).any(closed))
    }

    /// Counts the guess as failed in the counters of the kinds `counted`, unless one of a kind in `judged` refuses it
    /// or one is closed. Either all of them count it or none.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`]; [`Error::Unavailable`] if it cannot be counted.
    pub(in crate::service::people) async fn count(
        &mut self,
        judged: &[LimitKind],
        counted: &[LimitKind],
    ) -> Result<()> {
        for _ in 0..TRIES {
            match self.count_once(judged, counted).await {
                Err(Error::Conflict) => {}
                done => return done,
            }
        }
        Err(Error::Unavailable("cannot count an attempt".into()))
    }

    async fn count_once(&mut self, judged: &[LimitKind], counted: &[LimitKind]) -> Result<()> {
        let limits = self.limits.clone();
        let mut chosen: Vec<&mut Counter> =
            self.counters.iter_mut().filter(|c| counted.contains(&c.key.kind)).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let rules: Vec<(LimitKey, Rule)> = chosen.iter().map(|c| (c.key, c.rule)).collect();
        let keys: Vec<LimitKey> = rules.iter().map(|(key, _)| *key).collect();
        let now = limits.0.live.now();
        // Where enough are in flight already, this needs no query.
        let busy: Vec<_> = chosen.iter().filter_map(|c| c.judge(&limits, None, judged, now)).collect();
        limits.refuse(&busy)?;
        let mut tx = limits.0.store.write().await?;
        let before = tx.login_failures_lock(&keys, now).await?;
        let verdicts: Vec<(LimitKind, LimitVerdict)> = chosen
            .iter()
            .zip(&before)
            .filter_map(|(counter, tally)| counter.judge(&limits, tally.as_ref(), judged, now))
            .collect();
        // A refused guess is not counted: the transaction ends here.
        limits.refuse(&verdicts)?;
        let after = tx.login_failures_add(&rules, now).await?;
        // Marked while the counts are locked: whoever locks them next finds this guess in flight.
        let marked: Vec<InFlight> = keys.iter().map(|key| InFlight::start(&limits, *key)).collect();
        tx.commit().await?;
        for (((counter, before), after), in_flight) in chosen.iter_mut().zip(before).zip(after).zip(marked) {
            counter.counted = Some(Counted { before, after, _in_flight: in_flight });
        }
        Ok(())
    }

    /// Keeps the guess counted, whatever it was: for attempts of which each one counts.
    pub(in crate::service::people) fn keep(mut self) {
        self.limits.remember(&std::mem::take(&mut self.counters));
    }

    /// Keeps the attempt counted if what it was for is done; otherwise takes it back.
    pub(in crate::service::people) async fn kept_if_done<T>(self, done: Result<T>) -> Result<T> {
        match done {
            Ok(_) => self.keep(),
            Err(_) => self.take_back().await,
        }
        done
    }

    /// Takes the guess back: it was not looked at.
    pub(in crate::service::people) async fn take_back(mut self) {
        let counters = std::mem::take(&mut self.counters);
        if let Err(error) = self.limits.settle(&counters, false).await {
            tracing::warn!(cause = ?error, "cannot take back an attempt; it counts as failed");
        }
    }

    /// Takes the guess back, to count it against other counters.
    pub(in crate::service::people) async fn take_back_to_recount(&mut self) -> Result<()> {
        self.limits.settle(&self.counters, false).await?;
        self.counters.iter_mut().for_each(|c| c.counted = None);
        Ok(())
    }

    /// Records a failed guess: it stays counted, even if the caller stops waiting.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if an audit event could not be stored: the caller must then not reveal that the guess
    /// was wrong.
    pub async fn failed(mut self, who: GuessAudit) -> Result<()> {
        let counters = std::mem::take(&mut self.counters);
        self.limits.remember(&counters);
        self.limits.0.stats.failures.fetch_add(1, Ordering::Relaxed);
        let step = |c: &Counter| -> Option<Step> {
            let after = c.counted.as_ref()?.after;
            Some((c.key.kind, after, c.rule.step(&after).filter(|_| c.key.kind != LimitKind::Device)?))
        };
        let steps: Vec<Step> = counters.iter().filter_map(step).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let limits = self.limits.clone();
        let task = tokio::spawn(async move { limits.audit_steps(&steps, &who).await });
        task.await.unwrap_or_else(|e| Err(Error::Internal(Box::new(e))))
    }

    /// Records a correct guess: it is taken back, and its counts in a row are cleared.
    ///
    /// # Errors
    /// If the database cannot be reached: the counts are then kept.
    pub async fn succeeded(mut self) -> Result<()> {
        let counters = std::mem::take(&mut self.counters);
        self.limits.settle(&counters, true).await
    }
}

impl Limits {
    /// Caches what the counters say now.
    fn remember(&self, counters: &[Counter]) {
        let now = self.0.live.now();
        let mut cache = self.cache();
        for counter in counters {
            let Some(Counted { after, .. }) = &counter.counted else { continue };
            cache.record(counter.key, counter.rule.verdict(Some(after), 0, now), now);
        }
    }
}

impl Counter {
    /// What this counter says about the guess. One that is not asked objects only if it is closed.
    fn judge(
        &self,
        limits: &Limits,
        tally: Option<&Tally>,
        judged: &[LimitKind],
        now: Timestamp,
    ) -> Option<(LimitKind, LimitVerdict)> {
        let kind = self.key.kind;
        if !judged.contains(&kind) {
            let verdict = self.rule.verdict(tally, 0, now);
            return matches!(verdict, LimitVerdict::Closed(_)).then_some((kind, verdict));
        }
        let mut cache = limits.cache();
        let in_flight = cache.in_flight(&self.key);
        let verdict = self.rule.verdict(tally, in_flight, now);
        if in_flight == 0 && tally.is_some() {
            cache.record(self.key, verdict, now);
        }
        Some((kind, verdict))
    }
}
