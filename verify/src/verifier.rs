//! A verifier that fetches the issuer's keys by itself.

mod source;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::Mutex;

use self::source::Source;
use crate::{Claims, Clock, KeySet, Policy, SystemClock, VerifyError, check};

/// How long a set that should be read again is used while that fails.
const STALE_IF_ERROR_MS: i64 = 300_000;
/// Least time between two reads for keys that the set does not hold.
const REREAD_MS: i64 = 60_000;
/// Least time between two reads of a source that failed, while there is an older set.
const RETRY_MS: i64 = 10_000;
/// The same while there is none, and no token can be checked.
const FIRST_RETRY_MS: i64 = 1_000;

/// Verifies tokens of one issuer. Cheap to share; keep one for the life of the process.
pub struct Verifier {
    policy: Policy,
    source: Source,
    clock: Arc<dyn Clock>,
    held: RwLock<Held>,
    fetching: Mutex<()>,
}

#[derive(Clone, Default)]
struct Held {
    set: Option<Arc<KeySet>>,
    fetched_ms: i64,
    fresh_until_ms: i64,
    tried_ms: Option<i64>,
    problem: Option<Arc<str>>,
}

impl Held {
    /// The set, if it need not be read again. A clock that stepped back makes nothing fresh.
    fn fresh(&self, now: i64) -> Option<Arc<KeySet>> {
        self.set.clone().filter(|_| self.fetched_ms <= now && now < self.fresh_until_ms)
    }

    /// The set, if it may be used while it cannot be read again.
    fn usable(&self, now: i64) -> Result<Arc<KeySet>, VerifyError> {
        let usable = self.set.clone().filter(|_| now < self.fresh_until_ms.saturating_add(STALE_IF_ERROR_MS));
        usable.ok_or_else(|| {
            let reason = self.problem.as_deref().unwrap_or("they were not read yet").to_owned();
            VerifyError::KeysUnavailable { reason }
        })
    }

    /// Whether the source was tried within the last `ms`.
    fn tried_within(&self, ms: i64, now: i64) -> bool {
        self.tried_ms.is_some_and(|at| (0..ms).contains(&now.saturating_sub(at)))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Verifies tokens of `issuer` for `audience`, with the keys at `{issuer}/.well-known/jwks.json` and
    /// half a minute of leeway.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self::with_policy(Policy::new(issuer, audience).leeway(Duration::from_secs(30)))
    }

    /// Verifies by a policy of your own.
    #[must_use]
    pub fn with_policy(policy: Policy) -> Self {
        let url = format!("{}/.well-known/jwks.json", policy.issuer().trim_end_matches('/'));
        Self {
            policy,
            source: Source::url(url),
            clock: Arc::new(SystemClock),
            held: RwLock::default(),
            fetching: Mutex::new(()),
        }
    }

    /// Fetches the keys from another URL.
    #[must_use]
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.source = Source::url(url.into());
        self
    }

    /// Reads the keys from a file, again every five minutes, and when a token names a key that is not
    /// among them.
    #[must_use]
    pub fn jwks_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Source::File(path.into());
        self
    }

    /// Uses this key set and reads no other.
    #[must_use]
    pub fn jwks(mut self, set: KeySet) -> Self {
        self.source = Source::Value;
        self.held = RwLock::new(Held { set: Some(Arc::new(set)), fresh_until_ms: i64::MAX, ..Held::default() });
        self
    }

    /// Tells the time by another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Verifies a token. Reads keys when there are none, when they are too old, or, at most once a
    /// minute, when the token names one that is not among them.
    ///
    /// # Errors
    /// Why the token is not accepted.
    pub async fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        let now = self.clock.now_ms();
        let set = self.current(now).await?;
        match check(token, &set, &self.policy, now) {
            Err(VerifyError::UnknownKey { kid }) => {
                let set = self.reread(now).await.ok_or(VerifyError::UnknownKey { kid })?;
                check(token, &set, &self.policy, now)
            }
            other => other,
        }
    }

    /// Verifies a token with the keys at hand, without any waiting.
    ///
    /// # Errors
    /// Why the token is not accepted; [`VerifyError::KeysUnavailable`] before the first fetch.
    pub fn verify_now(&self, token: &str) -> Result<Claims, VerifyError> {
        let now = self.clock.now_ms();
        let set = self.held().usable(now)?;
        check(token, &set, &self.policy, now)
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The set to check with: fresh, or read now, or stale within bounds.
    async fn current(&self, now: i64) -> Result<Arc<KeySet>, VerifyError> {
        if let Some(set) = self.held().fresh(now) {
            return Ok(set);
        }
        let _turn = self.fetching.lock().await;
        let held = self.held();
        // Somebody else may have read it while we waited.
        if let Some(set) = held.fresh(now) {
            return Ok(set);
        }
        // A source that is down is asked now and then, not for every token.
        let pause = if held.set.is_some() { RETRY_MS } else { FIRST_RETRY_MS };
        if !held.tried_within(pause, now) {
            self.read(now).await;
        }
        self.held().usable(now)
    }

    /// A set read after the token named a stranger, if it may be read again.
    async fn reread(&self, now: i64) -> Option<Arc<KeySet>> {
        if matches!(self.source, Source::Value) {
            return None;
        }
        let _turn = self.fetching.lock().await;
        let held = self.held();
        if held.tried_within(REREAD_MS, now) {
            // Somebody read it while we waited, or lately: that set is as good as another.
            return held.set.filter(|_| held.tried_ms == Some(held.fetched_ms));
        }
        if self.read(now).await { self.held().set } else { None }
    }

    /// Reads the source; says whether there is a new set.
    async fn read(&self, now: i64) -> bool {
        self.hold(|h| h.tried_ms = Some(now));
        let read = self.source.read().await;
        let good = read.is_ok();
        self.hold(|h| match read {
            Ok((set, max_age)) => {
                h.set = Some(Arc::new(set));
                h.fetched_ms = now;
                h.fresh_until_ms = now.saturating_add(max_age);
                h.problem = None;
            }
            Err(error) => h.problem = Some(error.to_string().into()),
        });
        good
    }
}

#[cfg(test)]
mod tests;
