//! Caches the issuer's keys and decides when to read them again.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    shared_read::{ReadHandle, SharedRead},
    source::{ReadKeys, Source},
};
use crate::{Clock, KeySet, VerifyError, clock::Moment};

/// How long an expired set stays usable while reading a new one fails.
const STALE_IF_ERROR_MS: i64 = 300_000;
/// `Age` is in whole seconds, and caches round it as they like.
const AGE_SLACK_MS: i64 = 2_000;
/// Minimum time between two reads for an unknown `kid`.
const REREAD_MS: i64 = 60_000;
/// Minimum time between two attempts after a failure, while there is an older set.
const RETRY_MS: i64 = 10_000;
/// The same while there is no set, so that no token can be checked.
const FIRST_RETRY_MS: i64 = 1_000;

pub(crate) struct Keyring {
    source: Source,
    state: RwLock<KeyState>,
    reading: SharedRead,
}

#[derive(Clone, Default)]
struct KeyState {
    set: Option<Arc<KeySet>>,
    /// When the request was sent whose answer this set is.
    requested_at: Option<Moment>,
    max_age_ms: i64,
    /// When the last attempt to read ended.
    attempted_at: Option<Moment>,
    /// Why the last attempt failed, or `None` if it succeeded.
    last_error: Option<Arc<str>>,
    /// Counts the sets that the issuer pushed over a stream.
    pushes: u64,
}

impl KeyState {
    fn age(&self, at: Moment) -> i64 {
        self.requested_at.map_or(i64::MAX, |requested_at| at.elapsed_since(requested_at))
    }

    /// The set, if it has not expired.
    fn fresh(&self, at: Moment) -> Option<Arc<KeySet>> {
        self.set.clone().filter(|_| self.age(at) < self.max_age_ms)
    }

    /// The set, if it may be used although it may have expired.
    fn usable(&self, at: Moment) -> Result<Arc<KeySet>, VerifyError> {
        let usable = self.set.clone().filter(|_| self.age(at) < self.max_age_ms.saturating_add(STALE_IF_ERROR_MS));
        usable.ok_or_else(|| {
            let unread = if self.set.is_some() { "they are too old" } else { "they have not been fetched yet" };
            VerifyError::KeysUnavailable { reason: self.last_error.as_deref().unwrap_or(unread).to_owned() }
        })
    }

    /// Whether the set is old enough to be read again in the background, before it expires and requests have to
    /// wait.
    fn needs_refresh(&self, at: Moment) -> bool {
        self.age(at) >= self.max_age_ms / 4 * 3
    }

    /// Whether the last attempt ended less than `ms` ago.
    fn attempted_within(&self, ms: i64, at: Moment) -> bool {
        self.attempted_at.is_some_and(|attempted| at.elapsed_ms.saturating_sub(attempted.elapsed_ms) < ms)
    }

    /// Whether it is too early to try again after a failure.
    fn in_backoff(&self, at: Moment) -> bool {
        self.attempted_within(if self.set.is_some() { RETRY_MS } else { FIRST_RETRY_MS }, at)
    }

