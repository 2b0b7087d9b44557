//! Limits on failed guesses. Failures are counted in the database for all processes; while there are too many,
//! guesses are refused from memory. The rules are in [`limit`](crate::domain::limit).
//!
//! A guess is counted before it is looked at: [`Limits::check`] refuses it, or counts it as failed in the transaction
//! that has locked its counts. Then [`Attempt::failed`] leaves it counted, and [`Attempt::succeeded`] takes it back.
//! Each kind of secret has its own [`LimitKind`]:
//!
//! ```ignore
//! let mut keys = vec![limits.key(LimitKind::Account, canonical_login)];
//! keys.extend(limits.keys_of_address(&ctx.peer));
//! let attempt = limits.check(&keys).await?;       // TOO_MANY_ATTEMPTS, or the database is out of reach
//! if right { attempt.succeeded().await? } else { attempt.failed(whom).await? }
//! ```
//!
//! Plain rate limits, such as on mails, leave every attempt counted.

mod attempt;
mod memory;
mod settle;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use self::attempt::Attempt;
pub(super) use self::attempt::Plan;
use self::memory::RefusalCache;
use crate::{
    domain::{
        audit::Actor,
        limit::{LimitKey, LimitKind, LimitVerdict},
        login::Login,
    },
    error::{Error, Result},
    id::UserId,
    keys::SealingKeys,
    passwords::{Level, Prefix},
    service::runtime::Live,
    store::{Store, Tx},
};

/// Limits failed guesses. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    cache: Mutex<RefusalCache>,
    stats: Stats,
}

/// The counters behind [`Limits::figures`].
#[derive(Default)]
struct Stats {
    failures: AtomicU64,
    refused: [AtomicU64; LimitKind::ALL.len()],
    max_delay: AtomicU64,
    closed: AtomicU64,
}

/// Statistics of guesses in this process, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitFigures {
    /// Guesses that failed.
    pub failures: u64,
    /// Guesses that were refused, by the limit that refused them.
    pub refused: [(LimitKind, u64); LimitKind::ALL.len()],
    /// How often an account reached the longest delay between guesses.
    pub max_delay: u64,
    /// How often an account was closed to unknown devices, or to known ones.
    pub closed: u64,
    /// Refusals cached in memory.
    pub cached: u64,
}

/// The target of a guess and who made it, for the audit log.
#[derive(Clone, Debug, Default)]
pub struct GuessAudit {
    /// The user's subject; empty if there is no such account.
    pub subject: String,
    /// Who guessed: the client and the address.
    pub actor: Actor,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits")
    }
}

