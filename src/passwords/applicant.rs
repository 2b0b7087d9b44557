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
        }
    }

    #[test]
    fn what_was_typed_as_a_login_is_not_printed() {
        let applicant = Applicant { account: Account::of("hunter2"), prefix: Prefix::of("192.0.2.1"), deadline: None };
        assert!(!format!("{applicant:?}").contains("hunter"));
        assert_ne!(Account::of("a"), Account::of("b"));
    }
}
