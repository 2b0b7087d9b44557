//! A verifier that keeps itself informed: of the issuer's keys, and of what is revoked.

mod flight;
pub(crate) mod keyring;
mod source;
mod status_list;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use self::{
    keyring::Keyring,
    source::Source,
    status_list::{Asking, Lists},
};
#[cfg(feature = "watch")]
use crate::watch::{Watch, Watching};
use crate::{
    CheckedTokens, Claims, Clock, Freshness, KeySet, Policy, SystemClock, VerifyError, clock::Moment,
    freshness::tolerate,
};

/// For how long a verifier that has lost touch accepts what it would accept otherwise.
const FAIL_OPEN_MS: i64 = 300_000;
/// How many tokens are remembered.
const REMEMBERED: usize = 10_000;

/// Verifies tokens of one issuer. Keep one for the life of the process, in an [`Arc`] where several need it.
///
/// | asked for | a revoked session is refused | needs |
/// |---|---|---|
/// | nothing | when its access token expires (5 minutes unless the client says otherwise) | the key set |
/// | [`status_lists`](Self::status_lists) | within 20 seconds | the lists, over HTTP |
/// | [`watch`](Self::watch) | within a second | one gRPC stream |
pub struct Verifier {
    policy: Policy,
    keys: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    feed: Feed,
    fail_open_ms: i64,
    seen: CheckedTokens,
}

/// Where it hears of revocations.
enum Feed {
    Nowhere,
    Lists(Arc<Lists>),
    #[cfg(feature = "watch")]
    Watched(Watching),
}

