//! What the queue needs to know about a sign-in.

use std::{fmt, net::IpAddr};

use aws_lc_rs::digest;
use tokio::time::Instant;

/// A sign-in that wants a password checked.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// The account, whether it exists or not.
    pub account: Account,
    /// The network of the person who signs in.
    pub prefix: Prefix,
    /// Whether the account's owner has signed in on this device before.
    pub known_device: bool,
    /// The caller's deadline.
    pub deadline: Option<Instant>,
}

/// Identifies an account by what was typed as the login. People type passwords there, so only a hash is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account([u8; 32]);

impl Account {
    /// Hashes a login's canonical form, or the text itself if it is not a valid login.
    #[must_use]
    pub fn of(login: &str) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest::digest(&digest::SHA256, login.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// Uses a hash that already identifies the account, or one of its devices. A device with its own hash does not
    /// wait for other sign-ins at the account.
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

/// A group of addresses that share a line in the queue: what a household, an office or a rented machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// The bits of an IPv4 /24.
    V4(u32),
    /// The bits of an IPv6 /56.
    V6(u128),
    /// All unknown addresses.
    Unknown,
}

impl Prefix {
    /// The prefix of an address.
    #[must_use]
    pub fn of(address: &str) -> Self {
        match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(IpAddr::V4(ip)) => Self::V4(ip.to_bits() >> (32 - 24)),
            Ok(IpAddr::V6(ip)) => Self::V6(ip.to_bits() >> (128 - 56)),
            Err(_) => Self::Unknown,
        }
    }

    /// The addresses of one machine: one IPv4 address, or an IPv6 /64.
    #[must_use]
    pub fn machine(address: &str) -> Self {
        match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(IpAddr::V4(ip)) => Self::V4(ip.to_bits()),
            Ok(IpAddr::V6(ip)) => Self::V6(ip.to_bits() >> 64),
            Err(_) => Self::Unknown,
        }
    }

    /// A text that is unique among prefixes of the same length; nothing if the address is unknown.
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
    fn addresses_of_one_network_have_one_prefix() {
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
    fn a_machine_is_one_ipv4_address_or_an_ipv6_64() {
        assert_ne!(Prefix::machine("192.0.2.1"), Prefix::machine("192.0.2.2"));
        assert_eq!(Prefix::machine("::ffff:192.0.2.7").name(), Prefix::machine("192.0.2.7").name());
        assert_eq!(Prefix::machine("2001:db8:0:11aa::1"), Prefix::machine("2001:db8:0:11aa:ffff::2"));
        assert_ne!(Prefix::machine("2001:db8:0:11aa::1").name(), Prefix::machine("2001:db8:0:11ab::1").name());
    }

    #[test]
    fn the_typed_login_is_not_printed() {
        let (account, prefix) = (Account::of("hunter2"), Prefix::of("192.0.2.1"));
        let applicant = Applicant { account, prefix, known_device: false, deadline: None };
        assert!(!format!("{applicant:?}").contains("hunter"));
        assert_ne!(Account::of("a"), Account::of("b"));
    }
}
