//! Device tokens identify devices on which somebody has signed in before. They are not stored.
//!
//! `chd_` + base64url(format, sealing key version, device, day of issue, user, tag) + checksum, all of fixed
//! length. The tag is bound to the login as typed, so that a token can be matched to its account before the
//! database is read. `user` is bound to the user's id, so that the token is worthless once the login belongs to
//! another user. An invalid token is treated as no token; it is never an error.

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::sealing::{SEALING_VERSION, SealingKey};
use crate::{
    domain::limit::{LimitKey, LimitKind},
    entropy::Entropy,
    id::UserId,
    secret::{DeviceToken, with_checksum, without_checksum},
    time::{Timestamp, Ttl},
};

const PREFIX: &str = "chd_";
const FORMAT: u8 = 1;
/// Format, version, device, day, user.
const SIGNED: usize = 1 + 1 + DEVICE + 4 + USER;
const DEVICE: usize = 16;
const USER: usize = 16;
const TOTAL: usize = SIGNED + 32;
/// Contexts of the two tags, so that one cannot be used as the other.
const TOKEN_CONTEXT: &[u8] = b"token\0";
const USER_CONTEXT: &[u8] = b"user\0";
const DAY: i64 = 86_400;

/// How long a token is valid: a year, and a bit more for people who sign in once a year.
pub const LIFETIME: Ttl = Ttl::from_days(400);

/// A device on which somebody has signed in to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    id: [u8; DEVICE],
    user: [u8; USER],
}

impl KnownDevice {
    /// A device that was not known before.
    #[must_use]
    pub fn new(key: &SealingKey, user: &UserId, entropy: &dyn Entropy) -> Self {
        let id = entropy.bytes16();
        Self { user: user_tag(key, &id, user), id }
    }

    /// Parses a token. Returns nothing unless it was issued for this account, which is identified by the key of its
    /// count, and has not expired.
    #[must_use]
    pub fn parse(key: &SealingKey, token: &DeviceToken, account: &LimitKey, now: Timestamp) -> Option<Self> {
        let body = without_checksum(token.expose())?.strip_prefix(PREFIX)?;
        // The decoder rejects padding and trailing bits, so each token has exactly one text.
        let bytes = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (signed, tag) = bytes.split_at_checked(SIGNED)?;
        if bytes.len() != TOTAL
            || constant_time::verify_slices_are_equal(&token_tag(key, signed, account), tag).is_err()
        {
            return None;
        }
        let (&format, rest) = signed.split_first()?;
        let (&version, rest) = rest.split_first()?;
        let (id, rest) = rest.split_first_chunk::<DEVICE>()?;
        let (day, user) = rest.split_first_chunk::<4>()?;
        let ends_at =
            Timestamp::from_millis(0).plus(Ttl::from_days(i64::from(u32::from_be_bytes(*day)))).plus(LIFETIME);
        let good = (format, version) == (FORMAT, SEALING_VERSION) && now < ends_at;
        good.then_some(Self { id: *id, user: user.try_into().ok()? })
    }

    /// The token of this device for an account, which is identified by the key of its count. It stays the same for a
    /// whole day.
    #[must_use]
    pub fn token(&self, key: &SealingKey, account: &LimitKey, now: Timestamp) -> DeviceToken {
        let mut bytes = Vec::with_capacity(TOTAL);
        bytes.extend_from_slice(&[FORMAT, SEALING_VERSION]);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&u32::try_from(now.seconds() / DAY).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&self.user);
        let tag = token_tag(key, &bytes, account);
        bytes.extend_from_slice(&tag);
        DeviceToken::new(with_checksum(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes))))
    }

    /// Whether this user has signed in on the device.
    #[must_use]
    pub fn is_of(&self, key: &SealingKey, user: &UserId) -> bool {
        constant_time::verify_slices_are_equal(&user_tag(key, &self.id, user), &self.user).is_ok()
    }

    /// The key of the count of its failures at an account, which is identified by the key of the account's count.
    #[must_use]
    pub fn limit_key(&self, key: &SealingKey, account: &LimitKey) -> LimitKey {
        key.limit_key(LimitKind::Device, &[&self.id[..], &account.hash].concat())
    }
}

