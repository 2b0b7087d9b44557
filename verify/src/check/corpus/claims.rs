//! Attacks on the claims of a token.

use super::*;

#[test]
fn a10_dates_of_every_kind_have_a_defined_result() {
    let dated = |name: &str, value: &str| {
        let text = with(name, json!("@")).to_string().replace(r#""@""#, value);
        run(&sign(HEADER, text)).map(drop)
    };
    for (name, long_ago) in [("exp", Err(VerifyError::Expired)), ("nbf", Ok(())), ("iat", Ok(()))] {
        let now = if name == "exp" { "1893456001" } else { "1893456000" };
        assert_eq!(dated(name, now), Ok(()), "{name}");
        for value in ["0", "-0", "-0.0", "1.5", "1e0"] {
            assert_eq!(dated(name, value), long_ago, "{name} {value}");
        }
        for value in ["-1", "-1e-9", "1e18", "9007199254740994", "9223372036854775808", "-9223372036854775809"] {
            assert_eq!(dated(name, value), Err(VerifyError::Claim(name)), "{name} {value}");
        }
        for value in [r#""1700000000""#, r#""""#, "null", "true", "[]", "[1700000000]", "{}"] {
            assert_eq!(dated(name, value), Err(VerifyError::Claim(name)), "{name} {value}");
        }
        for value in ["1e400", "NaN", "Infinity", "0x10", "01"] {
            assert_eq!(dated(name, value), Err(NOT_JSON), "{name} {value}");
        }
    }
    // The lifetime of tokens is up to the issuer.
    assert_eq!(dated("exp", "9007199254740992"), Ok(()));
    // `exp` may lie before `iat` only within the minute that `iat` may be in the future.
    let reversed = |exp: i64, iat: i64| {
        let mut c = with("exp", json!(NOW / 1000 + exp));
        c["iat"] = json!(NOW / 1000 + iat);
        run_claims(&c).map(drop)
    };
    assert_eq!(reversed(10, 60), Ok(()));
    assert_eq!(reversed(10, 61), Err(VerifyError::NotYetValid));
    assert_eq!(reversed(-10, 0), Err(VerifyError::Expired));
    // No clock value makes the arithmetic overflow.
    let policy = Policy::new("https://i", "api").leeway(Duration::MAX);
    let at = |now_ms: i64| check(&accepted_token(), &keys().set, &policy, now_ms).unwrap_err();
    assert_eq!((at(i64::MAX), at(i64::MIN)), (VerifyError::Expired, VerifyError::NotYetValid));
}

#[test]
fn a11_nbf_of_the_wrong_type_is_not_treated_as_absent() {
    let far = NOW / 1000 + 1_000_000_000;
    assert!(run_claims(&with("nbf", json!(NOW / 1000))).is_ok());
    assert_eq!(run_claims(&with("nbf", json!(far))), Err(VerifyError::NotYetValid));
    assert_eq!(run_claims(&with("nbf", json!(far.to_string()))), Err(VerifyError::Claim("nbf")));
}

#[test]
fn a12_iss_and_aud_of_the_wrong_type() {
    assert!(run_claims(&with("iss", json!("https://i"))).is_ok());
    for iss in [json!(["evil", "https://i"]), json!(["https://i"]), json!({"iss": "https://i"}), json!(1), json!(null)]
    {
        assert_eq!(run_claims(&with("iss", iss.clone())), Err(VerifyError::Claim("iss")), "{iss}");
    }
    assert!(run_claims(&with("aud", json!(["api"]))).is_ok());
    for aud in [json!(5), json!({}), json!({"0": "api"}), json!([["api"]]), json!(["api", null]), json!([]), json!("")]
    {
        assert_eq!(run_claims(&with("aud", aud.clone())), Err(VerifyError::Claim("aud")), "{aud}");
    }
}

#[test]
fn a13_tokens_of_other_kinds() {
    accepted_token();
    // The opposite cases, an access token where another kind is expected, are tested on the issuer's side.
    for typ in [
        "JWT",
        "id+jwt",
        "rt+jwt",
        "logout+jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "token-introspection+jwt",
        "at+jwt ",
        "application/application/at+jwt",
        "x/at+jwt",
        "",
    ] {
        let header = json!({"typ": typ, "alg": "RS256", "kid": "r"}).to_string();
        assert_eq!(run_header(&header), Err(VerifyError::WrongType), "{typ}");
    }
    assert_eq!(run_header(r#"{"alg":"RS256","kid":"r"}"#), Err(VerifyError::WrongType));
    // An access token for another service.
    assert_eq!(run_claims(&with("aud", json!("billing"))), Err(VerifyError::Audience));
    // The claims of an ID token under the type of an access token.
    let mut id_token = with("nonce", json!("n"));
    id_token.as_object_mut().unwrap().remove("client_id");
    assert_eq!(run_claims(&id_token), Err(VerifyError::Claim("client_id")));
}

#[test]
fn a14_tokens_for_another_audience_or_from_another_issuer() {
    // RFC 7519 §4.1.3: one matching audience among several is enough. A similar one does not match.
    assert!(run_claims(&with("aud", json!(["other", "api"]))).is_ok());
    for aud in [json!(["other", "another"]), json!("API"), json!("api/"), json!(" api"), json!("ap"), json!("api2")] {
        assert_eq!(run_claims(&with("aud", aud.clone())), Err(VerifyError::Audience), "{aud}");
    }
    for iss in ["https://i/", "https://I", "HTTPS://i", "https://i:443", "https://i.", "http://i", "https://i/tenant"] {
        assert_eq!(run_claims(&with("iss", json!(iss))), Err(VerifyError::Issuer), "{iss}");
    }
    // The same subject and the same `kid` at another issuer, which has a different key.
    let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let input = unsigned(r#"{"typ":"at+jwt","alg":"ES256","kid":"e"}"#);
    assert!(run(&sign_input("e", &input)).is_ok());
    let signature = other.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    assert_eq!(run(&format!("{input}.{}", B64.encode(signature))), Err(VerifyError::Signature));
}
