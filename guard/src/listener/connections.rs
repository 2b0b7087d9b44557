//! The open connections of a listener, and which of them makes room for a new one.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{task::AbortHandle, time::Instant};

use super::{LOG_EVERY, Limits, activity::Activity};

/// A connection that made room keeps its descriptor until its task runs once more. This many may do so at a time.
const CLOSING: usize = 8;

/// An IPv4 address, or the network that one customer of an IPv6 provider has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl Source {
    /// The source that is counted, if any: a proxy on this machine brings everybody's connections over loopback.
    pub(super) fn of(peer: SocketAddr) -> Option<Self> {
        match peer.ip().to_canonical() {
            ip if ip.is_loopback() => None,
            IpAddr::V4(ip) => Some(Self(ip.into())),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Some(Self(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()))
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    source: Option<Source>,
    activity: Arc<Activity>,
    task: Option<AbortHandle>,
    /// Whether it has made room for another one.
    closing: bool,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, Entry>,
    per_source: HashMap<Source, usize>,
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
    most_per_source: usize,
    open: Mutex<Open>,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Self {
        let most_per_source = if limits.per_address == 0 { usize::MAX } else { limits.per_address };
        Self { base: Instant::now(), most: limits.connections.max(1), most_per_source, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of this peer, if there is one or another connection can make room.
    pub(super) fn admit(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Slot> {
        let source = peer.and_then(Source::of);
        let mut open = self.open();
        let of_source = source.and_then(|s| open.per_source.get(&s)).copied().unwrap_or(0);
        let source_is_full = of_source >= self.most_per_source;
        if source_is_full || open.live() >= self.most {
            let room = open.close_one(|entry| !source_is_full || entry.source == source);
            open.note_full(room);
            if !room {
                return None;
            }
        }
        let activity = Arc::new(Activity::new(self.base));
        let number = open.next;
        open.next += 1;
        open.entries.insert(number, Entry { source, activity: activity.clone(), task: None, closing: false });
        if let Some(source) = source {
            *open.per_source.entry(source).or_default() += 1;
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
        let free = self.entries.values_mut().filter(|e| !e.closing && e.task.is_some() && !e.activity.is_claimed());
        let Some(entry) = free.filter(|e| fits(e)).min_by_key(|e| e.activity.rank()) else { return false };
        entry.closing = true;
        if let Some(task) = &entry.task {
            task.abort();
        }
        let source = entry.source;
        self.closing += 1;
        self.forget_source(source);
        true
    }

    fn forget_source(&mut self, source: Option<Source>) {
        let Some(source) = source else { return };
        if let Some(count) = self.per_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&source);
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
        assert_eq!((open.entries.len(), open.per_source.len(), open.closing), (0, 0, 0));
    }
}
