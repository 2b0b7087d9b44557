use std::sync::OnceLock;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};

use super::*;
use crate::KeySetError;

pub(super) const NOW: i64 = 1_893_456_000_000;

pub(super) struct Keys {
    pub(super) rsa: rsa::KeyPair,
    pub(super) ec: EcdsaKeyPair,
    pub(super) ed: Ed25519KeyPair,
    pub(super) set: KeySet,
    pub(super) jwks: Value,
}

pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        let n = B64.encode(rsa.public_key().modulus().big_endian_without_leading_zero());
        let point = ec.public_key().as_ref().to_vec();
        let jwks = json!({"keys": [
            {"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": n, "e": "AQAB"},
            {"kty": "EC", "kid": "e", "alg": "ES256", "crv": "P-256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..])},
            {"kty": "OKP", "kid": "o", "alg": "EdDSA", "crv": "Ed25519", "x": B64.encode(ed.public_key().as_ref())},
            {"kty": "XYZ", "kid": "u"},
        ]});
        let set = KeySet::from_json(jwks.to_string().as_bytes()).unwrap();
        Keys { rsa, ec, ed, set, jwks }
    })
}

pub(super) fn sign(header: &str, payload: impl AsRef<[u8]>) -> String {
    let kid = ["e", "o"].into_iter().find(|kid| header.contains(&format!("\"kid\":\"{kid}\"")));
    sign_input(kid.unwrap_or("r"), &format!("{}.{}", B64.encode(header), B64.encode(payload)))
}

/// Signs a header and payload, already encoded, with the key that has this `kid`.
pub(super) fn sign_input(kid: &str, input: &str) -> String {
    let signature = match kid {
        "e" => keys().ec.sign(&SystemRandom::new(), input.as_bytes()).unwrap().as_ref().to_vec(),
        "o" => keys().ed.sign(input.as_bytes()).as_ref().to_vec(),
        _ => {
            let mut out = vec![0; 256];
            keys().rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut out).unwrap();
            out
        }
    };
    format!("{input}.{}", B64.encode(signature))
}

pub(super) const HEADER: &str = r#"{"typ":"at+jwt","alg":"RS256","kid":"r"}"#;

pub(super) fn claims() -> Value {
    json!({"iss": "https://i", "sub": "ada", "aud": "api", "client_id": "app", "iat": NOW / 1000,
        "exp": NOW / 1000 + 300, "jti": "j", "scope": "a b", "sid": "ses_1"})
}

pub(super) fn with(name: &str, value: Value) -> Value {
    let mut c = claims();
    c[name] = value;
    c
}

pub(super) fn run(token: &str) -> Result<Claims, VerifyError> {
    check(token, &keys().set, &Policy::new("https://i", "api"), NOW)
}

pub(super) fn run_claims(c: &Value) -> Result<Claims, VerifyError> {
    run(&sign(HEADER, c.to_string()))
}

pub(super) fn run_header(header: &str) -> Result<Claims, VerifyError> {
    run(&sign(header, claims().to_string()))
}

#[test]
fn tokens_of_every_algorithm_are_accepted() {
    assert_eq!(keys().set.len(), 3);
    for header in [
        HEADER,
        r#"{"typ":"application/AT+JWT","alg":"ES256","kid":"e"}"#,
        r#"{"typ":"at+jwt","alg":"EdDSA","kid":"o"}"#,
        r#"{"typ":"at+jwt","alg":"Ed25519","kid":"o"}"#,
    ] {
        let claims = run_header(header).unwrap();
        assert_eq!((claims.subject.as_str(), claims.scopes.len()), ("ada", 2), "{header}");
        assert!(claims.has_scope("a") && !claims.has_permission("a"));
    }
}

#[test]
fn j01_a01_none_and_its_spellings_are_refused() {
    for alg in [r#""none""#, r#""NONE""#, r#""nOnE""#, r#""rs256""#, r#""HS256""#, "null", "[\"RS256\"]", "1"] {
        let header = format!(r#"{{"typ":"at+jwt","alg":{alg},"kid":"r"}}"#);
        assert!(run_header(&header).is_err(), "{alg}");
        let bare = format!("{}.{}.", B64.encode(&header), B64.encode(claims().to_string()));
        assert!(run(&bare).is_err(), "{alg} without a signature");
    }
}

#[test]
fn j02_a_key_is_used_with_its_own_algorithm_only() {
    let header = r#"{"typ":"at+jwt","alg":"ES256","kid":"r"}"#;
    assert_eq!(run_header(header), Err(VerifyError::Algorithm));
}

#[test]
fn j03_j04_a22_only_the_canonical_compact_form_is_accepted() {
    let good = sign(HEADER, claims().to_string());
    for bad in [
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}.x"),
        good.replace('.', ""),
        "{}".to_owned(),
        String::new(),
        ".".repeat(100_000),
    ] {
        assert!(matches!(run(&bad), Err(VerifyError::Malformed(_))), "{}", bad.get(..40).unwrap_or(&bad));
    }
    // A signature of 256 bytes leaves four unused bits in the last character; they must be zero.
    let mut twin = good.clone();
    let last = twin.pop().unwrap();
    let other = char::from(last as u8 + 1);
    twin.push(other);
    assert!(matches!(run(&twin), Err(VerifyError::Malformed("not base64url"))));
}

