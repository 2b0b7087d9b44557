//! The revoked sessions, clients and keys that the stream has reported.

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

/// The number of locks, so that a writer blocks few readers, and only briefly.
const SHARDS: u64 = 16;
/// No heartbeat has arrived yet.
const NO_HEARTBEAT: i64 = i64::MIN;

/// What the stream has reported so far.
#[derive(Debug)]
pub(crate) struct RevokedSet {
    sessions: Vec<RwLock<HashMap<String, i64>>>,
    hasher: RandomState,
    clients_and_keys: RwLock<ClientsAndKeys>,
    has_snapshot: AtomicBool,
    /// The last heartbeat, by both local clocks.
    heartbeat_elapsed_ms: AtomicI64,
    heartbeat_now_ms: AtomicI64,
    connection: RwLock<Connection>,
    ready: Notify,
}

/// Both sets are small, so they share a lock.
#[derive(Debug, Default)]
struct ClientsAndKeys {
    clients: HashSet<String>,
    keys: HashSet<String>,
}

/// The current connection. Everything received over it was sent after it was opened.
#[derive(Debug, Default)]
struct Connection {
    opened: Option<Moment>,
    /// The issuer's clock at the first heartbeat, and at the last.
    first_server_ms: Option<i64>,
    last_server_ms: i64,
}

impl Default for RevokedSet {
    fn default() -> Self {
        Self {
            sessions: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            clients_and_keys: RwLock::default(),
            has_snapshot: AtomicBool::new(false),
            heartbeat_elapsed_ms: AtomicI64::new(NO_HEARTBEAT),
            heartbeat_now_ms: AtomicI64::new(NO_HEARTBEAT),
            connection: RwLock::default(),
            ready: Notify::new(),
        }
    }
}

impl RevokedSet {
    fn shard(&self, id: &str) -> Option<&RwLock<HashMap<String, i64>>> {
        let n = usize::try_from(self.hasher.hash_one(id) % SHARDS).unwrap_or_default();
        self.sessions.get(n)
    }

    /// Adds a session; it may be dropped at `expires_ms` of the issuer's clock.
    pub(crate) fn revoke_session(&self, id: String, expires_ms: i64) {
        if let Some(shard) = self.shard(&id) {
            shard.write().unwrap_or_else(PoisonError::into_inner).insert(id, expires_ms);
        }
    }

