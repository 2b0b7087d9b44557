//! The time, as milliseconds since 1970-01-01T00:00:00Z.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::UNIX_EPOCH,
};

/// A source of time. The verifier reads the time from here only.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Monotonic milliseconds since some fixed moment; setting the system clock does not change them.
    fn elapsed_ms(&self) -> i64;
}

/// One moment, read from both clocks.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now_ms: i64,
    pub(crate) elapsed_ms: i64,
}

#[cfg(feature = "http")]
impl Moment {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { now_ms: clock.now_ms(), elapsed_ms: clock.elapsed_ms() }
    }

    /// The moment this many milliseconds before.
    pub(crate) fn before(self, ms: i64) -> Self {
        Self { now_ms: self.now_ms.saturating_sub(ms), elapsed_ms: self.elapsed_ms.saturating_sub(ms) }
    }

    /// Milliseconds elapsed since `earlier`. The monotonic clock may stop while a machine sleeps, so the larger
    /// of both differences is returned.
    pub(crate) fn elapsed_since(self, earlier: Self) -> i64 {
        let by_wall = self.now_ms.saturating_sub(earlier.now_ms);
        self.elapsed_ms.saturating_sub(earlier.elapsed_ms).max(by_wall)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    #[expect(clippy::disallowed_types, reason = "the one place that reads the monotonic clock")]
    fn elapsed_ms(&self) -> i64 {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let since = START.get_or_init(std::time::Instant::now).elapsed();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A clock that moves only when [`advance_ms`](Self::advance_ms) is called.
#[derive(Debug)]
pub struct FixedClock {
    now: AtomicI64,
    elapsed: AtomicI64,
}

impl FixedClock {
    /// A clock that shows `ms`.
    #[must_use]
    pub const fn new(ms: i64) -> Self {
        Self { now: AtomicI64::new(ms), elapsed: AtomicI64::new(0) }
    }

    /// Moves the clock. A negative value sets the wall clock back and leaves the monotonic clock alone.
    pub fn advance_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
        self.elapsed.fetch_add(ms.max(0), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now_ms(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    fn elapsed_ms(&self) -> i64 {
        self.elapsed.load(Ordering::SeqCst)
    }
}
