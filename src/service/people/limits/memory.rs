//! A process's cache for limits: which counters currently refuse, and which guesses are in flight. Both only save
//! queries: losing an entry costs one query.

use std::collections::HashMap;

use crate::{
    domain::limit::{LimitKey, LimitVerdict},
    time::{Timestamp, Ttl},
};

/// Maximum refusals in each generation: 6 MB in total.
const MOST: usize = 32_768;
/// After this long the database is queried again: another process may have accepted a sign-in, or a password may have
/// been set.
const ASKED_AGAIN_AFTER: Ttl = Ttl::from_secs(10);

/// A refusal by a counter.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    verdict: LimitVerdict,
    at: Timestamp,
}

/// Two generations of refusals, so that a flood of new ones evicts old ones without a search; and the number of
/// guesses in flight.
#[derive(Debug, Default)]
pub(super) struct Memory {
    young: HashMap<LimitKey, Refusal>,
    old: HashMap<LimitKey, Refusal>,
    under_way: HashMap<LimitKey, i64>,
}

impl Memory {
    /// Caches the verdict of a counter.
    pub(super) fn note(&mut self, key: LimitKey, verdict: LimitVerdict, at: Timestamp) {
        if matches!(verdict, LimitVerdict::Go | LimitVerdict::Busy(_)) {
            return self.forget(&key);
        }
        if self.young.len() >= MOST {
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
        if passed < 0 || passed >= ASKED_AGAIN_AFTER.millis() {
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
    pub(super) fn forget(&mut self, key: &LimitKey) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Marks a guess as in flight; returns how many others with this key are.
    pub(super) fn begin(&mut self, key: LimitKey) -> i64 {
        let under_way = self.under_way.entry(key).or_default();
        *under_way += 1;
        *under_way - 1
    }

    /// Marks a guess as finished.
    pub(super) fn end(&mut self, key: &LimitKey) {
        if let Some(under_way) = self.under_way.get_mut(key) {
            *under_way -= 1;
            if *under_way <= 0 {
                self.under_way.remove(key);
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
    fn a_refusal_is_remembered_until_its_time_and_for_ten_seconds_at_most() {
        let mut memory = Memory::default();
        memory.note(key(1), LimitVerdict::Wait(secs(4)), NOW);
        memory.note(key(2), LimitVerdict::Closed(secs(900)), NOW);
        let seen = |memory: &Memory, n, after| memory.verdict(&key(n), NOW.plus(secs(after)));
        assert_eq!((seen(&memory, 1, 3), seen(&memory, 1, 4)), (LimitVerdict::Wait(secs(1)), LimitVerdict::Go));
        assert_eq!((seen(&memory, 2, 9), seen(&memory, 2, 10)), (LimitVerdict::Closed(secs(891)), LimitVerdict::Go));
        assert_eq!(seen(&memory, 3, 0), LimitVerdict::Go);
        assert_eq!(seen(&memory, 2, -1), LimitVerdict::Go, "the clock was set back");
        memory.note(key(2), LimitVerdict::Go, NOW);
        assert_eq!((seen(&memory, 2, 0), memory.len()), (LimitVerdict::Go, 1));
    }

    #[test]
    fn a_flood_of_refusals_takes_no_more_memory_than_is_meant_for_them() {
        let mut memory = Memory::default();
        for n in 0..=3 * MOST {
            memory.note(key(n), LimitVerdict::Wait(secs(5)), NOW);
        }
        assert_eq!(memory.len(), MOST + 1);
        assert_eq!(memory.verdict(&key(3 * MOST), NOW), LimitVerdict::Wait(secs(5)));
        assert_eq!(memory.verdict(&key(0), NOW), LimitVerdict::Go);
    }

    #[test]
    fn guesses_under_way_are_counted_while_they_are() {
        let mut memory = Memory::default();
        assert_eq!((memory.begin(key(1)), memory.begin(key(1)), memory.begin(key(2))), (0, 1, 0));
        memory.end(&key(1));
        assert_eq!(memory.begin(key(1)), 1);
        for n in [1, 1, 2, 2] {
            memory.end(&key(n));
        }
        assert!(memory.under_way.is_empty());
    }
}
