//! One guess, from start to result.

use std::{fmt, future::Future};

use super::{GuessAudit, Limits, memory::InFlightAs};
use crate::{
    domain::limit::{LimitKey, LimitKind, LimitVerdict, Rule, Tally, UnderWay},
    error::{Error, Result},
    passwords::Turn,
    service::runtime::TRIES,
    store::Tx,
    time::Timestamp,
};

/// A guess in progress. It is counted as failed before it is looked at, so that concurrent guesses in any number of
/// processes cannot be allowed by the same count. If it is dropped without a result, it is taken back, and counted only by
/// what `Attempt::counts_if_abandoned` says.
#[must_use]
pub struct Attempt {
    limits: Limits,
    counters: Vec<Counter>,
    /// If the caller stops waiting now, these count it.
    abandoned: &'static [LimitKind],
    /// Kept until the guess is answered or taken back, so that it is not in the way of the next one. Boxed to keep the
    /// future of a sign-in small.
    turn: Option<Box<Turn>>,
}

/// How a guess is judged and counted, by the kinds of its counters.
#[derive(Clone, Copy, Debug)]
pub(in crate::service::people) struct Plan {
    /// These may refuse it.
    pub(in crate::service::people) judged: &'static [LimitKind],
    /// These count it as failed before it is looked at.
    pub(in crate::service::people) counted: &'static [LimitKind],
    /// These count it once it has failed. Until then only this process knows of it: many people share these counts,
    /// and guesses of others that are in flight elsewhere must not refuse a right password.
    pub(in crate::service::people) held: &'static [LimitKind],
}

impl Plan {
    /// Every counter judges and counts.
    pub(super) const ALL: Self = Self { judged: &LimitKind::ALL, counted: &LimitKind::ALL, held: &[] };

    fn uses(&self, kind: LimitKind) -> bool {
        self.counted.contains(&kind) || self.held.contains(&kind)
    }
}

/// One counter that a guess may count against.
pub(super) struct Counter {
    pub(super) key: LimitKey,
    pub(super) rule: Rule,
    /// What counting the guess has done, once that is done.
    pub(super) counted: Option<Counted>,
    /// Set while the guess is in flight without being counted.
    pub(super) held: Option<Held>,
}

/// A count before and after a guess was counted.
pub(super) struct Counted {
    pub(super) before: Option<Tally>,
    pub(super) after: Tally,
    _in_flight: InFlight,
}

/// A guess in flight that is not counted yet.
pub(super) struct Held {
    /// How many were in flight before it.
    ahead: i64,
    _in_flight: InFlight,
}

/// Marks a guess as in flight until dropped.
struct InFlight(Limits, LimitKey, InFlightAs);

impl InFlight {
    /// Marks it, and returns how many were marked before.
    fn start(limits: &Limits, key: LimitKey, how: InFlightAs) -> (i64, Self) {
        let ahead = limits.cache().start(key, how);
        (ahead, Self(limits.clone(), key, how))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.cache().finish(&self.1, self.2);
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counters.iter().map(|c| c.key)).finish()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let (limits, abandoned, turn) = (self.limits.clone(), self.abandoned, self.turn.take());
        let counters = std::mem::take(&mut self.counters);
        if counters.iter().all(|c| c.counted.is_none() && !abandoned.contains(&c.key.kind)) {
            return;
        }
        // The caller has stopped waiting, so nobody learns whether the guess was right.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = limits.settle_now(&counters, false).await {
                tracing::warn!(cause = ?error, "cannot take back an abandoned attempt; it counts as failed");
            }
            drop(turn);
            if let Err(error) = limits.record_abandoned(&counters, abandoned).await {
                tracing::warn!(cause = ?error, "cannot count an abandoned attempt");
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
            Some(Counter { key: *key, rule, counted: None, held: None })
        };
        let counters = keys.iter().filter_map(count).collect();
        Attempt { limits: self.clone(), counters, abandoned: &[], turn: None }
    }
}

impl Attempt {
    /// Keeps the turn at the account.
    pub(in crate::service::people) fn hold(&mut self, turn: Turn) {
        self.turn = Some(Box::new(turn));
    }

