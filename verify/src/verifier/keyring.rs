//! The issuer's keys as last read, and when to read them again.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::Mutex;

use super::source::Source;
use crate::{KeySet, VerifyError};

/// How long a set that should be read again is used while that fails.
const STALE_IF_ERROR_MS: i64 = 300_000;
/// Least time between two reads for keys that the set does not hold.
const REREAD_MS: i64 = 60_000;
/// Least time between two reads of a source that failed, while there is an older set.
const RETRY_MS: i64 = 10_000;
/// The same while there is none, and no token can be checked.
const FIRST_RETRY_MS: i64 = 1_000;

/// Checks that began a moment before a read ended may find it in their future; a clock that was set back
/// further makes nothing fresh.
const APART_MS: i64 = 10_000;

pub(crate) struct Keyring {
    source: Source,
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
    /// The set, if it need not be read again.
    fn fresh(&self, now: i64) -> Option<Arc<KeySet>> {
        self.set.clone().filter(|_| !self.is_from_the_future(now) && now < self.fresh_until_ms)
    }

    fn is_from_the_future(&self, now: i64) -> bool {
        self.fetched_ms.saturating_sub(APART_MS) > now
    }

    /// The set, if it may be used while it cannot be read again.
    fn usable(&self, now: i64) -> Result<Arc<KeySet>, VerifyError> {
        let usable = self.set.clone().filter(|_| now < self.fresh_until_ms.saturating_add(STALE_IF_ERROR_MS));
        usable.ok_or_else(|| {
            let reason = self.problem.as_deref().unwrap_or("they were not read yet").to_owned();
            VerifyError::KeysUnavailable { reason }
        })
    }

    /// Whether so little is left of its time that it is read again before anybody must wait for that.
    fn ageing(&self, now: i64) -> bool {
        let quarter = self.fresh_until_ms.saturating_sub(self.fetched_ms) / 4;
        now >= self.fresh_until_ms.saturating_sub(quarter)
    }

    /// Whether the source was tried within the last `ms`.
    fn tried_within(&self, ms: i64, now: i64) -> bool {
        self.tried_ms.is_some_and(|at| (-APART_MS..ms).contains(&now.saturating_sub(at)))
    }

    fn take(&mut self, set: KeySet, max_age_ms: i64, now: i64) {
        // The same keys stay the same set, so that tokens checked with it need no new check.
        if !self.set.as_ref().is_some_and(|old| old.same(&set)) {
            self.set = Some(Arc::new(set));
        }
        self.fetched_ms = now;
        self.fresh_until_ms = now.saturating_add(max_age_ms);
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
        Self { source, held: RwLock::default(), fetching: Mutex::new(()) }
    }

    /// This set and no other.
    pub(super) fn fixed(set: KeySet) -> Self {
        let held = Held { set: Some(Arc::new(set)), fresh_until_ms: i64::MAX, ..Held::default() };
        Self { source: Source::Value, held: RwLock::new(held), fetching: Mutex::new(()) }
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The set at hand, if it is young enough that nothing needs to be done.
    pub(super) fn young(&self, now: i64) -> Option<Arc<KeySet>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.fresh(now).filter(|_| !held.ageing(now))
    }

    /// The set at hand, without any waiting; it is read again beside if that is due.
    pub(super) fn at_hand(self: &Arc<Self>, now: i64) -> Result<Arc<KeySet>, VerifyError> {
        let held = self.held();
        if held.ageing(now) || held.is_from_the_future(now) {
            self.read_beside(&held, now);
        }
        held.usable(now)
    }

    /// The set to check with: fresh, or read now, or stale within bounds.
    pub(super) async fn current(self: &Arc<Self>, now: i64) -> Result<Arc<KeySet>, VerifyError> {
        let held = self.held();
        // While reading fails nobody waits for it.
        let usable = held.usable(now).ok().filter(|_| held.problem.is_some());
        if let Some(set) = held.fresh(now).or(usable) {
            if held.ageing(now) || held.is_from_the_future(now) {
                self.read_beside(&held, now);
            }
            return Ok(set);
        }
        let _turn = self.fetching.lock().await;
        let held = self.held();
        // Somebody else may have read it while we waited.
        if let Some(set) = held.fresh(now) {
            return Ok(set);
        }
        // A source that is down is asked now and then, not for every token.
        if !held.tried_within(pause(&held), now) {
            self.read(now).await;
        }
        self.held().usable(now)
    }

    /// A set read after a token named a stranger, if it may be read again.
    pub(super) async fn reread(&self, now: i64) -> Option<Arc<KeySet>> {
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

    /// The same, for somebody who does not wait.
    pub(super) fn reread_beside(self: &Arc<Self>, now: i64) {
        let keyring = self.clone();
        if !self.held().tried_within(REREAD_MS, now) {
            spawn(async move {
                keyring.reread(now).await;
            });
        }
    }

    fn read_beside(self: &Arc<Self>, held: &Held, now: i64) {
        if matches!(self.source, Source::Value) || held.tried_within(pause(held), now) {
            return;
        }
        let keyring = self.clone();
        spawn(async move {
            // Whoever reads has the turn; a second reader has nothing to add.
            if let Ok(_turn) = keyring.fetching.try_lock() {
                keyring.read(now).await;
            }
        });
    }

    /// Reads the source; says whether there is a new set.
    async fn read(&self, now: i64) -> bool {
        self.hold(|h| h.tried_ms = Some(now));
        let read = self.source.read().await;
        let good = read.is_ok();
        self.hold(|h| match read {
            Ok((set, max_age)) => h.take(set, max_age, now),
            Err(error) => h.problem = Some(error.to_string().into()),
        });
        good
    }

    /// Takes a set that the issuer sent by itself.
    #[cfg(feature = "watch")]
    pub(crate) fn offer(&self, set: KeySet, max_age_ms: i64, now: i64) {
        if matches!(self.source, Source::Url { .. }) {
            self.hold(|h| h.take(set, max_age_ms, now));
        }
    }
}

fn pause(held: &Held) -> i64 {
    if held.set.is_some() { RETRY_MS } else { FIRST_RETRY_MS }
}

/// Runs beside the check; without a runtime the next check that may wait does the work.
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}
