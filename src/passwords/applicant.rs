//! Who wants a password checked, as far as the queue needs to know.

use std::{fmt, net::IpAddr};

use aws_lc_rs::digest;
use tokio::time::Instant;

/// Who wants a password checked, and until when.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// The account, whether it exists or not.
    pub account: Account,
    /// Where the person is.
    pub prefix: Prefix,
    /// Whether the account's owner has signed in on this device before.
    pub known_device: bool,
    /// When the caller gives up.
    pub deadline: Option<Instant>,
}

/// Stands for what somebody typed as a login. People type passwords there, too: only a hash is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account([u8; 32]);

impl Account {
    /// Of a login's canonical form, or of the text itself if it can be nobody's.
    #[must_use]
    pub fn of(login: &str) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest::digest(&digest::SHA256, login.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// Of a hash that stands for the account already, or for one device of it: nobody else's sign-ins at the
    /// account then keep that device waiting.
    #[must_use]
    pub const fn named(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(…)")
    }
}

/// The addresses that count as one place: what a household, an office or a rented machine is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// A /24: its bits.
    V4(u32),
    /// A /56: its bits.
    V6(u128),
    /// All whose address is not known.
    Unknown,
}

impl Prefix {
    /// Of an address as text.
    #[must_use]
    pub fn of(address: &str) -> Self {
        match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(IpAddr::V4(ip)) => Self::V4(ip.to_bits() >> (32 - 24)),
            Ok(IpAddr::V6(ip)) => Self::V6(ip.to_bits() >> (128 - 56)),
            Err(_) => Self::Unknown,
        }
    }

    /// The addresses that one machine has: one of IPv4, or a /64 of IPv6.
    #[must_use]
    pub fn machine(address: &str) -> Self {
        match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(IpAddr::V4(ip)) => Self::V4(ip.to_bits()),
            Ok(IpAddr::V6(ip)) => Self::V6(ip.to_bits() >> 64),
            Err(_) => Self::Unknown,
        }
    }

    /// A text that no other prefix of the same length has; nothing if the address is not known.
    #[must_use]
    pub fn name(self) -> Option<String> {
        match self {
            Self::V4(bits) => Some(format!("4 {bits:x}")),
            Self::V6(bits) => Some(format!("6 {bits:x}")),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_place_have_one_prefix() {
        assert_eq!(Prefix::of("192.0.2.1"), Prefix::of("192.0.2.254"));
        assert_ne!(Prefix::of("192.0.2.1"), Prefix::of("192.0.3.1"));
        assert_eq!(Prefix::of("::ffff:192.0.2.7"), Prefix::of("192.0.2.1"));
        assert_eq!(Prefix::of("2001:db8:0:11aa::1"), Prefix::of("2001:db8:0:11ff:8::2"));
        assert_ne!(Prefix::of("2001:db8:0:1100::1"), Prefix::of("2001:db8:0:1200::1"));
        for unknown in ["", "unix", "192.0.2.1:80", "192.0.2"] {
            assert_eq!(Prefix::of(unknown), Prefix::Unknown, "{unknown:?}");
            assert_eq!(Prefix::machine(unknown).name(), None);
        }
    }

    #[test]
    fn a_machine_has_one_address_of_ipv4_and_as_many_of_ipv6_as_it_likes() {
        assert_ne!(Prefix::machine("192.0.2.1"), Prefix::machine("192.0.2.2"));
        assert_eq!(Prefix::machine("::ffff:192.0.2.7").name(), Prefix::machine("192.0.2.7").name());
        assert_eq!(Prefix::machine("2001:db8:0:11aa::1"), Prefix::machine("2001:db8:0:11aa:ffff::2"));
        assert_ne!(Prefix::machine("2001:db8:0:11aa::1").name(), Prefix::machine("2001:db8:0:11ab::1").name());
    }

    #[test]
    fn what_was_typed_as_a_login_is_not_printed() {
        let (account, prefix) = (Account::of("hunter2"), Prefix::of("192.0.2.1"));
        let applicant = Applicant { account, prefix, known_device: false, deadline: None };
        assert!(!format!("{applicant:?}").contains("hunter"));
        assert_ne!(Account::of("a"), Account::of("b"));
    }
}
