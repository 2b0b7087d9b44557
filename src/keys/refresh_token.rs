//! Refresh tokens: derived, never stored.
//!
//! `chr_` + base64url(format, sealing key version, session, generation, secret, tag) + checksum, all of fixed
//! length. The checksum tells tokens from noise, and the tag tells ours from forgeries. Neither needs a query.

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ulid::Ulid;
use zeroize::Zeroizing;

use super::sealing_keys::SealingKeys;
use crate::{
    id::SessionId,
    secret::{RefreshToken, SessionSecret, with_checksum, without_checksum},
};

const PREFIX: &str = "chr_";
const FORMAT: u8 = 1;
/// Format, version, ULID, generation, secret.
const SIGNED: usize = 1 + 1 + 16 + 4 + 32;
const TOTAL: usize = SIGNED + 32;

/// The content of a valid refresh token.
#[derive(Debug)]
pub struct ParsedRefreshToken {
    /// The session.
    pub session: SessionId,
    /// The number of the refresh token within the session.
    pub generation: i64,
    /// The session's secret.
    pub secret: SessionSecret,
}

/// Makes the refresh token for a generation of a session. The same arguments give the same token, under one version of the
/// sealing key.
#[must_use]
pub fn mint(keys: &SealingKeys, session: &SessionId, generation: i64, secret: &SessionSecret) -> RefreshToken {
    let key = keys.in_use();
    let mut bytes = Zeroizing::new(Vec::with_capacity(TOTAL));
    bytes.extend_from_slice(&[FORMAT, key.version()]);
    bytes.extend_from_slice(&session.ulid().to_bytes());
    // A session cannot be refreshed 2^32 times before it expires.
    bytes.extend_from_slice(&u32::try_from(generation).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&*secret.0);
    let tag = key.tag(&bytes);
    bytes.extend_from_slice(&tag);
    RefreshToken::new(with_checksum(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*bytes))))
}

/// Parses a refresh token. Returns nothing unless this server made it.
#[must_use]
pub fn parse(keys: &SealingKeys, token: &RefreshToken) -> Option<ParsedRefreshToken> {
    let body = without_checksum(token.expose())?.strip_prefix(PREFIX)?;
    // The decoder rejects padding and trailing bits, so each token has exactly one text.
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?);
    let (signed, tag) = bytes.split_at_checked(SIGNED)?;
    let (&[format, version], rest) = signed.split_first_chunk::<2>()?;
    if bytes.len() != TOTAL {
        return None;
    }
    keys.version_that(version, |key| constant_time::verify_slices_are_equal(&key.tag(signed), tag).is_ok())?;
    if format != FORMAT {
        return None;
    }
    let (ulid, rest) = rest.split_first_chunk::<16>()?;
    let (generation, secret) = rest.split_first_chunk::<4>()?;
    Some(ParsedRefreshToken {
        session: SessionId::from_ulid(Ulid::from_bytes(*ulid)),
        generation: i64::from(u32::from_be_bytes(*generation)),
        secret: SessionSecret(Zeroizing::new(secret.try_into().ok()?)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{entropy::SeededEntropy, keys::SealingKey, time::Timestamp};

    fn key(byte: u8) -> SealingKeys {
        SealingKey::new(&Zeroizing::new([byte; 32])).into()
    }

    fn token(key: &SealingKeys, generation: i64) -> RefreshToken {
        let entropy = SeededEntropy::new(1);
        let session = SessionId::new(Timestamp::from_millis(1_893_456_000_000), &entropy);
        mint(key, &session, generation, &SessionSecret::generate(&entropy))
    }

    #[test]
    fn a_token_is_deterministic_and_parses() {
        let (one, two) = (token(&key(1), 4), token(&key(1), 4));
        assert_eq!(one.expose(), two.expose());
        assert_eq!(parse(&key(1), &one).unwrap().generation, 4);
        assert_ne!(one.expose(), token(&key(1), 5).expose());
    }

    #[test]
    fn another_sealing_key_rejects_a_token() {
        assert!(parse(&key(2), &token(&key(1), 4)).is_none());
    }

    #[test]
    fn a_token_is_read_as_long_as_its_version_is_held() {
        let of = |version| SealingKey::new(&Zeroizing::new([version; 32])).with_version(version);
        let old = token(&key(1), 4);
        let keys = SealingKeys::new(vec![of(1), of(2)], 2).unwrap();
        let new = token(&keys, 4);
        assert!(parse(&keys, &old).is_some() && parse(&keys, &new).is_some() && old.expose() != new.expose());
        // One that holds the next version already reads what a faster process has made with it.
        let slower = SealingKeys::new(vec![of(1), of(2)], 1).unwrap();
        assert!(parse(&slower, &new).is_some());
        assert!(parse(&key(1), &new).is_none());
        // The same version of another key.
        assert!(parse(&SealingKey::new(&Zeroizing::new([1; 32])).with_version(2).into(), &new).is_none());
        keys.follow_numbers(2, &[1]).unwrap();
        assert!(parse(&keys, &old).is_none() && parse(&keys, &new).is_some());
    }

    #[test]
    fn a_token_is_read_under_whatever_number_its_key_has_now() {
        let of = |byte: u8, version| SealingKey::new(&Zeroizing::new([byte; 32])).with_version(version);
        // The third key was in use; after a restore it is the second, or another key has its number.
        let token = token(&SealingKeys::new(vec![of(1, 1), of(3, 3)], 3).unwrap(), 4);
        for held in [vec![of(1, 1), of(3, 2)], vec![of(1, 1), of(2, 3), of(3, 2)]] {
            let keys = SealingKeys::new(held, 1).unwrap();
            assert_eq!(parse(&keys, &token).unwrap().generation, 4);
            keys.follow_numbers(1, &[2]).unwrap();
            assert!(parse(&keys, &token).is_none(), "its key was dropped");
        }
        assert!(parse(&SealingKeys::new(vec![of(1, 1), of(2, 3)], 1).unwrap(), &token).is_none());
    }

    proptest! {
        #[test]
        fn noise_and_changed_tokens_are_rejected(noise in "\\PC{0,200}", at in 0usize..100, with in "[A-Za-z0-9_-]") {
            prop_assert!(parse(&key(1), &RefreshToken::new(noise)).is_none());
            let good = token(&key(1), 4);
            let mut text = good.expose().to_owned();
            text.replace_range(at..=at, &with);
            let body = text[..text.len() - 8].to_owned();
            let changed = RefreshToken::new(with_checksum(&body));
            prop_assert!(changed.expose() == good.expose() || parse(&key(1), &changed).is_none());
        }
    }
}
