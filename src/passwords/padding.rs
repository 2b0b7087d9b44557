//! Makes the answers to wrong passwords take equally long, whether the account has another system's hash or not.

use std::time::Duration;

use super::HashCost;

/// Maximum delay of the answer to a wrong password.
const MOST_PADDING: Duration = Duration::from_secs(5);

/// How long checking a wrong password against another system's hash takes. That is additional time, which would
/// otherwise reveal that the account exists.
#[derive(Debug, Default)]
pub(super) struct Padding {
    /// What it took recently, or is expected to take.
    slowest: Duration,
    /// The longest time that is known of, as a multiple of that for one of Chancery's own hashes.
    times: u64,
    /// Whether that time is reckoned with already.
    reckoned: bool,
    /// Whether a hash that takes as long has been checked.
    measured: bool,
}

impl Padding {
    /// Such hashes take up to so many times as long as one of Chancery's own. Without this, wrong passwords would be
    /// answered sooner until the first of them is checked.
    pub(super) fn expect(&mut self, times: u64) {
        if times > self.times {
            *self = Self { slowest: self.slowest, times, ..Self::default() };
        }
    }

    /// The minimum time before a wrong password is answered whose check took this long. If there was a hash of another
    /// system to check, this takes `other` times as long as one of Chancery's own, which is computed in any case.
    pub(super) fn after(&mut self, other: Option<u64>, took: Duration) -> Duration {
        if self.times > 0 && !self.reckoned {
            self.reckoned = true;
            let expected = took / with_own(other.unwrap_or(0)) * with_own(self.times);
            self.slowest = self.slowest.max(expected).min(MOST_PADDING);
        }
        let Some(times) = other else { return self.slowest };
        // Outliers decay slowly.
        let lately = self.slowest.saturating_sub(self.slowest / 256);
        let padding = lately.max(took).min(MOST_PADDING);
        // The first measurement of the costliest kind replaces what was expected.
        let first = !self.measured && times >= self.times;
        self.measured |= first;
        self.slowest = if first { took.min(MOST_PADDING) } else { padding };
        padding
    }
}

/// The time for another system's hash and one of Chancery's own, in multiples of the latter.
fn with_own(times: u64) -> u32 {
    u32::try_from(times.min(HashCost::MOST_TIMES)).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_time_of_the_first_wrong_password_after_a_start_does_not_tell_whether_the_account_was_imported() {
        // What they take: one of Chancery's own hashes 100 ms, and the costliest imported one six times as long in
        // addition.
        let answers = |first: Option<u64>, second: Option<u64>| {
            let mut padding = Padding::default();
            padding.expect(6);
            [first, second].map(|other| {
                let took = if other.is_some() { ms(700) } else { ms(100) };
                padding.after(other, took).max(took)
            })
        };
        for first in [None, Some(6)] {
            for second in [None, Some(6)] {
                let [one, two] = answers(first, second);
                assert!(one >= ms(700) && one.abs_diff(two) <= ms(5), "{first:?} {second:?}: {one:?} {two:?}");
            }
        }
    }

    #[test]
    fn what_is_expected_can_grow_and_is_bounded_and_what_is_measured_replaces_it() {
        let mut padding = Padding::default();
        assert_eq!(padding.after(None, ms(100)), Duration::ZERO, "nothing was imported");
        padding.expect(1);
        assert_eq!(padding.after(None, ms(100)), ms(200));
        padding.expect(3);
        padding.expect(1);
        assert_eq!(padding.after(None, ms(100)), ms(400));
        assert_eq!(padding.after(None, ms(900)), ms(400), "reckoned once");
        assert!(padding.after(Some(3), ms(300)) > ms(390), "as late as the others");
        assert_eq!(padding.after(None, ms(100)), ms(300));
        padding.expect(u64::MAX);
        assert_eq!(padding.after(None, ms(100)), MOST_PADDING);
    }
}
