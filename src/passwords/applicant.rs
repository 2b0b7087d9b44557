//! What the queue needs to know about a sign-in.

use std::{fmt, net::IpAddr};

use aws_lc_rs::digest;
use tokio::time::Instant;

/// A sign-in that wants a password checked.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// The account, whether it exists or not.
    pub account: Account,
    /// Where the person who signs in is.
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

/// The addresses of one machine, and with them the networks that contain it. Providers assign from a /64 to a /48 of
/// IPv6 to one customer, and get a /32 themselves; so who has one of these must not count as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// The bits of one IPv4 address.
    V4(u32),
    /// The bits of an IPv6 /64.
    V6(u64),
    /// All unknown addresses.
    Unknown,
}

/// How much of an address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One IPv4 address, or a /64 of IPv6.
    Machine,
    /// A household, an office or a rented machine: a /24 of IPv4, or a /56 of IPv6.
    Network,
    /// The largest network that one customer usually gets: a /48 of IPv6.
    Site,
    /// What a provider divides among its customers: a /32 of IPv6.
    Provider,
}

impl Level {
    /// From the widest to the narrowest.
    const ALL: [Self; 4] = [Self::Provider, Self::Site, Self::Network, Self::Machine];
}

impl Prefix {
    /// The machine that has an address.
    #[must_use]
    pub fn of(address: &str) -> Self {
        match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(IpAddr::V4(ip)) => Self::V4(ip.to_bits()),
            Ok(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments().map(u64::from);
                Self::V6(a << 48 | b << 32 | c << 16 | d)
            }
            Err(_) => Self::Unknown,
        }
    }

    /// The bits that count at a level; nothing if there is no such level, or the address is unknown.
    fn bits(self, level: Level) -> Option<u64> {
        match (self, level) {
            (Self::V4(bits), Level::Machine) => Some(bits.into()),
            (Self::V4(bits), Level::Network) => Some((bits >> 8).into()),
            (Self::V6(bits), Level::Machine) => Some(bits),
            (Self::V6(bits), Level::Network) => Some(bits >> 8),
            (Self::V6(bits), Level::Site) => Some(bits >> 16),
            (Self::V6(bits), Level::Provider) => Some(bits >> 32),
            (Self::V4(_), Level::Site | Level::Provider) | (Self::Unknown, _) => None,
        }
    }

    /// A text that is unique among those of one level; nothing if there is no such level, or the address is unknown.
    #[must_use]
    pub fn name(self, level: Level) -> Option<String> {
        let family = if matches!(self, Self::V4(_)) { 4 } else { 6 };
        Some(format!("{family} {:x}", self.bits(level)?))
    }
}

/// A network in the queue, unique among those of its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(u8, u64);

impl Group {
    /// Everybody; also all unknown addresses together.
    pub(super) const ALL: Self = Self(0, 0);
}

/// The networks that contain a machine, from the widest to the machine itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    groups: [Group; Level::ALL.len()],
    length: usize,
}

impl Path {
    pub(super) fn of(prefix: Prefix) -> Self {
        let mut path = Self { groups: [Group::ALL; Level::ALL.len()], length: 0 };
        let family = if matches!(prefix, Prefix::V4(_)) { 4 } else { 6 };
        let bits = Level::ALL.into_iter().filter_map(|level| prefix.bits(level));
        for (group, bits) in path.groups.iter_mut().zip(bits) {
            *group = Group(family, bits);
            path.length += 1;
        }
        path.length = path.length.max(1);
        path
    }

    pub(super) fn groups(&self) -> &[Group] {
        self.groups.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(level: Level, a: &str, b: &str) -> bool {
        Prefix::of(a).name(level).unwrap() == Prefix::of(b).name(level).unwrap()
    }

    #[test]
    fn a_machine_is_one_ipv4_address_or_an_ipv6_64() {
        assert!(!same(Level::Machine, "192.0.2.1", "192.0.2.2"));
        assert!(same(Level::Machine, "::ffff:192.0.2.7", "192.0.2.7"));
        assert!(same(Level::Machine, "2001:db8:0:11aa::1", "2001:db8:0:11aa:ffff::2"));
        assert!(!same(Level::Machine, "2001:db8:0:11aa::1", "2001:db8:0:11ab::1"));
    }

    #[test]
    fn wider_networks_contain_narrower_ones() {
        assert!(same(Level::Network, "192.0.2.1", "192.0.2.254") && !same(Level::Network, "192.0.2.1", "192.0.3.1"));
        assert!(same(Level::Network, "2001:db8:0:11aa::1", "2001:db8:0:11ff:8::2"));
        assert!(!same(Level::Network, "2001:db8:0:1100::1", "2001:db8:0:1200::1"));
        assert!(same(Level::Site, "2001:db8:0:1100::1", "2001:db8:0:1200::1"));
        assert!(!same(Level::Site, "2001:db8:0:1100::1", "2001:db8:1:1100::1"));
        assert!(same(Level::Provider, "2001:db8:0:1100::1", "2001:db8:1:1100::1"));
        assert!(!same(Level::Provider, "2001:db8::1", "2001:db9::1"));
        assert_eq!(Prefix::of("192.0.2.1").name(Level::Site), None);
        assert_eq!(Prefix::of("192.0.2.1").name(Level::Provider), None);
    }

    #[test]
    fn what_is_no_address_has_no_name() {
        for unknown in ["", "unix", "192.0.2.1:80", "192.0.2"] {
            assert_eq!(Prefix::of(unknown), Prefix::Unknown, "{unknown:?}");
            assert!(Level::ALL.iter().all(|level| Prefix::of(unknown).name(*level).is_none()));
        }
    }

    #[test]
    fn the_path_of_a_machine_begins_with_its_widest_network() {
        let of = |address| Path::of(Prefix::of(address)).groups().to_vec();
        assert_eq!(of("2001:db8:1:203::1").len(), 4);
        assert_eq!(of("2001:db8:1:203::1")[0], Group(6, 0x2001_0db8));
        assert_eq!(of("2001:db8:1:203::1")[3], Group(6, 0x2001_0db8_0001_0203));
        assert_eq!(of("192.0.2.1"), [Group(4, 0x00c0_0002), Group(4, 0xc000_0201)]);
        assert_eq!(of(""), [Group::ALL]);
    }

    #[test]
    fn the_typed_login_is_not_printed() {
        let (account, prefix) = (Account::of("hunter2"), Prefix::of("192.0.2.1"));
        let applicant = Applicant { account, prefix, known_device: false, deadline: None };
        assert!(!format!("{applicant:?}").contains("hunter"));
        assert_ne!(Account::of("a"), Account::of("b"));
    }
}
