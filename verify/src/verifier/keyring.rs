//! The issuer's keys as last read, and when to read them again.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    flight::{Flight, Landing},
    source::Source,
};
use crate::{Clock, KeySet, VerifyError, clock::Moment};

/// How long a set that should be read again is used while that fails.
const STALE_IF_ERROR_MS: i64 = 300_000;
/// Least time between two reads for keys that the set does not hold.
const REREAD_MS: i64 = 60_000;
/// Least time between two reads of a source that failed, while there is an older set.
const RETRY_MS: i64 = 10_000;
/// The same while there is none, and no token can be checked.
const FIRST_RETRY_MS: i64 = 1_000;

pub(crate) struct Keyring {
    source: RwLock<Arc<Source>>,
    held: RwLock<Held>,
    reading: Flight,
}

#[derive(Clone, Default)]
struct Held {
    set: Option<Arc<KeySet>>,
    /// When the question was sent that the set answers.
    read_at: Option<Moment>,
    max_age_ms: i64,
    /// When the last attempt ended.
    tried_at: Option<Moment>,
    /// Why the last attempt failed, if it did.
    problem: Option<Arc<str>>,
    /// Counts the sets that the issuer sent by itself.
    offers: u64,
}

impl Held {
    fn age(&self, at: Moment) -> i64 {
        self.read_at.map_or(i64::MAX, |read_at| at.since(read_at))
    }

    /// The set, if it need not be read again.
    fn fresh(&self, at: Moment) -> Option<Arc<KeySet>> {
        self.set.clone().filter(|_| self.age(at) < self.max_age_ms)
    }

    /// The set, if it may be used while it cannot be read again.
    fn usable(&self, at: Moment) -> Result<Arc<KeySet>, VerifyError> {
        let usable = self.set.clone().filter(|_| self.age(at) < self.max_age_ms.saturating_add(STALE_IF_ERROR_MS));
        usable.ok_or_else(|| {
            let reason = self.problem.as_deref().unwrap_or("they were not read yet").to_owned();
            VerifyError::KeysUnavailable { reason }
        })
    }

    /// Whether so little is left of its time that it is read again before anybody must wait for that.
    fn ageing(&self, at: Moment) -> bool {
        self.age(at) >= self.max_age_ms / 4 * 3
    }

    /// Whether the last attempt ended less than `ms` ago.
    fn tried_within(&self, ms: i64, at: Moment) -> bool {
        self.tried_at.is_some_and(|tried| at.elapsed_ms.saturating_sub(tried.elapsed_ms) < ms)
    }

    /// Whether an attempt would come too soon after the last.
    fn must_pause(&self, at: Moment) -> bool {
        self.tried_within(if self.set.is_some() { RETRY_MS } else { FIRST_RETRY_MS }, at)
    }

    fn take(&mut self, set: KeySet, max_age_ms: i64, read_at: Moment) {
        // The same keys stay the same set, so that tokens checked with it need no new check.
        if !self.set.as_ref().is_some_and(|old| old.same(&set)) {
            self.set = Some(Arc::new(set));
        }
        self.read_at = Some(read_at);
        self.max_age_ms = max_age_ms;
        self.problem = None;
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

impl Keyring {
    pub(super) fn new(source: Source) -> Self {
        Self { source: RwLock::new(Arc::new(source)), held: RwLock::default(), reading: Flight::default() }
    }

    /// Reads from elsewhere from now on; what was read so far does not count.
    pub(super) fn read_from(&self, source: Source) {
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(source);
        self.hold(|h| *h = Held::default());
    }

    /// This set and no other.
    pub(super) fn fix(&self, set: KeySet) {
        self.read_from(Source::Value);
        let ever = Moment { now_ms: i64::MAX, elapsed_ms: i64::MAX };
        self.hold(|h| h.take(set, i64::MAX, ever));
    }

    fn source(&self) -> Arc<Source> {
        self.source.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The set at hand, if it is young enough that nothing needs to be done.
    pub(super) fn young(&self, at: Moment) -> Option<Arc<KeySet>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.fresh(at).filter(|_| !held.ageing(at))
    }

    /// The set at hand, without any waiting; it is read again beside if that is due.
    pub(super) fn at_hand(self: &Arc<Self>, at: Moment, clock: &Arc<dyn Clock>) -> Result<Arc<KeySet>, VerifyError> {
        let held = self.held();
        if held.ageing(at) && !held.must_pause(at) {
            self.begin(clock);
        }
        held.usable(at)
    }

    /// The set to check with: fresh, or read now, or stale within bounds.
    pub(super) async fn current(
        self: &Arc<Self>,
        at: Moment,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<KeySet>, VerifyError> {
        let held = self.held();
        let landing = (held.ageing(at) && !held.must_pause(at)).then(|| self.begin(clock)).flatten();
        // While reading fails nobody waits for it.
        let usable = held.usable(at).ok().filter(|_| held.problem.is_some());
        if let Some(set) = held.fresh(at).or(usable) {
            return Ok(set);
        }
        if let Some(landing) = landing.or_else(|| self.reading.under_way()) {
            landing.wait().await;
        }
        self.held().usable(at)
    }

    /// Another set than the one that lacks a token's key, read anew if it may be.
    pub(super) async fn other_than(
        self: &Arc<Self>,
        lacking: &Arc<KeySet>,
        at: Moment,
        clock: &Arc<dyn Clock>,
    ) -> Option<Arc<KeySet>> {
        let other = || self.held().set.filter(|set| !Arc::ptr_eq(set, lacking));
        if let Some(set) = other() {
            return Some(set);
        }
        self.look_again(at, clock)?.wait().await;
        other()
    }

    /// A read for a key that nobody knows, at most once a minute.
    pub(super) fn look_again(self: &Arc<Self>, at: Moment, clock: &Arc<dyn Clock>) -> Option<Landing> {
        self.reading.under_way().or_else(|| (!self.held().tried_within(REREAD_MS, at)).then(|| self.begin(clock))?)
    }

    /// Begins to read, or joins who does.
    fn begin(self: &Arc<Self>, clock: &Arc<dyn Clock>) -> Option<Landing> {
        if matches!(*self.source(), Source::Value) {
            return None;
        }
        self.reading.join(|| {
            let (keyring, clock) = (self.clone(), clock.clone());
            async move { keyring.read(&*clock).await }
        })
    }

    /// Reads the source.
    async fn read(&self, clock: &dyn Clock) {
        let (asked_at, offers) = (Moment::of(clock), self.held().offers);
        let read = self.source().read().await;
        self.hold(|h| {
            h.tried_at = Some(Moment::of(clock));
            match read {
                // What the issuer sent by itself meanwhile is newer than an answer that may come from a cache.
                Ok(_) if h.offers != offers => {}
                Ok((set, max_age)) => h.take(set, max_age, asked_at),
                Err(error) => {
                    tracing::warn!(reason = %error, "the issuer's keys could not be read");
                    h.problem = Some(error.to_string().into());
                }
            }
        });
    }

    /// Takes a set that the issuer sent by itself, unless keys come from a file or were given.
    #[cfg(feature = "watch")]
    pub(crate) fn offer(&self, set: KeySet, max_age_ms: i64, at: Moment) {
        if matches!(*self.source(), Source::Url { .. }) {
            self.hold(|h| {
                h.offers += 1;
                h.take(set, max_age_ms, at);
            });
        }
    }
}
