//! Device tokens identify devices on which somebody has signed in before. They are not stored.
//!
//! `chd_` + base64url(format, sealing key version, device, day of issue, user, tag) + checksum, all of fixed
//! length. The tag is bound to the login as typed, so that a token can be matched to its account before the
//! database is read. `user` is bound to the user's id, so that the token is worthless once the login belongs to
//! another user. An invalid token is treated as no token; it is never an error.

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{sealing::SealingKey, sealing_keys::SealingKeys};
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
    /// Nothing for a device that was not known before: it is its user's by what has just happened.
    owner: Option<Owner>,
}

/// Whose a device is, by its token; `version` is that of the key that it was made with, whatever number the token names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    version: u8,
    tag: [u8; USER],
}

impl KnownDevice {
    /// A device that was not known before.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self { id: entropy.bytes16(), owner: None }
    }

    /// Parses a token. Returns nothing unless it was issued for the account with this name, and has not expired.
    #[must_use]
    pub fn parse(keys: &SealingKeys, token: &DeviceToken, account: &str, now: Timestamp) -> Option<Self> {
        let body = without_checksum(token.expose())?.strip_prefix(PREFIX)?;
        // The decoder rejects padding and trailing bits, so each token has exactly one text.
        let bytes = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (signed, tag) = bytes.split_at_checked(SIGNED)?;
        let (&[format, version], rest) = signed.split_first_chunk::<2>()?;
        if bytes.len() != TOTAL {
            return None;
        }
        let verifies =
            |key: &SealingKey| constant_time::verify_slices_are_equal(&token_tag(key, signed, account), tag).is_ok();
        let version = keys.version_that(version, verifies)?.version();
        let (id, rest) = rest.split_first_chunk::<DEVICE>()?;
        let (day, user) = rest.split_first_chunk::<4>()?;
        let ends_at =
            Timestamp::from_millis(0).plus(Ttl::from_days(i64::from(u32::from_be_bytes(*day)))).plus(LIFETIME);
        let owner = Owner { version, tag: user.try_into().ok()? };
        (format == FORMAT && now < ends_at).then_some(Self { id: *id, owner: Some(owner) })
    }

    /// The token of this device for its user and the account with this name. It stays the same for a whole day, under one
    /// version of the sealing key.
    #[must_use]
    pub fn token(&self, keys: &SealingKeys, (user, account): (&UserId, &str), now: Timestamp) -> DeviceToken {
        let key = keys.in_use();
        let mut bytes = Vec::with_capacity(TOTAL);
        bytes.extend_from_slice(&[FORMAT, key.version()]);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&u32::try_from(now.seconds() / DAY).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&user_tag(key, &self.id, user));
        let tag = token_tag(key, &bytes, account);
        bytes.extend_from_slice(&tag);
        DeviceToken::new(with_checksum(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes))))
    }

    /// Whether this user has signed in on the device.
    #[must_use]
    pub fn is_of(&self, keys: &SealingKeys, user: &UserId) -> bool {
        let Some(Owner { version, tag }) = &self.owner else { return true };
        let Some(key) = keys.version(*version) else { return false };
        constant_time::verify_slices_are_equal(&user_tag(key, &self.id, user), tag).is_ok()
    }

    /// The key of the count of its failures at an account, which is identified by the key of the account's count.
    #[must_use]
    pub fn limit_key(&self, keys: &SealingKeys, account: &LimitKey) -> LimitKey {
        keys.oldest().limit_key(LimitKind::Device, &[&self.id[..], &account.hash].concat())
    }
}

