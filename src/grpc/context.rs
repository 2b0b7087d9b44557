//! Reads a call's headers: credentials and deadline.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery_verify::bearer_token;
use http::HeaderMap;

use crate::{
    domain::{end_user::MAX_USER_AGENT, text::cleaned},
    error::{Error, Reason, Result},
    secret::ClientSecret,
    service::{ClientCredentials, IMPORT_USERS},
};

/// Default and maximum deadline of a call.
const MAX_DEADLINE: Duration = Duration::from_secs(30);
/// The same over HTTP: less than the listener waits for an answer, so that the caller learns the reason.
pub(super) const MAX_HTTP_DEADLINE: Duration = Duration::from_secs(29);
/// The same for calls with long request streams.
const MAX_STREAM_DEADLINE: Duration = Duration::from_hours(1);

/// The deadline of a call to this method: its `grpc-timeout`, capped at the maximum.
pub(super) fn deadline(method: Option<&str>, headers: &HeaderMap) -> tokio::time::Instant {
    let requested = timeout(headers);
    let max = if method == Some(IMPORT_USERS) { MAX_STREAM_DEADLINE } else { MAX_DEADLINE };
    tokio::time::Instant::now() + requested.unwrap_or(max).min(max)
}

/// How long a call may take, if its `grpc-timeout` says so.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get("grpc-timeout").and_then(|v| v.to_str().ok()).and_then(parse_timeout)
}

/// Parses at most eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // `parse` alone would accept a sign.
    let n: u64 = digits.parse().ok().filter(|_| digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_digit()))?;
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

/// What a client calls itself, without what cannot be printed; empty if it does not say.
pub(super) fn user_agent(headers: &HeaderMap) -> String {
    let bytes = headers.get(http::header::USER_AGENT).map_or(&[][..], http::HeaderValue::as_bytes);
    // What is not UTF-8 cannot be printed either.
    let text: String = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
    cleaned(&text, MAX_USER_AGENT)
}

/// Reads the `authorization` header. Two values are refused, because it would be ambiguous which one applies.
pub(super) fn credentials(headers: &HeaderMap) -> Result<ClientCredentials> {
    let mut values = headers.get_all("authorization").iter();
    let Some(value) = values.next() else { return Ok(ClientCredentials::None) };
    let refused = || Error::Unauthenticated(Reason::TokenInvalid);
    if values.next().is_some() {
        return Err(refused());
    }
    let text = value.to_str().map_err(|_| refused())?.trim_matches([' ', '\t']);
    match text.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
            parse_basic(rest).ok_or(Error::Unauthenticated(Reason::ClientAuthenticationFailed))
        }
        // Read as every service reads it.
        _ => bearer_token([value.as_bytes()])
            .map(|token| ClientCredentials::Bearer(token.to_owned()))
            .map_err(|_| refused()),
    }
}

/// Decodes Basic credentials. Both parts are form-encoded before they are joined (RFC 6749 §2.3.1).
fn parse_basic(encoded: &str) -> Option<ClientCredentials> {
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
    fn g01_two_authorization_headers_or_an_unknown_scheme_are_refused() {
        assert!(credentials(&headers(&["Bearer a", "Bearer b"])).is_err());
        assert!(credentials(&headers(&["Digest a"])).is_err());
        assert!(credentials(&headers(&["Basic %%%"])).is_err());
        assert!(matches!(credentials(&headers(&[])), Ok(ClientCredentials::None)));
    }

    #[test]
    fn a_user_agent_is_printable_and_has_a_bound() {
        let of = |value: &[u8]| {
            let mut map = HeaderMap::new();
            map.insert("user-agent", http::HeaderValue::from_bytes(value).unwrap());
            user_agent(&map)
        };
        assert_eq!(of(b"grpc-node-js/1.9 \t"), "grpc-node-js/1.9");
        assert_eq!(of("a\u{202e}b".as_bytes()), "ab");
        assert_eq!(of("Zoë's app/1.0".as_bytes()), "Zoë's app/1.0");
        assert_eq!(of(b"Zo\xeb's app/1.0"), "Zo's app/1.0");
        assert_eq!(of(&[b'x'; 4096]).len(), 512);
        assert_eq!(user_agent(&HeaderMap::new()), "");
    }

    #[test]
    fn a_timeout_has_eight_digits_and_a_unit() {
        assert_eq!(parse_timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parse_timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse_timeout("+5S"), None);
        for bad in ["", "S", "5", "123456789S", "é"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }
}
