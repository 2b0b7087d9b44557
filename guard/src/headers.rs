//! Claims as headers for the service behind a proxy.

use std::fmt::Write;

use chancery_verify::Claims;

/// What the names of all of them begin with.
const PREFIX: &[u8] = b"x-chancery";

/// Whether the service behind could take this header for one of ours. Some make all that is no letter and no
/// digit the same.
pub(crate) fn is_ours(name: &str) -> bool {
    let plain = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' };
    name.len() >= PREFIX.len() && name.bytes().map(plain).zip(PREFIX).all(|(have, want)| have == *want)
}

/// Every header, in the order of the documentation; empty without claims.
pub(crate) fn of_claims(claims: Option<&Claims>, token: &str) -> Vec<(&'static str, String)> {
    let text = |get: fn(&Claims) -> &str| claims.map(get).map(encoded).unwrap_or_default();
    let list = |get: fn(&Claims) -> &[String]| {
        let all = claims.map(get).unwrap_or_default().iter().map(|v| encoded(v));
        all.collect::<Vec<_>>().join(" ")
    };
    // The payload is base64url already.
    let payload = claims.and_then(|_| token.split('.').nth(1)).unwrap_or_default();
    vec![
        ("x-chancery-subject", text(|c| &c.subject)),
        ("x-chancery-client-id", text(|c| &c.client_id)),
        ("x-chancery-session-id", text(|c| c.session_id.as_deref().unwrap_or_default())),
        ("x-chancery-scopes", list(|c| &c.scopes)),
        ("x-chancery-permissions", list(|c| &c.entitlements)),
        ("x-chancery-roles", list(|c| &c.roles)),
        ("x-chancery-claims", payload.to_owned()),
    ]
}

/// What is not visible ASCII is percent-encoded, and so is the percent sign.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_could_be_taken_for_ours_are_known_in_every_spelling() {
        for name in [
            "x-chancery-subject",
            "X-Chancery-Roles",
            "x_chancery_subject",
            "X-CHANCERY_",
            "x-chancery-new",
            "x.chancery~roles",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["x-chancer-subject", "authorization", "y-x-chancery-subject"] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn nothing_in_a_claim_ends_a_header_or_begins_another() {
        assert_eq!(encoded("ada\r\nx-admin: 1 % é"), "ada%0D%0Ax-admin:%201%20%25%20%C3%A9");
    }
}
