//! How many guests there may be. A session of a guest is had for nothing, so new ones are limited by address and network,
//! in the memory of each process, and all that are stored by client.

use super::{
    LimitKind, LimitSettings, Rule,
    settings::{PROVIDER_TIMES, SITE_TIMES, bucket},
};

impl LimitSettings {
    /// The rule for new guests at a level of addresses; nothing if it has no limit.
    #[must_use]
    pub fn guest_rule(&self, level: LimitKind) -> Option<Rule> {
        let networks = |times| {
            bucket(self.network_guests.saturating_mul(times), self.network_guests_per_hour.saturating_mul(times))
        };
        match level {
            LimitKind::Address => bucket(self.address_guests, self.address_guests_per_hour),
            LimitKind::Network => networks(1),
            LimitKind::Site => networks(SITE_TIMES),
            LimitKind::Provider => networks(PROVIDER_TIMES),
            _ => None,
        }
    }
}