fn token_tag(key: &SealingKey, signed: &[u8], account: &str) -> [u8; 32] {
    let account = key.limit_key(LimitKind::Account, account.as_bytes());
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

    fn key(byte: u8) -> SealingKeys {
        SealingKey::new(&Zeroizing::new([byte; 32])).into()
    }

    fn user(seed: u8) -> UserId {
        UserId::new(NOW, &SeededEntropy::new(seed.into()))
    }

    fn device() -> KnownDevice {
        KnownDevice::new(&SeededEntropy::new(9))
    }

    #[test]
    fn p05_a_device_is_known_to_the_account_it_was_used_for_and_to_no_other() {
        let key = key(1);
        let token = device().token(&key, (&user(1), "ada"), NOW);
        assert!(token.expose().starts_with("chd_"));
        let known = KnownDevice::parse(&key, &token, "ada", NOW).unwrap();
        assert_eq!(known.id, device().id);
        assert!(known.is_of(&key, &user(1)));
        assert!(!known.is_of(&key, &user(2)), "the login is somebody else's now");
        assert!(KnownDevice::parse(&key, &token, "grace", NOW).is_none());
        assert!(KnownDevice::parse(&self::key(2), &token, "ada", NOW).is_none());
        assert_eq!(known.token(&key, (&user(1), "ada"), NOW).expose(), token.expose());
    }

    #[test]
    fn a_device_token_expires_after_400_days_and_every_sign_in_renews_it() {
        let key = key(1);
        let token = device().token(&key, (&user(1), "ada"), NOW);
        let (before, after) = (NOW.plus(Ttl::from_days(399)), NOW.plus(Ttl::from_days(401)));
        let known = KnownDevice::parse(&key, &token, "ada", before).unwrap();
        assert!(KnownDevice::parse(&key, &token, "ada", after).is_none());
        let renewed = known.token(&key, (&user(1), "ada"), before);
        assert_eq!(KnownDevice::parse(&key, &renewed, "ada", after), Some(known));
    }

    #[test]
    fn a_device_stays_known_when_the_next_version_of_the_sealing_key_comes_into_use() {
        let of = |version| SealingKey::new(&Zeroizing::new([version; 32])).with_version(version);
        let old = device().token(&key(1), (&user(1), "ada"), NOW);
        let keys = SealingKeys::new(vec![of(1), of(2)], 2).unwrap();
        let known = KnownDevice::parse(&keys, &old, "ada", NOW).unwrap();
        assert!(known.is_of(&keys, &user(1)) && !known.is_of(&keys, &user(2)));
        let renewed = known.token(&keys, (&user(1), "ada"), NOW);
        keys.follow_numbers(2, &[1]).unwrap();
        assert!(KnownDevice::parse(&keys, &old, "ada", NOW).is_none() && !known.is_of(&keys, &user(1)));
        let known = KnownDevice::parse(&keys, &renewed, "ada", NOW).unwrap();
        assert!(known.is_of(&keys, &user(1)) && known.id == device().id);
    }

    #[test]
    fn a_device_stays_known_when_its_key_has_another_number() {
        let of = |byte: u8, version| SealingKey::new(&Zeroizing::new([byte; 32])).with_version(version);
        let token = device().token(&of(3, 3).into(), (&user(1), "ada"), NOW);
        let keys = SealingKeys::new(vec![of(1, 1), of(2, 3), of(3, 2)], 1).unwrap();
        let known = KnownDevice::parse(&keys, &token, "ada", NOW).unwrap();
        assert!(known.is_of(&keys, &user(1)) && !known.is_of(&keys, &user(2)));
        keys.follow_numbers(1, &[2]).unwrap();
        assert!(KnownDevice::parse(&keys, &token, "ada", NOW).is_none() && !known.is_of(&keys, &user(1)));
    }

    #[test]
    fn each_device_has_a_count_of_its_own_for_each_account() {
        let (key, other) = (key(1), KnownDevice::new(&SeededEntropy::new(10)));
        let account = |login: &str| key.in_use().limit_key(LimitKind::Account, login.as_bytes());
        let (ada, grace) = (account("ada"), account("grace"));
        let counts = [device().limit_key(&key, &ada), device().limit_key(&key, &grace), other.limit_key(&key, &ada)];
        assert!(counts[0] != counts[1] && counts[0] != counts[2] && counts[1] != counts[2]);
    }

    proptest! {
        #[test]
        fn noise_and_changed_tokens_are_rejected(noise in "\\PC{0,200}", at in 0usize..90, with in "[A-Za-z0-9_-]") {
            let key = key(1);
            prop_assert!(KnownDevice::parse(&key, &DeviceToken::new(noise), "ada", NOW).is_none());
            let good = device().token(&key, (&user(1), "ada"), NOW);
            let mut text = good.expose().to_owned();
            text.replace_range(at..=at, &with);
            let changed = DeviceToken::new(with_checksum(&text[..text.len() - 8]));
            prop_assert!(changed.expose() == good.expose() || KnownDevice::parse(&key, &changed, "ada", NOW).is_none());
        }
    }
}
