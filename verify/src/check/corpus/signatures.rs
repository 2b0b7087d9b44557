//! Attacks on signatures, and on the keys that verify them.

use aws_lc_rs::{
    digest::{SHA256, SHA384, SHA512, digest},
    encoding::Pkcs8V1Der,
    signature::{Ed25519KeyPair, RSA_PSS_SHA256},
};
use rsa::{
    BigUint, RsaPrivateKey,
    pkcs8::DecodePrivateKey,
    traits::{PrivateKeyParts, PublicKeyParts},
};

use super::*;

const ES256: &str = r#"{"typ":"at+jwt","alg":"ES256","kid":"e"}"#;
const EDDSA: &str = r#"{"typ":"at+jwt","alg":"EdDSA","kid":"o"}"#;

/// Splits a token into the signed text and the signature.
fn split_token(token: &str) -> (&str, Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').unwrap();
    (input, B64.decode(signature).unwrap())
}

fn run_signed(input: &str, signature: &[u8]) -> Result<Claims, VerifyError> {
    run(&format!("{input}.{}", B64.encode(signature)))
}

fn number(hex: &str) -> BigUint {
    BigUint::parse_bytes(hex.as_bytes(), 16).unwrap()
}

/// Big-endian octets of a fixed length.
fn octets(number: &BigUint, length: usize) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    [vec![0; length - bytes.len()], bytes].concat()
}

/// The published set with one member of the key at this index changed.
fn set_with(place: usize, name: &str, value: &[u8]) -> KeySet {
    let mut jwks = keys().jwks.clone();
    jwks["keys"][place][name] = json!(B64.encode(value));
    KeySet::from_json(jwks.to_string().as_bytes()).unwrap()
}

fn run_with(set: &KeySet, token: &str) -> Result<Claims, VerifyError> {
    check(token, set, &Policy::new("https://i", "api"), NOW)
}

#[test]
fn a07_ecdsa_signatures_out_of_range_or_malformed() {
    let token = sign(ES256, claims().to_string());
    let (input, raw) = split_token(&token);
    let accepted = run_signed(input, &raw).unwrap();
    let n = number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let (r, s) = (BigUint::from_bytes_be(&raw[..32]), BigUint::from_bytes_be(&raw[32..]));
    let (zero, one) = (BigUint::from(0_u8), BigUint::from(1_u8));
    let less = &n - &one;
    let pair = |r: &BigUint, s: &BigUint| [octets(r, 32), octets(s, 32)].concat();
    for (r, s) in [
        (&zero, &zero),
        (&zero, &s),
        (&r, &zero),
        (&zero, &one),
        (&one, &zero),
        (&one, &one),
        (&n, &s),
        (&r, &n),
        (&n, &n),
        (&less, &less),
        (&s, &r),
    ] {
        assert_eq!(run_signed(input, &pair(r, s)), Err(VerifyError::Signature), "{r} {s}");
    }
    let der = [&[0x30, 0x44, 0x02, 0x20][..], &raw[..32], &[0x02, 0x20], &raw[32..]].concat();
    let (longer, shifted) = ([&raw[..], &[0]].concat(), [&[0], &raw[..]].concat());
    for form in [&der[..], &longer, &shifted, &raw[..63], &raw[1..], &[]] {
        assert_eq!(run_signed(input, form), Err(VerifyError::Signature), "{} octets", form.len());
    }
    // The signature with n - s is equally valid and the claims are the same. Revocation by `jti` or `sid`
    // covers both tokens, so nothing may ever be revoked by the text of a token.
    let twin = run_signed(input, &pair(&r, &(&n - &s))).unwrap();
    assert_eq!((&twin.token_id, &twin.session_id), (&accepted.token_id, &accepted.session_id));
    assert_eq!(twin, accepted);
}

/// The prefix of the hash in a `DigestInfo` (RFC 8017 §9.2, note 1).
const SHA256_INFO: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
const SHA384_INFO: &[u8] = b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30";
const SHA512_INFO: &[u8] = b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";
/// Without the required NULL.
const NO_NULL_INFO: &[u8] = b"\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20";
/// With a length in more octets than necessary.
const LONG_INFO: &[u8] = b"\x30\x81\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

/// The EMSA-PKCS1-v1_5 block that ends with these bytes (RFC 8017 §9.2).
fn block(end: &[u8]) -> Vec<u8> {
    [&[0, 1][..], &vec![0xff; 256 - 3 - end.len()], &[0], end].concat()
}

fn modulus() -> BigUint {
    BigUint::from_bytes_be(keys().rsa.public_key().modulus().big_endian_without_leading_zero())
}