/// How a verifier is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Why it has no keys to check with, if so.
    pub keys: Result<(), VerifyError>,
    /// How sure it is of what is revoked.
    pub revocations: Freshness,
    /// Whether it accepts good tokens.
    pub ready: bool,
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
            keys: Arc::new(Keyring::new(Source::url(url))),
            clock: Arc::new(SystemClock),
            feed: Feed::Nowhere,
            fail_open_ms: FAIL_OPEN_MS,
            seen: CheckedTokens::new(REMEMBERED),
        }
    }

    /// Fetches the keys from another URL.
    #[must_use]
    pub fn jwks_url(self, url: impl Into<String>) -> Self {
        self.keys.read_from(Source::url(url.into()));
        self
    }

    /// Reads the keys from a file, again every five minutes, and when a token names a key that is not
    /// among them. The issuer's own news of keys do not count then: a key that it revokes must be taken out
    /// of the file.
    #[must_use]
    pub fn jwks_file(self, path: impl Into<PathBuf>) -> Self {
        self.keys.read_from(Source::File(path.into()));
        self
    }

    /// Uses this key set and reads no other.
    #[must_use]
    pub fn jwks(self, set: KeySet) -> Self {
        self.keys.fix(set);
        self
    }

    /// Tells the time by another clock. Goes before [`watch`](Self::watch).
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Looks revocations up in the issuer's token status lists (draft-ietf-oauth-status-list): each is
    /// fetched when a token first names it, and again before its `ttl` is over. A token without a place in
    /// a list is refused.
    #[must_use]
    pub fn status_lists(mut self) -> Self {
        self.feed = Feed::Lists(Arc::new(Lists::new(self.policy.issuer())));
        self
    }

    /// Hears of revocations and keys over gRPC, as they happen, in place of status lists. To be called after
    /// [`clock`](Self::clock), within a tokio runtime: it begins at once, and ends when the verifier is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(feature = "watch")]
    #[must_use]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.feed = Feed::Watched(watch.start(&self.keys, &self.clock));
        self
    }

    /// For how long to go on when it is not known any more what is revoked, because the issuer cannot be
    /// reached: five minutes unless said otherwise, the life of an access token, so that an issuer's outage
    /// takes nobody down and nothing is worse than without revocation. Zero is strict.
    #[must_use]
    pub fn fail_open_for(mut self, time: Duration) -> Self {
        self.fail_open_ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// Remembers so many checked tokens, 10 000 unless said otherwise, at about 2 KiB each; 0 is none. A
    /// remembered token's time, key and revocation are checked again, its signature is not.
    #[must_use]
    pub fn remember(mut self, tokens: usize) -> Self {
        self.seen = CheckedTokens::new(tokens);
        self
    }

    /// Verifies a token. Waits for the network, for two seconds at most, only if there are no keys yet or they
    /// are too old, once a minute if the token names a key that is not among them, and for a status list
    /// that was not in use lately.
    ///
    /// # Errors
    /// Why the token is not accepted.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerifyError> {
        let at = Moment::of(&*self.clock);
        let mut set = match self.keys.young(at) {
            Some(set) => set,
            None => self.keys.current(at, &self.clock).await?,
        };
        let claims = match self.signed(token, &set, at) {
            Err(VerifyError::UnknownKey { kid }) => {
                let other = self.keys.other_than(&set, at, &self.clock).await;
                set = other.ok_or(VerifyError::UnknownKey { kid })?;
                self.signed(token, &set, at)?
            }
            other => other?,
        };
        if let Feed::Lists(lists) = &self.feed {
            lists.check(&claims, &set, self.asking(at)).await?;
        } else {
            self.check_feed(&claims, &set, at)?;
        }
        Ok(claims)
    }

    /// Verifies a token by what is at hand, without any waiting; keys and lists that are due are read beside.
    ///
    /// # Errors
    /// Why the token is not accepted; [`VerifyError::KeysUnavailable`] before the first fetch, and while keys
    /// are read because the token names one that is not known; [`VerifyError::RevocationsUnknown`] while the
    /// token's status list is not at hand.
    pub fn verify_now(&self, token: &str) -> Result<Arc<Claims>, VerifyError> {
        let at = Moment::of(&*self.clock);
        let set = match self.keys.young(at) {
            Some(set) => set,
            None => self.keys.at_hand(at, &self.clock)?,
        };
        let claims = self.signed(token, &set, at).map_err(|error| match error {
            VerifyError::UnknownKey { .. } if self.keys.look_again(at, &self.clock).is_some() => {
                VerifyError::KeysUnavailable { reason: "they are being read again".to_owned() }
            }
            other => other,
        })?;
        self.check_feed(&claims, &set, at)?;
        Ok(claims)
    }

    fn asking(&self, at: Moment) -> Asking<'_> {
        Asking { at, clock: &self.clock, fail_open_ms: self.fail_open_ms }
    }

    /// The claims of a token whose signature, policy and time are good.
    fn signed(&self, token: &str, set: &Arc<KeySet>, at: Moment) -> Result<Arc<Claims>, VerifyError> {
        self.seen.check(token, set, &self.policy, at.now_ms)
    }

    fn check_feed(&self, claims: &Claims, set: &Arc<KeySet>, at: Moment) -> Result<(), VerifyError> {
        match &self.feed {
            Feed::Nowhere => Ok(()),
            Feed::Lists(lists) => lists.check_now(claims, set, self.asking(at)),
            #[cfg(feature = "watch")]
            Feed::Watched(watching) => {
                tolerate(watching.revoked.freshness(at), self.fail_open_ms)?;
                watching.revoked.check(claims)
            }
        }
    }

    /// Whether the token's user signed in so recently.
    pub(crate) fn signed_in_within(&self, claims: &Claims, age: Duration) -> bool {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        claims.auth_time_ms.is_some_and(|at| self.clock.now_ms().saturating_sub(at) <= age_ms)
    }

    /// Waits until good tokens are accepted: there are keys, and the first news of a watched issuer. An issuer
    /// that is not up yet is asked again.
    ///
    /// # Errors
    /// What is still missing after `within`.
    pub async fn ready(&self, within: Duration) -> Result<(), VerifyError> {
        let all = async {
            #[cfg(feature = "watch")]
            if let Feed::Watched(watching) = &self.feed {
                watching.revoked.ready().await;
            }
            while self.keys.current(Moment::of(&*self.clock), &self.clock).await.is_err() {
                pause().await;
            }
        };
        if tokio::time::timeout(within, all).await.is_ok() {
            return Ok(());
        }
        self.health().keys?;
        Err(VerifyError::RevocationsUnknown)
    }

    /// How it is, for a service's own health. Asks nobody.
    #[must_use]
    pub fn health(&self) -> Health {
        let at = Moment::of(&*self.clock);
        let keys = self.keys.at_hand(at, &self.clock).map(drop);
        let revocations = match &self.feed {
            Feed::Nowhere => Freshness::NotFollowed,
            Feed::Lists(lists) => lists.freshness(at),
            #[cfg(feature = "watch")]
            Feed::Watched(watching) => watching.revoked.freshness(at),
        };
        let known = if let Feed::Lists(lists) = &self.feed {
            lists.usable(self.asking(at))
        } else {
            tolerate(revocations, self.fail_open_ms).is_ok()
        };
        let ready = keys.is_ok() && known;
        Health { keys, revocations, ready }
    }
}

#[expect(clippy::disallowed_methods, reason = "who waits for an issuer asks it now and then")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[cfg(test)]
mod tests;
