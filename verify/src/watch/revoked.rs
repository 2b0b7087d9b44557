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
    connection: RwLock<Connection>,
    ready: Notify,
}

/// Few, so one lock.
#[derive(Debug, Default)]
struct Others {
    clients: HashSet<String>,
    keys: HashSet<String>,
}

/// The present connection: what came over it was sent after it was opened.
#[derive(Debug, Default)]
struct Connection {
    opened: Option<Moment>,
    /// The issuer's clock at the first sign of life, and at the last.
    first_server_ms: Option<i64>,
    last_server_ms: i64,
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
            connection: RwLock::default(),
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

    pub(crate) fn key(&self, kid: String) {
        self.others(|o| {
            o.keys.insert(kid);
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

    /// A new connection was asked for at this moment.
    pub(crate) fn connected(&self, opened: Moment) {
        let connection = Connection { opened: Some(opened), ..Connection::default() };
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// A sign of life that the issuer's clock dates `server_ms`. One that lay in a buffer tells of the past:
    /// what it is late by is taken off. Says whether the connection keeps up: over one that does not, nothing
    /// makes the verifier fresh any more.
    pub(crate) fn heard(&self, server_ms: i64, at: Moment) -> bool {
        let late = self.connection.write().unwrap_or_else(PoisonError::into_inner).late(server_ms, at);
        if late > STALE_AFTER_MS {
            return false;
        }
        self.heard_now_ms.store(at.now_ms.saturating_sub(late), Ordering::Release);
        self.heard_elapsed_ms.fetch_max(at.elapsed_ms.saturating_sub(late), Ordering::AcqRel);
        if self.complete.load(Ordering::Acquire) {
            self.ready.notify_waiters();
        }
        true
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

    /// Forgets sessions that have ended by the issuer's clock. Keys stay: whoever has a stolen one makes new
    /// tokens with it.
    pub(crate) fn forget(&self, server_ms: i64) {
        for shard in &self.sessions {
            shard.write().unwrap_or_else(PoisonError::into_inner).retain(|_, ends| *ends > server_ms);
        }
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
        let refused = others.clients.contains(&claims.client_id) || others.keys.contains(&claims.key_id);
        drop(others);
        let ended = claims.session_id.as_deref().is_some_and(|id| self.has_session(id));
        if refused || ended { Err(VerifyError::Revoked) } else { Ok(()) }
    }

    fn has_session(&self, id: &str) -> bool {
        self.shard(id).is_some_and(|s| s.read().unwrap_or_else(PoisonError::into_inner).contains_key(id))
    }
}

impl Connection {
    /// By how much a sign of life is late, at most: it was sent as long after the first one as the issuer's
    /// clock says, and that after the connection was asked for. By the local clocks, whichever says more: a
    /// machine that slept, or whose clock was set, opens a new connection and knows again.
    fn late(&mut self, server_ms: i64, at: Moment) -> i64 {
        let opened = *self.opened.get_or_insert(at);
        if server_ms < self.last_server_ms {
            // The issuer's clock was set back. A new connection begins a new count.
            return i64::MAX;
        }
        self.last_server_ms = server_ms;
        let first = *self.first_server_ms.get_or_insert(server_ms);
        let late = at.since(opened).saturating_sub(server_ms.saturating_sub(first));
        if late < 0 {
            // The issuer's clock is faster, or was set forward: nothing may hide behind that.
            self.first_server_ms = Some(first.saturating_sub(late));
        }
        late.max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(elapsed_ms: i64) -> Moment {
        Moment { now_ms: 1_000_000 + elapsed_ms, elapsed_ms }
    }

    /// Connected and heard from at 10 000.
    fn heard() -> Revoked {
        let set = Revoked::default();
        set.clients(HashSet::new());
        set.connected(at(10_000));
        assert!(set.heard(500_000, at(10_000)));
        set
    }

    #[test]
    fn a_verifier_is_not_ready_then_fresh_then_stale_and_says_so() {
        let set = Revoked::default();
        assert_eq!(set.freshness(at(0)), Freshness::NotReady);
        set.connected(at(10_000));
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
        // Sent a second later, and read after twenty: a new connection is due.
        assert!(!set.heard(501_000, at(30_000)));
        assert_eq!(set.freshness(at(30_000)), Freshness::Stale(20_000));
        set.connected(at(30_000));
        assert_eq!(set.freshness(at(30_000)), Freshness::Stale(20_000), "nothing was heard over it yet");
        assert!(set.heard(521_000, at(31_000)));
        assert_eq!(set.freshness(at(31_000)), Freshness::Fresh);
    }

    #[test]
    fn a_delay_that_grows_slowly_or_was_always_there_is_seen() {
        let set = heard();
        let mut fell_behind = None;
        for n in 1..200 {
            // Each a little later than the last.
            if !set.heard(500_000 + n * 1_000, at(10_000 + n * 1_049)) {
                fell_behind = Some(n);
                break;
            }
        }
        assert_eq!(fell_behind, Some(62), "62 * 49 ms are more than three seconds");
        // A connection whose first sign of life was an hour on its way.
        let set = heard();
        set.connected(at(20_000));
        assert!(!set.heard(510_000, at(3_620_000)));
        assert!(matches!(set.freshness(at(3_620_000)), Freshness::Stale(_)));
    }

    #[test]
    fn a_machine_that_slept_does_not_wake_up_fresh() {
        let set = heard();
        // Sent before the sleep and read after it, by a clock that did not count the night.
        let morning = Moment { now_ms: at(11_000).now_ms + 28_800_000, elapsed_ms: 11_000 };
        assert!(!set.heard(501_000, morning));
        assert!(matches!(set.freshness(morning), Freshness::Stale(_)));
    }

    #[test]
    fn setting_a_clock_keeps_nobody_fresh_and_makes_nobody_stale_for_long() {
        let set = heard();
        // The wall clock is set back by an hour: time passes all the same.
        let back = |elapsed_ms| Moment { now_ms: at(elapsed_ms).now_ms - 3_600_000, elapsed_ms };
        assert_eq!(set.freshness(back(13_001)), Freshness::Stale(3_001));
        assert!(set.heard(503_000, back(13_001)));
        assert_eq!(set.freshness(back(13_100)), Freshness::Fresh);
        // Forward: that could be a sleep. A new connection tells.
        let ahead = |elapsed_ms| Moment { now_ms: at(elapsed_ms).now_ms + 3_600_000, elapsed_ms };
        assert!(!set.heard(504_000, ahead(14_001)));
        assert!(matches!(set.freshness(ahead(14_100)), Freshness::Stale(_)));
        set.connected(ahead(14_200));
        assert!(set.heard(504_500, ahead(14_500)));
        assert_eq!(set.freshness(ahead(14_600)), Freshness::Fresh);
        // The issuer's clock is set forward, then back: after the one nothing may be late unseen, after the other
        // the count begins anew.
        assert!(set.heard(900_000, ahead(15_500)));
        assert!(!set.heard(901_000, ahead(25_500)));
        assert!(!set.heard(4_000, ahead(25_600)));
        set.connected(ahead(25_700));
        assert!(set.heard(5_000, ahead(26_700)));
        assert_eq!(set.freshness(ahead(26_700)), Freshness::Fresh);
    }

    #[test]
    fn sessions_that_have_ended_are_forgotten_and_a_client_comes_back() {
        let set = heard();
        set.session("ses_1".into(), 100);
        set.session("ses_2".into(), 200);
        set.client_disabled("app".into());
        set.key("stolen".into());
        set.forget(150);
        assert_eq!((set.has_session("ses_1"), set.has_session("ses_2")), (false, true));
        assert!(set.others.read().unwrap().clients.contains("app"));
        assert!(set.others.read().unwrap().keys.contains("stolen"), "a stolen key stays stolen");
        set.client_enabled("app");
        assert!(set.others.read().unwrap().clients.is_empty());
    }
}
