//! A verifier that keeps itself up to date on the issuer's keys and on revocations.

mod http;
pub(crate) mod keyring;
mod shared_read;
mod source;
mod status_list;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::status_list::accepts_list;
use self::{
    keyring::Keyring,
    source::Source,
    status_list::{CheckContext, Lists},
};
#[cfg(feature = "watch")]
use crate::watch::{Watch, WatchHandle};
use crate::{
    Claims, Clock, Freshness, KeySet, Policy, SystemClock, TokenCache, VerifyError, clock::Moment,
    freshness::check_freshness, token_cache::bytes_for,
};

/// The default of [`Verifier::fail_open_for`].
const DEFAULT_FAIL_OPEN_MS: i64 = 300_000;
/// The default of [`Verifier::cache_bytes`]: about 10 000 tokens.
const DEFAULT_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Verifies the tokens of one issuer. Create one and keep it for the life of the process, in an [`Arc`] if it
/// is shared.
///
/// | mode | a revoked session is refused | requires |
/// |---|---|---|
/// | default | when its access token expires (after 5 minutes by default) | the key set |
/// | [`status_lists`](Self::status_lists) | within 20 seconds | status lists over HTTP |
/// | [`watch`](Self::watch) | within a second | one gRPC stream |
pub struct Verifier {
    policy: Policy,
    keys: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    revocations: RevocationSource,
    fail_open_ms: i64,
    cache: TokenCache,
}

/// Where the verifier learns of revocations.
enum RevocationSource {
    None,
    StatusLists(Arc<Lists>),
    #[cfg(feature = "watch")]
    Stream(WatchHandle),
}

