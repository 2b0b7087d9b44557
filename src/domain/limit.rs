//! Rate limits on failed attempts. Failures are counted per account, device and address, and each count has a
//! rule that says when the next attempt is allowed.
//!
//! There are two rules. **In a row**: after some free failures each one doubles the wait before the next
//! attempt; after too many, no further attempt is allowed. **Bucket**: failures fill a bucket that drains at a
//! constant rate. A success clears counts in a row, but does not empty buckets: an attacker who tries many
//! accounts could otherwise use an account of their own to empty them. To limit something else, add a
//! [`LimitKind`] and its rule.

mod guests;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::later::Later;
use crate::time::{SKEW, Timestamp, Ttl};

/// The first wait. Each further failure doubles it.
const FIRST_WAIT: Ttl = Ttl::from_secs(1);
/// A count in a row expires this long after its last failure, times the number of failures. In the long run,
/// waiting for that gains an attacker at most one attempt a day, and a login mistyped once leaves no trace after
/// a day.
const KEPT_PER_FAILURE: Ttl = Ttl::from_days(1);
/// Most concurrent attempts at one account in a process: one being hashed and one waiting, as in the queue for
/// hashing.
const MAX_CONCURRENT: i64 = 2;
/// When to retry while other attempts are in flight: they will be done by then.
const RETRY_SOON: Ttl = Ttl::from_millis(250);

/// Mails that one asker may request for one recipient: the burst, and the number per hour. Some allowance is needed
/// because mails get lost and are requested again.
const MAIL_BUCKET: (i64, i64) = (5, 6);
/// How much more than one network a site and a provider may do. A site of IPv6 has 256 networks and a provider 65 536
/// sites: for each of them alone there is no limit. One site must not fill the count of its provider, which it shares
/// with neighbours: it takes eight of them.
const SITE_TIMES: i64 = 2;
const PROVIDER_TIMES: i64 = 16;
/// Mails that all unknown askers together may request for one recipient. Four networks have to join to fill it.
const INBOX_BUCKET: (i64, i64) = (20, 6);

/// What failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// What was typed as a login, whether or not such an account exists.
    Account,
    /// One known device of an account.
    Device,
    /// All known devices of an account together.
    Devices,
    /// An address: one IPv4 address, or an IPv6 /64, all of which may belong to one machine.
    Address,
    /// A network: an IPv4 /24 or an IPv6 /56.
    Network,
    /// The largest network that one customer usually gets: an IPv6 /48.
    Site,
    /// What a provider divides among its customers: an IPv6 /32.
    Provider,
    /// The second factors of one account, whichever login was typed. A new password does not clear it.
    Factor,
    /// Mails that one asker requested for one recipient. Every mail counts, not only failures.
    Mail,
    /// Mails that unknown askers in one site requested for one recipient.
    MailSite,
    /// Mails that unknown askers at one provider requested for one recipient.
    MailProvider,
    /// Mails that all unknown askers together requested for one recipient: nobody wants a hundred of them. It judges
    /// only who has asked for this recipient before.
    Inbox,
}

impl LimitKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Account,
        Self::Device,
        Self::Devices,
        Self::Address,
        Self::Network,
        Self::Site,
        Self::Provider,
        Self::Factor,
        Self::Mail,
        Self::MailSite,
        Self::MailProvider,
        Self::Inbox,
    ];

    /// The name in the database, in metrics and in error metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Device => "device",
            Self::Devices => "devices",
            Self::Address => "address",
            Self::Network => "network",
            Self::Site => "site",
            Self::Provider => "provider",
            Self::Factor => "factor",
            Self::Mail => "mail",
            Self::MailSite => "mail_site",
            Self::MailProvider => "mail_provider",
            Self::Inbox => "inbox",
        }
    }
}

/// Identifies a count. People type passwords into the login field, and addresses are personal data: only a keyed
/// hash is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey {
    /// The kind of count.
    pub kind: LimitKind,
    /// The keyed hash of kind and name.
    pub hash: [u8; 32],
}

impl LimitKey {
    /// The key under which one asker is refused by the count of an inbox, from the key of that asker's own count.
    #[must_use]
    pub const fn for_inbox(&self) -> Self {
        Self { kind: LimitKind::Inbox, hash: self.hash }
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LimitKey({}, …)", self.kind.as_str())
    }
}

