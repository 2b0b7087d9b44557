//! A process's cache for limits: which counters currently refuse, and which guesses are in flight. Refusals only save
//! queries: losing one costs one query.

use std::collections::HashMap;

use crate::{
    domain::limit::{LimitKey, LimitVerdict},
    time::{Timestamp, Ttl},
};

/// Maximum refusals in each generation: 6 MB in total.
const MAX_REFUSALS: usize = 32_768;
/// After this long the database is queried again: another process may have accepted a sign-in, or a password may have
/// been set.
const MAX_REFUSAL_AGE: Ttl = Ttl::from_secs(10);

/// A refusal by a counter.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    verdict: LimitVerdict,
    at: Timestamp,
}

/// How a guess is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum InFlightAs {
    /// Counted as failed already.
    Counted,
    /// Not counted yet.
    Held,
}

/// Two generations of refusals, so that a flood of new ones evicts old ones without a search; and the number of
/// guesses in flight.
#[derive(Debug, Default)]
pub(super) struct RefusalCache {
    young: HashMap<LimitKey, Refusal>,
    old: HashMap<LimitKey, Refusal>,
    in_flight: HashMap<(LimitKey, InFlightAs), i64>,
}

impl RefusalCache {
    /// Caches the verdict of a counter.
    pub(super) fn record(&mut self, key: LimitKey, verdict: LimitVerdict, at: Timestamp) {
        if matches!(verdict, LimitVerdict::Go | LimitVerdict::Busy(_)) {
            return self.remove(&key);
        }
        if self.young.len() >= MAX_REFUSALS {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, Refusal { verdict, at });
    }

    /// The cached verdict of a counter, reduced by the time passed.
    pub(super) fn verdict(&self, key: &LimitKey, now: Timestamp) -> LimitVerdict {
        let Some(refusal) = self.young.get(key).or_else(|| self.old.get(key)) else { return LimitVerdict::Go };
        let passed = now.since(refusal.at).millis();
        // After the clock was set back, the age is unknown.
        if passed < 0 || passed >= MAX_REFUSAL_AGE.millis() {
            return LimitVerdict::Go;
        }
        let left = |of: Ttl| Ttl::from_millis(of.millis() - passed);
        match refusal.verdict {
            LimitVerdict::Wait(of) if left(of).millis() > 0 => LimitVerdict::Wait(left(of)),
            LimitVerdict::Closed(of) if left(of).millis() > 0 => LimitVerdict::Closed(left(of)),
            _ => LimitVerdict::Go,
        }
    }

    /// Removes the verdict of a counter.
    pub(super) fn remove(&mut self, key: &LimitKey) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Marks a guess as in flight. Returns how many were before it.
    pub(super) fn start(&mut self, key: LimitKey, how: InFlightAs) -> i64 {
        let in_flight = self.in_flight.entry((key, how)).or_default();
        *in_flight += 1;
        *in_flight - 1
    }

    /// How many guesses with this key are in flight.
    pub(super) fn in_flight(&self, key: &LimitKey, how: InFlightAs) -> i64 {
        self.in_flight.get(&(*key, how)).copied().unwrap_or(0)
    }

    /// Marks a guess as finished.
    pub(super) fn finish(&mut self, key: &LimitKey, how: InFlightAs) {
        if let Some(in_flight) = self.in_flight.get_mut(&(*key, how)) {
            *in_flight -= 1;
            if *in_flight <= 0 {
                self.in_flight.remove(&(*key, how));
            }
        }
    }

    /// How many refusals are cached.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::LimitKind;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    fn key(n: usize) -> LimitKey {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        LimitKey { kind: LimitKind::Account, hash }
    }

    fn secs(n: i64) -> Ttl {
        Ttl::from_secs(n)
    }

    #[test]
    fn a_cached_refusal_expires_on_time_and_after_at_most_ten_seconds() {
        let mut cache = RefusalCache::default();
        cache.record(key(1), LimitVerdict::Wait(secs(4)), NOW);
        cache.record(key(2), LimitVerdict::Closed(secs(900)), NOW);
        let seen = |cache: &RefusalCache, n, after| cache.verdict(&key(n), NOW.plus(secs(after)));
        assert_eq!((seen(&cache, 1, 3), seen(&cache, 1, 4)), (LimitVerdict::Wait(secs(1)), LimitVerdict::Go));
        assert_eq!((seen(&cache, 2, 9), seen(&cache, 2, 10)), (LimitVerdict::Closed(secs(891)), LimitVerdict::Go));
        assert_eq!(seen(&cache, 3, 0), LimitVerdict::Go);
        assert_eq!(seen(&cache, 2, -1), LimitVerdict::Go, "the clock was set back");
        cache.record(key(2), LimitVerdict::Go, NOW);
        assert_eq!((seen(&cache, 2, 0), cache.len()), (LimitVerdict::Go, 1));
    }

    #[test]
    fn a_flood_of_refusals_stays_within_the_size_limit() {
        let mut cache = RefusalCache::default();
        for n in 0..=3 * MAX_REFUSALS {
            cache.record(key(n), LimitVerdict::Wait(secs(5)), NOW);
        }
        assert_eq!(cache.len(), MAX_REFUSALS + 1);
        assert_eq!(cache.verdict(&key(3 * MAX_REFUSALS), NOW), LimitVerdict::Wait(secs(5)));
        assert_eq!(cache.verdict(&key(0), NOW), LimitVerdict::Go);
    }

    #[test]
    fn guesses_in_flight_are_counted_until_they_finish() {
        use InFlightAs::{Counted, Held};
        let mut cache = RefusalCache::default();
        let ahead = [1, 1, 2].map(|n| cache.start(key(n), Counted));
        assert_eq!(ahead, [0, 1, 0]);
        cache.finish(&key(1), Counted);
        assert_eq!([1, 2, 3].map(|n| cache.in_flight(&key(n), Counted)), [1, 1, 0]);
        assert_eq!(cache.start(key(1), Held), 0, "apart from those that are counted");
        cache.start(key(1), Counted);
        for n in [1, 1, 2, 2] {
            cache.finish(&key(n), Counted);
        }
        assert_eq!(cache.in_flight(&key(1), Held), 1);
        cache.finish(&key(1), Held);
        assert!(cache.in_flight.is_empty());
    }
}