/// The state of a verifier.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether there are keys to verify with; the error says why not.
    pub keys: Result<(), VerifyError>,
    /// How current the knowledge of revocations is.
    pub revocations: Freshness,
    /// Whether valid tokens are accepted.
    pub ready: bool,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Verifies tokens of `issuer` for `audience`. Uses the keys at `{issuer}/.well-known/jwks.json` and 30
    /// seconds of leeway.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self::with_policy(Policy::new(issuer, audience).leeway(Duration::from_secs(30)))
    }

    /// Verifies tokens by a custom policy.
    #[must_use]
    pub fn with_policy(policy: Policy) -> Self {
        let url = format!("{}/.well-known/jwks.json", policy.issuer().trim_end_matches('/'));
        Self {
            policy,
            keys: Arc::new(Keyring::new(Source::url(url))),
            clock: Arc::new(SystemClock),
            revocations: RevocationSource::None,
            fail_open_ms: DEFAULT_FAIL_OPEN_MS,
            cache: TokenCache::with_bytes(DEFAULT_CACHE_BYTES),
        }
    }

    /// Fetches the keys from this URL instead.
    #[must_use]
    pub fn jwks_url(self, url: impl Into<String>) -> Self {
        self.keys.read_from(Source::url(url.into()));
        self
    }

    /// Reads the keys from a file: again every five minutes, and when a token names a key the file did not
    /// have. Keys pushed by the issuer are then ignored, so a revoked key must be removed from the file.
    #[must_use]
    pub fn jwks_file(self, path: impl Into<PathBuf>) -> Self {
        self.keys.read_from(Source::File(path.into()));
        self
    }

    /// Uses this key set and never fetches another.
    #[must_use]
    pub fn jwks(self, set: KeySet) -> Self {
        self.keys.pin(set);
        self
    }

    /// Uses another clock. Call this before [`watch`](Self::watch).
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Looks up revocations in the issuer's token status lists (draft-ietf-oauth-status-list). A list is
    /// fetched when a token first refers to it, and again before its `ttl` is over. Tokens that refer to no
    /// list are refused.
    #[must_use]
    pub fn status_lists(mut self) -> Self {
        self.revocations = RevocationSource::StatusLists(Arc::new(Lists::new(self.policy.issuer())));
        self
    }

    /// Receives revocations and keys over gRPC as they happen, instead of status lists. Call this after
    /// [`clock`](Self::clock) and within a tokio runtime: it starts at once, and stops when the verifier is
    /// dropped.
    ///
    /// # Panics
    /// If called outside of a tokio runtime.
    #[cfg(feature = "watch")]
    #[must_use]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.revocations = RevocationSource::Stream(watch.start(&self.keys, &self.clock));
        self
    }

    /// How long a stale verifier goes on accepting tokens while the issuer cannot be reached. The default is
    /// five minutes, the usual lifetime of an access token: an outage of the issuer then takes no service down,
    /// and the verifier is never worse than one without revocation. Zero refuses every token as soon as the
    /// verifier is stale.
    #[must_use]
    pub fn fail_open_for(mut self, time: Duration) -> Self {
        self.fail_open_ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// Caches verified tokens in at most this many bytes of memory. A usual token takes about 2 KiB, and one
    /// over 4 KiB is checked anew each time. The default is 16 MiB, and 0 turns the cache off. A cached token's
    /// time, key and revocation are checked every time; its signature is not.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache = TokenCache::with_bytes(bytes);
        self
    }

    /// Caches about this many verified tokens, in 2 KiB of memory for each.
    #[deprecated(note = "the cache is bounded in bytes; use `cache_bytes`")]
    #[must_use]
    pub fn cache_tokens(self, tokens: usize) -> Self {
        self.cache_bytes(bytes_for(tokens))
    }

    /// Verifies a token. Waits for the network, at most two seconds each time, only if there are no keys yet or
    /// they have expired, if the token names an unknown key (at most once a minute), or if its status list has
    /// not been in use lately.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerifyError> {
        let at = Moment::now(&*self.clock);
        let mut set = match self.keys.fresh(at) {
            Some(set) => set,
            None => self.keys.current(at, &self.clock).await?,
        };
        let claims = match self.check_token(token, &set, at) {
            Err(VerifyError::UnknownKey { kid }) => {
                let other = self.keys.replacement_for(&set, at, &self.clock).await;
                set = other.ok_or(VerifyError::UnknownKey { kid })?;
                self.check_token(token, &set, at)?
            }
            other => other?,
        };
        if let RevocationSource::StatusLists(lists) = &self.revocations {
            lists.check(&claims, &set, self.context(at)).await?;
        } else {
            self.check_revocation(&claims, &set, at)?;
        }
        Ok(claims)
    }

    /// Verifies a token with what is cached, without waiting. Keys and lists that are due are fetched in the
    /// background.
    ///
    /// # Errors
    /// Why the token is refused. [`VerifyError::KeysUnavailable`] before the first fetch, and while keys are
    /// fetched because the token names an unknown one; [`VerifyError::RevocationsUnknown`] while the token's
    /// status list is not cached.
    pub fn verify_now(&self, token: &str) -> Result<Arc<Claims>, VerifyError> {
        let at = Moment::now(&*self.clock);
        let set = match self.keys.fresh(at) {
            Some(set) => set,
            None => self.keys.cached(at, &self.clock)?,
        };
        let claims = self.check_token(token, &set, at).map_err(|error| match error {
            VerifyError::UnknownKey { .. } if self.keys.refetch_for_unknown_key(at, &self.clock).is_some() => {
                VerifyError::KeysUnavailable { reason: "they are being fetched again".to_owned() }
            }
            other => other,
        })?;
        self.check_revocation(&claims, &set, at)?;
        Ok(claims)
    }

    fn context(&self, at: Moment) -> CheckContext<'_> {
        CheckContext { at, clock: &self.clock, fail_open_ms: self.fail_open_ms }
    }

    /// Checks signature, policy and time, and returns the claims.
    fn check_token(&self, token: &str, set: &Arc<KeySet>, at: Moment) -> Result<Arc<Claims>, VerifyError> {
        self.cache.check(token, set, &self.policy, at.now_ms)
    }

    fn check_revocation(&self, claims: &Claims, set: &Arc<KeySet>, at: Moment) -> Result<(), VerifyError> {
        match &self.revocations {
            RevocationSource::None => Ok(()),
            RevocationSource::StatusLists(lists) => lists.check_now(claims, set, self.context(at)),
            #[cfg(feature = "watch")]
            RevocationSource::Stream(stream) => {
                check_freshness(stream.revoked.freshness(at), self.fail_open_ms)?;
                stream.revoked.check(claims)
            }
        }
    }

    /// Whether the user signed in within the last `age`.
    pub(crate) fn signed_in_within(&self, claims: &Claims, age: Duration) -> bool {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        claims.auth_time_ms.is_some_and(|at| self.clock.now_ms().saturating_sub(at) <= age_ms)
    }

    /// Waits until valid tokens are accepted: there are keys and, if the issuer is watched, the first snapshot.
    /// Retries while the issuer is not up yet.
    ///
    /// # Errors
    /// What is still missing when `within` has passed.
    pub async fn ready(&self, within: Duration) -> Result<(), VerifyError> {
        let all_ready = async {
            #[cfg(feature = "watch")]
            if let RevocationSource::Stream(stream) = &self.revocations {
                stream.revoked.ready().await;
            }
            while self.keys.current(Moment::now(&*self.clock), &self.clock).await.is_err() {
                back_off().await;
            }
        };
        if tokio::time::timeout(within, all_ready).await.is_ok() {
            return Ok(());
        }
        self.health().keys?;
        Err(VerifyError::RevocationsUnknown)
    }

    /// The verifier's state, for a service's own health check. Does not wait for the network.
    #[must_use]
    pub fn health(&self) -> Health {
        let at = Moment::now(&*self.clock);
        let keys = self.keys.cached(at, &self.clock).map(drop);
        let revocations = match &self.revocations {
            RevocationSource::None => Freshness::NotFollowed,
            RevocationSource::StatusLists(lists) => lists.freshness(at),
            #[cfg(feature = "watch")]
            RevocationSource::Stream(stream) => stream.revoked.freshness(at),
        };
        let revocations_usable = if let RevocationSource::StatusLists(lists) = &self.revocations {
            lists.all_usable(self.context(at))
        } else {
            check_freshness(revocations, self.fail_open_ms).is_ok()
        };
        let ready = keys.is_ok() && revocations_usable;
        Health { keys, revocations, ready }
    }
}

#[expect(clippy::disallowed_methods, reason = "retries until the issuer is up")]
async fn back_off() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[cfg(test)]
mod tests;
