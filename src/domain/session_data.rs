//! What an application keeps with a session or its user: small JSON values under names, with versions.

use std::{fmt, str::FromStr};

use serde_json::{Map, Number, Value};

use super::{
    client::ClientId,
    user::{MAX_DEPTH, holds_nul, is_deeper_than},
};
use crate::{id::SessionId, time::Timestamp};

/// Maximum size of a value as JSON without spaces, in bytes.
pub const MAX_VALUE: usize = 16 * 1024;
/// Maximum number of values of an owner.
pub const MAX_VALUES: i64 = 64;
/// The largest integer below which a double represents every integer exactly: 2^53 - 1.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// The name of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// A text that is no name of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 characters of [a-z0-9_.-], the first a letter or digit")]
pub struct NotNamespace;

impl Namespace {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NotNamespace;
    fn from_str(text: &str) -> Result<Self, NotNamespace> {
        let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = (1..=64).contains(&text.len())
            && text.bytes().next().is_some_and(small)
            && text.bytes().all(|b| small(b) || b"_.-".contains(&b));
        good.then(|| Self(text.to_owned())).ok_or(NotNamespace)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value within all bounds, as JSON without spaces. It is the application's business, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DataValue(String);

/// Why a value is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// It is too large.
    #[error("must be at most {MAX_VALUE} bytes of JSON")]
    TooLarge,
    /// It is nested too deep.
    #[error("must be nested at most {MAX_DEPTH} levels deep")]
    TooDeep,
    /// A text in it contains NUL.
    #[error("must not contain NUL")]
    Nul,
    /// A number in it is one that many readers of JSON do not keep (RFC 8259 §6).
    #[error("must not contain whole numbers beyond 2^53-1, which not every reader keeps; send them as texts")]
    Inexact,
}

impl DataValue {
    /// Checks a value. Numbers without a fraction become integers, so that a value is the same by whatever way it came.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(value: Value) -> Result<Self, BadValue> {
        let mut whole = Map::from_iter([(String::new(), value)]);
        // The map around it is one level.
        if is_deeper_than(MAX_DEPTH + 1, &whole) {
            return Err(BadValue::TooDeep);
        }
        if holds_nul(&whole) {
            return Err(BadValue::Nul);
        }
        let mut value = whole.remove("").unwrap_or_default();
        make_exact(&mut value)?;
        let text = value.to_string();
        if text.len() > MAX_VALUE { Err(BadValue::TooLarge) } else { Ok(Self(text)) }
    }

    /// The JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// Wraps a value that was checked when it was stored.
    #[must_use]
    pub fn from_database(text: String) -> Self {
        Self(text)
    }

    /// The value; null if a damaged database held something else.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for DataValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataValue({} bytes)", self.0.len())
    }
}

/// Makes integers of numbers that have no fraction.
fn make_exact(value: &mut Value) -> Result<(), BadValue> {
    match value {
        Value::Number(number) => {
            let double = number.as_f64().unwrap_or(f64::INFINITY);
            // Above 2^53, every double is whole.
            let is_whole = !number.is_f64() || double.fract() == 0.0;
            if is_whole && double.abs() > MAX_EXACT {
                return Err(BadValue::Inexact);
            }
            if is_whole && number.is_f64() {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
                let integer = double as i64;
                *number = Number::from(integer);
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(make_exact),
        Value::Object(members) => members.values_mut().try_for_each(make_exact),
        _ => Ok(()),
    }
}

/// What a value belongs to, as callers say it: the session that they name, or its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataScope {
    /// The session. The value ends with it.
    Session,
    /// The user, or the guest, with the session's client. All sessions of that user with that client share it.
    User,
}

impl DataScope {
    /// The owner in the database. Two clients never share a value: neither may read what the other has stored.
    #[must_use]
    pub fn owner(self, session: &DataSession) -> String {
        match self {
            Self::Session => session.id.as_str().to_owned(),
            Self::User => user_owner(&session.user, &session.client),
        }
    }
}

/// The owner of what a client keeps for a user. No id contains a slash.
#[must_use]
pub fn user_owner(user: &str, client: &ClientId) -> String {
    format!("{user}/{client}")
}

/// A live session, as far as its data need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSession {
    /// The session.
    pub id: SessionId,
    /// The id of its user or, for a guest, the id that the guest's account would have.
    pub user: String,
    /// Its client.
    pub client: ClientId,
    /// Whether it is a guest's.
    pub is_guest: bool,
}

/// What must be stored for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataCondition {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// Some value.
    Present,
    /// The value with exactly this version.
    Version(i64),
}

impl DataCondition {
    /// Whether a change may be made to what has this version.
    #[must_use]
    pub fn allows(self, current: Option<i64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::Version(version) => current == Some(version),
        }
    }
}

