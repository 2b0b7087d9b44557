//! JSON columns whose text may be unreadable: an older version wrote it, or somebody did by hand. A list, a batch or
//! a revocation does not fail because of one such row.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Visitor},
};
use serde_json::{Map, Value};
use sqlx::{
    Decode, Postgres, Sqlite, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueRef},
    sqlite::{SqliteTypeInfo, SqliteValueRef},
    types::Json,
};

use crate::domain::user::{MAX_DEPTH, is_deeper_than};

/// A value of a JSON column, if it can be read.
pub(super) struct Readable<T>(Option<T>);

impl<T: DeserializeOwned> Readable<T> {
    fn parse(text: &[u8]) -> Self {
        // The parser refuses what is nested more than 128 levels deep, so it cannot exhaust the stack.
        Self(serde_json::from_slice(text).ok())
    }
}

impl<T: Default> Readable<T> {
    /// The value. One that cannot be read is left out: the row then grants nothing that was in it.
    pub(super) fn or_empty(self, (table, column): (&'static str, &'static str), id: &str) -> T {
        self.0.unwrap_or_else(|| {
            tracing::warn!(table, column, id, "a stored value cannot be read and is left out");
            T::default()
        })
    }
}

impl Readable<Map<String, Value>> {
    /// The object. One that is nested too deep counts as unreadable: clients could not decode it, and verifiers would
    /// refuse the token.
    pub(super) fn shallow(self) -> Self {
        Self(self.0.filter(|object| !is_deeper_than(MAX_DEPTH, object)))
    }

    /// The object, if it can be read.
    pub(super) fn into_option(self) -> Option<Map<String, Value>> {
        self.shallow().0
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Readable<T> {
    /// Reads JSON in a JSON string. As bytes: what is not UTF-8 must not make the whole text unreadable.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes).map(|text| Self::parse(&text))
    }
}

/// Takes a JSON string as bytes.
struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

impl<T> Type<Sqlite> for Readable<T> {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &SqliteTypeInfo) -> bool {
        <str as Type<Sqlite>>::compatible(ty)
    }
}

impl<'r, T: DeserializeOwned> Decode<'r, Sqlite> for Readable<T> {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        // Not as `&str`: text of SQLite may be any bytes, and then that fails.
        <&[u8] as Decode<'r, Sqlite>>::decode(value).map(Self::parse)
    }
}

impl<T> Type<Postgres> for Readable<T> {
    fn type_info() -> PgTypeInfo {
        <Json<Value> as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <Json<Value> as Type<Postgres>>::compatible(ty)
    }
}

impl<'r, T: DeserializeOwned> Decode<'r, Postgres> for Readable<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = value.as_bytes()?;
        // In the binary format, the version of JSONB precedes the text.
        Ok(Self::parse(bytes.strip_prefix(&[1]).unwrap_or(bytes)))
    }
}
