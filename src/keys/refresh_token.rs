//! Refresh tokens: derived, never stored.
//!
//! `chr_` + base64url(format, sealing key version, session, generation, secret, tag) + checksum, all of fixed
//! length. The checksum tells tokens from noise, and the tag tells ours from forgeries. Neither needs a query.

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ulid::Ulid;
use zeroize::Zeroizing;

use super::sealing::{SEALING_VERSION, SealingKey};
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

/// Makes the refresh token for a generation of a session. The same arguments give the same token.
#[must_use]
pub fn mint(key: &SealingKey, session: &SessionId, generation: i64, secret: &SessionSecret) -> RefreshToken {
    let mut bytes = Zeroizing::new(Vec::with_capacity(TOTAL));
    bytes.extend_from_slice(&[FORMAT, SEALING_VERSION]);
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
pub fn parse(key: &SealingKey, token: &RefreshToken) -> Option<ParsedRefreshToken> {
    let body = without_checksum(token.expose())?.strip_prefix(PREFIX)?;
    // The decoder rejects padding and trailing bits, so each token has exactly one text.
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?);
    let (signed, tag) = bytes.split_at_checked(SIGNED)?;
    if bytes.len() != TOTAL || constant_time::verify_slices_are_equal(&key.tag(signed), tag).is_err() {
        return None;
    }
    let (&format, rest) = signed.split_first()?;
    let (&version, rest) = rest.split_first()?;
    if (format, version) != (FORMAT, SEALING_VERSION) {
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
    use crate::{entropy::SeededEntropy, time::Timestamp};

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&Zeroizing::new([byte; 32]))
    }

    fn token(key: &SealingKey, generation: i64) -> RefreshToken {
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
