//! Revoked sessions, clients and keys, as a stream tells of them.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{Claims, Freshness, VerifyError, clock::Moment, freshness::STALE_AFTER_MS};

/// Among so many locks, so that a writer is in the way of few readers, and for a moment.
const SHARDS: u64 = 16;
/// No sign of life yet.
const NEVER: i64 = i64::MIN;
/// How many signs of life the usual delay is taken from.
const WINDOW: usize = 60;

/// What a stream has told.
#[derive(Debug)]
pub(crate) struct Revoked {
    sessions: Vec<RwLock<HashMap<String, i64>>>,
    hasher: RandomState,
    others: RwLock<Others>,
    complete: AtomicBool,
    /// The last sign of life by both clocks.
    heard_elapsed_ms: AtomicI64,
    heard_now_ms: AtomicI64,
    delays: RwLock<Delays>,
    ready: Notify,
}

/// Few, so one lock.
#[derive(Debug, Default)]
struct Others {
    clients: HashSet<String>,
    keys: HashMap<String, i64>,
}

/// How much later than the issuer's clock signs of life arrive, on one connection.
#[derive(Debug, Default)]
struct Delays {
    last: Vec<i64>,
    server_ms: i64,
}

impl Default for Revoked {
    fn default() -> Self {
        Self {
            sessions: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            others: RwLock::default(),
            complete: AtomicBool::new(false),
            heard_elapsed_ms: AtomicI64::new(NEVER),
            heard_now_ms: AtomicI64::new(NEVER),
            delays: RwLock::default(),
            ready: Notify::new(),
        }
    }
}

impl Revoked {
    fn shard(&self, id: &str) -> Option<&RwLock<HashMap<String, i64>>> {
        let n = usize::try_from(self.hasher.hash_one(id) % SHARDS).unwrap_or_default();
        self.sessions.get(n)
    }

    /// Notes a session; it may be forgotten at `ends_ms` of the issuer's clock.
    pub(crate) fn session(&self, id: String, ends_ms: i64) {
        if let Some(shard) = self.shard(&id) {
            shard.write().unwrap_or_else(PoisonError::into_inner).insert(id, ends_ms);
        }
    }

