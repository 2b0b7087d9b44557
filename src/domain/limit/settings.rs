//! The limits that an operator may set, and the rule of each kind of count that follows from them.

use serde::{Deserialize, Serialize};

use super::{LimitKind, Rule};
use crate::{domain::later::Later, time::Ttl};

/// Mails that one asker may request for one recipient: the burst, and the number per hour. Some allowance is needed
/// because mails get lost and are requested again.
const MAIL_BUCKET: (i64, i64) = (5, 6);
/// How much more than one network a site and a provider may do. A site of IPv6 has 256 networks and a provider 65 536
/// sites: for each of them alone there is no limit. One site must not fill the count of its provider, which it shares
/// with neighbours: it takes eight of them.
pub(super) const SITE_TIMES: i64 = 2;
pub(super) const PROVIDER_TIMES: i64 = 16;
/// Mails that all unknown askers together may request for one recipient. Four networks have to join to fill it.
const INBOX_BUCKET: (i64, i64) = (20, 6);

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

pub(super) fn bucket(room: i64, per_hour: i64) -> Option<Rule> {
    (room > 0).then(|| Rule::Bucket { room, every: Ttl::from_millis((3_600_000 / per_hour.max(1)).max(1)) })
}

fn mails(times: i64) -> Option<Rule> {
    bucket(MAIL_BUCKET.0 * times, MAIL_BUCKET.1 * times)
}
