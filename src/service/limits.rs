//! Guesses that failed: counted in the database for all processes, and refused from memory while they are too
//! many. The rules are those of [`limit`](crate::domain::limit).
//!
//! A guess is bracketed: [`Limits::check`] says whether it is due, then [`Attempt::failed`] or
//! [`Attempt::cleared`] tells how it ended. What can be guessed has a [`LimitKind`] of its own:
//!
//! ```ignore
//! let mut keys = vec![limits.key(LimitKind::Account, canonical_login)];
//! keys.extend(limits.keys_of_address(&ctx.peer));
//! let attempt = limits.check(&keys).await?;       // TOO_MANY_ATTEMPTS, or the database is out of reach
//! if right { attempt.cleared().await? } else { attempt.failed(whom).await? }
//! ```
//!
//! Something that is limited as such, such as registrations from one address, counts every time as failed.

mod memory;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::json;

use self::memory::Memory;
use super::{Live, TRIES};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        limit::{LimitKey, LimitKind, Rule, Step, Tally, Verdict},
        login::Login,
    },
    error::{Error, Result},
    keys::SealingKey,
    passwords::Prefix,
    store::{Store, Tx},
};

/// Counts failed guesses. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Shared>);

struct Shared {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKey>,
    memory: Mutex<Memory>,
    counted: Counted,
}

/// What is told by [`Limits::figures`], as it is counted.
#[derive(Default)]
struct Counted {
    failures: AtomicU64,
    refused: [AtomicU64; LimitKind::ALL.len()],
    slowest: AtomicU64,
    closed: AtomicU64,
}

/// What became of guesses so far in this process, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitFigures {
    /// Guesses that failed.
    pub failures: u64,
    /// Guesses that were refused, by the count that said no.
    pub refused: [(LimitKind, u64); LimitKind::ALL.len()],
    /// Accounts whose guesses began to wait for the longest time.
    pub slowest: u64,
    /// Accounts that were closed to unknown devices, or to known ones.
    pub closed: u64,
    /// Counts in memory that say no.
    pub remembered: u64,
}

/// Whose account was guessed at, and who did; for the audit.
#[derive(Clone, Debug, Default)]
pub struct Guesser {
    /// The user's subject; empty if the account is nobody's.
    pub subject: String,
    /// Who guessed: the client, and the address.
    pub actor: Actor,
}

/// A guess that is due. Until it is told how it ended it counts as one that failed; dropped, it counts for
/// nothing.
#[must_use]
pub struct Attempt {
    limits: Limits,
    counts: Vec<Count>,
}

/// One count of a guess.
struct Count {
    key: LimitKey,
    rule: Rule,
    tally: Option<Tally>,
    /// Guesses at the same that had begun before, and had no answer then. Buckets need not know: what came in
    /// at once beyond the brim has to drain first.
    others: i64,
    _under_way: Option<UnderWay>,
}

/// That a guess is under way, for as long as this lives.
struct UnderWay(Limits, LimitKey);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.memory().end(&self.1);
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits")
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counts.iter().map(|c| c.key)).finish()
    }
}

