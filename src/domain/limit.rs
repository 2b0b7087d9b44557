//! How often anybody may guess: failures are counted by account, by device and by address, and each count has
//! a rule that says when the next guess is due.
//!
//! There are two rules. Failures **in a row** make every further guess wait, twice as long each time, and end
//! when too many have failed. A **bucket** takes failures up to its brim and drains at an even pace. A success
//! clears counts in a row and gives nothing back to buckets: whoever guesses at many accounts has one of
//! its own. A new kind of guess is a new [`LimitKind`] with its rule.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{SKEW, Timestamp, Ttl};

/// The first wait; each further failure doubles it.
const FIRST_WAIT: Ttl = Ttl::from_secs(1);
/// A count in a row is forgotten this long after its last failure, for each failure that it counts. So in the
/// long run nobody gains more than one guess a day by waiting, and a login that somebody mistyped once leaves
/// no trace after a day.
const KEPT_FOR_EACH: Ttl = Ttl::from_days(1);
/// Most guesses at one account that a process looks at together: one that is hashed and one that waits, as in the
/// queue for hashing. Others on the same database do not know of them until they have failed.
const TOGETHER: i64 = 2;
/// When to come back while others have no answer yet: they will have it.
const SOON: Ttl = Ttl::from_millis(250);

/// Mails that anybody may ask for to one address: so many at once, and in an hour. A mail goes astray now and
/// then, and is asked for again.
const MAILS: (i64, i64) = (5, 6);

/// What failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// What was typed as a login, whether it is anybody's or not.
    Account,
    /// A known device of an account.
    Device,
    /// All known devices of an account together.
    Devices,
    /// An address: one of IPv4, or a /64 of IPv6, of which one machine has every address.
    Address,
    /// A /24 of IPv4 or a /56 of IPv6.
    Network,
    /// An address that mails are asked for to: every mail counts, for nobody wants a hundred of them.
    Mail,
}

impl LimitKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Account, Self::Device, Self::Devices, Self::Address, Self::Network, Self::Mail];

    /// The name in the database, in metrics and in the metadata of errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Device => "device",
            Self::Devices => "devices",
            Self::Address => "address",
            Self::Network => "network",
            Self::Mail => "mail",
        }
    }
}

/// Names one count. People type passwords where their login belongs, and addresses are people's too: only a
/// keyed hash is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey {
    /// What is counted.
    pub kind: LimitKind,
    /// The keyed hash of kind and name.
    pub hash: [u8; 32],
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LimitKey({}, …)", self.kind.as_str())
    }
}

/// What an operator may set; shared by all processes on one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitSettings {
    /// Failures of an account that cost nothing. Five are more than people need to remember which password
    /// it was.
    pub login_failures_free: i64,
    /// Failures of an account in a row after which unknown devices are refused until a success, a new password,
    /// or until they are forgotten. NIST SP 800-63B-4 §3.2.2 allows 100.
    pub login_failures_most: i64,
    /// The longest wait. A quarter of an hour makes 96 guesses a day, and keeps nobody away for longer who has
    /// remembered.
    pub login_wait_most: Ttl,
    /// Failures of one address at once; 0 for no limit. An office behind one address on a Monday morning has
    /// some dozen.
    pub address_failures: i64,
    /// Failures of one address in an hour, in the long run.
    pub address_failures_per_hour: i64,
    /// Failures of one network at once; 0 for no limit.
    pub network_failures: i64,
    /// Failures of one network in an hour, in the long run.
    pub network_failures_per_hour: i64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            login_failures_free: 5,
            login_failures_most: 100,
            login_wait_most: Ttl::from_secs(900),
            address_failures: 30,
            // One in ten seconds.
            address_failures_per_hour: 360,
            network_failures: 200,
            // Two a second.
            network_failures_per_hour: 7200,
        }
    }
}

impl LimitSettings {
    /// The rule of a kind; nothing if it is not limited.
    #[must_use]
    pub fn rule(&self, kind: LimitKind) -> Option<Rule> {
        let (free, most, longest) = (self.login_failures_free, self.login_failures_most, self.login_wait_most);
        match kind {
            LimitKind::Account | LimitKind::Device => Some(Rule::InARow { free, most, longest }),
            // Whoever has signed in often has many tokens, one for each device it said to have: together they
            // are worth no more guesses than the account itself.
            LimitKind::Devices => Some(Rule::InARow { free: most, most, longest }),
            LimitKind::Address => bucket(self.address_failures, self.address_failures_per_hour),
            LimitKind::Network => bucket(self.network_failures, self.network_failures_per_hour),
            LimitKind::Mail => bucket(MAILS.0, MAILS.1),
        }
    }
}

fn bucket(room: i64, per_hour: i64) -> Option<Rule> {
    (room > 0).then(|| Rule::Bucket { room, every: Ttl::from_millis(3_600_000 / per_hour.max(1)) })
}

