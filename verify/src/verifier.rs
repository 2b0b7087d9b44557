//! A verifier that fetches the issuer's keys by itself.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::Mutex;

use crate::{Claims, Clock, KeySet, Policy, SystemClock, VerifyError, check};

/// Longest time a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest key set.
const MAX_BODY: usize = 1024 * 1024;
/// How long a set is used when the issuer does not say.
const DEFAULT_MAX_AGE_MS: i64 = 300_000;
/// How long a set that should be fetched again is used while that fails.
const STALE_IF_ERROR_MS: i64 = 300_000;
/// Least time between two fetches for keys that the set does not hold.
const REFETCH_MS: i64 = 60_000;

/// Verifies tokens of one issuer. Cheap to share; keep one for the life of the process.
pub struct Verifier {
    policy: Policy,
    source: Source,
    clock: Arc<dyn Clock>,
    client: reqwest::Client,
    held: RwLock<Held>,
    fetching: Mutex<()>,
}

enum Source {
    Url(String),
    Value,
}

#[derive(Clone, Default)]
struct Held {
    set: Option<Arc<KeySet>>,
    fetched_ms: i64,
    fresh_until_ms: i64,
    tried_ms: Option<i64>,
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
        // A redirect could lead to keys of somebody else.
        let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Self {
            policy,
            source: Source::Url(url),
            clock: Arc::new(SystemClock),
            client: client.build().unwrap_or_default(),
            held: RwLock::default(),
            fetching: Mutex::new(()),
        }
    }

    /// Fetches the keys from another URL.
    #[must_use]
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.source = Source::Url(url.into());
        self
    }

    /// Uses this key set and fetches none: read it from a file, or embed it.
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

    /// Verifies a token. Fetches keys when there are none, when they are too old, or, at most once a
    /// minute, when the token names one that is not among them.
    ///
    /// # Errors
    /// Why the token is not accepted.
    pub async fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        let now = self.clock.now_ms();
        let set = self.current(now).await?;
        match check(token, &set, &self.policy, now) {
            Err(VerifyError::UnknownKey { kid }) => {
                let set = self.refetched(now).await.ok_or(VerifyError::UnknownKey { kid })?;
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
        let held = self.held();
        let usable = held.fresh_until_ms.saturating_add(STALE_IF_ERROR_MS) > now;
        let set = held.set.filter(|_| usable).ok_or(VerifyError::KeysUnavailable)?;
        check(token, &set, &self.policy, now)
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The set to check with: fresh, or fetched now, or stale within bounds.
    async fn current(&self, now: i64) -> Result<Arc<KeySet>, VerifyError> {
        let fresh = |held: Held| held.set.filter(|_| now < held.fresh_until_ms);
        if let Some(set) = fresh(self.held()) {
            return Ok(set);
        }
        let _turn = self.fetching.lock().await;
        if let Some(set) = fresh(self.held()) {
            return Ok(set);
        }
        let held = self.held();
        // An issuer that is down is asked again every ten seconds, not for every token.
        let tried_lately = held.tried_ms.is_some_and(|at| now.saturating_sub(at) < 10_000) && held.set.is_some();
        if !tried_lately && self.fetch(now).await {
            return self.held().set.ok_or(VerifyError::KeysUnavailable);
        }
        let usable = now < held.fresh_until_ms.saturating_add(STALE_IF_ERROR_MS);
        held.set.filter(|_| usable).ok_or(VerifyError::KeysUnavailable)
    }

    /// A set fetched after the token named a stranger, if it may be fetched again.
    async fn refetched(&self, now: i64) -> Option<Arc<KeySet>> {
        if matches!(self.source, Source::Value) {
            return None;
        }
        let _turn = self.fetching.lock().await;
        let held = self.held();
        let last = held.tried_ms.unwrap_or(i64::MIN);
        if now.saturating_sub(last) < REFETCH_MS {
            // Somebody fetched while we waited, or lately: that set is as good as another.
            return held.set.filter(|_| held.fetched_ms == last);
        }
        if self.fetch(now).await { self.held().set } else { None }
    }

    async fn fetch(&self, now: i64) -> bool {
        let Source::Url(url) = &self.source else { return false };
        self.hold(|h| h.tried_ms = Some(now));
        let Some((set, max_age)) = self.download(url).await else { return false };
        self.hold(|h| {
            h.set = Some(Arc::new(set));
            h.fetched_ms = now;
            h.fresh_until_ms = now.saturating_add(max_age);
        });
        true
    }

    async fn download(&self, url: &str) -> Option<(KeySet, i64)> {
        let mut response = self.client.get(url).send().await.ok()?;
        if response.status() != reqwest::StatusCode::OK {
            return None;
        }
        let cache = response.headers().get("cache-control").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let max_age = max_age_ms(cache);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return None;
            }
        }
        Some((KeySet::from_json(&body).ok()?, max_age))
    }
}

/// `max-age` of a `Cache-Control`, within half a minute and an hour.
fn max_age_ms(cache_control: &str) -> i64 {
    let parts = cache_control.split(',').map(str::trim);
    let seconds = parts.filter_map(|p| p.strip_prefix("max-age=")).find_map(|n| n.parse::<i64>().ok());
    seconds.map_or(DEFAULT_MAX_AGE_MS, |s| s.clamp(30, 3600) * 1000)
}
