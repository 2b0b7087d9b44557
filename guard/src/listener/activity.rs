//! What a connection is doing, and whether it has done nothing for too long.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::Limits;

/// The preface of an HTTP/2 connection and the header of the frame that must follow it.
const GREETING: u64 = 24 + 9;
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
    /// Whether a request has ever arrived.
    served: AtomicBool,
    /// Since when no request has been in flight; meaningless while one is.
    idle_since: AtomicU64,
    /// When the first byte of the next request arrived, on HTTP/1.
    head_since: AtomicU64,
    http2: AtomicBool,
    bytes_read: AtomicU64,
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
            served: AtomicBool::new(false),
            idle_since: AtomicU64::new(millis(base.elapsed())),
            head_since: AtomicU64::new(NONE),
            http2: AtomicBool::new(false),
            bytes_read: AtomicU64::new(0),
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
        // No method of HTTP/1 begins like this.
        if before == 0 && bytes.starts_with(b"PRI") {
            self.http2.store(true, Relaxed);
        }
        let http1 = !self.http2.load(Relaxed);
        if http1 && self.head_since.load(Relaxed) == NONE && !self.is_busy() {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// Notes that a request has arrived.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.served.store(true, Relaxed);
        self.head_since.store(NONE, Relaxed);
    }

    /// Notes that a response has been handed over or given up.
    pub(super) fn end(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.idle_since.store(self.now(), Relaxed);
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

    /// Whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// The order in which idle connections are closed at the cap: those that never sent a request come first.
    pub(super) fn rank(&self) -> (bool, u64) {
        (self.served.load(Relaxed), self.idle_since.load(Relaxed))
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
        if self.http2.load(Relaxed) && self.bytes_read.load(Relaxed) >= GREETING {
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
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        connections: 1,
        per_address: 1,
        head: Duration::from_secs(10),
        idle: Duration::from_mins(2),
        stall: Duration::from_mins(1),
        ping: Duration::from_mins(1),
        pong: Duration::from_secs(20),
        answer: None,
        streams: 1,
        header_bytes: 1,
    };

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    fn stays(seconds: u64) -> Verdict {
        Verdict::Stays(Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_half_a_request_and_half_a_greeting_end_with_the_time_for_a_head() {
        for bytes in [&b""[..], b"GET / HTTP/1.1\r\nhost: a.very.long.name\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let activity = Activity::new(Instant::now());
            if !bytes.is_empty() {
                activity.read(bytes);
            }
            pass(4).await;
            assert_eq!(activity.judge(&LIMITS, false), stays(6), "{bytes:?}");
            // Another byte gains no time.
            activity.read(b"x");
            pass(6).await;
            assert_eq!(activity.judge(&LIMITS, false), Verdict::NoRequest, "{bytes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let activity = Activity::new(Instant::now());
        activity.read(b"GET / HTTP/1.1\r\n\r\n");
        activity.begin();
        pass(500).await;
        assert_eq!(activity.judge(&LIMITS, false), stays(20));
        activity.end();
        pass(100).await;
        assert_eq!(activity.judge(&LIMITS, false), stays(20));
        // Half of another request.
        activity.read(b"GET");
        pass(10).await;
        assert_eq!(activity.judge(&LIMITS, false), Verdict::NoRequest);
        activity.begin();
        activity.end();
        pass(120).await;
        assert_eq!(activity.judge(&LIMITS, false), Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_that_only_answers_pings_is_idle() {
        let activity = Activity::new(Instant::now());
        activity.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        for _ in 0..3 {
            pass(30).await;
            activity.read(b"\0\0\x08\x06\x01\0\0\0\0........");
        }
        assert_eq!(activity.judge(&LIMITS, false), stays(30));
        pass(30).await;
        assert_eq!(activity.judge(&LIMITS, false), Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn one_response_that_nobody_takes_is_seen_beside_others_that_are_taken() {
        let activity = Activity::new(Instant::now());
        activity.begin();
        activity.begin();
        let stalled = activity.wait();
        for _ in 0..INTERVALS {
            let other = activity.wait();
            assert_eq!(activity.judge(&LIMITS, true), stays(20));
            activity.taken(other);
        }
        assert_eq!(activity.judge(&LIMITS, true), Verdict::Stalled);
        activity.taken(stalled);
        for _ in 0..10 {
            let other = activity.wait();
            assert_eq!(activity.judge(&LIMITS, true), stays(20));
            activity.taken(other);
        }
    }
}