/// The limits an operator may set. All processes on one database share them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitSettings {
    /// Failures of an account without a wait. Five are more than enough to remember which password it was.
    pub login_failures_free: i64,
    /// Failures of an account in a row after which unknown devices are refused. A success or a new password clears
    /// the count, and it expires. NIST SP 800-63B-4 §3.2.2 allows 100.
    pub login_failures_most: i64,
    /// The longest wait. A quarter of an hour allows 96 attempts a day. Users who remember the password after all are
    /// locked out for no longer than that.
    pub login_wait_most: Ttl,
    /// Burst of failures from one address; 0 for no limit. An office behind one address has some dozens of them on
    /// a Monday morning.
    pub address_failures: i64,
    /// Sustained failures from one address per hour.
    pub address_failures_per_hour: i64,
    /// Burst of failures from one network; 0 for no limit.
    pub network_failures: i64,
    /// Sustained failures from one network per hour.
    pub network_failures_per_hour: i64,
    /// Burst of new guests from one address; 0 for no limit. Many people may share an address, and few of them fill a cart
    /// in the same minute.
    pub address_guests: i64,
    /// Sustained new guests from one address per hour.
    pub address_guests_per_hour: i64,
    /// Burst of new guests from one network; 0 for no limit.
    pub network_guests: i64,
    /// Sustained new guests from one network per hour.
    pub network_guests_per_hour: i64,
    /// Maximum number of stored sessions of guests of one client.
    pub guests_per_client: i64,
    /// Maximum number of bytes of what is kept with a guest's session, and of what is kept for the guest.
    pub guest_data_bytes: i64,
    /// Burst of changes of what is kept with one session or its user; 0 for no limit. Nobody fills a cart that fast, but a
    /// page that stores whatever is typed writes several times a second for a while.
    pub session_writes: i64,
    /// Sustained changes for one session per hour.
    pub session_writes_per_hour: i64,
    /// Burst of changes by guests from one address; 0 for no limit. Many people may share an address.
    pub address_guest_writes: i64,
    /// Sustained changes by guests from one address per hour.
    pub address_guest_writes_per_hour: i64,
    /// Limits of later releases.
    #[serde(flatten)]
    pub later: Later,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            login_failures_free: 5,
            login_failures_most: 100,
            login_wait_most: Ttl::from_secs(900),
            address_failures: 30,
            // One every ten seconds.
            address_failures_per_hour: 360,
            network_failures: 200,
            // Two per second.
            network_failures_per_hour: 7200,
            address_guests: 60,
            // One every five seconds.
            address_guests_per_hour: 720,
            network_guests: 600,
            // Two per second.
            network_guests_per_hour: 7200,
            guests_per_client: 100_000,
            // With both owners, 256 KiB a guest.
            guest_data_bytes: 128 * 1024,
            session_writes: 300,
            // Five per second.
            session_writes_per_hour: 18_000,
            address_guest_writes: 3_000,
            // 50 per second.
            address_guest_writes_per_hour: 180_000,
            later: Later::default(),
        }
    }
}

impl LimitSettings {
    /// The rule for a kind of count; nothing if it has no limit.
    #[must_use]
    pub fn rule(&self, kind: LimitKind) -> Option<Rule> {
        let (free, most, longest) = (self.login_failures_free, self.login_failures_most, self.login_wait_most);
        match kind {
            LimitKind::Account | LimitKind::Device | LimitKind::Factor => Some(Rule::InARow { free, most, longest }),
            // Somebody who signs in often may collect many device tokens. Together they must not allow more
            // attempts than the account itself.
            LimitKind::Devices => Some(Rule::InARow { free: most, most, longest }),
            LimitKind::Address => bucket(self.address_failures, self.address_failures_per_hour),
            LimitKind::Network => self.networks(1),
            LimitKind::Site => self.networks(SITE_TIMES),
            LimitKind::Provider => self.networks(PROVIDER_TIMES),
            LimitKind::Mail => mails(1),
            LimitKind::MailSite => mails(SITE_TIMES),
            LimitKind::MailProvider => mails(PROVIDER_TIMES),
            LimitKind::Inbox => bucket(INBOX_BUCKET.0, INBOX_BUCKET.1),
        }
    }