/// What is kept of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Failures since it was empty: in a row, or since the bucket was last dry.
    pub failures: i64,
    /// How full the bucket was at the last failure, as the time that it takes to drain.
    pub level: Ttl,
    /// The last failure.
    pub failed_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// When the next guess is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Now.
    Go,
    /// In this time, which is longer than nothing.
    Wait(Ttl),
    /// Nobody can tell before other guesses have their answer, as they will have in this time.
    Busy(Ttl),
    /// Too many have failed: not before they are forgotten, which is in this time.
    Closed(Ttl),
}

/// A step that operators want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every further guess waits for the longest time.
    Slowest,
    /// There are no further guesses.
    Closed,
}

/// When guesses are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `free` failures cost nothing; then each makes the next guess wait, twice as long as the one before, up to
    /// `longest`; after `most` there is none.
    InARow {
        /// Failures that cost nothing.
        free: i64,
        /// Failures after which it is over.
        most: i64,
        /// The longest wait.
        longest: Ttl,
    },
    /// `room` failures at once, then one each `every`.
    Bucket {
        /// Failures that fit.
        room: i64,
        /// The time in which one drains.
        every: Ttl,
    },
}

impl Rule {
    /// What a failure adds to the level of a bucket.
    #[must_use]
    pub const fn fills(self) -> Ttl {
        match self {
            Self::InARow { .. } => Ttl::from_millis(0),
            Self::Bucket { every, .. } => every,
        }
    }

    /// How long a count is kept after its last failure, for each that it counts.
    #[must_use]
    pub const fn kept_for_each(self) -> Ttl {
        match self {
            Self::InARow { .. } => KEPT_FOR_EACH,
            Self::Bucket { every, .. } => every,
        }
    }

    /// When the next guess is due. Guesses at the same that are `under_way` count as if they had failed, so that
    /// many at once are no more than one after the other.
    pub fn verdict(self, tally: Option<&Tally>, under_way: i64, now: Timestamp) -> Verdict {
        let tally = tally.filter(|t| t.expires_at > now);
        match self {
            Self::InARow { free, most, longest } => {
                let failures = tally.map_or(0, |t| t.failures);
                if let Some(tally) = tally.filter(|_| failures >= most) {
                    return Verdict::Closed(tally.expires_at.since(now));
                }
                if under_way > 0 {
                    let costs = wait(failures + under_way, free, longest) > Ttl::from_millis(0);
                    let no = costs || failures + under_way >= most || under_way >= TOGETHER;
                    return if no { Verdict::Busy(SOON) } else { Verdict::Go };
                }
                tally.map_or(Verdict::Go, |t| due(wait(failures, free, longest), t.failed_at, now))
            }
            Self::Bucket { room, every } => {
                let Some(tally) = tally else { return Verdict::Go };
                let too_much = tally.level.millis() - every.times(room - 1).millis();
                due(Ttl::from_millis(too_much), tally.failed_at, now)
            }
        }
    }

    /// The count after one more failure. The database does the same in one statement.
    #[must_use]
    pub fn failed(self, tally: Option<&Tally>, now: Timestamp) -> Tally {
        let failures = 1 + tally.filter(|t| t.expires_at > now).map_or(0, |t| t.failures);
        let drained = |t: &Tally| (t.level.millis() - now.since(t.failed_at).millis().max(0)).max(0);
        let level = self.fills().plus(Ttl::from_millis(tally.map_or(0, drained)));
        Tally { failures, level, failed_at: now, expires_at: now.plus(self.kept_for_each().times(failures)) }
    }

    /// The step that a failure made this count take, if it is the failure that made it.
    #[must_use]
    pub fn step(self, tally: &Tally) -> Option<Step> {
        let Self::InARow { free, most, longest } = self else { return None };
        let waits = |failures| wait(failures, free, longest);
        if tally.failures == most {
            Some(Step::Closed)
        } else if waits(tally.failures) >= longest && waits(tally.failures - 1) < longest {
            Some(Step::Slowest)
        } else {
            None
        }
    }
}

/// The wait after so many failures.
fn wait(failures: i64, free: i64, longest: Ttl) -> Ttl {
    match u32::try_from(failures - free) {
        Ok(beyond) if beyond > 0 => {
            let doubled = 1i64.checked_shl(beyond - 1).filter(|n| *n > 0).unwrap_or(i64::MAX);
            FIRST_WAIT.times(doubled).min(longest)
        }
        _ => Ttl::from_millis(0),
    }
}

/// Whether a wait that began at `from` is over. A clock that was set back makes it no longer than it was; if it
/// was set back by more than clocks may differ, the instant says nothing and nobody is kept waiting by it: the
/// count itself stays.
fn due(wait: Ttl, from: Timestamp, now: Timestamp) -> Verdict {
    let passed = now.since(from).millis();
    let left = wait.millis() - passed.max(0);
    if left <= 0 || passed < -SKEW.millis() { Verdict::Go } else { Verdict::Wait(Ttl::from_millis(left)) }
}
