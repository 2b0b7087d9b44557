//! A strict parser for compact JWS (RFC 7515 §7.1): a token has exactly one accepted spelling, and a member
//! name that occurs twice is an error.

use std::{borrow::Cow, collections::HashSet, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Maximum size of a token, in bytes.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;
/// Maximum size of a decoded header, in bytes.
const MAX_HEADER: usize = 4 * 1024;
/// Maximum nesting depth of JSON.
const MAX_DEPTH: usize = 16;
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

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| "not UTF-8")
}

/// The members of a JSON object in their original order. Names are unique at every depth (RFC 7519 §4). Names
/// are borrowed where possible, so that most of them need no allocation.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, Value)>);

impl Members<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The members that were not taken.
    pub(crate) fn into_remaining(self) -> Map<String, Value> {
        self.0.into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }

    /// Whether a name occurs twice.
    fn has_duplicate_names(&self) -> bool {
        // An unverified header may have hundreds of names, so avoid quadratic time.
        if self.0.len() > 32 {
            let mut seen = HashSet::new();
            return !self.0.iter().all(|(name, _)| seen.insert(name));
        }
        self.0.iter().enumerate().any(|(n, (name, _))| self.0.iter().skip(n + 1).any(|(other, _)| other == name))
    }
}

/// Parses a JSON object into its members.
pub(crate) fn members(bytes: &[u8]) -> Result<Members<'_>, Malformed> {
    let text = utf8(bytes)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    // Parse again for a precise error; only bad input pays for it.
    let wrong = |_| parse_object(text).err().unwrap_or("not strict JSON");
    let members = reader.deserialize_any(MembersVisitor).map_err(wrong)?;
    reader.end().map_err(|_| "text after the JSON object")?;
    Ok(members)
}

/// Deserializes the outermost object.
struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut out = Members(Vec::with_capacity(20));
        while let Some(name) = map.next_key_seed(MemberName)? {
            out.0.push((name, map.next_value_seed(StrictValue { depth: 1 })?));
        }
        if out.has_duplicate_names() { Err(A::Error::custom("duplicate name")) } else { Ok(out) }
    }
}

/// Deserializes a member name with escapes resolved, so that `a` and `\u0061` are equal.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(v.to_owned()))
    }
}

/// Parses a JSON object whose member names are unique at every depth.
pub(crate) fn parse_object(text: &str) -> Result<Map<String, Value>, Malformed> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = StrictValue { depth: 0 }.deserialize(&mut reader).map_err(|_| "not strict JSON")?;
    reader.end().map_err(|_| "text after the JSON object")?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err("not a JSON object"),
    }
}

/// Deserializes JSON, and refuses duplicate names and deep nesting.
#[derive(Clone, Copy)]
struct StrictValue {
    depth: usize,
}

impl StrictValue {
    fn descend<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH { Err(E::custom("too deep")) } else { Ok(Self { depth: self.depth + 1 }) }
    }
}

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with unique names")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.descend()?;
        let mut out = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.descend()?;
        let mut out = Map::new();
        while let Some(name) = map.next_key_seed(MemberName)? {
            let value = map.next_value_seed(inner)?;
            if out.insert(name.into_owned(), value).is_some() {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(Value::Object(out))
    }
}