    /// The rule for what has as much room as so many networks.
    fn networks(&self, times: i64) -> Option<Rule> {
        bucket(self.network_failures.saturating_mul(times), self.network_failures_per_hour.saturating_mul(times))
    }
}

fn bucket(room: i64, per_hour: i64) -> Option<Rule> {
    (room > 0).then(|| Rule::Bucket { room, every: Ttl::from_millis((3_600_000 / per_hour.max(1)).max(1)) })
}

fn mails(times: i64) -> Option<Rule> {
    bucket(MAIL_BUCKET.0 * times, MAIL_BUCKET.1 * times)
}

/// The stored state of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Failures in a row, or since the bucket was last empty.
    pub failures: i64,
    /// The level of the bucket at the last failure, as the time it takes to drain.
    pub level: Ttl,
    /// The time of the last failure.
    pub failed_at: Timestamp,
    /// When the count expires.
    pub expires_at: Timestamp,
}

/// Whether an attempt is allowed now, and if not, when to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum LimitVerdict {
    /// It is allowed.
    Go,
    /// It is allowed after this wait, which is never zero.
    Wait(Ttl),
    /// Attempts in flight decide about it. They will be done after this wait.
    Busy(Ttl),
    /// Too many attempts failed. None is allowed before the count expires, after this wait.
    Closed(Ttl),
}

/// Attempts in flight in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Those that are in the tally already, as failed.
    pub counted: i64,
    /// Those that are not.
    pub held: i64,
}

impl UnderWay {
    /// No attempts.
    pub const NONE: Self = Self { counted: 0, held: 0 };
}

/// A threshold that a count has reached, for operators to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitStep {
    /// Every further attempt has the longest wait.
    Slowest,
    /// No further attempt is allowed.
    Closed,
}

/// When attempts are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `free` failures have no wait. Each one after that doubles the wait before the next attempt, up to
    /// `longest`. After `most` failures no attempt is allowed.
    InARow {
        /// Failures without a wait.
        free: i64,
        /// Failures after which no attempt is allowed.
        most: i64,
        /// The longest wait.
        longest: Ttl,
    },
    /// A burst of `room` failures, then one per `every`.
    Bucket {
        /// The capacity, in failures.
        room: i64,
        /// The time in which one failure drains.
        every: Ttl,
    },
}

impl Rule {
    /// How much a failure raises the level of a bucket; zero for counts in a row.
    #[must_use]
    pub const fn level_per_failure(self) -> Ttl {
        match self {
            Self::InARow { .. } => Ttl::from_millis(0),
            Self::Bucket { every, .. } => every,
        }
    }

    /// How long a count is kept after its last failure, per failure.
    #[must_use]
    pub const fn kept_per_failure(self) -> Ttl {
        match self {
            Self::InARow { .. } => KEPT_PER_FAILURE,
            Self::Bucket { every, .. } => every,
        }
    }

    /// Whether an attempt is allowed now. Attempts in flight count as failed, so that concurrent attempts gain nothing
    /// over sequential ones. If only those in this process stand in the way, the verdict is `Busy`.
    pub fn verdict(self, tally: Option<&Tally>, under_way: UnderWay, now: Timestamp) -> LimitVerdict {
        let UnderWay { counted, held } = under_way;
        let tally = tally.filter(|t| t.expires_at > now);
        match self {
            Self::InARow { free, most, longest } => {
                let failures = tally.map_or(0, |t| t.failures);
                if let Some(tally) = tally.filter(|_| failures - counted >= most) {
                    return LimitVerdict::Closed(tally.expires_at.since(now));
                }
                let waits = |t: &Tally| remaining_wait(wait_after(failures, free, longest), t.failed_at, now);
                let verdict = tally.map_or(LimitVerdict::Go, waits);
                let no = failures >= most || counted >= MAX_CONCURRENT || verdict != LimitVerdict::Go;
                if no && counted > 0 { LimitVerdict::Busy(RETRY_SOON) } else { verdict }
            }
            Self::Bucket { room, every } => {
                let waits = |room| {
                    let Some(tally) = tally else { return LimitVerdict::Go };
                    let too_much = tally.level.millis() - every.times(room - 1).millis();
                    remaining_wait(Ttl::from_millis(too_much), tally.failed_at, now)
                };
                let level = tally.map_or(0, |t| drained(t, now)) + every.times(held).millis();
                let held_fill_it = held > 0 && level > every.times(room - 1).millis();
                match waits(room) {
                    LimitVerdict::Go if held_fill_it => LimitVerdict::Busy(RETRY_SOON),
                    LimitVerdict::Wait(_) if waits(room + counted) == LimitVerdict::Go => {
                        LimitVerdict::Busy(RETRY_SOON)
                    }
                    verdict => verdict,
                }
            }
        }
    }

