//! The indices of status bits, and the encoding of status lists.

use std::io::Write;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::ZlibEncoder};
use serde::Serialize;

use crate::{
    domain::status_list::{Bits, ENTRIES},
    error::{Error, Result},
};

/// Rounds of the Feistel network below.
const ROUNDS: u8 = 8;

/// Maps a count to an index by a permutation of all entries under the list's key. So no index is used twice, and
/// indices reveal nothing about each other. This is a Feistel network on 18 bits, applied until the result fits
/// into 17 bits (format-preserving encryption by cycle walking, Black and Rogaway 2002).
#[must_use]
pub fn place(key: &[u8], count: u32) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut at = count;
    loop {
        at = feistel(&key, at);
        if at < ENTRIES {
            return at;
        }
    }
}

fn feistel(key: &hmac::Key, input: u32) -> u32 {
    const HALF: u32 = 9;
    const MASK: u32 = (1 << HALF) - 1;
    let (mut left, mut right) = ((input >> HALF) & MASK, input & MASK);
    for round in 0..ROUNDS {
        let [high, low] = u16::try_from(right).unwrap_or_default().to_be_bytes();
        let tag = hmac::sign(key, &[round, high, low]);
        let f = tag.as_ref().first_chunk().map_or(0, |b: &[u8; 2]| u32::from(u16::from_be_bytes(*b)));
        (left, right) = (right, left ^ (f & MASK));
    }
    (left << HALF) | right
}

/// The claims of a status list token (draft-ietf-oauth-status-list §5.1).
#[derive(Debug, Serialize)]
pub struct ListClaims<'a> {
    /// The URI of the list.
    pub sub: &'a str,
    /// The issuer.
    pub iss: &'a str,
    /// When it was signed, in seconds.
    pub iat: i64,
    /// When it expires, in seconds.
    pub exp: i64,
    /// How long it may be used before it is fetched again, in seconds.
    pub ttl: i64,
    /// The list.
    pub status_list: EncodedList<'a>,
}

/// The encoded list.
#[derive(Debug, Serialize)]
pub struct EncodedList<'a> {
    /// Bits per entry.
    pub bits: u8,
    /// The ZLIB-compressed bytes in base64url.
    pub lst: String,
    /// The URI that lists all status lists.
    pub aggregation_uri: &'a str,
}

/// Compresses bits as the draft requires.
///
/// # Errors
/// [`Error::Internal`] if the library fails.
pub fn encode_list(bits: &Bits) -> Result<String> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let written = zlib.write_all(bits.bytes()).and_then(|()| zlib.finish());
    written.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|e| Error::Internal(Box::new(e)))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn r10_every_count_has_its_own_index() {
        let key = [7; 32];
        let mut seen = vec![false; ENTRIES as usize];
        for count in 0..ENTRIES {
            let at = place(&key, count) as usize;
            assert!(!std::mem::replace(&mut seen[at], true), "{at} twice");
        }
    }

    #[test]
    fn r10_the_order_is_pinned_and_differs_by_key() {
        // If the order changed, an updated server would use indices a second time.
        let first: Vec<u32> = (0..4).map(|n| place(&[1; 32], n)).collect();
        assert_eq!(first, [80_736, 106_649, 29_091, 116_160]);
        assert_ne!(first, (0..4).map(|n| place(&[2; 32], n)).collect::<Vec<_>>());
    }

    #[test]
    fn r03_lists_are_zlib_in_base64url() {
        let mut bits = Bits::default();
        for set in [0, 3, 4, 5, 7, 8, 9, 13, 15] {
            bits.set(set);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encode_list(&bits).unwrap()).unwrap();
        let mut inflated = Vec::new();
        flate2::read::ZlibDecoder::new(&bytes[..]).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated, bits.bytes());
        // The encoding given in the draft for its example, decoded by the same library.
        let example = URL_SAFE_NO_PAD.decode("eNrbuRgAAhcBXQ").unwrap();
        let mut two = Vec::new();
        flate2::read::ZlibDecoder::new(&example[..]).read_to_end(&mut two).unwrap();
        assert_eq!(two, [0xb9, 0xa3]);
        assert_eq!(&bits.bytes()[..2], two);
    }
}
