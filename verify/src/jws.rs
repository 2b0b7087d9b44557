//! A strict parser for compact JWS (RFC 7515 §7.1): a token has exactly one accepted spelling, and a member
//! name that occurs twice is an error.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
#[cfg(any(test, feature = "http"))]
use serde_json::Map;
use serde_json::Value;

#[cfg(any(test, feature = "http"))]
use crate::json::parse_object;
use crate::json::{Members, members, utf8};

/// Maximum size of a token, in bytes.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;
/// Maximum size of a decoded header, in bytes.
const MAX_HEADER: usize = 4 * 1024;
/// Maximum length of a `kid`, in bytes.
const MAX_KID: usize = 256;

/// The parts of a token. Nothing in it has been verified.
pub(crate) struct UnverifiedJws<'a> {
    pub(crate) alg: String,
    pub(crate) kid: String,
    pub(crate) typ: Option<String>,
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    payload: &'a str,
}

/// Why a text is not a well-formed token.
pub(crate) type Malformed = &'static str;

impl UnverifiedJws<'_> {
    /// The payload's bytes. Do not trust them before the signature is verified.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, Malformed> {
        decode(self.payload)
    }

    /// The claims. Do not trust them before the signature is verified.
    #[cfg(any(test, feature = "http"))]
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Malformed> {
        parse_object(utf8(&self.payload()?)?)
    }
}

/// Parses a token.
pub(crate) fn parse(token: &str) -> Result<UnverifiedJws<'_>, Malformed> {
    if token.len() > MAX_TOKEN { Err("larger than 16 KiB") } else { parse_unbounded(token) }
}

/// Parses a JWS without the size limit of tokens; the caller must have bounded its size.
pub(crate) fn parse_unbounded(token: &str) -> Result<UnverifiedJws<'_>, Malformed> {
    let mut parts = token.split('.');
    let (Some(head), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("not three parts");
    };
    let header = decode(head)?;
    if header.len() > MAX_HEADER {
        return Err("header larger than 4 KiB");
    }
    let mut header = members(&header)?;
    check_header(&header)?;
    let mut text = |name: &str| match header.take(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let signed = token.as_bytes().get(..head.len() + 1 + payload.len()).ok_or("not three parts")?;
    let kid = text("kid").filter(|k| k.len() <= MAX_KID).ok_or("no kid, or one over 256 bytes")?;
    let alg = text("alg").ok_or("no alg")?;
    Ok(UnverifiedJws { alg, kid, typ: text("typ"), signed, signature: decode(signature)?, payload })
}

fn check_header(header: &Members<'_>) -> Result<(), Malformed> {
    // No extension is supported, so any critical one must be refused (RFC 7515 §4.1.11), and an empty list is
    // invalid in itself. RFC 7797 §6 forbids `b64` in a JWT.
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err("critical header parameters");
    }
    // Keys come from the issuer, never from the token (RFC 8725 §3.10).
    if ["jwk", "jku", "x5u", "x5c"].iter().any(|name| header.get(name).is_some()) {
        return Err("a key in the header");
    }
    // No nested tokens (RFC 7519 §5.2).
    if header.get("cty").is_some() || header.get("zip").is_some() || header.get("enc").is_some() {
        return Err("nested, compressed or encrypted");
    }
    match header.get("typ") {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err("typ is not a string"),
    }
}

/// Decodes base64url without padding. Unused trailing bits must be zero: otherwise one token would have several
/// spellings.
fn decode(text: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "not base64url")
}
