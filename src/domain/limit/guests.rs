//! How many guests there may be, and how often data may be changed. A session of a guest is had for nothing, so new ones
//! are limited by address and network, in the memory of each process, and all that are stored by client.

use super::{
    LimitKind, LimitSettings, Rule,
    settings::{PROVIDER_TIMES, SITE_TIMES, bucket},
};

/// How much more than one address the guests of a network may change: as many times as much as there may be new ones.
const NETWORK_TIMES: i64 = 10;

impl LimitSettings {
    /// The rule for new guests at a level of addresses; nothing if it has no limit.
    #[must_use]
    pub fn guest_rule(&self, level: LimitKind) -> Option<Rule> {
        let networks = |times| times_as_much((self.network_guests, self.network_guests_per_hour), times);
        match level {
            LimitKind::Address => bucket(self.address_guests, self.address_guests_per_hour),
            LimitKind::Network => networks(1),
            LimitKind::Site => networks(SITE_TIMES),
            LimitKind::Provider => networks(PROVIDER_TIMES),
            _ => None,
        }
    }

    /// The rule for changes by guests at a level of addresses; nothing if it has no limit.
    #[must_use]
    pub fn guest_write_rule(&self, level: LimitKind) -> Option<Rule> {
        let times = match level {
            LimitKind::Address => 1,
            LimitKind::Network => NETWORK_TIMES,
            LimitKind::Site => NETWORK_TIMES * SITE_TIMES,
            LimitKind::Provider => NETWORK_TIMES * PROVIDER_TIMES,
            _ => return None,
        };
        times_as_much((self.address_guest_writes, self.address_guest_writes_per_hour), times)
    }

    /// The rule for changes for one session; nothing if they have no limit.
    #[must_use]
    pub fn session_write_rule(&self) -> Option<Rule> {
        bucket(self.session_writes, self.session_writes_per_hour)
    }
}

fn times_as_much((room, per_hour): (i64, i64), times: i64) -> Option<Rule> {
    bucket(room.saturating_mul(times), per_hour.saturating_mul(times))
}