#[test]
fn j05_a06_duplicate_names_are_refused() {
    assert!(run_header(r#"{"typ":"at+jwt","alg":"RS256","alg":"RS256","kid":"r"}"#).is_err());
    for extra in [r#","sub":"admin"}"#, r#","\u0073ub":"admin"}"#, r#","x":{"a":1,"a":2}}"#] {
        let text = claims().to_string();
        let payload = format!("{}{extra}", text.strip_suffix('}').unwrap());
        assert!(matches!(run(&sign(HEADER, &payload)), Err(VerifyError::Malformed(_))), "{extra}");
    }
}

#[test]
fn j06_a17_only_utf_8_json_objects_are_accepted() {
    for payload in ["[]", "1", "\u{feff}{}", r#"{"a":"\ud800"}"#, "{} x", ""] {
        assert!(matches!(run(&sign(HEADER, payload)), Err(VerifyError::Malformed(_))), "{payload:?}");
    }
}

#[test]
fn j07_j08_a05_crit_and_b64_are_refused() {
    for more in
        [r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":["b64"],"b64":false"#, r#""crit":"exp""#, r#""b64":false"#]
    {
        let header = format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"r",{more}}}"#);
        assert!(matches!(run_header(&header), Err(VerifyError::Malformed(_))), "{more}");
    }
}

#[test]
fn j09_a04_keys_in_the_header_are_refused() {
    for name in ["jwk", "jku", "x5u", "x5c"] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"r","{name}":"http://127.0.0.1:1/"}}"#);
        assert!(matches!(run_header(&header), Err(VerifyError::Malformed(_))), "{name}");
    }
}

#[test]
fn j10_a03_kid_is_an_opaque_string() {
    for kid in [r#""../../dev/null""#, r#""x' UNION SELECT 'k'--""#, r#""\u0000""#, "1", "{}", "null"] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":{kid}}}"#);
        assert!(run_header(&header).is_err(), "{kid}");
    }
    let long = format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"{}"}}"#, "k".repeat(257));
    assert!(matches!(run_header(&long), Err(VerifyError::Malformed(_))));
}

