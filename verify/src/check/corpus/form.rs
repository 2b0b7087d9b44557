//! Attacks on the encoding of a token.

use super::*;

#[test]
fn a15_nested_and_encrypted_tokens() {
    let mut token = accepted_token();
    for level in 1..=5 {
        // Without `cty`, the inner token is not a JSON object, whether bare or quoted.
        assert_eq!(run(&sign(HEADER, &token)), Err(NOT_JSON), "{level}");
        let quoted = json!(token).to_string();
        assert_eq!(run(&sign(HEADER, quoted)), Err(VerifyError::Malformed("not a JSON object")), "{level}");
        token = sign(&header_with(r#""cty":"JWT""#), &token);
        assert_eq!(run(&token), Err(NESTED), "{level}");
    }
    assert!(run_header(&header_with(r#""x":"JWT""#)).is_ok());
    for extra in [r#""cty":"JWT""#, r#""cty":"at+jwt""#, r#""cty":null"#, r#""enc":"A256GCM""#] {
        assert_eq!(run_header(&header_with(extra)), Err(NESTED), "{extra}");
    }
    let inner = format!("{}.", unsigned(r#"{"alg":"none"}"#));
    let jwe =
        format!("{}..{}.{}.", B64.encode(r#"{"alg":"dir","enc":"A256GCM"}"#), B64.encode("iv"), B64.encode(inner));
    assert_eq!(run(&jwe), Err(NOT_THREE_PARTS));
}

#[test]
fn a16_tokens_too_large_or_too_deep_are_refused_before_anything_costly() {
    // None of these has a valid signature, yet another error is reported: the signature was never checked.
    let bare = |header: &str, payload: &str| run(&format!("{}.{}.", B64.encode(header), B64.encode(payload)));
    assert_eq!(bare(HEADER, "{}"), Err(VerifyError::Signature));
    assert_eq!(run(&"a".repeat(100_000_000)), Err(TOO_LARGE));
    assert_eq!(run(&".".repeat(100_000)), Err(TOO_LARGE));
    assert_eq!(run(&".".repeat(16 * 1024)), Err(NOT_THREE_PARTS));
    let brackets = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(bare(HEADER, &brackets(100_000)), Err(TOO_LARGE));
    assert_eq!(bare(&brackets(1_500), "{}"), Err(NOT_JSON));
    assert_eq!(bare(HEADER, &format!(r#"{{"{}":1}}"#, "n".repeat(1 << 20))), Err(TOO_LARGE));
    let header =
        |length: usize| header_with(&format!(r#""x":"{}""#, "x".repeat(length - header_with(r#""x":"""#).len())));
    assert!(run_header(&header(4096)).is_ok());
    assert_eq!(bare(&header(4097), "{}"), Err(VerifyError::Malformed("header larger than 4 KiB")));
    assert!(run_header(&header_with(r#""x":"DEF""#)).is_ok());
    assert_eq!(run_header(&header_with(r#""zip":"DEF""#)), Err(NESTED));
    // The issuer's own claims are bounded too: the object and fifteen lists inside it.
    let nested = |depth: usize| run(&sign(HEADER, claims_with(brackets(depth).trim_matches(['{', '}']))));
    assert!(nested(15).is_ok());
    assert_eq!(nested(16), Err(NOT_JSON));
    assert_eq!(nested(5_000), Err(NOT_JSON));
}

#[test]
fn a17_invalid_text() {
    // Which characters a subject may contain is checked when it is set. Here any valid text passes.
    assert_eq!(run_claims(&with("sub", json!("a\u{202e}b\0"))).unwrap().subject, "a\u{202e}b\0");
    let text = |sub: &[u8]| {
        let text = with("sub", json!("@")).to_string();
        let (before, after) = text.split_once('@').unwrap();
        [before.as_bytes(), sub, after.as_bytes()].concat()
    };
    assert!(run(&sign(HEADER, text(b"ada"))).is_ok());
    for sub in [&b"\0"[..], b"\n", b"\x1f", br"\ud800", br"\udc00\ud800", br"\x41", br"\u00"] {
        assert_eq!(run(&sign(HEADER, text(sub))), Err(NOT_JSON), "{sub:?}");
    }
    let not_utf_8 = VerifyError::Malformed("not UTF-8");
    // Overlong, a surrogate, truncated, beyond the last code point, Latin-1.
    for sub in [&b"\xc0\xaf"[..], b"\xc1\xa1", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xc3", b"\xf4\x90\x80\x80", b"\xff"]
    {
        assert_eq!(run(&sign(HEADER, text(sub))), Err(not_utf_8.clone()), "{sub:?}");
        let header = [br#"{"typ":"at+jwt","alg":"RS256","kid":"r","x":""#, sub, br#""}"#].concat();
        let input = format!("{}.{}", B64.encode(header), B64.encode(claims().to_string()));
        assert_eq!(run(&sign_input("r", &input)), Err(not_utf_8.clone()), "{sub:?}");
    }
    let good = claims().to_string();
    for payload in [format!("\u{feff}{good}"), format!("\u{202e}{good}"), format!("\0{good}")] {
        assert_eq!(run(&sign(HEADER, &payload)), Err(NOT_JSON), "{payload:?}");
    }
    let utf_16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(run(&sign(HEADER, utf_16)), Err(NOT_JSON));
    assert_eq!(run(&sign(HEADER, format!("{good}\0"))), Err(VerifyError::Malformed("text after the JSON object")));
}

/// A token with one part encoded differently. If that part is signed, the signature covers the changed
/// encoding.
fn reencoded(part: usize, change: impl Fn(&str) -> String) -> String {
    // Each part has 3n + 1 bytes, which leaves four unused bits, and contains the two characters that differ
    // between the base64 alphabets.
    let header = header_with(r#""x":"???>>>???>>>""#) + " ";
    let mut payload = claims_with(r#""x":"???>>> ???>>>  ???>>>""#);
    payload.push_str(&" ".repeat((4 - payload.len() % 3) % 3));
    let signed = |payload: &str| sign(header.trim_end(), payload);
    let special = |token: &String| token.rsplit('.').next().unwrap().contains(['-', '_']);
    let token = (0..100).map(|n| signed(&format!("{payload}{}", "   ".repeat(n)))).find(special).unwrap();
    assert!(run(&token).is_ok());
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let before = parts[part].clone();
    parts[part] = change(&before);
    assert_ne!(parts[part], before);
    if part == 2 { parts.join(".") } else { sign_input("r", &parts[..2].join(".")) }
}

#[test]
fn a22_other_encodings_of_an_accepted_token() {
    for part in 0..3 {
        let refused = |how: &str, change: &dyn Fn(&str) -> String| {
            assert_eq!(run(&reencoded(part, change)), Err(NOT_BASE64URL), "part {part}: {how}");
        };
        refused("unused bits", &|text| {
            let (rest, last) = text.split_at(text.len() - 1);
            format!("{rest}{}", char::from(last.as_bytes()[0] + 1))
        });
        refused("padding", &|text| format!("{text}=="));
        refused("half the padding", &|text| format!("{text}="));
        refused("the standard alphabet", &|text| text.replace('-', "+").replace('_', "/"));
        for space in ["\n", "\r\n", " ", "\t", "\0", "?", "\u{202e}"] {
            refused("appended", &|text| format!("{text}{space}"));
            refused("prepended", &|text| format!("{space}{text}"));
            refused("inserted", &|text| format!("{}{space}{}", &text[..4], &text[4..]));
        }
    }
}
