//! Fields that stand twice in a JSON message. The mapping of protobuf gives them no meaning, and whoever reads the message
//! on its way may see another value than we do.

use std::{collections::BTreeSet, fmt};

use prost_reflect::{Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value that is read to see whether a name in it stands twice: of a message, or of anything else.
pub(super) struct NoneTwice(pub(super) Option<MessageDescriptor>);

impl NoneTwice {
    /// What names the same: a field has two spellings, a key of anything else has one. And what the value is.
    fn member(&self, name: &str) -> (String, Self) {
        let field = self
            .0
            .as_ref()
            .and_then(|shape| shape.get_field_by_json_name(name).or_else(|| shape.get_field_by_name(name)));
        let Some(field) = field else { return (name.to_owned(), Self(None)) };
        let shape = match field.kind() {
            Kind::Message(shape) if !field.is_map() => Some(shape),
            _ => None,
        };
        // Messages with a JSON form of their own, such as `Struct`, have keys instead of fields.
        let shape = shape.filter(|shape| !shape.full_name().starts_with("google.protobuf."));
        (field.json_name().to_owned(), Self(shape))
    }
}

impl<'de> DeserializeSeed<'de> for NoneTwice {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoneTwice {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let (same, value) = self.member(&name);
            if seen.contains(&same) {
                return Err(A::Error::custom(format_args!("'{name}' stands twice")));
            }
            seen.insert(same);
            map.next_value_seed(value)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while all.next_element_seed(Self(self.0.clone()))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
