//! RSA keys: which are sound, and their encoding.

use super::weak::is_roca;

/// The range of a modulus, in bits (RFC 7518 §3.3).
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The largest exponent; larger ones only make verifying slow.
const MAX_EXPONENT: u64 = (1 << 33) - 1;

/// The key as PKCS#1 (RFC 8017 §A.1.1), if both numbers are minimally encoded (RFC 7518 §6.3.1) and sound.
pub(super) fn public_key(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let sound = MODULUS_BITS.contains(&bits(modulus)?) && is_odd(modulus) && !is_roca(modulus) && is_sound(exponent)?;
    sound.then(|| sequence(&[integer(modulus), integer(exponent)].concat()))
}

/// The length of a number, or `None` if it has leading zeros or is zero.
fn bits(number: &[u8]) -> Option<usize> {
    let zeros = number.first().filter(|first| **first != 0)?.leading_zeros();
    Some(number.len() * 8 - usize::try_from(zeros).unwrap_or_default())
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last % 2 == 1)
}

/// Whether an exponent is odd, at least three, and not too large. With one of 1 every signature would be its message.
fn is_sound(exponent: &[u8]) -> Option<bool> {
    bits(exponent).filter(|bits| *bits <= 64)?;
    let value = exponent.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    Some(value % 2 == 1 && (3..=MAX_EXPONENT).contains(&value))
}

/// A DER integer. One whose highest bit is set needs a zero in front, or it would be negative.
fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    tagged(0x02, &[sign, number].concat())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    tagged(0x30, content)
}

/// A DER value with its tag and length.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let length = length.get(significant..).unwrap_or_default();
    let mut out = vec![tag];
    match (length, u8::try_from(length.len())) {
        ([short @ ..0x80], _) => out.push(*short),
        (long, Ok(count)) => {
            out.push(0x80 | count);
            out.extend_from_slice(long);
        }
        _ => {}
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{rsa::KeySize, signature::KeyPair as _};

    use super::*;

    #[test]
    fn a_key_is_encoded_as_the_library_encodes_it() {
        for size in [KeySize::Rsa2048, KeySize::Rsa3072] {
            let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
            let public = pair.public_key();
            let (modulus, exponent) = (public.modulus(), public.exponent());
            let encoded =
                public_key(modulus.big_endian_without_leading_zero(), exponent.big_endian_without_leading_zero());
            assert_eq!(encoded.as_deref(), Some(public.as_ref()));
        }
        assert_eq!(tagged(2, &[7]), [2, 1, 7]);
        assert_eq!(tagged(2, &[1; 0x7f])[..2], [2, 0x7f]);
        assert_eq!(tagged(2, &[1; 0x80])[..3], [2, 0x81, 0x80]);
        assert_eq!(tagged(2, &[1; 0x101])[..4], [2, 0x82, 1, 1]);
    }

    #[test]
    fn j21_numbers_that_are_not_sound_are_refused() {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let good = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
        let e = [1, 0, 1];
        assert!(public_key(&good, &e).is_some());
        assert!(public_key(&good, &[3]).is_some());
        for bad in [&[][..], &[0], &[1], &[2], &[4], &[0, 1, 0, 1], &[1, 0, 0], &[2, 0, 0, 0, 1], &[255; 8], &[1; 9]] {
            assert!(public_key(&good, bad).is_none(), "{bad:?}");
        }
        let even = [&good[..255], &[good[255] & 0xfe]].concat();
        let short = good[1..].to_vec();
        let padded = [&[0], &good[..]].concat();
        let half = [&[0x7f], &good[1..]].concat();
        let long = [&[1], &[0xff; 1024][..]].concat();
        for bad in [&even, &short, &padded, &half, &long, &Vec::new()] {
            assert!(public_key(bad, &e).is_none(), "{} bytes", bad.len());
        }
    }
}
