//! Measures how fast tokens are checked, relative to the signature check alone in the same run:
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a command-line program that measures time"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use chancery_verify::{KeySet, Policy, Verifier, check};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example.com";
/// Rounds per comparison; the median is reported. The two sides take turns.
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(200);

/// A typical access token, signed by `sign`.
fn token(alg: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({ "typ": "at+jwt", "alg": alg, "kid": "QWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY" });
    let claims = json!({
        "iss": ISSUER, "sub": "usr_01KBR3X2V0J8Q6T4M5N7P9S1W3", "aud": "orders-api", "client_id": "shop-web",
        "iat": now, "exp": now + 3600, "jti": "tok_01KBR3X2V0J8Q6T4M5N7P9S1W4", "scope": "orders.read orders.write",
        "sid": "ses_01KBR3X2V0J8Q6T4M5N7P9S1W5", "auth_time": now, "amr": ["pwd"],
        "status": { "status_list": { "idx": 81_234, "uri": format!("{ISSUER}/statuslists/1") } },
    });
    let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    format!("{input}.{}", B64.encode(sign(input.as_bytes())))
}

/// Calls per second in one round.
fn rate(mut work: impl FnMut()) -> f64 {
    let (began, mut calls) = (Instant::now(), 0_u32);
    while began.elapsed() < ROUND {
        for _ in 0..16 {
            work();
        }
        calls += 16;
    }
    f64::from(calls) / began.elapsed().as_secs_f64()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn compare(name: &str, mut signature: impl FnMut(), mut full: impl FnMut()) {
    let (mut raw_rates, mut check_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (a, b) = (rate(&mut signature), rate(&mut full));
        raw_rates.push(a);
        check_rates.push(b);
        ratios.push(b / a);
    }
    let (low, high) = ratios.iter().fold((f64::MAX, f64::MIN), |(l, h), r| (l.min(*r), h.max(*r)));
    println!(
        "{name:<6} signature only {:>9.0}/s   full check {:>9.0}/s   ratio {:.3} ({low:.3} to {high:.3})",
        median(raw_rates),
        median(check_rates),
        median(ratios)
    );
}

fn compare_algorithm(alg: &str, jwk: Value, public: ParsedPublicKey, sign: impl Fn(&[u8]) -> Vec<u8>) {
    let token = token(alg, sign);
    let set = KeySet::from_json(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = B64.decode(signature).unwrap();
    let policy = Policy::new(ISSUER, "orders-api");
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis());
    let now = now.unwrap();
    compare(
        alg,
        || public.verify_sig(black_box(input.as_bytes()), black_box(&signature)).unwrap(),
        || drop(black_box(check(black_box(&token), &set, &policy, now).unwrap())),
    );
    let verifier = Verifier::builder(ISSUER, "orders-api").jwks(set).build().unwrap();
    let cached_rates = (0..ROUNDS).map(|_| rate(|| drop(black_box(verifier.verify_now(black_box(&token)).unwrap()))));
    println!("{alg:<6} cached token {:>9.0}/s", median(cached_rates.collect()));
}

fn main() {
    const KID: &str = "QWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY";
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = rsa.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let jwk = json!({ "kty": "RSA", "alg": "RS256", "kid": KID, "n": B64.encode(n.big_endian_without_leading_zero()),
        "e": B64.encode(e.big_endian_without_leading_zero()) });
    let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref()).unwrap();
    compare_algorithm("RS256", jwk, parsed, |input| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
        signature
    });

    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = ec.public_key().as_ref();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": KID, "x": B64.encode(&point[1..33]),
        "y": B64.encode(&point[33..]) });
    let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap();
    compare_algorithm("ES256", jwk, parsed, |input| ec.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec());

    let ed = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": KID,
        "x": B64.encode(ed.public_key().as_ref()) });
    let parsed = ParsedPublicKey::new(&ED25519, ed.public_key().as_ref()).unwrap();
    compare_algorithm("EdDSA", jwk, parsed, |input| ed.sign(input).as_ref().to_vec());
}
