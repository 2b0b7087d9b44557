//! How long a hash takes here, and so how long those who wait will wait.

use std::time::Duration;

use crate::{entropy::Entropy, time::Ttl};

/// What a hash is thought to take until one was measured.
const FIRST_GUESS: Duration = Duration::from_millis(50);
/// A measurement counts for one part in this many of the average: what was hashed in the last second
/// decides.
const MEMORY: u32 = 16;
/// Nobody is told to come back sooner, or later, before the spread.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(10);

/// The measured pace of all threads together.
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

    /// A thread begins to hash.
    pub(super) fn begin(&mut self) {
        self.busy += 1;
    }

    /// It has done so; without a time if it hashed nothing after all.
    pub(super) fn end(&mut self, took: Option<Duration>) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(took) = took {
            self.mean = Some(self.mean.map_or(took, |mean| (mean * (MEMORY - 1) + took) / MEMORY));
        }
    }

    fn mean(&self) -> Duration {
        self.mean.unwrap_or(FIRST_GUESS)
    }

    /// When somebody is done with whom `ahead` others are served first; nothing if a thread is free at
    /// once. Then only trying can tell how long a hash takes now.
    pub(super) fn until_done(&self, ahead: usize) -> Option<Duration> {
        if ahead == 0 && self.busy < self.threads {
            return None;
        }
        // Those being hashed are half done on average.
        Some(self.mean() * (2 * count(ahead) + self.busy) / (2 * self.threads) + self.mean())
    }

    /// When somebody who is refused should come back: when those who wait now are done, spread over as
    /// long again, so that those refused together do not come back together.
    pub(super) fn come_back(&self, waiting: usize, entropy: &dyn Entropy) -> Ttl {
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
    fn p09_the_estimate_follows_what_is_measured() {
        let mut pace = Pace::new(2);
        assert_eq!(pace.until_done(0), None);
        assert_eq!(pace.until_done(4), Some(FIRST_GUESS * 3));
        for _ in 0..3 {
            pace.begin();
            pace.end(Some(MS * 20));
        }
        assert_eq!(pace.until_done(4), Some(MS * 60));
        for _ in 0..100 {
            pace.begin();
            pace.end(Some(MS * 100));
        }
        let slow = pace.until_done(4).unwrap();
        assert!(slow > MS * 295 && slow <= MS * 300, "{slow:?}");
        pace.begin();
        assert_eq!(pace.until_done(0), None, "one of two threads is free");
        pace.begin();
        assert!(pace.until_done(0).unwrap() > MS * 140, "half of what is being hashed comes first");
        pace.end(None);
        assert_eq!(pace.until_done(0), None);
    }

    #[test]
    fn p09_those_refused_together_come_back_when_there_is_room_and_not_together() {
        let (mut pace, entropy) = (Pace::new(1), SeededEntropy::new(5));
        pace.begin();
        pace.end(Some(MS * 40));
        let told: BTreeSet<i64> = (0..200).map(|_| pace.come_back(50, &entropy).millis()).collect();
        assert!(told.first() >= Some(&2000) && told.last() <= Some(&4000), "{told:?}");
        assert!(told.len() > 150, "{} different answers", told.len());
        assert!(pace.come_back(0, &entropy).millis() >= 50);
        assert!(pace.come_back(1_000_000, &entropy).millis() <= 20_000);
    }
}
