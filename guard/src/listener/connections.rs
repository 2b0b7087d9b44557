//! The open connections of a listener, and which of them makes room for a new one.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    LOG_EVERY, Limits,
    activity::Activity,
    network::{Caps, Network, Source},
};

/// A connection that made room keeps its descriptor until its task runs once more. This many may do so at a time.
const CLOSING: usize = 8;

#[derive(Debug)]
struct Entry {
    source: Source,
    activity: Arc<Activity>,
    task: Option<AbortHandle>,
    /// Whether it has made room for another one.
    closing: bool,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, Entry>,
    per_network: HashMap<Network, usize>,
    closing: usize,
    /// Connections that made room, and connections that were refused.
    closed: u64,
    refused: u64,
    logged: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Connections {
    base: Instant,
    most: usize,
    caps: Caps,
    open: Mutex<Open>,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Self {
        let most = limits.connections.max(1);
        let caps = Caps::new(most, limits.per_address);
        Self { base: Instant::now(), most, caps, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of this peer, if there is one or another connection can make room.
    pub(super) fn admit(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Slot> {
        let source = peer.map(Source::of).unwrap_or_default();
        let mut open = self.open();
        // A connection of the narrowest network that is full makes room in all that contain it.
        let full = source.networks().find(|network| open.of_network(*network) >= self.caps.of(*network));
        if full.is_some() || open.live() >= self.most {
            let room = open.close_one(|entry| full.is_none_or(|full| entry.source.networks().any(|n| n == full)));
            open.note_full(room);
            if !room {
                return None;
            }
        }
        let activity = Arc::new(Activity::new(self.base));
        let number = open.next;
        open.next += 1;
        open.entries.insert(number, Entry { source, activity: activity.clone(), task: None, closing: false });
        for network in source.networks() {
            *open.per_network.entry(network).or_default() += 1;
        }
        Some(Slot { number, activity, connections: self.clone() })
    }

    /// Whether as many as may have been closed and have not ended yet.
    pub(super) fn are_closing(&self) -> bool {
        self.open().closing >= CLOSING
    }

    /// Notes the task that serves a connection.
    pub(super) fn started(&self, number: u64, task: AbortHandle) {
        if let Some(entry) = self.open().entries.get_mut(&number) {
            entry.task = Some(task);
        }
    }

    /// Closes the connection that can best be spared, if any.
    pub(super) fn make_room(&self) {
        self.open().close_one(|_| true);
    }
}

impl Open {
    fn live(&self) -> usize {
        self.entries.len() - self.closing
    }

    /// Closes one of these connections that has no request in flight, or only such as have waived their claim. Its
    /// client may lose a request that is under way to us, but no other that has arrived.
    fn close_one(&mut self, fits: impl Fn(&Entry) -> bool) -> bool {
        let free = self.entries.iter_mut().filter(|(_, e)| !e.closing && e.task.is_some() && !e.activity.is_claimed());
        // Of those of one millisecond, the oldest goes first too.
        let spared = free.filter(|(_, e)| fits(e)).min_by_key(|(number, e)| (e.activity.rank(), **number));
        let Some((_, entry)) = spared else { return false };
        entry.closing = true;
        if let Some(task) = &entry.task {
            task.abort();
        }
        let source = entry.source;
        self.closing += 1;
        self.forget_source(source);
        true
    }

    fn of_network(&self, network: Network) -> usize {
        self.per_network.get(&network).copied().unwrap_or(0)
    }

    fn forget_source(&mut self, source: Source) {
        for network in source.networks() {
            if let Some(count) = self.per_network.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    self.per_network.remove(&network);
                }
            }
        }
    }

    fn remove(&mut self, number: u64) {
        match self.entries.remove(&number) {
            Some(entry) if entry.closing => self.closing -= 1,
            Some(entry) => self.forget_source(entry.source),
            None => {}
        }
    }

    /// Notes that a new connection found a cap reached, and whether another one made room for it.
    fn note_full(&mut self, room: bool) {
        *(if room { &mut self.closed } else { &mut self.refused }) += 1;
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            let (open, closed, refused) = (self.live(), self.closed, self.refused);
            tracing::warn!(open, closed, refused, "too many connections: idle ones are closed, or new ones refused");
            self.logged = Some(Instant::now());
        }
    }
}

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Slot {
    number: u64,
    activity: Arc<Activity>,
    connections: Arc<Connections>,
}

impl Slot {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        self.activity.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::listener::claim::Claim;

