//! Counts in the memory of this process: each is a bucket that fills with what is counted and drains over time.

use std::collections::HashMap;

use crate::{
    domain::limit::{LimitKind, LimitVerdict, Rule, Tally, UnderWay},
    error::{Error, Result},
    passwords::{Level, Prefix},
    time::{Timestamp, Ttl},
};

/// Maximum number of counts in memory. One takes about 160 bytes.
pub(super) const MAX_COUNTS: usize = 100_000;
/// The least time between two searches for counts that have drained.
const TIDY_EVERY: Ttl = Ttl::from_secs(1);

/// How errors name a count.
pub(super) type Name = &'static str;

/// The levels at which an address is counted.
const LEVELS: [(Level, LimitKind); 4] = [
    (Level::Machine, LimitKind::Address),
    (Level::Network, LimitKind::Network),
    (Level::Site, LimitKind::Site),
    (Level::Provider, LimitKind::Provider),
];

/// A count and its rule.
#[derive(Debug)]
pub(super) struct Bucket {
    /// How errors name it.
    pub(super) by: Name,
    /// What is counted.
    pub(super) of: String,
    /// The rule.
    pub(super) rule: Rule,
}

/// The counts of an address: its own and those of the networks that contain it, as far as they are limited.
pub(super) fn of_address(
    address: &str,
    names: [Name; LEVELS.len()],
    rule: impl Fn(LimitKind) -> Option<Rule>,
) -> Vec<Bucket> {
    let prefix = Prefix::of(address);
    let levels = LEVELS.into_iter().zip(names);
    levels.filter_map(|((level, kind), by)| Some(Bucket { by, of: prefix.name(level)?, rule: rule(kind)? })).collect()
}

/// What is in a bucket.
struct Fill {
    tally: Tally,
    /// How long one of those counted took to drain when the last one was.
    every: Ttl,
}

impl Fill {
    /// The tally by a rule that may have changed since: as many are in the bucket as before, and drain as they do now.
    fn by(&self, rule: Rule) -> Tally {
        let (now, then) = (rule.level_per_failure().millis(), self.every.millis().max(1));
        let level = self.tally.level.millis().saturating_mul(now) / then;
        let level = Ttl::from_millis(level);
        Tally { level, expires_at: self.tally.failed_at.plus(level), ..self.tally }
    }
}

/// Counts. What is refused is not counted.
#[derive(Default)]
pub(super) struct Buckets {
    fills: HashMap<(Name, String), Fill>,
    tidied_at: Option<Timestamp>,
}

impl Buckets {
    /// Counts in all of these, or in none.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] by the first that is full; [`Error::Throttled`] if there are too many counts.
    pub(super) fn count(&mut self, buckets: Vec<Bucket>, now: Timestamp) -> Result<()> {
        let mut counted = Vec::with_capacity(buckets.len());
        for Bucket { by, of, rule } in buckets {
            let key = (by, of);
            let tally = self.fills.get(&key).map(|fill| fill.by(rule));
            if let LimitVerdict::Wait(after) = rule.verdict(tally.as_ref(), UnderWay::NONE, now) {
                return Err(Error::TooManyAttempts { after, by, closed: false });
            }
            counted.push((key, Fill { tally: rule.failed(tally.as_ref(), now), every: rule.level_per_failure() }));
        }
        if self.fills.len() + counted.len() > MAX_COUNTS && !self.tidy(now) {
            return Err(Error::Throttled { after: TIDY_EVERY });
        }
        self.fills.extend(counted);
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.fills.len()
    }

    /// Forgets the counts that have drained. Returns whether there is room now.
    fn tidy(&mut self, now: Timestamp) -> bool {
        if self.tidied_at.is_none_or(|at| now >= at.plus(TIDY_EVERY) || now < at) {
            self.tidied_at = Some(now);
            self.fills.retain(|_, fill| now < fill.tally.failed_at.plus(fill.tally.level));
        }
        self.fills.len() + LEVELS.len() <= MAX_COUNTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    fn rule(room: i64, every: i64) -> Rule {
        Rule::Bucket { room, every: Ttl::from_secs(every) }
    }

    fn bucket(of: &str, rule: Rule) -> Vec<Bucket> {
        vec![Bucket { by: "test", of: of.to_owned(), rule }]
    }

    /// How many of `tries` are admitted at `now`.
    fn admitted(buckets: &mut Buckets, rule: Rule, tries: usize, now: Timestamp) -> usize {
        (0..tries).filter(|_| buckets.count(bucket("a", rule), now).is_ok()).count()
    }

    #[test]
    fn a_limit_that_is_raised_or_lowered_holds_at_once_for_what_was_counted_before() {
        let mut buckets = Buckets::default();
        assert_eq!(admitted(&mut buckets, rule(60, 5), 100, NOW), 60);
        assert_eq!(admitted(&mut buckets, rule(70, 5), 100, NOW), 10, "more at once");
        // Faster: what was counted drains as it does now, so after ten seconds there is room for ten.
        assert_eq!(admitted(&mut buckets, rule(70, 1), 100, NOW.plus(Ttl::from_secs(10))), 10);
        assert_eq!(admitted(&mut buckets, rule(1000, 1), 2000, NOW.plus(Ttl::from_secs(10))), 930);
        assert_eq!(admitted(&mut buckets, rule(60, 1), 100, NOW.plus(Ttl::from_secs(10))), 0, "fewer");
        assert_eq!(admitted(&mut buckets, rule(60, 1), 100, NOW.plus(Ttl::from_secs(960))), 10);
    }

    #[test]
    fn what_is_refused_by_one_count_is_in_no_other() {
        let mut buckets = Buckets::default();
        let both = |by| {
            let full = Bucket { by, of: "full".to_owned(), rule: rule(1, 5) };
            vec![Bucket { by: "first", of: "a".to_owned(), rule: rule(3, 5) }, full]
        };
        assert!(buckets.count(both("second"), NOW).is_ok());
        for _ in 0..5 {
            let refused = buckets.count(both("second"), NOW).unwrap_err();
            assert!(matches!(refused, Error::TooManyAttempts { by: "second", .. }), "{refused:?}");
        }
        assert!(buckets.count(both("third"), NOW).is_ok());
        assert_eq!(buckets.len(), 3);
    }

    #[test]
    fn the_memory_has_an_end_and_frees_what_has_drained() {
        let mut buckets = Buckets::default();
        let all = (0..MAX_COUNTS + 10).filter(|n| buckets.count(bucket(&n.to_string(), rule(2, 5)), NOW).is_ok());
        assert!(all.count() <= MAX_COUNTS && buckets.len() <= MAX_COUNTS);
        let refused = buckets.count(bucket("late", rule(2, 5)), NOW).unwrap_err();
        assert!(matches!(refused, Error::Throttled { .. }), "{refused:?}");
        assert!(buckets.count(bucket("late", rule(2, 5)), NOW.plus(Ttl::from_secs(6))).is_ok());
        assert_eq!(buckets.len(), 1);
    }
}