#[test]
fn j11_j12_a13_other_kinds_of_token_are_refused() {
    for typ in ["JWT", "logout+jwt", "secevent+jwt", "statuslist+jwt", "dpop+jwt", ""] {
        let header = format!(r#"{{"typ":"{typ}","alg":"RS256","kid":"r"}}"#);
        assert_eq!(run_header(&header), Err(VerifyError::WrongType), "{typ}");
    }
    assert_eq!(run_header(r#"{"alg":"RS256","kid":"r"}"#), Err(VerifyError::WrongType));
}

#[test]
fn j13_a12_iss_is_one_exact_string() {
    for iss in [json!("https://i/"), json!("https://I"), json!("https://i:443")] {
        assert_eq!(run_claims(&with("iss", iss)), Err(VerifyError::Issuer));
    }
    for iss in [json!(["evil", "https://i"]), json!(1), Value::Null] {
        assert_eq!(run_claims(&with("iss", iss)), Err(VerifyError::Claim("iss")));
    }
}

#[test]
fn j14_aud_must_match_as_a_string_or_in_a_list() {
    assert!(run_claims(&with("aud", json!(["x", "api"]))).is_ok());
    assert_eq!(run_claims(&with("aud", json!("x"))), Err(VerifyError::Audience));
    for aud in [json!([]), json!(5), json!({}), json!(["api", 1]), Value::Null] {
        assert_eq!(run_claims(&with("aud", aud)), Err(VerifyError::Claim("aud")));
    }
}

#[test]
fn j15_exp_is_required_and_exact_to_the_millisecond() {
    let at = NOW / 1000;
    assert_eq!(run_claims(&with("exp", json!(at))), Err(VerifyError::Expired));
    assert!(run_claims(&with("exp", json!(at + 1))).is_ok());
    let policy = Policy::new("https://i", "api").leeway(Duration::from_hours(1));
    let token = |exp: i64| sign(HEADER, with("exp", json!(exp)).to_string());
    assert!(check(&token(at - 59), &keys().set, &policy, NOW).is_ok());
    assert_eq!(check(&token(at - 60), &keys().set, &policy, NOW), Err(VerifyError::Expired));
}

#[test]
fn j16_j17_a10_a11_malformed_dates_are_refused() {
    for name in ["exp", "nbf", "iat"] {
        for value in [r#""1893456000""#, "null", "true", "[]", "{}", "-1", "1e400", "9223372036854775808", "1e17"] {
            let text = with(name, json!("@@")).to_string().replace("\"@@\"", value);
            assert!(run(&sign(HEADER, &text)).is_err(), "{name} {value}");
        }
        let half = json!(if name == "exp" { 1_893_456_000.5 } else { 1_893_455_999.5 });
        assert!(run_claims(&with(name, half)).is_ok(), "{name} may be fractional");
    }
    assert_eq!(run_claims(&with("nbf", json!(NOW / 1000 + 1))), Err(VerifyError::NotYetValid));
    assert_eq!(run_claims(&with("iat", json!(NOW / 1000 + 61))), Err(VerifyError::NotYetValid));
}

#[test]
fn j18_required_claims_are_required() {
    for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti"] {
        let mut c = claims();
        c.as_object_mut().unwrap().remove(name);
        assert_eq!(run_claims(&c), Err(VerifyError::Claim(name)));
    }
}

#[test]
fn j22_a_der_signature_and_a_changed_one_are_refused() {
    let header = r#"{"typ":"at+jwt","alg":"ES256","kid":"e"}"#;
    let token = sign(header, claims().to_string());
    let (input, signature) = token.rsplit_once('.').unwrap();
    let raw = B64.decode(signature).unwrap();
    let der = [&[0x30, 0x44, 0x02, 0x20][..], &raw[..32], &[0x02, 0x20], &raw[32..]].concat();
    for bad in [der, vec![0; 64], [&raw[..], &[0]].concat(), raw[..63].to_vec()] {
        let forged = format!("{input}.{}", B64.encode(bad));
        assert_eq!(run(&forged), Err(VerifyError::Signature));
    }
}

#[test]
fn j25_j27_sets_with_secrets_or_duplicates_are_refused_and_unusable_keys_skipped() {
    let set = |keys: Value| KeySet::from_json(json!({ "keys": keys }).to_string().as_bytes());
    let rsa = keys().jwks["keys"][0].clone();
    assert_eq!(set(json!([rsa, rsa])).unwrap_err(), KeySetError::DuplicateKid);
    assert_eq!(set(json!([rsa, {"kty": "oct", "kid": "s", "k": "AA"}])).unwrap_err(), KeySetError::Secret);
    let mut private = rsa.clone();
    private["d"] = json!("AA");
    assert_eq!(set(json!([private])).unwrap_err(), KeySetError::Secret);
    for (name, value) in [("e", "AQ"), ("e", "Ag"), ("n", "AQAB"), ("use", "enc"), ("alg", "PS256"), ("alg", "RS512")] {
        let mut weak = rsa.clone();
        weak[name] = json!(value);
        assert!(set(json!([weak])).unwrap().is_empty(), "{name}={value}");
    }
    // A key published for another issuer's tokens must not verify the server's own.
    for marked in [json!(true), json!("true"), json!(1)] {
        let mut foreign = rsa.clone();
        foreign["foreign"] = marked;
        assert!(set(json!([foreign])).unwrap().is_empty());
    }
}

#[test]
fn j34_a16_large_and_deep_tokens_are_refused_before_any_cryptography() {
    assert!(matches!(run(&"a".repeat(100_000_000)), Err(VerifyError::Malformed(_))));
    let deep = format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"r","x":{}1{}}}"#, "[".repeat(17), "]".repeat(17));
    assert!(matches!(run_header(&deep), Err(VerifyError::Malformed(_))));
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_is_refused_without_a_panic(text in "\\PC{0,200}", more in "[A-Za-z0-9_.-]{0,300}") {
        proptest::prop_assert!(run(&text).is_err());
        proptest::prop_assert!(run(&more).is_err());
    }

    #[test]
    fn j04_a22_changing_any_byte_makes_a_token_invalid(at in 0_usize..2000, byte in 0x20_u8..0x7f) {
        static GOOD: OnceLock<String> = OnceLock::new();
        let good = GOOD.get_or_init(|| sign(HEADER, claims().to_string()));
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        proptest::prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        proptest::prop_assert!(run(&String::from_utf8(bytes).unwrap()).is_err());
    }
}