impl Limits {
    pub(super) fn new(store: Store, live: Arc<Live>, sealing: Arc<SealingKey>) -> Self {
        Self(Arc::new(Shared { store, live, sealing, memory: Mutex::default(), counted: Counted::default() }))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The count of a name.
    #[must_use]
    pub fn key(&self, kind: LimitKind, name: &str) -> LimitKey {
        self.0.sealing.limit_key(kind, name.as_bytes())
    }

    /// The count of what was typed as a login, by its canonical form if it has one.
    #[must_use]
    pub fn key_of_login(&self, kind: LimitKind, typed: &str) -> LimitKey {
        self.key(kind, Login::canonical_for_lookup(typed).as_deref().unwrap_or(typed))
    }

    /// The counts of an address and its network; none if that is no address.
    #[must_use]
    pub fn keys_of_address(&self, address: &str) -> Vec<LimitKey> {
        let named = [(LimitKind::Address, Prefix::machine(address)), (LimitKind::Network, Prefix::of(address))];
        named.into_iter().filter_map(|(kind, prefix)| Some(self.key(kind, &prefix.name()?))).collect()
    }

    /// Begins a guess that is counted by these keys.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if it is not due; [`Error::Unavailable`] if nobody can tell.
    pub async fn check(&self, keys: &[LimitKey]) -> Result<Attempt> {
        let kinds = LimitKind::ALL;
        self.remembered(keys, &kinds)?;
        let mut attempt = self.begin(keys);
        let mut tx = self.0.store.read().await?;
        attempt.read(&mut tx).await?;
        attempt.is_due(&kinds)?;
        Ok(attempt)
    }

    /// Refuses a guess that is known not to be due by one of these kinds of counts, without a question to the
    /// database.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(super) fn remembered(&self, keys: &[LimitKey], kinds: &[LimitKind]) -> Result<()> {
        let now = self.0.live.now();
        let verdicts: Vec<_> = {
            let memory = self.memory();
            let of_kinds = keys.iter().filter(|key| kinds.contains(&key.kind));
            of_kinds.map(|key| (key.kind, memory.verdict(key, now))).collect()
        };
        self.refuse(&verdicts)
    }

    /// Whether a count is known to be closed.
    pub(super) fn is_remembered_closed(&self, key: &LimitKey) -> bool {
        matches!(self.memory().verdict(key, self.0.live.now()), Verdict::Closed(_))
    }

    /// Begins a guess without asking. What began before is known before anything is read: its failure is either
    /// among what will be read, or counts as under way.
    pub(super) fn begin(&self, keys: &[LimitKey]) -> Attempt {
        let snapshot = self.0.live.snapshot();
        let count = |key: &LimitKey| {
            let rule = snapshot.settings.limits.rule(key.kind)?;
            let (key, tally) = (*key, None);
            let Rule::InARow { .. } = rule else {
                return Some(Count { key, rule, tally, others: 0, _under_way: None });
            };
            let others = self.memory().begin(key);
            Some(Count { key, rule, tally, others, _under_way: Some(UnderWay(self.clone(), key)) })
        };
        Attempt { limits: self.clone(), counts: keys.iter().filter_map(count).collect() }
    }

    /// Forgets what was counted for these logins: their user has a new password.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub(super) async fn clear_logins(&self, tx: &mut Tx, logins: &[String]) -> Result<()> {
        let kinds = [LimitKind::Account, LimitKind::Devices];
        let keys: Vec<_> = logins.iter().flat_map(|l| kinds.map(|kind| self.key_of_login(kind, l))).collect();
        tx.login_failures_clear(&keys).await?;
        let mut memory = self.memory();
        for key in &keys {
            memory.forget(key);
        }
        Ok(())
    }

    /// Refuses if one of the verdicts does, by the one that lasts longest.
    fn refuse(&self, verdicts: &[(LimitKind, Verdict)]) -> Result<()> {
        let refusal = |(kind, verdict): &(LimitKind, Verdict)| match *verdict {
            Verdict::Go => None,
            Verdict::Wait(after) => Some((after, *kind, false)),
            Verdict::Closed(after) => Some((after, *kind, true)),
        };
        let Some((after, kind, closed)) = verdicts.iter().filter_map(refusal).max_by_key(|(after, ..)| *after) else {
            return Ok(());
        };
        if let Some(refused) = self.0.counted.refused.get(kind as usize) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        Err(Error::TooManyAttempts { after, by: kind.as_str(), closed })
    }

    /// What became of guesses so far.
    #[must_use]
    pub fn figures(&self) -> LimitFigures {
        let counted = &self.0.counted;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LimitFigures {
            failures: of(&counted.failures),
            refused: LimitKind::ALL.map(|kind| (kind, counted.refused.get(kind as usize).map_or(0, of))),
            slowest: of(&counted.slowest),
            closed: of(&counted.closed),
            remembered: self.memory().len() as u64,
        }
    }

    /// Counts a failure; what operators want to know of is written with it.
    async fn count(&self, counts: &[Count], who: &Guesser) -> Result<()> {
        let rules: Vec<(LimitKey, Rule)> = counts.iter().map(|c| (c.key, c.rule)).collect();
        let now = self.0.live.now();
        let mut tx = self.0.store.write().await?;
        let tallies = tx.login_failures_add(&rules, now).await?;
        let mut steps = Vec::new();
        for ((key, rule), tally) in rules.iter().zip(&tallies) {
            let Some(step) = rule.step(tally).filter(|_| key.kind != LimitKind::Device) else { continue };
            let details = json!({
                "failures": tally.failures,
                "known_devices": key.kind == LimitKind::Devices,
                "closed": step == Step::Closed,
            });
            tx.audit(now, AuditKind::AccountThrottled, &who.actor, &who.subject, details).await?;
            steps.push(step);
        }
        tx.commit().await?;
        let counted = &self.0.counted;
        counted.failures.fetch_add(1, Ordering::Relaxed);
        for step in steps {
            let reached = if step == Step::Closed { &counted.closed } else { &counted.slowest };
            reached.fetch_add(1, Ordering::Relaxed);
        }
        let mut memory = self.memory();
        for ((key, rule), tally) in rules.iter().zip(&tallies) {
            memory.note(*key, rule.verdict(Some(tally), 0, now), now);
        }
        Ok(())
    }
}

