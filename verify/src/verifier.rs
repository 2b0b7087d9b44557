//! A verifier that keeps itself up to date on the issuer's keys and on revocations.

mod address;
mod builder;
mod caching;
mod http;
pub(crate) mod keyring;
mod shared_read;
mod source;
mod status_list;

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "watch")]
pub(crate) use self::address::{check_url, is_loopback};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::status_list::accepts_list;
pub use self::{address::SettingsError, builder::VerifierBuilder};
use self::{
    keyring::Keyring,
    status_list::{CheckContext, Lists},
};
#[cfg(feature = "watch")]
use crate::watch::WatchHandle;
use crate::{
    Claims, Clock, Freshness, KeySet, Policy, TokenCache, VerifyError, clock::Moment, freshness::check_freshness,
};

/// Verifies the tokens of one issuer. Create one and keep it for the life of the process, in an [`Arc`] if it
/// is shared.
///
/// | mode | a revoked session is refused | requires |
/// |---|---|---|
/// | default | when its access token expires (after 5 minutes by default) | the key set |
/// | [`status_lists`](VerifierBuilder::status_lists) | within 20 seconds | status lists over HTTP |
/// | `watch` (feature `watch`) | within a second | one gRPC stream |
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
    /// Verifies tokens of `issuer` for `audience`, with the keys at `{issuer}/.well-known/jwks.json` and 30 seconds
    /// of leeway. [`builder`](Self::builder) has more settings.
    ///
    /// # Errors
    /// The issuer is not an `https` URL, or one on this machine, or the audience is empty.
    pub fn new(issuer: &str, audience: &str) -> Result<Self, SettingsError> {
        Self::builder(issuer, audience).build()
    }

    /// The settings of a verifier for tokens of `issuer` for `audience`, with 30 seconds of leeway.
    pub fn builder(issuer: &str, audience: &str) -> VerifierBuilder {
        Self::with_policy(Policy::new(issuer, audience).leeway(Duration::from_secs(30)))
    }

    /// The settings of a verifier with a policy of your own.
    pub fn with_policy(policy: Policy) -> VerifierBuilder {
        VerifierBuilder::new(policy)
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
                set = other.ok_or(VerifyError::UnknownKey { kid }).map_err(|error| self.unless_late(error, at))?;
                self.check_token(token, &set, at).map_err(|error| self.unless_late(error, at))?
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
    /// Why the token is refused. [`VerifyError::KeysUnavailable`] before the first fetch, and if the token names an
    /// unknown key while keys are being fetched, or cannot be, or while the issuer is not heard;
    /// [`VerifyError::RevocationsUnknown`] while the token's status list is not cached.
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
            other => self.unless_late(other, at),
        })?;
        self.check_revocation(&claims, &set, at)?;
        Ok(claims)
    }

    /// A key is unknown for certain only to a verifier that is up to date: the issuer may have made it since.
    fn unless_late(&self, error: VerifyError, at: Moment) -> VerifyError {
        // The keys may have been read shortly before the issuer went away. The revocations show it first.
        let issuer_is_late = match &self.revocations {
            RevocationSource::None => false,
            RevocationSource::StatusLists(lists) => lists.freshness(at) != Freshness::Fresh,
            #[cfg(feature = "watch")]
            RevocationSource::Stream(stream) => stream.revoked.freshness(at) != Freshness::Fresh,
        };
        match error {
            VerifyError::UnknownKey { .. } if self.keys.is_late(at, issuer_is_late) => {
                VerifyError::KeysUnavailable { reason: "the token's key is not among the last ones read".to_owned() }
            }
            other => other,
        }
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
