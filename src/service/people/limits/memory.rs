//! What a process remembers of limits: which counts say no for the time being, and which guesses have no answer
//! yet. Both are hints beside the database: forgetting an entry costs one question.

use std::collections::HashMap;

use crate::{
    domain::limit::{LimitKey, LimitVerdict},
    time::{Timestamp, Ttl},
};

/// Most counts remembered in each generation: 6 MB in all.
const MOST: usize = 32_768;
/// After this long the database is asked once more: another process may have let somebody in, or a password
/// may have been set.
const ASKED_AGAIN_AFTER: Ttl = Ttl::from_secs(10);

/// A count that said no.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    verdict: LimitVerdict,
    at: Timestamp,
}

/// Two generations of refusals, so that a flood of new ones costs no search for old ones; and the guesses
/// under way.
#[derive(Debug, Default)]
pub(super) struct Memory {
    young: HashMap<LimitKey, Refusal>,
    old: HashMap<LimitKey, Refusal>,
    under_way: HashMap<LimitKey, i64>,
}

impl Memory {
    /// Notes what a count says.
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

    /// What a count said, as far as that still holds.
    pub(super) fn verdict(&self, key: &LimitKey, now: Timestamp) -> LimitVerdict {
        let Some(refusal) = self.young.get(key).or_else(|| self.old.get(key)) else { return LimitVerdict::Go };
        let passed = now.since(refusal.at).millis();
        // A clock that was set back says nothing of how old it is.
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

    /// Forgets what a count said.
    pub(super) fn forget(&mut self, key: &LimitKey) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Notes that a guess is under way; gives how many others are.
    pub(super) fn begin(&mut self, key: LimitKey) -> i64 {
        let under_way = self.under_way.entry(key).or_default();
        *under_way += 1;
        *under_way - 1
    }

    /// Notes that a guess has its answer.
    pub(super) fn end(&mut self, key: &LimitKey) {
        if let Some(under_way) = self.under_way.get_mut(key) {
            *under_way -= 1;
            if *under_way <= 0 {
                self.under_way.remove(key);
            }
        }
    }

    /// How many counts are remembered.
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