    /// Sets which counters count the guess if the caller stops waiting from now on.
    pub(in crate::service::people) fn counts_if_abandoned(&mut self, kinds: &'static [LimitKind]) {
        self.abandoned = kinds;
    }

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
            matches!(counter.rule.verdict(tally.as_ref(), UnderWay::NONE, now), LimitVerdict::Closed(_))
        };
        Ok(of_kinds.iter().zip(tallies).any(closed))
    }

    /// Refuses the guess if the cache says that a counter does.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(in crate::service::people) fn check_cached(&self, plan: Plan) -> Result<()> {
        let keys: Vec<LimitKey> = self.counters.iter().map(|c| c.key).collect();
        self.limits.check_cached(&keys, plan.judged)
    }

    /// Counts the guess as planned, unless a counter refuses it or is closed. Either all of them count it or none. If
    /// the caller stops waiting, it is taken back.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`]; [`Error::Unavailable`] if it cannot be counted.
    pub(in crate::service::people) async fn count(&mut self, plan: Plan) -> Result<()> {
        let mut attempt = Self {
            limits: self.limits.clone(),
            counters: std::mem::take(&mut self.counters),
            abandoned: self.abandoned,
            turn: self.turn.take(),
        };
        // In a task, which ends whoever waits for it: then the attempt knows whether it is counted, and is dropped.
        let counting = tokio::spawn(async move {
            let done = attempt.count_now(plan).await;
            (attempt, done)
        });
        let (mut attempt, done) = counting.await.map_err(|e| Error::Internal(Box::new(e)))?;
        self.counters = std::mem::take(&mut attempt.counters);
        self.turn = attempt.turn.take();
        done
    }

    async fn count_now(&mut self, plan: Plan) -> Result<()> {
        for _ in 0..TRIES {
            let done = self.count_once(plan).await;
            if done.is_err() {
                self.counters.iter_mut().for_each(|c| c.held = None);
            }
            match done {
                Err(Error::Conflict) => {}
                done => return done,
            }
        }
        Err(Error::Unavailable("cannot count an attempt".into()))
    }

    async fn count_once(&mut self, plan: Plan) -> Result<()> {
        let limits = self.limits.clone();
        let now = limits.0.live.now();
        let (mut counted, mut held): (Vec<&mut Counter>, Vec<&mut Counter>) = self
            .counters
            .iter_mut()
            .filter(|c| plan.uses(c.key.kind))
            .partition(|c| plan.counted.contains(&c.key.kind));
        if counted.is_empty() && held.is_empty() {
            return Ok(());
        }
        // Before the counts are read: a guess that fails meanwhile is found here or there.
        for counter in &mut held {
            counter.hold(&limits);
        }
        // Where enough are in flight already, this needs no query.
        let all = || counted.iter().chain(&held);
        let busy: Vec<_> = all().filter_map(|c| c.judge(&limits, None, plan, now)).collect();
        limits.refuse(&busy)?;
        let rules: Vec<(LimitKey, Rule)> = counted.iter().map(|c| (c.key, c.rule)).collect();
        let keys: Vec<LimitKey> = rules.iter().map(|(key, _)| *key).collect();
        let keys_held: Vec<LimitKey> = held.iter().map(|c| c.key).collect();
        let mut tx = limits.0.store.write().await?;
        let before = tx.login_failures_lock(&keys, now).await?;
        let others = tx.login_failures_of(&keys_held).await?;
        let tallies: Vec<(&Counter, Option<&Tally>)> =
            all().map(|c| &**c).zip(before.iter().chain(&others).map(Option::as_ref)).collect();
        // A refused guess is not counted: the transaction ends here.
        limits.refuse(&limits.verdicts(&tallies, plan, now))?;
        let after = tx.login_failures_add(&rules, now).await?;
        // Marked while the counts are locked: whoever locks them next finds this guess in flight.
        let marked: Vec<InFlight> =
            keys.iter().map(|key| InFlight::start(&limits, *key, InFlightAs::Counted).1).collect();
        tx.commit().await?;
        for (((counter, before), after), in_flight) in counted.iter_mut().zip(before).zip(after).zip(marked) {
            counter.counted = Some(Counted { before, after, _in_flight: in_flight });
        }
        Ok(())
    }

    /// Does what the attempt is for. It stays counted unless it is certain that nothing was done: not even if the
    /// caller stops waiting, because that may be after the commit.
    pub(in crate::service::people) async fn kept_if_done<T>(
        mut self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let counters = std::mem::take(&mut self.counters);
        let done = work.await;
        match &done {
            Ok(_) | Err(Error::Unavailable(_) | Error::DeadlineExceeded | Error::Internal(_)) => {
                self.limits.remember(&counters);
            }
            Err(_) => {
                self.counters = counters;
                self.take_back().await;
            }
        }
        done
    }

    /// Takes the guess back: it was not looked at.
    pub(in crate::service::people) async fn take_back(mut self) {
        let counters = std::mem::take(&mut self.counters);
        if let Err(error) = self.limits.settle(counters, false).await {
            tracing::warn!(cause = ?error, "cannot take back an attempt; it counts as failed");
        }
    }

    /// Takes the guess back, to count it against other counters.
    pub(in crate::service::people) async fn take_back_to_recount(&mut self) -> Result<()> {
        let clean = |c: &Counter| Counter { key: c.key, rule: c.rule, counted: None, held: None };
        let clean = self.counters.iter().map(clean).collect();
        let counters = std::mem::replace(&mut self.counters, clean);
        self.limits.settle(counters, false).await
    }

    /// Records a failed guess: it stays counted, even if the caller stops waiting.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if not all could be stored: the caller must then not reveal that the guess was wrong.
    pub async fn failed(mut self, who: GuessAudit) -> Result<()> {
        let (limits, counters) = (self.limits.clone(), std::mem::take(&mut self.counters));
        let task = tokio::spawn(async move { limits.record_failure(counters, who).await });
        task.await.unwrap_or_else(|e| Err(Error::Internal(Box::new(e))))
    }

    /// Records a correct guess: it is taken back, and its counts in a row are cleared.
    ///
    /// # Errors
    /// If the database cannot be reached: the counts are then kept.
    pub async fn succeeded(mut self) -> Result<()> {
        let counters = std::mem::take(&mut self.counters);
        self.limits.settle(counters, true).await
    }
}

