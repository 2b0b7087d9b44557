//! Which keys of a set are taken.

use super::{
    tests::{ED25519_PEM, P_256, RSA_1024, RSA_2048, one, read_foreign_keys},
    *,
};

fn with(text: &str, members: Value) -> Value {
    let mut jwk = one(text);
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk
}

fn read(keys: &[Value]) -> Result<ForeignKeys, Problem> {
    read_foreign_keys(&json!({ "keys": keys }).to_string(), None, None)
}

fn kids(found: &ForeignKeys) -> Vec<&str> {
    found.usable.iter().map(|key| key["kid"].as_str().unwrap()).collect()
}

/// The members of a 1024-bit key.
fn short_rsa() -> Value {
    let mut jwk = parse_pem(RSA_1024).unwrap();
    jwk.insert("kid".to_owned(), json!("short"));
    jwk.into()
}

#[test]
fn keys_that_are_not_for_signatures_or_not_known_are_left_out_and_named() {
    let left_out = [
        (with(RSA_2048, json!({ "kid": "enc", "use": "enc" })), "\"enc\"", "use = sig"),
        (with(P_256, json!({ "kid": "use", "use": 7 })), "\"use\"", "use must be a string"),
        (with(P_256, json!({ "kid": "ops", "key_ops": ["encrypt", "wrapKey"] })), "\"ops\"", "key_ops"),
        (with(P_256, json!({ "kid": "op", "key_ops": "verify" })), "\"op\"", "key_ops"),
        (with(RSA_2048, json!({ "kid": "oaep", "alg": "RSA-OAEP" })), "\"oaep\"", "one of RS256"),
        (with(P_256, json!({ "kid": "alg", "alg": ["ES256"] })), "\"alg\"", "alg must be a string"),
        (with(P_256, json!({ "kid": 1 })), "key 7", "kid must be a string"),
        (with(P_256, json!({ "kid": "" })), "key 8", "1 to 255 bytes"),
        (json!({ "kid": "curve", "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }), "\"curve\"", "P-521"),
        (json!({ "kid": "x", "kty": "OKP", "crv": "X25519", "x": "AA" }), "\"x\"", "Ed25519"),
        (json!({ "kid": "new", "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }), "\"new\"", "Ed25519"),
        (json!({ "kid": "kind" }), "\"kind\"", "Ed25519"),
        (short_rsa(), "\"short\"", "2048"),
        (json!("a key"), "key 14", "Ed25519"),
    ];
    let mut keys: Vec<Value> = left_out.iter().map(|(key, ..)| key.clone()).collect();
    keys.push(with(ED25519_PEM, json!({ "kid": "good", "key_ops": ["verify"] })));
    let found = read(&keys).unwrap();
    assert_eq!(kids(&found), ["good"]);
    assert_eq!(found.left_out.len(), left_out.len());
    for (said, (_, name, reason)) in found.left_out.iter().zip(&left_out) {
        assert_eq!(said.name, *name);
        assert!(said.reason.contains(reason), "{said:?}: {reason}");
    }
}

#[test]
fn a_set_without_a_usable_key_is_refused_and_says_why() {
    let enc = |kid: usize| with(P_256, json!({ "kid": kid.to_string(), "use": "enc" }));
    let problem = read(&[enc(1), enc(2)]).unwrap_err();
    assert_eq!(
        problem,
        "has no usable key (\"1\": must be for signatures (use = sig); \"2\": must be for signatures (use = sig))"
    );
    // However many there are, the message stays short.
    let problem = read(&(0..200).map(enc).collect::<Vec<_>>()).unwrap_err();
    assert!(problem.ends_with("and 195 more)") && problem.len() < 400, "{problem}");
    let long = with(P_256, json!({ "kid": "\u{202e}\n".repeat(50_000), "use": "enc" }));
    let problem = read(&[long.clone(), long]).unwrap_err();
    assert!(problem.len() < 1_200 && !problem.contains(['\u{202e}', '\n']), "{problem}");
}

#[test]
fn a_private_key_or_a_shared_secret_refuses_the_whole_set() {
    let good = with(ED25519_PEM, json!({ "kid": "good" }));
    for private in [
        with(P_256, json!({ "kid": "p", "d": "AA" })),
        with(RSA_2048, json!({ "kid": "r", "use": "enc", "qi": "AA" })),
        json!({ "kid": "o", "kty": "oct", "k": "c2VjcmV0" }),
        json!({ "kid": "n", "kty": "AKP", "priv": "c2VjcmV0" }),
    ] {
        for keys in [[good.clone(), private.clone()], [private, good.clone()]] {
            let problem = read(&keys).unwrap_err();
            assert!(problem.contains("private members") && !problem.contains("c2VjcmV0"), "{problem}");
        }
    }
}

#[test]
fn a_kid_and_an_algorithm_can_be_given_for_the_only_usable_key() {
    let set = json!({ "keys": [with(RSA_2048, json!({ "use": "enc" })), parse_pem(P_256).unwrap()] });
    let found = read_foreign_keys(&set.to_string(), Some("old"), Some("ES256")).unwrap();
    assert_eq!((kids(&found), found.left_out.len()), (vec!["old"], 1));
    let two = json!({ "keys": [one(P_256), one(ED25519_PEM)] }).to_string();
    assert!(read_foreign_keys(&two, Some("old"), None).unwrap_err().contains("several"));
    for kid in ["", "a\nb", &"x".repeat(256)] {
        assert!(read_foreign_keys(P_256, Some(kid), None).unwrap_err().contains("a kid must be"), "{kid:?}");
    }
}

#[test]
fn a_text_and_a_set_without_end_are_refused() {
    let spaces = format!("{}{}", " ".repeat(MAX_FOREIGN_TEXT), one(P_256));
    assert_eq!(read_foreign_keys(&spaces, None, None).unwrap_err(), "must not be larger than 256 KiB");
    let many = json!({ "keys": vec![json!({}); MAX_KEYS + 1] }).to_string();
    assert_eq!(read_foreign_keys(&many, None, None).unwrap_err(), "must not have more than 256 keys");
    assert_eq!(read_foreign_keys(r#"{"keys":{}}"#, None, None).unwrap_err(), "must have an array of keys");
}
