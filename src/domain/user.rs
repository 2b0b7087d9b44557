//! Users.

use serde_json::{Map, Value};

use super::{audit::Actor, login::Login};
use crate::{error::Violations, id::UserId, time::Timestamp};

/// Maximum size of a user's attributes as JSON, in bytes.
pub const MAX_ATTRIBUTES: usize = 4096;
/// How deep a user's attributes may be nested. Every implementation of Protocol Buffers reads a
/// `google.protobuf.Struct` of this depth.
pub const MAX_DEPTH: usize = 16;
/// Maximum number of email addresses of a user.
pub const MAX_EMAILS: usize = 10;
/// Maximum length of a subject, in bytes (`OpenID` Connect Core §2).
pub const MAX_SUBJECT: usize = 255;

/// A user: a person with an account.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The claim `sub` of the user's tokens.
    pub subject: String,
    /// Data about the user that claim maps may select from.
    pub attributes: Map<String, Value>,
    /// Increases with every change that invalidates sign-ins in progress.
    pub security_version: i64,
    /// When the user was disabled, if it is.
    pub disabled_at: Option<Timestamp>,
    /// When the user was created.
    pub created_at: Timestamp,
}

/// Whether a JSON object is nested deeper than `most` levels; an object without members has one level.
#[must_use]
pub fn is_deeper_than(most: usize, object: &Map<String, Value>) -> bool {
    fn value_is_deeper(most: usize, value: &Value) -> bool {
        match value {
            Value::Object(members) => is_deeper_than(most, members),
            Value::Array(items) => most == 0 || items.iter().any(|item| value_is_deeper(most - 1, item)),
            _ => false,
        }
    }
    most == 0 || object.values().any(|value| value_is_deeper(most - 1, value))
}

/// What is wrong with a chosen subject, if anything. It must be 1 to 255 printable ASCII characters.
#[must_use]
pub fn subject_problem(subject: &str) -> Option<String> {
    if subject.is_empty() || subject.len() > MAX_SUBJECT {
        return Some(format!("must be 1 to {MAX_SUBJECT} bytes"));
    }
    if Actor::RESERVED.contains(&subject) {
        return Some("is reserved".to_owned());
    }
    let printable = subject.bytes().all(|b| b.is_ascii_graphic());
    (!printable).then(|| "must be printable ASCII without spaces".to_owned())
}

/// The email addresses that can be read; notes what is wrong with the others.
pub fn read_emails(wrong: &mut Violations, texts: &[String]) -> Vec<Login> {
    if texts.len() > MAX_EMAILS {
        wrong.add("emails", format!("must be at most {MAX_EMAILS}"));
    }
    texts.iter().filter_map(|text| wrong.take("emails", Login::parse_email(text))).collect()
}

/// Notes what is wrong with attributes.
pub fn check_attributes(wrong: &mut Violations, attributes: &Map<String, Value>) {
    if is_deeper_than(MAX_DEPTH, attributes) {
        wrong.add("attributes", format!("must be nested at most {MAX_DEPTH} levels deep"));
    }
    let text = Value::Object(attributes.clone()).to_string();
    if text.len() > MAX_ATTRIBUTES {
        wrong.add("attributes", format!("must be at most {MAX_ATTRIBUTES} bytes of JSON"));
    }
    wrong.require(!text.contains("\\u0000"), "attributes", "must not contain NUL");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_counts_objects_and_lists() {
        for (value, depth) in [
            (json!({}), 1),
            (json!({ "a": 1 }), 1),
            (json!({ "a": {} }), 2),
            (json!({ "a": [] }), 2),
            (json!({ "a": [[1], { "b": [2] }], "c": 3 }), 4),
        ] {
            let object = value.as_object().unwrap();
            assert!(!is_deeper_than(depth, object), "{value}");
            assert!(is_deeper_than(depth - 1, object), "{value}");
        }
    }
}