#[test]
fn a08_rsa_signatures_out_of_range_or_malformed() {
    let token = accepted_token();
    let (input, raw) = split_token(&token);
    let n = modulus();
    for (what, signature) in [
        ("0", vec![0; 256]),
        ("1", octets(&BigUint::from(1_u8), 256)),
        ("n", octets(&n, 256)),
        ("n - 1", octets(&(&n - 1_u8), 256)),
        ("a leading zero", [&[0], &raw[..]].concat()),
        ("a trailing zero", [&raw[..], &[0]].concat()),
        ("truncated", raw[..255].to_vec()),
        ("empty", Vec::new()),
    ] {
        assert_eq!(run_signed(input, &signature), Err(VerifyError::Signature), "{what}");
    }
    // The same number unreduced, and without its leading zero. Sign other tokens until one allows that
    // encoding.
    let others = || (0..).map(|n| sign(HEADER, with("jti", json!(n.to_string())).to_string()));
    let bound = BigUint::from(1_u8) << 2048;
    let token = others().find(|t| BigUint::from_bytes_be(&split_token(t).1) + &n < bound).unwrap();
    let (input, raw) = split_token(&token);
    assert!(run(&token).is_ok());
    let unreduced = octets(&(BigUint::from_bytes_be(&raw) + &n), 256);
    assert_eq!(run_signed(input, &unreduced), Err(VerifyError::Signature));
    let token = others().find(|t| split_token(t).1[0] == 0).unwrap();
    let (input, raw) = split_token(&token);
    assert!(run(&token).is_ok());
    assert_eq!(run_signed(input, &raw[1..]), Err(VerifyError::Signature));
}

#[test]
fn a08_rsa_padding_of_any_other_form() {
    let token = accepted_token();
    let (input, raw) = split_token(&token);
    let der: Pkcs8V1Der<'_> = keys().rsa.as_der().unwrap();
    let key = RsaPrivateKey::from_pkcs8_der(der.as_ref()).unwrap();
    // The raw private-key operation on a chosen block.
    let signed = |block: &[u8]| octets(&BigUint::from_bytes_be(block).modpow(key.d(), key.n()), 256);
    let hash = digest(&SHA256, input.as_bytes());
    let end = [SHA256_INFO, hash.as_ref()].concat();
    let right = block(&end);
    assert_eq!(signed(&right), raw);
    let changed = |at: usize, to: u8| {
        let mut block = right.clone();
        block[at] = to;
        block
    };
    // Free room after the hash, which enables forgery where a verifier checks only the start.
    let short = [&[0, 1][..], &[0xff; 8], &[0], &end, &vec![0; 256 - 11 - end.len()]].concat();
    for (what, block) in [
        ("type 0", changed(1, 0)),
        ("type 2", changed(1, 2)),
        ("wrong first octet", changed(0, 1)),
        ("broken padding", changed(100, 0xfe)),
        ("padding that ends early", changed(100, 0)),
        ("no separator", changed(256 - end.len() - 1, 0xff)),
        ("hash not at the end", short),
        ("no DigestInfo", block(hash.as_ref())),
        ("no NULL", block(&[NO_NULL_INFO, hash.as_ref()].concat())),
        ("a long length", block(&[LONG_INFO, hash.as_ref()].concat())),
        ("trailing data", block(&[&end[..], &[0]].concat())),
        ("SHA-384", block(&[SHA384_INFO, digest(&SHA384, input.as_bytes()).as_ref()].concat())),
        ("SHA-512", block(&[SHA512_INFO, digest(&SHA512, input.as_bytes()).as_ref()].concat())),
    ] {
        assert_eq!(run_signed(input, &signed(&block)), Err(VerifyError::Signature), "{what}");
    }
}

#[test]
fn a08_pss_and_pkcs1_are_not_confused() {
    let pss = |input: &str| {
        let mut out = vec![0; 256];
        keys().rsa.sign(&RSA_PSS_SHA256, &SystemRandom::new(), input.as_bytes(), &mut out).unwrap();
        out
    };
    let as_pkcs1 = unsigned(HEADER);
    assert!(run(&sign_input("r", &as_pkcs1)).is_ok());
    assert_eq!(run_signed(&as_pkcs1, &pss(&as_pkcs1)), Err(VerifyError::Signature));
    let as_pss = unsigned(r#"{"typ":"at+jwt","alg":"PS256","kid":"r"}"#);
    assert_eq!(run_signed(&as_pss, &pss(&as_pss)), Err(VerifyError::Algorithm));
    assert_eq!(run(&sign_input("r", &as_pss)), Err(VerifyError::Algorithm));
}

#[test]
fn a08_weak_rsa_keys_are_skipped() {
    let n = modulus();
    let with_n = |n: &BigUint| set_with(0, "n", &n.to_bytes_be()).len();
    let with_e = |e: &[u8]| set_with(0, "e", e).len();
    assert_eq!((with_n(&n), with_e(&[3]), with_e(&[1, 0, 1])), (3, 3, 3));
    for e in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[0, 1, 0, 1], &[1, 0, 0, 0, 0, 0, 0, 0, 1]] {
        assert_eq!(with_e(e), 2, "e = {e:?}");
    }
    for bits in [1024, 2047] {
        let short = (&n >> (2048 - bits)) | BigUint::from(1_u8);
        assert_eq!((short.bits(), with_n(&short)), (bits, 2));
    }
    assert_eq!(with_n(&(&n - 1_u8)), 2, "even");
    // With the exponent 1 every block is its own signature.
    let input = unsigned(HEADER);
    let itself = block(&[SHA256_INFO, digest(&SHA256, input.as_bytes()).as_ref()].concat());
    let forged = format!("{input}.{}", B64.encode(itself));
    assert_eq!(run_with(&set_with(0, "e", &[1]), &forged), Err(unknown_key("r")));
    // CVE-2017-15361 (ROCA): the modulus is a power of 65537 modulo the product of the first primes. The
    // modulus plus two is not.
    let is_prime = |p: &u32| !(2..*p).any(|q| p.is_multiple_of(q));
    let product = (2..=167).filter(is_prime).fold(BigUint::from(1_u8), |product, p| product * p);
    let power = BigUint::from(65_537_u32).modpow(&BigUint::from(1_234_567_u32), &product);
    let roca = (&n / &product) * &product + power;
    assert_eq!((roca.bits(), with_n(&roca), with_n(&(&roca + 2_u8))), (2048, 2, 3));
}

