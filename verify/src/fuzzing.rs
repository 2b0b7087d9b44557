//! The functions that read what strangers send, for `fuzz/` and for the tests beside this file. This is no API.

pub mod changes;

use std::sync::OnceLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::{KeySet, Policy, check, jws};

/// Something that reads foreign input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its file in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Reads an input and returns whether it was accepted. Panics if something does not hold.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that are accepted.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets of this crate.
pub const TARGETS: &[Target] = &[
    Target { name: "claims", run: claims, seeds: claims_seeds },
    Target { name: "jwks", run: jwks, seeds: jwks_seeds },
    Target { name: "jws", run: jws, seeds: jws_seeds },
    #[cfg(feature = "http")]
    Target { name: "status_bits", run: lists::bits, seeds: lists::bits_seeds },
    #[cfg(feature = "http")]
    Target { name: "status_list", run: lists::list, seeds: lists::list_seeds },
];

/// Runs the target with this name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "no target {name}");
    target.map(|target| (target.run)(data));
}

const ISSUER: &str = "https://id.example.com";
const NOW_MS: i64 = 1_893_456_000_000;
const NOW: i64 = NOW_MS / 1000;

struct Issuer {
    pair: Ed25519KeyPair,
    keys: KeySet,
}

/// An issuer with a fixed key, so that what is found once is found again.
#[expect(clippy::expect_used, reason = "the key is fixed")]
fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed has 32 bytes");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] }).to_string();
        Issuer { keys: KeySet::from_json(set.as_bytes()).expect("a fixed set"), pair }
    })
}

fn sign(typ: &str, payload: &[u8]) -> String {
    let header = json!({ "alg": "EdDSA", "kid": "k", "typ": typ }).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = issuer().pair.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn accepts(token: &str) -> bool {
    check(token, &issuer().keys, &Policy::new(ISSUER, "api"), NOW_MS).is_ok()
}

/// A compact JWS. What is well-formed has exactly one spelling.
fn jws(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(parsed) = jws::parse(text) else { return false };
    assert!(text.starts_with(std::str::from_utf8(parsed.signed).unwrap_or("?")), "what is signed is a part");
    assert!(text.ends_with(&format!(".{}", URL_SAFE_NO_PAD.encode(&parsed.signature))), "one spelling");
    if let Ok(payload) = parsed.payload() {
        let again = format!(".{}.", URL_SAFE_NO_PAD.encode(payload));
        assert!(text.contains(&again), "one spelling");
    }
    accepts(text);
    true
}

fn jws_seeds() -> Vec<Vec<u8>> {
    let payloads = claims_seeds();
    payloads.iter().map(|payload| sign("at+jwt", payload).into_bytes()).collect()
}

/// The payload of an access token, signed by the issuer.
fn claims(data: &[u8]) -> bool {
    accepts(&sign("at+jwt", data))
}

fn claims_seeds() -> Vec<Vec<u8>> {
    let basic = json!({
        "iss": ISSUER, "sub": "ada", "aud": "api", "client_id": "app", "iat": NOW, "exp": NOW + 300, "jti": "a1",
        "scope": "orders.read orders.write", "entitlements": ["refunds.write"],
    });
    let mut all = basic.clone();
    let more = json!({
        "sid": "ses_01JGFJJZ00000000000000000A", "auth_time": NOW - 5, "amr": ["pwd", "otp"], "acr": "2",
        "roles": ["clerk"], "cnf": { "jkt": "x" }, "tier": { "name": "gold", "since": [1, 2.5, null] },
        "status": { "status_list": { "idx": 7, "uri": format!("{ISSUER}/statuslists/1") } },
    });
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    vec![basic.to_string().into_bytes(), all.to_string().into_bytes()]
}

/// A JSON Web Key Set.
fn jwks(data: &[u8]) -> bool {
    let Ok(set) = KeySet::from_json(data) else { return false };
    let again = KeySet::from_json(data);
    assert!(again.is_ok_and(|again| again.len() == set.len()), "the same set each time");
    // A token that names one of its keys is checked with it.
    let policy = Policy::new(ISSUER, "api");
    for token in jws_seeds() {
        let token = String::from_utf8(token).unwrap_or_default();
        let _ = check(&token, &set, &policy, NOW_MS);
    }
    true
}

fn jwks_seeds() -> Vec<Vec<u8>> {
    // The keys of RFC 7517 §A.1 and RFC 8037 §A.2.
    let ec = json!({
        "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    });
    let rsa = json!({
        "kty": "RSA", "kid": "2011-04-29", "alg": "RS256", "e": "AQAB", "key_ops": ["verify"],
        "n": concat!(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3o",
            "knjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZ",
            "Hzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-k",
            "EgU8awapJzKnqDKgw"
        ),
    });
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let unknown = json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "later", "pub": "AA" });
    let sets = [json!({ "keys": [ec, rsa, ed, unknown] }), json!({ "keys": [ed] }), json!({ "keys": [] })];
    sets.map(|set| set.to_string().into_bytes()).into()
}

#[cfg(feature = "http")]
mod lists {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::{ISSUER, NOW, NOW_MS, issuer, sign};
    use crate::{clock::Moment, verifier::accepts_list};

    fn uri() -> String {
        format!("{ISSUER}/statuslists/1")
    }

    /// The claims of a status list, signed by the issuer.
    pub(super) fn list(data: &[u8]) -> bool {
        let at = Moment { now_ms: NOW_MS, elapsed_ms: 0 };
        accepts_list(&sign("statuslist+jwt", data), &uri(), &issuer().keys, at)
    }

    fn claims_of(lst: &[u8], bits: u8) -> Vec<u8> {
        let status = json!({ "bits": bits, "lst": URL_SAFE_NO_PAD.encode(lst) });
        json!({ "sub": uri(), "iat": NOW, "exp": NOW + 120, "ttl": 15, "status_list": status }).to_string().into_bytes()
    }

    pub(super) fn list_seeds() -> Vec<Vec<u8>> {
        let lists = bits_seeds();
        lists.iter().zip([1, 2, 4, 8]).map(|(lst, bits)| claims_of(lst, bits)).collect()
    }

    /// The compressed bits of a list, in a list that is right otherwise.
    pub(super) fn bits(data: &[u8]) -> bool {
        list(&claims_of(data, 1))
    }

    /// The examples of draft-ietf-oauth-status-list §4, and nothing at all.
    pub(super) fn bits_seeds() -> Vec<Vec<u8>> {
        let seeds = ["eNrbuRgAAhcBXQ", "eNo76fITAAPfAgc", "eNoDAAAAAAE"];
        seeds.iter().filter_map(|text| URL_SAFE_NO_PAD.decode(text).ok()).collect()
    }
}

#[cfg(test)]
mod tests;
