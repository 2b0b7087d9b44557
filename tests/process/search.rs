//! Searches for secrets in written data, in every encoding that they could have there.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use chancery::{
    keys::{SealingKeys, parse_refresh_token},
    secret::RefreshToken,
};

pub(crate) struct Secret {
    pub(crate) what: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The encoding in which bytes occur in others, if they do: raw, in hexadecimal, or within a
/// longer text in base64.
pub(crate) fn find(within: &[u8], bytes: &[u8]) -> Option<&'static str> {
    let within = latin(within);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut forms = vec![("raw", latin(bytes)), ("hex", hex.to_uppercase()), ("hex", hex)];
    for skipped in 0..3 {
        let Some(rest) = bytes.get(skipped..) else { continue };
        // Only whole groups of three bytes, because the last characters depend on what follows.
        let whole = &rest[..rest.len() / 3 * 3];
        forms.push(("base64", STANDARD_NO_PAD.encode(whole)));
        forms.push(("base64", URL_SAFE_NO_PAD.encode(whole)));
    }
    // Shorter pieces occur by chance.
    forms.into_iter().find(|(_, form)| form.len() >= 4 && within.contains(form.as_str())).map(|(name, _)| name)
}

/// Maps each byte to one character, so that string search works on bytes.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// The secret parts of an access token and a refresh token.
pub(crate) fn token_secrets(access: &str, refresh: &str, key: &SealingKeys) -> Vec<Secret> {
    let secret = |what, bytes: &[u8]| Secret { what, bytes: bytes.to_vec() };
    let signature = access.rsplit_once('.').unwrap().1;
    let parsed = parse_refresh_token(key, &RefreshToken::new(refresh.to_owned())).unwrap();
    vec![
        secret("an access token", access.as_bytes()),
        secret("the signature of an access token", signature.as_bytes()),
        secret("a refresh token", refresh.as_bytes()),
        secret("the secret of a session", &*parsed.secret.0),
    ]
}

#[test]
fn bytes_are_found_in_every_encoding_without_false_matches() {
    let secret = b"\x00\xffcanary\x80";
    for prefix in ["", "x", "xy", "xyz"] {
        let text = [prefix.as_bytes(), secret, b"tail"].concat();
        assert_eq!(find(&text, secret), Some("raw"));
        assert_eq!(find(URL_SAFE_NO_PAD.encode(&text).as_bytes(), secret), Some("base64"));
        let hex: String = text.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(find(hex.as_bytes(), secret), Some("hex"));
        assert_eq!(find(b"\x00\xffcanarx\x80", secret), None);
    }
}