impl Limits {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, sealing: Arc<SealingKeys>) -> Self {
        Self(Arc::new(Inner { store, live, sealing, cache: Mutex::default(), stats: Stats::default() }))
    }

    fn cache(&self) -> MutexGuard<'_, RefusalCache> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counter key of a name. It stays the same when the next version of the sealing key comes into use.
    #[must_use]
    pub fn key(&self, kind: LimitKind, name: &str) -> LimitKey {
        self.0.sealing.oldest().limit_key(kind, name.as_bytes())
    }

    /// The counter key of a typed login, by its canonical form if it has one.
    #[must_use]
    pub fn key_of_login(&self, kind: LimitKind, typed: &str) -> LimitKey {
        self.key(kind, &name_of_login(typed))
    }

    /// A key of one kind for what another key counts.
    #[must_use]
    pub fn key_for(&self, kind: LimitKind, other: &LimitKey) -> LimitKey {
        self.0.sealing.oldest().limit_key(kind, &other.hash)
    }

    /// The counter keys of an address and the networks that contain it; none if the text is not an address.
    #[must_use]
    pub fn keys_of_address(&self, address: &str) -> Vec<LimitKey> {
        const LEVELS: [(LimitKind, Level); 4] = [
            (LimitKind::Address, Level::Machine),
            (LimitKind::Network, Level::Network),
            (LimitKind::Site, Level::Site),
            (LimitKind::Provider, Level::Provider),
        ];
        let prefix = Prefix::of(address);
        LEVELS.into_iter().filter_map(|(kind, level)| Some(self.key(kind, &prefix.name(level)?))).collect()
    }

    /// Starts a guess that counts against these keys.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if the guess is refused; [`Error::Unavailable`] if it cannot be counted.
    pub async fn check(&self, keys: &[LimitKey]) -> Result<Attempt> {
        self.check_cached(keys, &LimitKind::ALL)?;
        let mut attempt = self.start(keys);
        attempt.count(Plan::ALL).await?;
        Ok(attempt)
    }

    /// Refuses a guess if a cached refusal of one of these kinds applies, without a database query.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(super) fn check_cached(&self, keys: &[LimitKey], kinds: &[LimitKind]) -> Result<()> {
        let now = self.0.live.now();
        let verdicts: Vec<_> = {
            let cache = self.cache();
            // A refusal of an inbox holds for one asker.
            let own = keys.iter().rfind(|key| key.kind == LimitKind::Mail).map(LimitKey::for_inbox);
            let cached = |key: &LimitKey| if key.kind == LimitKind::Inbox { own } else { Some(*key) };
            let of_kinds = keys.iter().filter(|key| kinds.contains(&key.kind)).filter_map(cached);
            of_kinds.map(|key| (key.kind, cache.verdict(&key, now))).collect()
        };
        self.refuse(&verdicts)
    }

    /// Whether the cache says that a counter is closed.
    pub(super) fn is_cached_closed(&self, key: &LimitKey) -> bool {
        matches!(self.cache().verdict(key, self.0.live.now()), LimitVerdict::Closed(_))
    }

    /// Clears the counters of these logins after a password change.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub(in crate::service) async fn clear_logins(&self, tx: &mut Tx, logins: &[String]) -> Result<()> {
        let kinds = [LimitKind::Account, LimitKind::Devices];
        let keys: Vec<_> = logins.iter().flat_map(|l| kinds.map(|kind| self.key_of_login(kind, l))).collect();
        tx.login_failures_clear(&keys).await?;
        let mut cache = self.cache();
        for key in &keys {
            cache.remove(key);
        }
        Ok(())
    }

    /// Clears the counter of a user's second factors, where an administrator has removed them.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub(in crate::service) async fn clear_factors(&self, tx: &mut Tx, user: &UserId) -> Result<()> {
        let key = self.key(LimitKind::Factor, user.as_str());
        tx.login_failures_clear(&[key]).await?;
        self.cache().remove(&key);
        Ok(())
    }

    /// Fails if any verdict is a refusal; reports the one that lasts longest.
    fn refuse(&self, verdicts: &[(LimitKind, LimitVerdict)]) -> Result<()> {
        let refusal = |(kind, verdict): &(LimitKind, LimitVerdict)| match *verdict {
            LimitVerdict::Go | LimitVerdict::Busy(_) => None,
            LimitVerdict::Wait(after) => Some((after, *kind, false)),
            LimitVerdict::Closed(after) => Some((after, *kind, true)),
        };
        let Some((after, kind, closed)) = verdicts.iter().filter_map(refusal).max_by_key(|(after, ..)| *after) else {
            return verdicts.iter().find_map(|(kind, verdict)| busy(*kind, *verdict)).map_or(Ok(()), Err);
        };
        if let Some(refused) = self.0.stats.refused.get(kind as usize) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        Err(Error::TooManyAttempts { after, by: kind.as_str(), closed })
    }

    /// Statistics so far.
    #[must_use]
    pub fn figures(&self) -> LimitFigures {
        let stats = &self.0.stats;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LimitFigures {
            failures: of(&stats.failures),
            refused: LimitKind::ALL.map(|kind| (kind, stats.refused.get(kind as usize).map_or(0, of))),
            max_delay: of(&stats.max_delay),
            closed: of(&stats.closed),
            cached: self.cache().len() as u64,
        }
    }
}

/// The error for a guess about which others decide that are in flight in this process.
const fn busy(kind: LimitKind, verdict: LimitVerdict) -> Option<Error> {
    let LimitVerdict::Busy(after) = verdict else { return None };
    Some(match kind {
        LimitKind::Account | LimitKind::Device | LimitKind::Devices | LimitKind::Factor => {
            Error::SignInInProgress { after }
        }
        _ => Error::Throttled { after },
    })
}

/// The name of the account that a typed login means: its canonical form if it has one.
pub(super) fn name_of_login(typed: &str) -> String {
    Login::canonical_for_lookup(typed).unwrap_or_else(|| typed.to_owned())
}
