//! The claims as headers for the service behind a proxy.

use std::fmt::Write;

use chancery_verify::Claims;

/// The prefix of all header names, without the final hyphen.
const PREFIX: &[u8] = b"x-chancery";

/// Whether the service behind the proxy could take this header for one of the guard's. Some frameworks treat
/// all characters other than letters and digits as equal.
pub(crate) fn is_reserved(name: &str) -> bool {
    let normalized = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' };
    name.len() >= PREFIX.len() && name.bytes().map(normalized).zip(PREFIX).all(|(actual, expected)| actual == *expected)
}

/// All headers, in the documented order. Without claims every value is empty.
pub(crate) fn claim_headers(claims: Option<&Claims>, token: &str) -> Vec<(&'static str, String)> {
    let text = |get: fn(&Claims) -> &str| claims.map(get).map(percent_encoded).unwrap_or_default();
    let list = |get: fn(&Claims) -> &[String]| {
        let all = claims.map(get).unwrap_or_default().iter().map(|v| percent_encoded(v));
        all.collect::<Vec<_>>().join(" ")
    };
    // The payload is already base64url.
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

/// Percent-encodes everything that is not visible ASCII, and the percent sign.
fn percent_encoded(text: &str) -> String {
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
    fn reserved_headers_are_recognised_in_every_spelling() {
        for name in [
            "x-chancery-subject",
            "X-Chancery-Roles",
            "x_chancery_subject",
            "X-CHANCERY_",
            "x-chancery-new",
            "x.chancery~roles",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["x-chancer-subject", "authorization", "y-x-chancery-subject"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn a_claim_cannot_end_a_header_or_start_another() {
        assert_eq!(percent_encoded("ada\r\nx-admin: 1 % é"), "ada%0D%0Ax-admin:%201%20%25%20%C3%A9");
    }
}