impl Attempt {
    /// Reads the counts.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub(super) async fn read(&mut self, tx: &mut Tx) -> Result<()> {
        let keys: Vec<LimitKey> = self.counts.iter().map(|c| c.key).collect();
        let tallies = tx.login_failures_of(&keys).await?;
        for (count, tally) in self.counts.iter_mut().zip(tallies) {
            count.tally = tally;
        }
        Ok(())
    }

    /// Refuses the guess if it is not due by one of these kinds of counts.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(super) fn is_due(&self, kinds: &[LimitKind]) -> Result<()> {
        let now = self.limits.0.live.now();
        let mut verdicts = Vec::new();
        for count in self.counts.iter().filter(|c| kinds.contains(&c.key.kind)) {
            let verdict = count.rule.verdict(count.tally.as_ref(), count.others, now);
            if count.others == 0 {
                self.limits.memory().note(count.key, verdict, now);
            }
            verdicts.push((count.key.kind, verdict));
        }
        self.limits.refuse(&verdicts)
    }

    /// Whether there is no further guess by this kind of count.
    pub(super) fn is_closed(&self, kind: LimitKind) -> bool {
        let now = self.limits.0.live.now();
        let closed = |c: &Count| matches!(c.rule.verdict(c.tally.as_ref(), c.others, now), Verdict::Closed(_));
        self.counts.iter().any(|c| c.key.kind == kind && closed(c))
    }

    /// Leaves the other kinds of counts alone from here on.
    pub(super) fn only(mut self, kinds: &[LimitKind]) -> Self {
        self.counts.retain(|count| kinds.contains(&count.key.kind));
        self
    }

    /// The guess failed. It is counted before this returns, and even if the caller does not wait for that.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it could not be counted: then nobody may learn that it failed.
    pub async fn failed(self, who: Guesser) -> Result<()> {
        let counted = tokio::spawn(async move {
            for _ in 0..TRIES {
                match self.limits.count(&self.counts, &who).await {
                    Err(Error::Conflict) => {}
                    done => return done,
                }
            }
            Err(Error::Unavailable("a failed guess could not be counted".into()))
        });
        counted.await.unwrap_or_else(|e| Err(Error::Internal(Box::new(e))))
    }

    /// The guess was right: its counts in a row begin anew, where there is anything to forget.
    ///
    /// # Errors
    /// If the database cannot be reached: then they go on.
    pub async fn cleared(self) -> Result<()> {
        let in_a_row = |c: &&Count| c.tally.is_some() && matches!(c.rule, Rule::InARow { .. });
        let keys: Vec<LimitKey> = self.counts.iter().filter(in_a_row).map(|c| c.key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut tx = self.limits.0.store.write().await?;
        tx.login_failures_clear(&keys).await?;
        tx.commit().await?;
        let mut memory = self.limits.memory();
        for key in &keys {
            memory.forget(key);
        }
        Ok(())
    }
}