    fn connections(most: usize, per_address: usize) -> Arc<Connections> {
        Arc::new(Connections::new(&Limits { connections: most, per_address, ..Limits::default() }))
    }

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    /// Opens a connection with a task that holds its place, as a served connection does.
    fn open(connections: &Arc<Connections>, from: &str) -> Option<(Arc<Activity>, tokio::task::JoinHandle<()>)> {
        let slot = connections.admit(Some(peer(from)))?;
        let (number, activity) = (slot.number(), slot.activity());
        let task = tokio::spawn(async move {
            let _slot = slot;
            std::future::pending::<()>().await;
        });
        connections.started(number, task.abort_handle());
        Some((activity, task))
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_cap_the_connection_that_never_sent_a_request_makes_room_then_the_longest_idle() {
        let all = connections(3, 0);
        let (old, old_task) = open(&all, "192.0.2.1").unwrap();
        old.begin();
        old.end();
        tokio::time::advance(Duration::from_secs(1)).await;
        let (young, young_task) = open(&all, "192.0.2.2").unwrap();
        young.begin();
        young.end();
        let (_, silent_task) = open(&all, "192.0.2.3").unwrap();
        let (busy, busy_task) = open(&all, "192.0.2.4").unwrap();
        assert!(silent_task.await.unwrap_err().is_cancelled());
        busy.begin();
        let _busy_claim = Claim::new(busy);
        let (second, _second) = open(&all, "192.0.2.5").unwrap();
        second.begin();
        let _second_claim = Claim::new(second);
        assert!(old_task.await.unwrap_err().is_cancelled());
        let (third, _third) = open(&all, "192.0.2.6").unwrap();
        third.begin();
        let _third_claim = Claim::new(third);
        assert!(young_task.await.unwrap_err().is_cancelled());
        assert!(open(&all, "192.0.2.7").is_none(), "all others have requests in flight");
        assert!(!busy_task.is_finished());
        assert_eq!(all.open().live(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_waived_their_claim_make_room_after_idle_connections() {
        let all = connections(3, 0);
        let mut waived = Vec::new();
        for from in ["192.0.2.1", "192.0.2.2"] {
            let (activity, task) = open(&all, from).unwrap();
            activity.begin();
            waived.push((Claim::new(activity), task));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let (_, idle_task) = open(&all, "192.0.2.3").unwrap();
        let busy = |from| {
            let (activity, task) = open(&all, from)?;
            activity.begin();
            Some((Claim::new(activity), task))
        };
        let _first = busy("192.0.2.4").unwrap();
        assert!(idle_task.await.unwrap_err().is_cancelled());
        assert!(busy("192.0.2.5").is_none(), "nobody has waived");
        for (claim, _) in &waived {
            claim.waive();
        }
        waived[0].0.restore();
        let _second = busy("192.0.2.6").unwrap();
        assert!(waived.remove(1).1.await.unwrap_err().is_cancelled());
        let (claim, task) = waived.remove(0);
        assert!(!task.is_finished());
        claim.end();
        claim.restore();
        let _third = busy("192.0.2.7").unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_at_its_cap_makes_room_with_its_own_connections_only() {
        let all = connections(100, 2);
        let (_, other) = open(&all, "192.0.2.9").unwrap();
        let (_, first) = open(&all, "2001:db8::1").unwrap();
        let (_, second) = open(&all, "2001:db8::ffff:1").unwrap();
        let (kept, _third) = open(&all, "2001:db8:0:0:1::1").unwrap();
        // The two are equally old, so either goes.
        tokio::select! {
            gone = first => assert!(gone.unwrap_err().is_cancelled()),
            gone = second => assert!(gone.unwrap_err().is_cancelled()),
        }
        assert!(!other.is_finished() && !kept.is_busy());
        let from_next_network = open(&all, "2001:db8:0:1::1");
        assert!(from_next_network.is_some());
        assert_eq!(all.open().live(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_networks_of_one_customer_or_provider_leave_room_for_others() {
        let all = connections(64, 4);
        let busy = |from: &str| {
            let (activity, task) = open(&all, from)?;
            activity.begin();
            Some((Claim::new(activity), task))
        };
        // A new /64 each time.
        let site: Vec<_> = (0..64).map_while(|n| busy(&format!("2001:db8:1:{n:x}::1"))).collect();
        assert_eq!(site.len(), 8, "a /56: twice as many as one address");
        let site: Vec<_> = (1..64).map_while(|n| busy(&format!("2001:db8:1:{n:x}00::1"))).collect();
        assert_eq!(8 + site.len(), 16, "a /48: four times as many");
        assert!(busy("2001:db8:2::1").is_some(), "its neighbour at the same provider");
        let provider: Vec<_> = (2..64).map_while(|n| busy(&format!("2001:db8:{n:x}::1"))).collect();
        assert!(provider.len() < 48, "{} of 64", provider.len());
        let leaves = 64 - all.open().live();
        assert!(leaves >= 7, "a /32 leaves some for others: {leaves}");
        assert!(busy("192.0.2.1").is_some() && busy("2001:db9::1").is_some());
        drop((site, provider));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_over_loopback_are_not_counted_per_address() {
        let all = connections(100, 1);
        let tasks: Vec<_> =
            ["127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1"].map(|from| open(&all, from).unwrap()).into();
        tokio::task::yield_now().await;
        assert!(tasks.iter().all(|(_, task)| !task.is_finished()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_connection_leaves_nothing_behind() {
        let all = connections(2, 1);
        for n in 0..20 {
            let (_, task) = open(&all, &format!("192.0.2.{n}")).unwrap();
            task.abort();
            let _ = task.await;
        }
        let open = all.open();
        assert_eq!((open.entries.len(), open.per_network.len(), open.closing), (0, 0, 0));
    }
}