/// A change of a value.
#[derive(Clone, Debug)]
pub struct DataWrite {
    /// The session on whose behalf it is made. It must be live.
    pub session: SessionId,
    /// The client that the session must be of, if it is not the session itself that asks.
    pub client: Option<ClientId>,
    /// What the value belongs to.
    pub scope: DataScope,
    /// The name.
    pub namespace: Namespace,
    /// The new value; none deletes it.
    pub value: Option<DataValue>,
    /// What must be stored.
    pub condition: DataCondition,
}

/// The outcome of a [`DataWrite`]. It is committed before the caller gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum DataOutcome {
    /// The value is stored.
    Stored {
        /// Its version.
        version: i64,
        /// Whether there was none before.
        created: bool,
    },
    /// There is no value now.
    Deleted,
    /// Something else is stored than what must be. Nothing changed.
    Mismatch {
        /// The version of what is stored; none if there is nothing.
        current: Option<i64>,
    },
    /// The owner has as many values as it may have. Nothing changed.
    TooMany,
    /// The owner is a guest's and would have more bytes than those may have. Nothing changed.
    TooLarge,
    /// The session has ended, or there is none. Nothing changed.
    SessionEnded,
    /// The session is of another client. Nothing changed.
    OtherClient,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredData {
    /// The value.
    pub value: DataValue,
    /// Its version, which increases with every change of the name and is never used again.
    pub version: i64,
    /// When it was stored.
    pub updated_at: Timestamp,
}

/// What is known of a stored value without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataEntry {
    /// The name.
    pub namespace: String,
    /// The version.
    pub version: i64,
    /// The size as JSON, in bytes.
    pub bytes: i64,
    /// When it was stored.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_is_a_short_plain_name() {
        for good in ["cart", "a", "0", "form.step-2_x", &"a".repeat(64)] {
            assert_eq!(good.parse::<Namespace>().unwrap().as_str(), good);
        }
        for bad in ["", "Cart", ".a", "-a", "_a", "a/b", "a b", "ä", "a\0", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Namespace>(), Err(NotNamespace), "{bad:?}");
        }
    }

    #[test]
    fn a_value_has_bounds_for_size_and_depth() {
        let text = |bytes: usize| json!("x".repeat(bytes - 2));
        assert_eq!(DataValue::new(text(MAX_VALUE)).unwrap().as_json().len(), MAX_VALUE);
        assert_eq!(DataValue::new(text(MAX_VALUE + 1)), Err(BadValue::TooLarge));
        let nested = |levels: usize| {
            (0..levels).fold(json!(1), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
        };
        assert!(DataValue::new(nested(MAX_DEPTH)).is_ok());
        assert_eq!(DataValue::new(nested(MAX_DEPTH + 1)), Err(BadValue::TooDeep));
        assert_eq!(DataValue::new(json!({ "a": ["x\0"] })), Err(BadValue::Nul));
        assert_eq!(DataValue::new(json!({ "a\0": 1 })), Err(BadValue::Nul));
        assert_eq!(DataValue::new(json!(null)).unwrap().as_json(), "null");
    }

    #[test]
    fn numbers_are_those_that_every_reader_of_json_keeps() {
        let most = 9_007_199_254_740_991_i64;
        for (number, text) in [
            (json!(1.0), "1"),
            (json!(-0.0), "0"),
            (json!(1.5), "1.5"),
            (json!(most), "9007199254740991"),
            (json!(-most), "-9007199254740991"),
            (json!(1e-7), "1e-7"),
        ] {
            assert_eq!(DataValue::new(json!([number])).unwrap().as_json(), format!("[{text}]"));
        }
        for number in [json!(most + 1), json!(-most - 1), json!(u64::MAX), json!(1e300)] {
            assert_eq!(DataValue::new(json!({ "a": number })), Err(BadValue::Inexact));
        }
    }

    #[test]
    fn what_is_stored_is_not_printed() {
        let value = DataValue::new(json!({ "card": "4111" })).unwrap();
        assert_eq!(format!("{value:?}"), "DataValue(15 bytes)");
    }

    #[test]
    fn owners_of_two_clients_or_users_are_two() {
        let session = |client: &str| DataSession {
            id: "ses_01J00000000000000000BR0WSE".parse().unwrap(),
            user: "usr_01J00000000000000000000000".to_owned(),
            client: client.parse().unwrap(),
            is_guest: false,
        };
        assert_eq!(DataScope::Session.owner(&session("shop")), "ses_01J00000000000000000BR0WSE");
        assert_eq!(DataScope::User.owner(&session("shop")), "usr_01J00000000000000000000000/shop");
        assert_ne!(DataScope::User.owner(&session("shop")), DataScope::User.owner(&session("desk")));
    }

    proptest! {
        #[test]
        fn what_was_checked_once_is_its_own_canonical_form(text in "[\\[\\]{}:,\"a0-9.e-]{0,40}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text)
                && let Ok(checked) = DataValue::new(value)
            {
                prop_assert_eq!(DataValue::new(checked.to_value()).unwrap(), checked);
            }
        }
    }
}
