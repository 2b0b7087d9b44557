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

mod attempt;
mod memory;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use self::attempt::Attempt;
use self::memory::Memory;
use crate::{
    domain::{
        audit::Actor,
        limit::{LimitKey, LimitKind, LimitVerdict},
        login::Login,
    },
    error::{Error, Result},
    keys::SealingKey,
    passwords::Prefix,
    service::runtime::Live,
    store::{Store, Tx},
};

/// Counts failed guesses. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Counters>);

struct Counters {
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

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits")
    }
}

impl Limits {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, sealing: Arc<SealingKey>) -> Self {
        Self(Arc::new(Counters { store, live, sealing, memory: Mutex::default(), counted: Counted::default() }))
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
        matches!(self.memory().verdict(key, self.0.live.now()), LimitVerdict::Closed(_))
    }

    /// Forgets what was counted for these logins: their user has a new password.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub(in crate::service) async fn clear_logins(&self, tx: &mut Tx, logins: &[String]) -> Result<()> {
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
    fn refuse(&self, verdicts: &[(LimitKind, LimitVerdict)]) -> Result<()> {
        let refusal = |(kind, verdict): &(LimitKind, LimitVerdict)| match *verdict {
            LimitVerdict::Go | LimitVerdict::Busy(_) => None,
            LimitVerdict::Wait(after) => Some((after, *kind, false)),
            LimitVerdict::Closed(after) => Some((after, *kind, true)),
        };
        let Some((after, kind, closed)) = verdicts.iter().filter_map(refusal).max_by_key(|(after, ..)| *after) else {
            let busy =
                verdicts.iter().find_map(|(_, v)| if let LimitVerdict::Busy(after) = v { Some(*after) } else { None });
            return busy.map_or(Ok(()), |after| Err(Error::Throttled { after }));
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
}