/// 2^255 - 19, and the order of the base point.
const P: &str = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed";
const L: &str = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

/// 32 octets, little-endian.
fn little_endian(number: &BigUint) -> Vec<u8> {
    let mut bytes = octets(number, 32);
    bytes.reverse();
    bytes
}

#[test]
fn a09_ed25519_signatures_out_of_range() {
    let token = sign(EDDSA, claims().to_string());
    let (input, raw) = split_token(&token);
    assert!(run(&token).is_ok());
    let (r, s) = raw.split_at(32);
    let unreduced = little_endian(&(BigUint::from_bytes_le(s) + number(L)));
    let neutral = little_endian(&BigUint::from(1_u8));
    for (what, signature) in [
        ("S + L", [r, &unreduced].concat()),
        ("S = L", [r, &little_endian(&number(L))].concat()),
        ("S = 0", [r, &[0; 32]].concat()),
        ("S of all ones", [r, &[0xff; 32]].concat()),
        ("R = p", [&little_endian(&number(P)), s].concat()),
        ("all zeros", vec![0; 64]),
        ("the neutral point", [&neutral, &[0; 32][..]].concat()),
        ("one octet short", raw[..63].to_vec()),
        ("one octet long", [&raw[..], &[0]].concat()),
        ("empty", Vec::new()),
    ] {
        assert_eq!(run_signed(input, &signature), Err(VerifyError::Signature), "{what}");
    }
}

#[test]
fn a09_ed25519_keys_of_small_order_or_not_canonical_are_skipped() {
    let with_point = |y: &BigUint, sign: u8| {
        let mut x = little_endian(y);
        x[31] |= sign;
        set_with(2, "x", &x).len()
    };
    let (p, one) = (number(P), BigUint::from(1_u8));
    let eighth = number("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7");
    // Proves that the constant has order eight: doubling the point gives y = 0, since x^2 = -y^2 on this curve.
    let square = &eighth * &eighth % &p;
    assert_eq!(&square * 243_332_u32 % &p, (&square * &square * 121_665_u32 + 121_666_u32) % &p);
    let small_order = [BigUint::from(0_u8), one.clone(), &p - &one, &p - &eighth, eighth];
    for sign in [0, 0x80] {
        for y in &small_order {
            assert_eq!(with_point(y, sign), 2, "{y}");
        }
        // Values below 19 have a second, non-canonical encoding as p + y. Only that encoding is refused.
        assert!((2..19_u8).all(|y| with_point(&BigUint::from(y), sign) == 3));
        for y in 0..19_u8 {
            assert_eq!(with_point(&(&p + y), sign), 2, "p + {y}");
        }
    }
    // With the neutral point as the key, one signature fits every token.
    let forged = format!("{}.{}", unsigned(EDDSA), B64.encode([little_endian(&one), vec![0; 32]].concat()));
    assert_eq!(run_with(&set_with(2, "x", &little_endian(&one)), &forged), Err(unknown_key("o")));
}

#[test]
fn a09_ed25519_signatures_with_an_r_of_small_order() {
    let seed = [7; 32];
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = key.public_key().as_ref();
    let set = set_with(2, "x", public);
    let input = unsigned(EDDSA);
    let run_signed = |signature: &[u8]| run_with(&set, &format!("{input}.{}", B64.encode(signature))).map(drop);
    assert_eq!(run_signed(key.sign(input.as_bytes()).as_ref()), Ok(()));
    // RFC 8032 §5.1.6 with r = 0: R is the neutral point, and S = h * a satisfies the equation.
    let mut secret = digest(&SHA512, &seed).as_ref()[..32].to_vec();
    secret[0] &= 0xf8;
    secret[31] = secret[31] & 0x7f | 0x40;
    let r = little_endian(&BigUint::from(1_u8));
    let h = digest(&SHA512, &[&r, public, input.as_bytes()].concat());
    let s = BigUint::from_bytes_le(h.as_ref()) * BigUint::from_bytes_le(&secret) % number(L);
    assert_eq!(run_signed(&[r, little_endian(&s)].concat()), Err(VerifyError::Signature));
}