    fn others(&self, change: impl FnOnce(&mut Others)) {
        change(&mut self.others.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn key(&self, kid: String, ends_ms: i64) {
        self.others(|o| {
            o.keys.insert(kid, ends_ms);
        });
    }

    pub(crate) fn client_disabled(&self, id: String) {
        self.others(|o| {
            o.clients.insert(id);
        });
    }

    pub(crate) fn client_enabled(&self, id: &str) {
        self.others(|o| {
            o.clients.remove(id);
        });
    }

    /// A snapshot is complete: these clients are disabled and no others.
    pub(crate) fn clients(&self, disabled: HashSet<String>) {
        self.others(|o| o.clients = disabled);
        self.complete.store(true, Ordering::Release);
    }

    /// A new connection has delays of its own.
    pub(crate) fn connected(&self) {
        *self.delays.write().unwrap_or_else(PoisonError::into_inner) = Delays::default();
    }

    /// A sign of life that the issuer's clock dates `server_ms`. One that lay in a buffer tells of the
    /// past: what it came later than usual is taken off.
    pub(crate) fn heard(&self, server_ms: i64, at: Moment) {
        let late = self.delays.write().unwrap_or_else(PoisonError::into_inner).late(server_ms, at);
        self.heard_now_ms.store(at.now_ms.saturating_sub(late), Ordering::Release);
        self.heard_elapsed_ms.fetch_max(at.elapsed_ms.saturating_sub(late), Ordering::AcqRel);
        if self.complete.load(Ordering::Acquire) {
            self.ready.notify_waiters();
        }
    }

    /// Waits until the first snapshot and the first sign of life are there.
    pub(crate) async fn ready(&self) {
        loop {
            let notified = self.ready.notified();
            let heard = self.heard_elapsed_ms.load(Ordering::Acquire) != NEVER;
            if heard && self.complete.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }

    /// Forgets what has ended by the issuer's clock.
    pub(crate) fn forget(&self, server_ms: i64) {
        for shard in &self.sessions {
            shard.write().unwrap_or_else(PoisonError::into_inner).retain(|_, ends| *ends > server_ms);
        }
        self.others(|o| o.keys.retain(|_, ends| *ends > server_ms));
    }

    pub(crate) fn freshness(&self, at: Moment) -> Freshness {
        let heard = self.heard_elapsed_ms.load(Ordering::Acquire);
        if !self.complete.load(Ordering::Acquire) || heard == NEVER {
            return Freshness::NotReady;
        }
        // A machine that slept did not count the time; its wall clock tells.
        let by_wall = at.now_ms.saturating_sub(self.heard_now_ms.load(Ordering::Acquire));
        match at.elapsed_ms.saturating_sub(heard).max(by_wall) {
            age if age <= STALE_AFTER_MS => Freshness::Fresh,
            age => Freshness::Stale(age),
        }
    }

    /// Whether a token that is good otherwise was revoked.
    pub(crate) fn check(&self, claims: &Claims) -> Result<(), VerifyError> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let refused = others.clients.contains(&claims.client_id) || others.keys.contains_key(&claims.key_id);
        drop(others);
        let ended = claims.session_id.as_deref().is_some_and(|id| self.has_session(id));
        if refused || ended { Err(VerifyError::Revoked) } else { Ok(()) }
    }

    fn has_session(&self, id: &str) -> bool {
        self.shard(id).is_some_and(|s| s.read().unwrap_or_else(PoisonError::into_inner).contains_key(id))
    }
}

impl Delays {
    /// By how much this one came later than the quickest of the last minute. The local clock that counts
    /// is the one nobody sets; an issuer's clock that was set back begins a new count.
    fn late(&mut self, server_ms: i64, at: Moment) -> i64 {
        if server_ms < self.server_ms {
            self.last.clear();
        }
        self.server_ms = server_ms;
        let delay = at.elapsed_ms.saturating_sub(server_ms);
        self.last.push(delay);
        if self.last.len() > WINDOW {
            self.last.remove(0);
        }
        delay.saturating_sub(self.last.iter().copied().min().unwrap_or(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(elapsed_ms: i64) -> Moment {
        Moment { now_ms: 1_000_000 + elapsed_ms, elapsed_ms }
    }

    fn heard() -> Revoked {
        let set = Revoked::default();
        set.clients(HashSet::new());
        set.heard(500_000, at(10_000));
        set
    }

    #[test]
    fn a_verifier_is_not_ready_then_fresh_then_stale_and_says_so() {
        let set = Revoked::default();
        assert_eq!(set.freshness(at(0)), Freshness::NotReady);
        set.heard(500_000, at(10_000));
        // A sign of life without a snapshot is not enough.
        assert_eq!(set.freshness(at(10_000)), Freshness::NotReady);
        set.clients(HashSet::new());
        assert_eq!(set.freshness(at(13_000)), Freshness::Fresh);
        assert_eq!(set.freshness(at(13_001)), Freshness::Stale(3_001));
    }

    #[test]
    fn a_sign_of_life_out_of_a_buffer_tells_of_the_past() {
        let set = heard();
        // Sent a second later, and read after twenty.
        set.heard(501_000, at(30_000));
        assert_eq!(set.freshness(at(30_000)), Freshness::Stale(19_000));
        // The next one is as quick as ever.
        set.heard(521_000, at(31_000));
        assert_eq!(set.freshness(at(31_000)), Freshness::Fresh);
    }

    #[test]
    fn setting_a_clock_keeps_nobody_fresh_and_makes_nobody_stale_for_long() {
        let set = heard();
        // The wall clock is set back by an hour: time passes all the same.
        let back = |elapsed_ms| Moment { now_ms: at(elapsed_ms).now_ms - 3_600_000, elapsed_ms };
        assert_eq!(set.freshness(back(13_001)), Freshness::Stale(3_001));
        set.heard(503_000, back(13_001));
        assert_eq!(set.freshness(back(13_100)), Freshness::Fresh);
        // Forward, as after a sleep that the other clock did not count: stale until the next sign of life.
        let ahead = |elapsed_ms| Moment { now_ms: at(elapsed_ms).now_ms + 3_600_000, elapsed_ms };
        assert!(matches!(set.freshness(ahead(13_200)), Freshness::Stale(_)));
        set.heard(504_000, ahead(14_001));
        assert_eq!(set.freshness(ahead(14_100)), Freshness::Fresh);
        // The issuer's clock is set back, and forward again.
        for (server, elapsed) in [(4_000, 15_000), (5_000, 16_000), (700_000, 17_000), (701_000, 18_000)] {
            set.heard(server, ahead(elapsed));
            assert_eq!(set.freshness(ahead(elapsed)), Freshness::Fresh, "{server}");
        }
    }

    #[test]
    fn what_has_ended_is_forgotten_and_a_client_comes_back() {
        let set = heard();
        set.session("ses_1".into(), 100);
        set.session("ses_2".into(), 200);
        set.client_disabled("app".into());
        set.forget(150);
        assert_eq!((set.has_session("ses_1"), set.has_session("ses_2")), (false, true));
        assert!(set.others.read().unwrap().clients.contains("app"));
        set.client_enabled("app");
        assert!(set.others.read().unwrap().clients.is_empty());
    }
}
