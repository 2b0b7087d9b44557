//! What the headers of a call say: who calls, and by when the caller wants its answer.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;

use crate::{
    error::{Error, Reason, Result},
    secret::ClientSecret,
    service::{ClientCredentials, IMPORT_USERS},
};

/// The deadline of a call that names none, and the longest that counts.
const MAX_DEADLINE: Duration = Duration::from_secs(30);
/// The same, of a call whose requests may keep coming for long.
const MAX_STREAMED: Duration = Duration::from_hours(1);

/// When the caller of this method gives up: its `grpc-timeout`, up to the longest that counts.
pub(super) fn deadline(method: Option<&str>, headers: &HeaderMap) -> tokio::time::Instant {
    let asked = headers.get("grpc-timeout").and_then(|v| v.to_str().ok()).and_then(parse_timeout);
    let longest = if method == Some(IMPORT_USERS) { MAX_STREAMED } else { MAX_DEADLINE };
    tokio::time::Instant::now() + asked.unwrap_or(longest).min(longest)
}

/// At most eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

/// Reads `authorization`. Two values are refused: which one counts must never be a matter of taste.
pub(super) fn credentials(headers: &HeaderMap) -> Result<ClientCredentials> {
    let mut values = headers.get_all("authorization").iter();
    let Some(value) = values.next() else { return Ok(ClientCredentials::None) };
    let refused = || Error::Unauthenticated(Reason::TokenInvalid);
    if values.next().is_some() {
        return Err(refused());
    }
    let text = value.to_str().map_err(|_| refused())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(refused)?;
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => basic(rest).ok_or(Error::Unauthenticated(Reason::ClientAuthenticationFailed)),
        "bearer" => Ok(ClientCredentials::Bearer(rest.to_owned())),
        _ => Err(refused()),
    }
}

/// Both halves are form-encoded before they are joined (RFC 6749 §2.3.1).
fn basic(encoded: &str) -> Option<ClientCredentials> {
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some(ClientCredentials::Basic { client_id: form_decode(id)?, secret: ClientSecret::new(form_decode(secret)?) })
}

/// Decodes `application/x-www-form-urlencoded` text.
fn form_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for v in values {
            map.append("authorization", v.parse().unwrap());
        }
        map
    }

    #[test]
    fn basic_credentials_are_form_decoded() {
        let value = format!("bAsIc {}", STANDARD.encode("a%3Ab:p%25+%2F%C3%A9"));
        let Ok(ClientCredentials::Basic { client_id, secret }) = credentials(&headers(&[&value])) else {
            panic!("refused")
        };
        assert_eq!((client_id.as_str(), secret.expose()), ("a:b", "p% /é"));
    }

    #[test]
    fn g01_two_values_or_an_unknown_scheme_are_refused() {
        assert!(credentials(&headers(&["Bearer a", "Bearer b"])).is_err());
        assert!(credentials(&headers(&["Digest a"])).is_err());
        assert!(credentials(&headers(&["Basic %%%"])).is_err());
        assert!(matches!(credentials(&headers(&[])), Ok(ClientCredentials::None)));
    }

    #[test]
    fn a_timeout_has_eight_digits_and_a_unit() {
        assert_eq!(parse_timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parse_timeout("5S"), Some(Duration::from_secs(5)));
        for bad in ["", "S", "5", "123456789S", "é"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }
}
