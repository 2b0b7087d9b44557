//! Measures how long a hash takes, and estimates waiting times from that.

use std::time::Duration;

use crate::{entropy::Entropy, time::Ttl};

/// The assumed duration of a hash until one has been measured.
const FIRST_GUESS: Duration = Duration::from_millis(50);
/// A measurement has a weight of one in this many in the average, so that roughly the last second decides.
const AVERAGED_OVER: u32 = 16;
/// Bounds of the suggested retry time, before jitter.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(10);

/// The measured pace of hashing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    mean: Option<Duration>,
    threads: u32,
    busy: u32,
}

impl Pace {
    pub(super) fn new(threads: usize) -> Self {
        Self { mean: None, threads: count(threads.max(1)), busy: 0 }
    }

    /// A thread starts a hash.
    pub(super) fn begin(&mut self) {
        self.busy += 1;
    }

    /// A thread is done; without a duration if it did not hash after all.
    pub(super) fn end(&mut self, took: Option<Duration>) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(took) = took {
            self.mean = Some(self.mean.map_or(took, |mean| (mean * (AVERAGED_OVER - 1) + took) / AVERAGED_OVER));
        }
    }

    fn mean(&self) -> Duration {
        self.mean.unwrap_or(FIRST_GUESS)
    }

    /// How long it will take until a new request is done if `ahead` others are served first. Nothing if a thread is
    /// idle: then the request is always tried, so that the average is updated.
    pub(super) fn estimated_wait(&self, ahead: usize) -> Option<Duration> {
        if ahead == 0 && self.busy < self.threads {
            return None;
        }
        // On average, hashes in progress are half done.
        Some(self.mean() * (2 * count(ahead) + self.busy) / (2 * self.threads) + self.mean())
    }

    /// How long a refused caller should wait before retrying: until the current backlog is done, plus jitter of up to
    /// the same time, so that callers refused together do not retry together.
    pub(super) fn retry_after(&self, waiting: usize, entropy: &dyn Entropy) -> Ttl {
        let drained = (self.mean() * (count(waiting) + self.busy) / self.threads).clamp(SOONEST, LATEST);
        let mut random = [0; 2];
        entropy.fill(&mut random);
        let spread = drained * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX);
        Ttl::from_millis(i64::try_from((drained + spread).as_millis()).unwrap_or(i64::MAX))
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::entropy::SeededEntropy;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn p09_the_estimate_follows_the_measurements() {
        let mut pace = Pace::new(2);
        assert_eq!(pace.estimated_wait(0), None);
        assert_eq!(pace.estimated_wait(4), Some(FIRST_GUESS * 3));
        for _ in 0..3 {
            pace.begin();
            pace.end(Some(MS * 20));
        }
        assert_eq!(pace.estimated_wait(4), Some(MS * 60));
        for _ in 0..100 {
            pace.begin();
            pace.end(Some(MS * 100));
        }
        let slow = pace.estimated_wait(4).unwrap();
        assert!(slow > MS * 295 && slow <= MS * 300, "{slow:?}");
        pace.begin();
        assert_eq!(pace.estimated_wait(0), None, "one of two threads is free");
        pace.begin();
        assert!(pace.estimated_wait(0).unwrap() > MS * 140, "half of what is being hashed comes first");
        pace.end(None);
        assert_eq!(pace.estimated_wait(0), None);
    }

    #[test]
    fn p09_refused_callers_retry_when_there_is_room_and_not_all_at_once() {
        let (mut pace, entropy) = (Pace::new(1), SeededEntropy::new(5));
        pace.begin();
        pace.end(Some(MS * 40));
        let waits: BTreeSet<i64> = (0..200).map(|_| pace.retry_after(50, &entropy).millis()).collect();
        assert!(waits.first() >= Some(&2000) && waits.last() <= Some(&4000), "{waits:?}");
        assert!(waits.len() > 150, "{} different answers", waits.len());
        assert!(pace.retry_after(0, &entropy).millis() >= 50);
        assert!(pace.retry_after(1_000_000, &entropy).millis() <= 20_000);
    }
}
