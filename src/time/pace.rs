//! How often the same thing is logged.

use std::sync::atomic::{AtomicI64, Ordering};

use super::Ttl;

/// The same thing is logged at most this often.
const LOG_EVERY: Ttl = Ttl::from_secs(10);

/// When something was last logged that many requests can cause.
#[derive(Debug, Default)]
pub struct LogPace(AtomicI64);

impl LogPace {
    /// Whether enough time has passed, in milliseconds since the Unix epoch, and if so starts again.
    pub fn is_due(&self, now: i64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        (now - last).abs() >= LOG_EVERY.millis()
            && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_logged_once_in_ten_seconds() {
        let pace = LogPace::default();
        let due = [100_000, 100_001, 109_999, 110_000, 110_001, 90_000].map(|now| pace.is_due(now));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
