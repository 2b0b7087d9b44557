//! An identity as headers for the service behind a proxy. The guard and the server's check send the same.

use std::fmt::{self, Write};

use chancery_verify::Claims;

/// The prefix of all header names, without the final hyphen.
const PREFIX: &[u8] = b"x-chancery";

/// Whether the service behind the proxy could take this header for one of the guard's. Some frameworks treat
/// all characters other than letters and digits as equal.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let normalized = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' };
    name.len() >= PREFIX.len() && name.bytes().map(normalized).zip(PREFIX).all(|(actual, expected)| actual == *expected)
}

/// Whose token it is, and what it grants.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// `sub`.
    pub subject: &'a str,
    /// `client_id`.
    pub client_id: &'a str,
    /// `sid`; empty for a client's own token.
    pub session_id: &'a str,
    /// `scope`.
    pub scopes: &'a [String],
    /// `entitlements`.
    pub permissions: &'a [String],
    /// `roles`.
    pub roles: &'a [String],
    /// The token that says so.
    pub token: &'a str,
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// All headers, in the documented order. Without an identity every value is empty.
#[must_use]
pub fn identity_headers(identity: Option<&Identity<'_>>) -> Vec<(&'static str, String)> {
    let text = |get: fn(&Identity<'_>) -> String| identity.map(get).unwrap_or_default();
    vec![
        ("x-chancery-subject", text(|i| percent_encoded(i.subject))),
        ("x-chancery-client-id", text(|i| percent_encoded(i.client_id))),
        ("x-chancery-session-id", text(|i| percent_encoded(i.session_id))),
        ("x-chancery-scopes", text(|i| list(i.scopes))),
        ("x-chancery-permissions", text(|i| list(i.permissions))),
        ("x-chancery-roles", text(|i| list(i.roles))),
        // The payload is already base64url.
        ("x-chancery-claims", text(|i| i.token.split('.').nth(1).unwrap_or_default().to_owned())),
    ]
}

/// The same, from a verified token.
pub(crate) fn claim_headers(claims: Option<&Claims>, token: &str) -> Vec<(&'static str, String)> {
    let identity = claims.map(|c| Identity {
        subject: &c.subject,
        client_id: &c.client_id,
        session_id: c.session_id.as_deref().unwrap_or_default(),
        scopes: &c.scopes,
        permissions: &c.entitlements,
        roles: &c.roles,
        token,
    });
    identity_headers(identity.as_ref())
}

fn list(values: &[String]) -> String {
    values.iter().map(|v| percent_encoded(v)).collect::<Vec<_>>().join(" ")
}

/// Percent-encodes everything that is not visible ASCII, and the percent sign.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
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
