//! What a connection is doing, and whether it has done nothing for too long.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::Limits;

/// The preface of an HTTP/2 connection and the header of the frame that must follow it.
const GREETING: u64 = 24 + 9;
/// What they begin with; no method of HTTP/1 does.
const HTTP2: &[u8] = b"PRI";
/// The end of the headers of a request of HTTP/1.
const END_OF_HEAD: u32 = u32::from_be_bytes(*b"\r\n\r\n");
/// The time of a head that has not begun.
const NONE: u64 = u64::MAX;
/// A peer has taken nothing for the whole time limit once this many of the intervals are over.
const INTERVALS: u64 = 3;

/// The state of one connection. Times are milliseconds since `base`.
#[derive(Debug)]
pub(super) struct Activity {
    base: Instant,
    /// Requests that have arrived and whose responses have not been handed over completely.
    in_flight: AtomicUsize,
    /// Those of them that keep the connection at the cap.
    claims: AtomicUsize,
    /// Since when there have been none of those; meaningless while there are.
    unclaimed_since: AtomicU64,
    /// Whether there has ever been one.
    was_claimed: AtomicBool,
    /// Whether a request has ever arrived.
    served: AtomicBool,
    /// Since when no request has been in flight; meaningless while one is.
    idle_since: AtomicU64,
    /// When the first byte of the next request arrived, on HTTP/1.
    head_since: AtomicU64,
    /// Wakes the connection when a head begins.
    head_begins: Notify,
    /// Whether all bytes until now are those of an HTTP/2 connection.
    http2: AtomicBool,
    bytes_read: AtomicU64,
    /// The last four bytes.
    tail: AtomicU32,
    /// Whether the last request had a body, so that the end of its bytes is unknown here.
    had_body: AtomicBool,
    /// The current interval.
    interval: AtomicU64,
    /// Responses of which the peer has to take something before more is produced, by the interval in which they began
    /// to wait.
    waiting: [AtomicUsize; 4],
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays. Judge it again after this long.
    Stays(Duration),
    /// It has been idle for too long.
    Idle,
    /// It sent no request, or not a whole one.
    NoRequest,
    /// It has taken nothing for too long.
    Stalled,
}

impl Activity {
    /// The activity of a connection that has just been opened.
    pub(super) fn new(base: Instant) -> Self {
        Self {
            base,
            in_flight: AtomicUsize::new(0),
            claims: AtomicUsize::new(0),
            unclaimed_since: AtomicU64::new(millis(base.elapsed())),
            was_claimed: AtomicBool::new(false),
            served: AtomicBool::new(false),
            idle_since: AtomicU64::new(millis(base.elapsed())),
            head_since: AtomicU64::new(NONE),
            head_begins: Notify::new(),
            http2: AtomicBool::new(true),
            bytes_read: AtomicU64::new(0),
            tail: AtomicU32::new(0),
            had_body: AtomicBool::new(false),
            interval: AtomicU64::new(0),
            waiting: Default::default(),
        }
    }

    fn now(&self) -> u64 {
        millis(self.base.elapsed())
    }

    /// Notes that bytes have arrived.
    pub(super) fn read(&self, bytes: &[u8]) {
        let before = self.bytes_read.fetch_add(bytes.len() as u64, Relaxed);
        // The first bytes may arrive one by one.
        let expected = HTTP2.iter().skip(usize::try_from(before).unwrap_or(HTTP2.len()));
        if expected.zip(bytes).any(|(expected, byte)| expected != byte) {
            self.http2.store(false, Relaxed);
        }
        if self.http2.load(Relaxed) {
            return;
        }
        let tail = bytes.get(bytes.len().saturating_sub(4)..).unwrap_or_default();
        self.tail.store(tail.iter().fold(self.tail.load(Relaxed), |tail, byte| tail << 8 | u32::from(*byte)), Relaxed);
        if !self.is_busy() {
            self.begin_head();
        }
    }

    /// Notes that bytes of a request have arrived, but not the whole head.
    fn begin_head(&self) {
        if self.head_since.load(Relaxed) == NONE {
            self.head_since.store(self.now(), Relaxed);
            self.head_begins.notify_one();
        }
    }

    /// Waits until a head begins. Then the connection has to be judged within the time for one.
    pub(super) async fn head_begins(&self) {
        self.head_begins.notified().await;
    }