impl Limits {
    /// What the counters say about a guess. That of everybody who writes to one inbox is asked only about somebody who
    /// has written to it before, so that others cannot close anybody's first way.
    fn verdicts(
        &self,
        counts: &[(&Counter, Option<&Tally>)],
        plan: Plan,
        now: Timestamp,
    ) -> Vec<(LimitKind, LimitVerdict)> {
        // The last one, if there are several, is for this recipient.
        let own = counts.iter().rfind(|(c, _)| c.key.kind == LimitKind::Mail);
        let asked_before = own.is_some_and(|(_, tally)| tally.is_some_and(|t| t.expires_at > now));
        let asked = counts.iter().filter(|(c, _)| c.key.kind != LimitKind::Inbox || asked_before);
        let verdicts: Vec<_> = asked.filter_map(|(c, tally)| c.judge(self, *tally, plan, now)).collect();
        let inbox = verdicts.iter().find(|(kind, _)| *kind == LimitKind::Inbox);
        if let (Some((_, verdict)), Some((own, _))) = (inbox, own) {
            // Cached for this asker only.
            self.cache().record(own.key.for_inbox(), *verdict, now);
        }
        verdicts
    }
}

impl Counter {
    /// Marks the guess as in flight without counting it.
    fn hold(&mut self, limits: &Limits) {
        let (ahead, in_flight) = InFlight::start(limits, self.key, InFlightAs::Held);
        self.held = Some(Held { ahead, _in_flight: in_flight });
    }

    /// What this counter says about the guess. One that is not asked objects only if it is closed.
    fn judge(
        &self,
        limits: &Limits,
        tally: Option<&Tally>,
        plan: Plan,
        now: Timestamp,
    ) -> Option<(LimitKind, LimitVerdict)> {
        let kind = self.key.kind;
        if !plan.judged.contains(&kind) {
            let verdict = self.rule.verdict(tally, UnderWay::NONE, now);
            return matches!(verdict, LimitVerdict::Closed(_)).then_some((kind, verdict));
        }
        let mut cache = limits.cache();
        let counted = cache.in_flight(&self.key, InFlightAs::Counted);
        let held = self.held.as_ref().map_or_else(|| cache.in_flight(&self.key, InFlightAs::Held), |held| held.ahead);
        let verdict = self.rule.verdict(tally, UnderWay { counted, held }, now);
        let certain = tally.is_some_and(|t| counted == 0 && !self.rule.may_be_in_flight_elsewhere(t));
        if certain && kind != LimitKind::Inbox {
            cache.record(self.key, verdict, now);
        }
        Some((kind, verdict))
    }
}
