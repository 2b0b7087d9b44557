//! The part of the attack corpus that concerns an offline verifier. Each attack takes a token that is accepted
//! and changes one thing, and the expected error shows that this change is what is refused.

use std::{io::ErrorKind, net::TcpListener};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64},
};
use serde_json::{Value, json};

use super::{
    tests::{HEADER, NOW, claims, keys, run, run_claims, run_header, sign, sign_input, with},
    *,
};

mod claims;
mod form;
mod signatures;

const NOT_BASE64URL: VerifyError = VerifyError::Malformed("not base64url");
const NOT_JSON: VerifyError = VerifyError::Malformed("not strict JSON");
const NO_ALG: VerifyError = VerifyError::Malformed("no alg");
const NO_KID: VerifyError = VerifyError::Malformed("no kid, or one over 256 bytes");
const CRITICAL: VerifyError = VerifyError::Malformed("critical header parameters");
const KEY_IN_HEADER: VerifyError = VerifyError::Malformed("a key in the header");
const NESTED: VerifyError = VerifyError::Malformed("nested, compressed or encrypted");
const NOT_THREE_PARTS: VerifyError = VerifyError::Malformed("not three parts");
const TOO_LARGE: VerifyError = VerifyError::Malformed("larger than 16 KiB");

fn accepted_token() -> String {
    let token = sign(HEADER, claims().to_string());
    assert!(run(&token).is_ok());
    token
}

fn unsigned(header: &str) -> String {
    format!("{}.{}", B64.encode(header), B64.encode(claims().to_string()))
}

/// The usual header with an additional member.
fn header_with(extra: &str) -> String {
    format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"r",{extra}}}"#)
}

/// The usual claims as text, with an additional member.
fn claims_with(extra: &str) -> String {
    format!("{},{extra}}}", claims().to_string().strip_suffix('}').unwrap())
}

fn unknown_key(kid: &str) -> VerifyError {
    VerifyError::UnknownKey { kid: kid.to_owned() }
}