    /// Notes that a request has arrived.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.served.store(true, Relaxed);
        self.head_since.store(NONE, Relaxed);
        self.had_body.store(false, Relaxed);
    }

    /// Notes that the request has a body.
    pub(super) fn has_body(&self) {
        self.had_body.store(true, Relaxed);
    }

    /// Notes that a response has been handed over or given up.
    pub(super) fn end(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.idle_since.store(self.now(), Relaxed);
            // Half of another request may have come with this one.
            let (http1, whole) = (!self.http2.load(Relaxed), self.tail.load(Relaxed) == END_OF_HEAD);
            if http1 && !whole && !self.had_body.load(Relaxed) {
                self.begin_head();
            }
        }
    }

    /// Notes that a request keeps the connection at the cap.
    pub(super) fn claim(&self) {
        self.claims.fetch_add(1, Relaxed);
        self.was_claimed.store(true, Relaxed);
    }

    /// Notes that it no longer does.
    pub(super) fn release(&self) {
        if self.claims.fetch_sub(1, Relaxed) == 1 {
            self.unclaimed_since.store(self.now(), Relaxed);
        }
    }

    /// Notes that the peer has to take something of a response before more of it is produced. Returns what to pass to
    /// [`Self::taken`].
    pub(super) fn wait(&self) -> u64 {
        let interval = self.interval.load(Relaxed);
        if let Some(waiting) = self.waiting_since(interval) {
            waiting.fetch_add(1, Relaxed);
        }
        interval
    }

    /// Notes that the peer has taken something.
    pub(super) fn taken(&self, interval: u64) {
        if let Some(waiting) = self.waiting_since(interval) {
            waiting.fetch_sub(1, Relaxed);
        }
    }

    fn waiting_since(&self, interval: u64) -> Option<&AtomicUsize> {
        self.waiting.get(usize::try_from(interval).unwrap_or(0) % self.waiting.len())
    }

    /// Whether it is a connection of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed) && self.bytes_read.load(Relaxed) >= GREETING
    }

    /// Whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Whether a request is in flight that keeps the connection at the cap. One whose response the peer has not taken
    /// for more than an interval does not.
    pub(super) fn is_claimed(&self) -> bool {
        let now = self.interval.load(Relaxed);
        let long_ago = [now + 1, now + 2].map(|interval| self.waiting_since(interval).map_or(0, |w| w.load(Relaxed)));
        self.claims.load(Relaxed) > long_ago.into_iter().sum()
    }

    /// The order in which connections are closed at the cap: idle ones come first, and of those the ones that never
    /// sent a request. Of the others, those come first that never had a request that keeps them.
    pub(super) fn rank(&self) -> (bool, bool, u64) {
        if self.is_busy() {
            return (true, self.was_claimed.load(Relaxed), self.unclaimed_since.load(Relaxed));
        }
        (false, self.served.load(Relaxed), self.idle_since.load(Relaxed))
    }

    /// Whether no request has been in flight for this long.
    pub(super) fn has_been_idle_for(&self, time: Duration) -> bool {
        !self.is_busy() && self.now().saturating_sub(self.idle_since.load(Relaxed)) >= millis(time)
    }

    /// How often to judge a connection.
    pub(super) fn interval(limits: &Limits) -> Duration {
        limits.stall / u32::try_from(INTERVALS).unwrap_or(1)
    }

    /// Judges the connection. `next_interval` says that another interval is over.
    pub(super) fn judge(&self, limits: &Limits, next_interval: bool) -> Verdict {
        if next_interval {
            let now = self.interval.load(Relaxed) + 1;
            // Those that have waited since this interval share its place with the new one.
            let oldest = self.waiting_since(now).map_or(0, |waiting| waiting.load(Relaxed));
            if now > INTERVALS && oldest > 0 {
                return Verdict::Stalled;
            }
            self.interval.store(now, Relaxed);
        }
        if self.is_busy() {
            return Verdict::Stays(Self::interval(limits));
        }
        let (since, limit, verdict) = self.waiting_for(limits);
        let over = self.now().saturating_sub(since);
        match millis(limit).checked_sub(over).filter(|left| *left > 0) {
            Some(left) => Verdict::Stays(Duration::from_millis(left)),
            None => verdict,
        }
    }

    /// Since when a connection without a request in flight has been waited for, how long it may take, and the verdict
    /// then.
    fn waiting_for(&self, limits: &Limits) -> (u64, Duration, Verdict) {
        let (idle_since, head_since) = (self.idle_since.load(Relaxed), self.head_since.load(Relaxed));
        if self.is_http2() {
            return (idle_since, limits.idle, Verdict::Idle);
        }
        match (self.served.load(Relaxed), head_since) {
            (false, _) => (idle_since, limits.head, Verdict::NoRequest),
            (true, NONE) => (idle_since, limits.idle, Verdict::Idle),
            (true, head_since) => (head_since, limits.head, Verdict::NoRequest),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NONE - 1)
}

#[cfg(test)]
mod tests;