    /// Whether attempts in flight in another process, which are in the tally as failed, may be what this rule refuses
    /// because of. They will be taken back if they turn out to be right, so such a refusal is not worth remembering.
    #[must_use]
    pub const fn may_be_in_flight_elsewhere(self, tally: &Tally) -> bool {
        match self {
            Self::InARow { free, .. } => tally.failures - MAX_CONCURRENT <= free,
            Self::Bucket { .. } => false,
        }
    }

    /// The count after one more failure. The store does the same in one SQL statement.
    #[must_use]
    pub fn failed(self, tally: Option<&Tally>, now: Timestamp) -> Tally {
        let failures = 1 + tally.filter(|t| t.expires_at > now).map_or(0, |t| t.failures);
        let level = self.level_per_failure().plus(Ttl::from_millis(tally.map_or(0, |t| drained(t, now))));
        Tally { failures, level, failed_at: now, expires_at: now.plus(self.kept_per_failure().times(failures)) }
    }

    /// The count after a failure was taken back that had changed it from `before` to `after`. Nothing is left if it
    /// is zero. If others have counted meanwhile, only this failure is taken out of theirs.
    #[must_use]
    pub fn taken_back(self, before: Option<&Tally>, after: &Tally, current: &Tally) -> Option<Tally> {
        if current == after {
            return before.copied();
        }
        let failures = current.failures - 1;
        let level = Ttl::from_millis((current.level.millis() - self.level_per_failure().millis()).max(0));
        let expires_at = current.expires_at.minus(self.kept_per_failure());
        (failures > 0).then_some(Tally { failures, level, failed_at: current.failed_at, expires_at })
    }

    /// The threshold that the last failure made this count reach, if it did.
    #[must_use]
    pub fn step(self, tally: &Tally) -> Option<LimitStep> {
        let Self::InARow { free, most, longest } = self else { return None };
        let waits = |failures| wait_after(failures, free, longest);
        if tally.failures == most {
            Some(LimitStep::Closed)
        } else if waits(tally.failures) >= longest && waits(tally.failures - 1) < longest {
            Some(LimitStep::Slowest)
        } else {
            None
        }
    }
}

/// What is left of a level, in milliseconds.
fn drained(tally: &Tally, now: Timestamp) -> i64 {
    (tally.level.millis() - now.since(tally.failed_at).millis().max(0)).max(0)
}

/// The wait after this many failures.
fn wait_after(failures: i64, free: i64, longest: Ttl) -> Ttl {
    match u32::try_from(failures - free) {
        Ok(beyond) if beyond > 0 => {
            let doubled = 1i64.checked_shl(beyond - 1).filter(|n| *n > 0).unwrap_or(i64::MAX);
            FIRST_WAIT.times(doubled).min(longest)
        }
        _ => Ttl::from_millis(0),
    }
}

/// What is left of a wait that began at `from`. A clock that was set back does not prolong the wait. If it was set
/// back by more than the clock skew, `from` is meaningless and nobody waits because of it; the count itself
/// stays.
fn remaining_wait(wait: Ttl, from: Timestamp, now: Timestamp) -> LimitVerdict {
    let passed = now.since(from).millis();
    let left = wait.millis() - passed.max(0);
    if left <= 0 || passed < -SKEW.millis() { LimitVerdict::Go } else { LimitVerdict::Wait(Ttl::from_millis(left)) }
}