    fn update(&self, change: impl FnOnce(&mut ClientsAndKeys)) {
        change(&mut self.clients_and_keys.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn revoke_key(&self, kid: String) {
        self.update(|o| {
            o.keys.insert(kid);
        });
    }

    pub(crate) fn disable_client(&self, id: String) {
        self.update(|o| {
            o.clients.insert(id);
        });
    }

    pub(crate) fn enable_client(&self, id: &str) {
        self.update(|o| {
            o.clients.remove(id);
        });
    }

    /// Completes a snapshot: exactly these clients are disabled.
    pub(crate) fn complete_snapshot(&self, disabled: HashSet<String>) {
        self.update(|o| o.clients = disabled);
        self.has_snapshot.store(true, Ordering::Release);
    }

    /// Starts a new connection, which was requested at this moment.
    pub(crate) fn connection_opened(&self, opened: Moment) {
        let connection = Connection { opened: Some(opened), ..Connection::default() };
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Records a heartbeat, which the issuer's clock stamped `server_ms`. One that was held up in a buffer
    /// counts from when it was sent, so its lag is subtracted. Returns whether the connection keeps up: one
    /// that does not can no longer make the verifier fresh.
    pub(crate) fn heartbeat(&self, server_ms: i64, at: Moment) -> bool {
        let lag_ms = self.connection.write().unwrap_or_else(PoisonError::into_inner).lag(server_ms, at);
        if lag_ms > STALE_AFTER_MS {
            return false;
        }
        self.heartbeat_now_ms.store(at.now_ms.saturating_sub(lag_ms), Ordering::Release);
        self.heartbeat_elapsed_ms.fetch_max(at.elapsed_ms.saturating_sub(lag_ms), Ordering::AcqRel);
        if self.has_snapshot.load(Ordering::Acquire) {
            self.ready.notify_waiters();
        }
        true
    }

    /// Waits for the first complete snapshot and the first heartbeat.
    pub(crate) async fn ready(&self) {
        loop {
            let notified = self.ready.notified();
            let heard = self.heartbeat_elapsed_ms.load(Ordering::Acquire) != NO_HEARTBEAT;
            if heard && self.has_snapshot.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }

    /// Drops sessions that have expired by the issuer's clock. Keys stay: whoever stole one can keep making new
    /// tokens with it.
    pub(crate) fn forget_expired(&self, server_ms: i64) {
        for shard in &self.sessions {
            shard.write().unwrap_or_else(PoisonError::into_inner).retain(|_, expires_ms| *expires_ms > server_ms);
        }
    }

    pub(crate) fn freshness(&self, at: Moment) -> Freshness {
        let heard = self.heartbeat_elapsed_ms.load(Ordering::Acquire);
        if !self.has_snapshot.load(Ordering::Acquire) || heard == NO_HEARTBEAT {
            return Freshness::NotReady;
        }
        // The monotonic clock may stop while a machine sleeps, so the larger of both differences counts.
        let by_wall = at.now_ms.saturating_sub(self.heartbeat_now_ms.load(Ordering::Acquire));
        match at.elapsed_ms.saturating_sub(heard).max(by_wall) {
            age if age <= STALE_AFTER_MS => Freshness::Fresh,
            age => Freshness::Stale(age),
        }
    }

    /// Fails if the token's session, client or key is revoked.
    pub(crate) fn check(&self, claims: &Claims) -> Result<(), VerifyError> {
        let clients_and_keys = self.clients_and_keys.read().unwrap_or_else(PoisonError::into_inner);
        let refused =
            clients_and_keys.clients.contains(&claims.client_id) || clients_and_keys.keys.contains(&claims.key_id);
        drop(clients_and_keys);
        let ended = claims.session_id.as_deref().is_some_and(|id| self.has_session(id));
        if refused || ended { Err(VerifyError::Revoked) } else { Ok(()) }
    }

    fn has_session(&self, id: &str) -> bool {
        self.shard(id).is_some_and(|s| s.read().unwrap_or_else(PoisonError::into_inner).contains_key(id))
    }
}

impl Connection {
    /// An upper bound of a heartbeat's lag. The issuer's clock says how long after the first heartbeat it was
    /// sent, and the first one was sent after the connection was requested. Both local clocks are used,
    /// whichever shows more: after a sleep or a clock change the verifier opens a new connection and is current
    /// again.
    fn lag(&mut self, server_ms: i64, at: Moment) -> i64 {
        let opened = *self.opened.get_or_insert(at);
        if server_ms < self.last_server_ms {
            // The issuer's clock was set back. A new connection starts a new count.
            return i64::MAX;
        }
        self.last_server_ms = server_ms;
        let first = *self.first_server_ms.get_or_insert(server_ms);
        let lag_ms = at.elapsed_since(opened).saturating_sub(server_ms.saturating_sub(first));
        if lag_ms < 0 {
            // The issuer's clock runs faster or was set forward; do not let that hide a later lag.
            self.first_server_ms = Some(first.saturating_sub(lag_ms));
        }
        lag_ms.max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(elapsed_ms: i64) -> Moment {
        Moment { now_ms: 1_000_000 + elapsed_ms, elapsed_ms }
    }

    /// A set whose connection was opened, and whose first heartbeat arrived, at 10 000.
    fn set_with_heartbeat() -> RevokedSet {
        let set = RevokedSet::default();
        set.complete_snapshot(HashSet::new());
        set.connection_opened(at(10_000));
        assert!(set.heartbeat(500_000, at(10_000)));
        set
    }

    #[test]
    fn freshness_goes_from_not_ready_to_fresh_to_stale() {
        let set = RevokedSet::default();
        assert_eq!(set.freshness(at(0)), Freshness::NotReady);
        set.connection_opened(at(10_000));
        set.heartbeat(500_000, at(10_000));
        // A heartbeat without a snapshot is not enough.
        assert_eq!(set.freshness(at(10_000)), Freshness::NotReady);
        set.complete_snapshot(HashSet::new());
        assert_eq!(set.freshness(at(13_000)), Freshness::Fresh);
        assert_eq!(set.freshness(at(13_001)), Freshness::Stale(3_001));
    }

    #[test]
    fn a_buffered_heartbeat_counts_from_when_it_was_sent() {
        let set = set_with_heartbeat();
        // Sent one second later but read after twenty: the connection must be replaced.
        assert!(!set.heartbeat(501_000, at(30_000)));
        assert_eq!(set.freshness(at(30_000)), Freshness::Stale(20_000));
        set.connection_opened(at(30_000));
        assert_eq!(set.freshness(at(30_000)), Freshness::Stale(20_000), "no heartbeat over the new connection yet");
        assert!(set.heartbeat(521_000, at(31_000)));
        assert_eq!(set.freshness(at(31_000)), Freshness::Fresh);
    }

    #[test]
    fn a_lag_that_grows_slowly_or_was_always_there_is_detected() {
        let set = set_with_heartbeat();
        let mut fell_behind = None;
        for n in 1..200 {
            // Each lags a little more than the one before.
            if !set.heartbeat(500_000 + n * 1_000, at(10_000 + n * 1_049)) {
                fell_behind = Some(n);
                break;
            }
        }
        assert_eq!(fell_behind, Some(62), "62 * 49 ms are more than three seconds");
        // A connection whose first heartbeat took an hour to arrive.
        let set = set_with_heartbeat();
        set.connection_opened(at(20_000));
        assert!(!set.heartbeat(510_000, at(3_620_000)));
        assert!(matches!(set.freshness(at(3_620_000)), Freshness::Stale(_)));
    }

    #[test]
    fn a_machine_that_slept_does_not_wake_up_fresh() {
        let set = set_with_heartbeat();
        // Sent before the sleep and read after it; the monotonic clock stopped for the night.
        let morning = Moment { now_ms: at(11_000).now_ms + 28_800_000, elapsed_ms: 11_000 };
        assert!(!set.heartbeat(501_000, morning));
        assert!(matches!(set.freshness(morning), Freshness::Stale(_)));
    }

    #[test]
    fn a_clock_change_keeps_no_verifier_fresh_and_leaves_none_stale_for_long() {
        let set = set_with_heartbeat();
        // The wall clock is set back by an hour, but time still passes.
        let back = |elapsed_ms| Moment { now_ms: at(elapsed_ms).now_ms - 3_600_000, elapsed_ms };
        assert_eq!(set.freshness(back(13_001)), Freshness::Stale(3_001));
        assert!(set.heartbeat(503_000, back(13_001)));
        assert_eq!(set.freshness(back(13_100)), Freshness::Fresh);
        // Forward: this could be a sleep. A new connection settles it.
        let ahead = |elapsed_ms| Moment { now_ms: at(elapsed_ms).now_ms + 3_600_000, elapsed_ms };
        assert!(!set.heartbeat(504_000, ahead(14_001)));
        assert!(matches!(set.freshness(ahead(14_100)), Freshness::Stale(_)));
        set.connection_opened(ahead(14_200));
        assert!(set.heartbeat(504_500, ahead(14_500)));
        assert_eq!(set.freshness(ahead(14_600)), Freshness::Fresh);
        // The issuer's clock is set forward, then back. After the first change a lag must still be detected;
        // after the second the count starts again.
        assert!(set.heartbeat(900_000, ahead(15_500)));
        assert!(!set.heartbeat(901_000, ahead(25_500)));
        assert!(!set.heartbeat(4_000, ahead(25_600)));
        set.connection_opened(ahead(25_700));
        assert!(set.heartbeat(5_000, ahead(26_700)));
        assert_eq!(set.freshness(ahead(26_700)), Freshness::Fresh);
    }

    #[test]
    fn expired_sessions_are_dropped_and_a_client_can_be_enabled_again() {
        let set = set_with_heartbeat();
        set.revoke_session("ses_1".into(), 100);
        set.revoke_session("ses_2".into(), 200);
        set.disable_client("app".into());
        set.revoke_key("stolen".into());
        set.forget_expired(150);
        assert_eq!((set.has_session("ses_1"), set.has_session("ses_2")), (false, true));
        assert!(set.clients_and_keys.read().unwrap().clients.contains("app"));
        assert!(set.clients_and_keys.read().unwrap().keys.contains("stolen"), "a revoked key stays revoked");
        set.enable_client("app");
        assert!(set.clients_and_keys.read().unwrap().clients.is_empty());
    }
}
