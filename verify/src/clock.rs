//! The time, as milliseconds since 1970-01-01T00:00:00Z.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::UNIX_EPOCH,
};

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some fixed moment, untouched when somebody sets the clock.
    fn elapsed_ms(&self) -> i64;
}

/// One moment by both clocks.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now_ms: i64,
    pub(crate) elapsed_ms: i64,
}

#[cfg(feature = "http")]
impl Moment {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        Self { now_ms: clock.now_ms(), elapsed_ms: clock.elapsed_ms() }
    }

    /// How long ago that was. A machine that slept did not count the time; its wall clock tells.
    pub(crate) fn since(self, earlier: Self) -> i64 {
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

/// A clock that moves only when told.
#[derive(Debug)]
pub struct FixedClock {
    now: AtomicI64,
    elapsed: AtomicI64,
}

impl FixedClock {
    /// A clock that stands at `ms`.
    #[must_use]
    pub const fn new(ms: i64) -> Self {
        Self { now: AtomicI64::new(ms), elapsed: AtomicI64::new(0) }
    }

    /// Lets time pass; a negative time is somebody setting the clock back.
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
