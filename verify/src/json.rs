//! Strict JSON: names are unique at every depth, depth is bounded, and a number is the same whatever features of
//! `serde_json` the rest of the program turns on.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::jws::Malformed;

/// Maximum nesting depth.
const MAX_DEPTH: usize = 16;

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
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
            match next_member(&mut map, &name, StrictValue { depth: 1 })? {
                Member::Value(value) => out.0.push((name, value)),
                Member::WasNumber(_) => return Err(A::Error::custom("not a JSON object")),
            }
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
            let value = match next_member(&mut map, &name, inner)? {
                Member::Value(value) => value,
                Member::WasNumber(text) => return number(&text).ok_or_else(|| A::Error::custom("not a number")),
            };
            if out.insert(name.into_owned(), value).is_some() {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(Value::Object(out))
    }
}

/// How `serde_json` hands over a number if any crate of the program turns on its feature `arbitrary_precision`: as an
/// object with this one member, whose value is an owned string. Strings of a text are never owned, so a text that has
/// such an object is told apart.
const NUMBER_NAME: &str = "$serde_json::private::Number";

/// What follows a member's name.
enum Member {
    Value(Value),
    /// The object was no object but this number.
    WasNumber(String),
}

fn next_member<'de, A: MapAccess<'de>>(map: &mut A, name: &str, inner: StrictValue) -> Result<Member, A::Error> {
    if name == NUMBER_NAME {
        map.next_value_seed(NumberOr(inner))
    } else {
        map.next_value_seed(inner).map(Member::Value)
    }
}

/// Deserializes the value of a member that may be a number in disguise.
struct NumberOr(StrictValue);

impl<'de> DeserializeSeed<'de> for NumberOr {
    type Value = Member;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NumberOr {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_string<E>(self, v: String) -> Result<Member, E> {
        Ok(Member::WasNumber(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Member, E> {
        Ok(Member::Value(v.into()))
    }

    fn visit_bool<E>(self, v: bool) -> Result<Member, E> {
        Ok(Member::Value(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Member, E> {
        Ok(Member::Value(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Member, E> {
        Ok(Member::Value(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Member, E> {
        Ok(Member::Value(v.into()))
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Value(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Member, A::Error> {
        self.0.visit_seq(seq).map(Member::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member, A::Error> {
        self.0.visit_map(map).map(Member::Value)
    }
}

/// The number as it is without that feature: an integer of 64 bits if it is one, or else the nearest double.
fn number(text: &str) -> Option<Value> {
    let integer = !text.contains(['.', 'e', 'E']) && text != "-0";
    let whole = integer.then(|| text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<i64>().map(Value::from)));
    if let Some(Ok(value)) = whole {
        return Some(value);
    }
    let double = text.parse::<f64>().ok().filter(|double| double.is_finite())?;
    serde_json::Number::from_f64(double).map(Value::Number)
}

#[cfg(test)]
mod tests;
