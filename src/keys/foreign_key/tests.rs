use super::*;

/// Made by OpenSSL for these tests; their private parts are gone.
const RSA_2048: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1Ao0mvV3m3DvoSur7Be4
agw2coymFkOgOQezsMx36v3rsFtFRCRA1KgJi4VHBu2QBBZLmVxizsqebR00lw19
9oE5udKe7yUW46EIojiRXdpnBtopz96fQGB9gd2bb1ASwP/iRTkZTZ3BJbWXQOvH
pw9D8GSInVjBnq58A2M76Zk18ZllIukeYtfTkvt9VgREUF1Y63Y538PT1vekD6aF
RNQ0KlnhJA7qPVdn74Ck5E7xsvGrbX88gNWjqKaXGG6W8zI5dg8NzmfYUPU7a272
3tTtU0SSOmN57kHZwZ2dPEDLz3Wxue8Zz35Fetx2jfwmwXGnSHwlIgmLKa9CZGKm
8wIDAQAB
-----END PUBLIC KEY-----
";
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC2mwU0zGvxzkwEc7BfjlXX0LeM
uK66cPGYmhPPMdLmhSRbvDZTpPTcn/3yExsASYx944Pfloz3rFXPLpdB4SlfFoiw
SRTV1zX4DPCMNgj+5mi/jIjCuwxgIILsr5zFlxuY2TkGVl2gS6fwPKc/rpMDZAKZ
9O/yjBW91ZrJFVlUVwIDAQAB
-----END PUBLIC KEY-----";
const P_256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESa9/rzOORY+lwEKZvC24NHY0nuny
CV+sF9nSM+6YkbjM2zNxefNHrXgN2EaW9OciSBomNgiR7JGeTzHZfw1eSQ==
-----END PUBLIC KEY-----";
const P_384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEap0nJEj3lldeHU+bPUQ/avqkz85BvPPU
r4A6CAgxVnB9Ea2XgTl+60dwCw5XUFaBSY311E07N4H4lbZVQXfE1i1mfE/jZ9/I
cD3B/iCI4fFsUySlhewlM0uTbKEt095l
-----END PUBLIC KEY-----";
const SECP256K1: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE85g9kChArHL/wQxURwXBv5/4r02d6efX
Gj0xQOyRoF3+RnKgZgm4L1NMf/NJ5pLsyNU/fxvnKYHrNJLczpyFzQ==
-----END PUBLIC KEY-----";
const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAE0x4JguR7n5GX27F5lmbtjN0EqWB842HlbylRWOtUaA=
-----END PUBLIC KEY-----";
/// RFC 7638 §3.1.
const RFC_7638: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256"}"#;

fn one(text: &str) -> Value {
    read_foreign_keys(text, None, None).unwrap().swap_remove(0)
}

#[test]
fn keys_are_read_from_pem_a_jwk_and_a_jwks() {
    for (text, kty, alg) in [
        (RSA_2048, "RSA", "RS256"),
        (P_256, "EC", "ES256"),
        (P_384, "EC", "ES384"),
        (ED25519_PEM, "OKP", "EdDSA"),
        (RFC_7638, "RSA", "RS256"),
    ] {
        let jwk = one(text);
        assert_eq!((&jwk["kty"], &jwk["alg"], &jwk["use"]), (&json!(kty), &json!(alg), &json!("sig")));
        assert_eq!(jwk[FOREIGN], true);
        // What was published comes out the same.
        assert_eq!(one(&jwk.to_string()), jwk);
        assert_eq!(one(&json!({ "keys": [jwk] }).to_string()), jwk);
        let named = read_foreign_keys(text, Some("2019-old"), None).unwrap();
        assert_eq!(named[0]["kid"], "2019-old");
    }
    assert_eq!(one(RFC_7638)["kid"], "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(read_foreign_keys(RSA_2048, None, Some("PS512")).unwrap()[0]["alg"], "PS512");
    let two = json!({ "keys": [one(P_256), one(ED25519_PEM)] }).to_string();
    assert_eq!(read_foreign_keys(&two, None, None).unwrap(), [one(P_256), one(ED25519_PEM)]);
}

#[test]
fn what_is_published_of_a_key_is_its_public_part_and_verifiers_of_ours_pass_it_over() {
    let mut jwk = one(P_256);
    jwk["x5c"] = json!(["MIIB"]);
    jwk["note"] = json!("mine");
    let out = one(&jwk.to_string());
    let members: Vec<&str> = out.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "crv", FOREIGN, "kid", "kty", "use", "x", "y"]);
    let set = |jwk: &Value| KeySet::from_json(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap().len();
    assert_eq!(set(&out), 0);
    jwk.as_object_mut().unwrap().remove(FOREIGN);
    assert_eq!(set(&jwk), 1, "the same key as our own");
}

#[test]
fn what_is_no_public_key_is_refused_and_told_why() {
    let jwk = |name: &str, value: Value| {
        let mut jwk = one(P_256);
        jwk[name] = value;
        jwk.to_string()
    };
    let private = RSA_2048.replace("PUBLIC", "PRIVATE");
    let certificate = RSA_2048.replace("PUBLIC KEY", "CERTIFICATE");
    let pkcs1 = RSA_2048.replace("PUBLIC KEY", "RSA PUBLIC KEY");
    let cut = P_256.replace("CV+sF9nS", "");
    for (text, says) in [
        ("", "must be a JWKS"),
        ("[]", "must be a JWKS"),
        ("{}", "RSA, EC or Ed25519"),
        (r#"{"keys":[]}"#, "must contain a key"),
        (r#"{"keys":[1]}"#, "RSA, EC or Ed25519"),
        (r#"{"kty":"oct","k":"c2VjcmV0"}"#, "private"),
        (&jwk("d", json!("x")), "private"),
        (&jwk("use", json!("enc")), "for signatures"),
        (&jwk("alg", json!("ES384")), "one of ES256"),
        (&jwk("alg", json!("none")), "one of ES256"),
        (&jwk("crv", json!("P-384")), "malformed"),
        (&jwk("x", json!("AAAA")), "malformed"),
        (&jwk("y", one(P_256)["x"].clone()), "malformed"),
        (&jwk("kid", json!("")), "kid"),
        (&jwk("kid", json!("a\nb")), "kid"),
        (&private, "private key"),
        (&certificate, "one PUBLIC KEY"),
        (&pkcs1, "one PUBLIC KEY"),
        (&cut, "one PUBLIC KEY"),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#, "weak"),
        (SECP256K1, "P-521"),
        (RSA_1024, "2048"),
    ] {
        let problem = read_foreign_keys(text, None, None).unwrap_err();
        assert!(problem.contains(says), "{text}: {problem}");
    }
    let two = json!({ "keys": [one(P_256), one(P_256)] }).to_string();
    assert!(read_foreign_keys(&two, Some("x"), None).unwrap_err().contains("several"));
}