    /// Takes the keys of an answer, unless a cache on the way kept it since before the current set was sent: an older
    /// set must not bring back keys that were revoked.
    fn accept(&mut self, read: ReadKeys, requested_at: Moment) -> Result<(), &'static str> {
        let sent_at = requested_at.before(read.age_ms);
        let older =
            self.requested_at.is_some_and(|now| sent_at.elapsed_ms.saturating_add(AGE_SLACK_MS) < now.elapsed_ms);
        if older && self.set.as_ref().is_some_and(|current| !current.has_same_text(&read.set)) {
            return Err("a cache on the way answered with an older set");
        }
        if older {
            // The issuer has been read, and has no other keys.
            self.last_error = None;
        } else {
            self.replace(read.set, read.max_age_ms, sent_at);
        }
        Ok(())
    }

    fn replace(&mut self, set: KeySet, max_age_ms: i64, requested_at: Moment) {
        // Keep an unchanged set, so that tokens cached for it stay valid.
        if !self.set.as_ref().is_some_and(|old| old.has_same_text(&set)) {
            self.set = Some(Arc::new(set));
        }
        self.requested_at = Some(requested_at);
        self.max_age_ms = max_age_ms;
        self.last_error = None;
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

impl Keyring {
    pub(super) fn new(source: Source) -> Self {
        Self { source, state: RwLock::default(), reading: SharedRead::default() }
    }

    /// Uses this set and never reads another.
    pub(super) fn fixed(set: KeySet) -> Self {
        let keyring = Self::new(Source::Fixed);
        let ever = Moment { now_ms: i64::MAX, elapsed_ms: i64::MAX };
        keyring.update(|state| state.replace(set, i64::MAX, ever));
        keyring
    }

    fn source(&self) -> &Source {
        &self.source
    }

    fn snapshot(&self) -> KeyState {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut KeyState)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The cached set, if it is fresh enough that no read is due.
    pub(super) fn fresh(&self, at: Moment) -> Option<Arc<KeySet>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.fresh(at).filter(|_| !state.needs_refresh(at))
    }

    /// The cached set, without waiting. Starts a read in the background if one is due.
    pub(super) fn cached(self: &Arc<Self>, at: Moment, clock: &Arc<dyn Clock>) -> Result<Arc<KeySet>, VerifyError> {
        let state = self.snapshot();
        if state.needs_refresh(at) && !state.in_backoff(at) {
            self.start_read(clock);
        }
        state.usable(at)
    }

    /// The set to verify with: fresh, newly read, or stale within bounds. Waits for a read if the set has
    /// expired, unless reads are failing.
    pub(super) async fn current(
        self: &Arc<Self>,
        at: Moment,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<KeySet>, VerifyError> {
        let state = self.snapshot();
        let handle = (state.needs_refresh(at) && !state.in_backoff(at)).then(|| self.start_read(clock)).flatten();
        // While reads fail, use the stale set and do not wait.
        let usable = state.usable(at).ok().filter(|_| state.last_error.is_some());
        if let Some(set) = state.fresh(at).or(usable) {
            return Ok(set);
        }
        if let Some(handle) = handle.or_else(|| self.reading.in_progress()) {
            handle.wait().await;
        }
        self.snapshot().usable(at)
    }

    /// A different set than `outdated`, which lacks a token's key. Reads a new one if that is allowed now.
    pub(super) async fn replacement_for(
        self: &Arc<Self>,
        outdated: &Arc<KeySet>,
        at: Moment,
        clock: &Arc<dyn Clock>,
    ) -> Option<Arc<KeySet>> {
        let other = || self.snapshot().set.filter(|set| !Arc::ptr_eq(set, outdated));
        if let Some(set) = other() {
            return Some(set);
        }
        self.refetch_for_unknown_key(at, clock)?.wait().await;
        other()
    }

    /// Starts or joins a read because of an unknown `kid`, at most once a minute.
    pub(super) fn refetch_for_unknown_key(self: &Arc<Self>, at: Moment, clock: &Arc<dyn Clock>) -> Option<ReadHandle> {
        self.reading
            .in_progress()
            .or_else(|| (!self.snapshot().attempted_within(REREAD_MS, at)).then(|| self.start_read(clock))?)
    }

    /// Whether the issuer may have keys that are not known here: the set has expired, or reading a newer one failed or
    /// is not over, or its revocations are late. A token with an unknown key may then be good.
    pub(super) fn is_late(&self, at: Moment, issuer_is_late: bool) -> bool {
        let state = self.snapshot();
        match *self.source() {
            Source::Fixed => false,
            Source::Url { .. } if issuer_is_late => true,
            _ => state.last_error.is_some() || state.fresh(at).is_none() || self.reading.in_progress().is_some(),
        }
    }

    /// Starts a read, or joins the one in progress.
    fn start_read(self: &Arc<Self>, clock: &Arc<dyn Clock>) -> Option<ReadHandle> {
        if matches!(*self.source(), Source::Fixed) {
            return None;
        }
        self.reading.join_or_start(|| {
            let (keyring, clock) = (self.clone(), clock.clone());
            async move { keyring.read(&*clock).await }
        })
    }

    /// Reads the source and stores the result.
    async fn read(&self, clock: &dyn Clock) {
        let (requested_at, pushes) = (Moment::now(clock), self.snapshot().pushes);
        let read = self.source().read().await;
        self.update(|state| {
            state.attempted_at = Some(Moment::now(clock));
            let accepted = match read {
                // A set pushed meanwhile is newer than this answer, which may come from a cache.
                Ok(_) if state.pushes != pushes => Ok(()),
                Ok(read) => state.accept(read, requested_at).map_err(str::to_owned),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = accepted {
                tracing::warn!(reason, "cannot read the issuer's keys");
                state.last_error = Some(reason.into());
            }
        });
    }

    /// Stores a set that the issuer pushed, unless keys come from a file or are fixed.
    #[cfg(feature = "watch")]
    pub(crate) fn accept_pushed(&self, set: KeySet, max_age_ms: i64, at: Moment) {
        if matches!(*self.source(), Source::Url { .. }) {
            self.update(|state| {
                state.pushes += 1;
                state.replace(set, max_age_ms, at);
            });
        }
    }
}