#[test]
fn a01_alg_none_in_every_spelling() {
    let with_alg = |alg: &str| format!(r#"{{"typ":"at+jwt",{alg}"kid":"r"}}"#);
    assert!(run_header(&with_alg(r#""alg":"RS256","#)).is_ok());
    for (alg, expected) in [
        (r#""alg":"none","#, VerifyError::Algorithm),
        (r#""alg":"None","#, VerifyError::Algorithm),
        (r#""alg":"NONE","#, VerifyError::Algorithm),
        (r#""alg":"nOnE","#, VerifyError::Algorithm),
        (r#""alg":"none ","#, VerifyError::Algorithm),
        (r#""alg":"","#, VerifyError::Algorithm),
        (r#""alg":"rs256","#, VerifyError::Algorithm),
        (r#""alg":"RS256 ","#, VerifyError::Algorithm),
        (r#""alg":"RS256\u0000","#, VerifyError::Algorithm),
        ("", NO_ALG),
        (r#""alg":null,"#, NO_ALG),
        (r#""alg":["RS256"],"#, NO_ALG),
        (r#""alg":1,"#, NO_ALG),
    ] {
        let header = with_alg(alg);
        assert_eq!(run_header(&header), Err(expected.clone()), "{alg}, and signed");
        assert_eq!(run(&format!("{}.", unsigned(&header))), Err(expected), "{alg}");
    }
    assert_eq!(run(&format!("{}.", unsigned(HEADER))), Err(VerifyError::Signature));
    assert_eq!(run(&unsigned(HEADER)), Err(NOT_THREE_PARTS));
}

#[test]
fn a02_public_keys_used_as_hmac_secrets() {
    let der: PublicKeyX509Der<'_> = keys().rsa.public_key().as_der().unwrap();
    let base64 = STANDARD.encode(&*der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
    let secrets = [
        pem.clone().into_bytes(),
        format!("{pem}\n").into_bytes(),
        der.as_ref().to_vec(),
        keys().rsa.public_key().as_ref().to_vec(),
        keys().jwks["keys"][0].to_string().into_bytes(),
        keys().ec.public_key().as_ref().to_vec(),
        keys().ed.public_key().as_ref().to_vec(),
    ];
    accepted_token();
    for secret in secrets {
        let forged = |header: &str| {
            let input = unsigned(header);
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
            run(&format!("{input}.{}", B64.encode(tag)))
        };
        for kid in ["r", "e", "o"] {
            let header = format!(r#"{{"typ":"at+jwt","alg":"HS256","kid":"{kid}"}}"#);
            assert_eq!(forged(&header), Err(VerifyError::Algorithm), "{kid}");
        }
        assert_eq!(forged(HEADER), Err(VerifyError::Signature));
    }
}

#[test]
fn a03_kid_with_a_path_sql_or_excessive_length() {
    let with_kid = |kid: &str| run_header(&format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":{kid}}}"#));
    assert!(with_kid(r#""r""#).is_ok());
    for kid in ["../../../../dev/null", "/proc/sys/kernel/randomize_va_space", "x' UNION SELECT 'k'--", "$(id)", "\0"] {
        let error = with_kid(&json!(kid).to_string()).unwrap_err();
        assert_eq!(error, unknown_key(kid));
        // The error text, which may be logged, does not repeat the `kid`.
        assert_eq!(error.to_string(), "unknown key");
    }
    for kid in ["1", "{}", "[\"r\"]", "null", "true"] {
        assert_eq!(with_kid(kid), Err(NO_KID), "{kid}");
    }
    let long = |length: usize| with_kid(&json!("k".repeat(length)).to_string());
    assert_eq!(long(256), Err(unknown_key(&"k".repeat(256))));
    assert_eq!(long(257), Err(NO_KID));
    assert_eq!(long(1 << 20), Err(TOO_LARGE));
}

#[test]
fn a04_a_key_or_a_key_url_in_the_header() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let attacker = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = attacker.public_key().as_ref();
    let (x, y) = (B64.encode(&point[1..33]), B64.encode(&point[33..]));
    let jwk = json!({"kty": "EC", "kid": "e", "alg": "ES256", "crv": "P-256", "x": x, "y": y});
    let spki: PublicKeyX509Der<'_> = attacker.public_key().as_der().unwrap();
    let forged = |header: &Value| {
        let input = unsigned(&header.to_string());
        let signature = attacker.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        run(&format!("{input}.{}", B64.encode(signature)))
    };
    for kid in ["e", "x"] {
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": kid});
        let expected = if kid == "e" { VerifyError::Signature } else { unknown_key("x") };
        assert_eq!(forged(&header), Err(expected));
        // Certificates are never parsed, so the bare key can stand in for one.
        let x5c = json!([STANDARD.encode(&*spki)]);
        for (name, value) in [("jwk", jwk.clone()), ("jku", json!(url)), ("x5u", json!(url)), ("x5c", x5c)] {
            let mut header = header.clone();
            header[name] = value;
            assert_eq!(forged(&header), Err(KEY_IN_HEADER), "{name}");
            // It is also refused where the issuer itself has signed.
            assert_eq!(run_header(&header.to_string()), Err(KEY_IN_HEADER), "{name}");
        }
    }
    assert!(run_header(r#"{"typ":"at+jwt","alg":"ES256","kid":"e"}"#).is_ok());
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a05_crit_in_every_form() {
    assert!(run_header(&header_with(r#""exp":1"#)).is_ok());
    for crit in [
        r#""exp":1,"crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":["b64"],"b64":true"#,
        r#""b64":false"#,
        r#""crit":"exp""#,
        r#""crit":["x","x"]"#,
        r#""crit":["alg"]"#,
        r#""crit":null"#,
    ] {
        assert_eq!(run_header(&header_with(crit)), Err(CRITICAL), "{crit}");
    }
}

#[test]
fn a06_duplicate_names() {
    assert!(run_header(&header_with(r#""x":{"a":1,"b":[{"a":1}]}"#)).is_ok());
    for extra in [r#""alg":"none""#, r#""alg":"RS256""#, r#""\u0061lg":"none""#, r#""x":[{"a":1,"a":1}]"#] {
        assert_eq!(run_header(&header_with(extra)), Err(NOT_JSON), "{extra}");
    }
    assert!(run(&sign(HEADER, claims_with(r#""x":{"a":1,"b":[{"a":1}]}"#))).is_ok());
    for extra in [r#""sub":"admin""#, r#""\u0061ud":"other""#, r#""exp":9999999999"#, r#""x":[{"a":1,"\u0061":1}]"#] {
        assert_eq!(run(&sign(HEADER, claims_with(extra))), Err(NOT_JSON), "{extra}");
    }
}