fn token_tag(key: &SealingKey, signed: &[u8], account: &LimitKey) -> [u8; 32] {
    key.device_tag(&[TOKEN_CONTEXT, &account.hash, signed])
}

fn user_tag(key: &SealingKey, device: &[u8; DEVICE], user: &UserId) -> [u8; USER] {
    let mut out = [0; USER];
    for (to, from) in out.iter_mut().zip(key.device_tag(&[USER_CONTEXT, device, user.as_str().as_bytes()])) {
        *to = from;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;
    use crate::entropy::SeededEntropy;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&Zeroizing::new([byte; 32]))
    }

    fn account(key: &SealingKey, login: &str) -> LimitKey {
        key.limit_key(LimitKind::Account, login.as_bytes())
    }

    fn user(seed: u8) -> UserId {
        UserId::new(NOW, &SeededEntropy::new(seed.into()))
    }

    fn device(key: &SealingKey) -> KnownDevice {
        KnownDevice::new(key, &user(1), &SeededEntropy::new(9))
    }

    #[test]
    fn p05_a_device_is_known_to_the_account_it_was_used_for_and_to_no_other() {
        let key = key(1);
        let ada = account(&key, "ada");
        let token = device(&key).token(&key, &ada, NOW);
        assert!(token.expose().starts_with("chd_"));
        let known = KnownDevice::parse(&key, &token, &ada, NOW).unwrap();
        assert_eq!(known, device(&key));
        assert!(known.is_of(&key, &user(1)));
        assert!(!known.is_of(&key, &user(2)), "the login is somebody else's now");
        assert!(KnownDevice::parse(&key, &token, &account(&key, "grace"), NOW).is_none());
        let other = self::key(2);
        assert!(KnownDevice::parse(&other, &token, &account(&other, "ada"), NOW).is_none());
        assert_eq!(known.token(&key, &ada, NOW).expose(), token.expose());
    }

    #[test]
    fn a_device_token_expires_after_400_days_and_every_sign_in_renews_it() {
        let key = key(1);
        let ada = account(&key, "ada");
        let token = device(&key).token(&key, &ada, NOW);
        let (before, after) = (NOW.plus(Ttl::from_days(399)), NOW.plus(Ttl::from_days(401)));
        let known = KnownDevice::parse(&key, &token, &ada, before).unwrap();
        assert!(KnownDevice::parse(&key, &token, &ada, after).is_none());
        let renewed = known.token(&key, &ada, before);
        assert_eq!(KnownDevice::parse(&key, &renewed, &ada, after), Some(known));
    }

    #[test]
    fn each_device_has_a_count_of_its_own_for_each_account() {
        let (key, other) = (key(1), KnownDevice::new(&key(1), &user(1), &SeededEntropy::new(10)));
        let (ada, grace) = (account(&key, "ada"), account(&key, "grace"));
        let counts =
            [device(&key).limit_key(&key, &ada), device(&key).limit_key(&key, &grace), other.limit_key(&key, &ada)];
        assert!(counts[0] != counts[1] && counts[0] != counts[2] && counts[1] != counts[2]);
    }

    proptest! {
        #[test]
        fn noise_and_changed_tokens_are_rejected(noise in "\\PC{0,200}", at in 0usize..90, with in "[A-Za-z0-9_-]") {
            let key = key(1);
            let ada = account(&key, "ada");
            prop_assert!(KnownDevice::parse(&key, &DeviceToken::new(noise), &ada, NOW).is_none());
            let good = device(&key).token(&key, &ada, NOW);
            let mut text = good.expose().to_owned();
            text.replace_range(at..=at, &with);
            let changed = DeviceToken::new(with_checksum(&text[..text.len() - 8]));
            prop_assert!(changed.expose() == good.expose() || KnownDevice::parse(&key, &changed, &ada, NOW).is_none());
        }
    }
}
