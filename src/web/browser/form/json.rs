//! A form as JSON: one object, whose members are the fields. A string is what a text field holds, `true` a box that is
//! ticked, and `false` one that is not.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use zeroize::Zeroizing;

use super::{FormError, MAX_BODY, MAX_FIELDS, MAX_NAME};

/// What a form sends for a box that is ticked.
const TICKED: &str = "1";

type Fields = Vec<(String, Zeroizing<String>)>;

/// Reads a form. The first fault counts.
pub(super) fn parse(body: &[u8]) -> Result<Fields, FormError> {
    if body.len() > MAX_BODY {
        return Err(FormError::TooLarge);
    }
    let (mut fields, mut fault) = (Vec::new(), None);
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Members { fields: &mut fields, fault: &mut fault }.deserialize(&mut json).and_then(|()| json.end());
    match (fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Err(_)) => Err(FormError::Json),
        (None, Ok(())) => Ok(fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()),
    }
}

/// The members of the object. A box that is not ticked has no value, and still its name is taken.
struct Members<'a> {
    fields: &'a mut Vec<(String, Option<Zeroizing<String>>)>,
    fault: &'a mut Option<FormError>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if let Some(fault) = self.fault_of(&name) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("a fault"));
            }
            let mut other = false;
            match members.next_value_seed(Value { other: &mut other }) {
                Ok(value) => self.fields.push((name, value)),
                Err(error) => {
                    *self.fault = other.then_some(FormError::NotFlat(name));
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Members<'_> {
    /// What is wrong with a member by its name alone.
    fn fault_of(&self, name: &str) -> Option<FormError> {
        if name.len() > MAX_NAME {
            return Some(FormError::Name);
        }
        if self.fields.iter().any(|(known, _)| known == name) {
            return Some(FormError::Twice(name.to_owned()));
        }
        (self.fields.len() == MAX_FIELDS).then_some(FormError::TooManyFields)
    }
}

/// What a member holds.
struct Value<'a> {
    /// Set for what no field holds: a number, an array, an object, or null.
    other: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Option<Zeroizing<String>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Value<'_> {
    fn refused<T, E: Error>(self) -> Result<T, E> {
        *self.other = true;
        Err(E::custom("neither a string nor a boolean"))
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Option<Zeroizing<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a boolean")
    }

    fn visit_bool<E: Error>(self, ticked: bool) -> Result<Self::Value, E> {
        Ok(ticked.then(|| Zeroizing::new(TICKED.to_owned())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.refused()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.refused()
    }
}
