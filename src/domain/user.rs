//! Users.

use serde_json::{Map, Value};

use super::{
    audit::Actor,
    login::{Login, LoginKind},
    mail::Language,
};
use crate::{
    error::Violations,
    id::{RoleId, UserId},
    time::Timestamp,
};

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
    /// The language in which the server writes to the user, if it is known.
    pub language: Option<Language>,
    /// Increases with every change that invalidates sign-ins in progress.
    pub security_version: i64,
    /// How many second factors the user has set up.
    pub second_factors: i64,
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

/// Whether a name or a text in a JSON object contains NUL, which PostgreSQL refuses.
#[must_use]
pub fn holds_nul(object: &Map<String, Value>) -> bool {
    fn value_holds_nul(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(value_holds_nul),
            Value::Object(members) => holds_nul(members),
            _ => false,
        }
    }
    object.iter().any(|(name, value)| name.contains('\0') || value_holds_nul(value))
}

/// The size of a JSON object in the database, in bytes. PostgreSQL stores every digit of a number: `1e300` has 301.
#[must_use]
pub fn stored_size(object: &Map<String, Value>) -> usize {
    fn digits(value: &Value) -> usize {
        match value {
            Value::Number(number) => {
                let written_out = number.as_f64().filter(|_| number.is_f64()).map(|n| n.to_string().len());
                written_out.unwrap_or_default().saturating_sub(number.to_string().len())
            }
            Value::Array(items) => items.iter().map(digits).sum(),
            Value::Object(members) => members.values().map(digits).sum(),
            _ => 0,
        }
    }
    let text = serde_json::to_string(object).map_or(usize::MAX, |text| text.len());
    text.saturating_add(object.values().map(digits).sum())
}

/// Parses attributes.
///
/// # Errors
/// What is wrong with the text. It never quotes the text.
pub fn parse_attributes(text: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(text).map_err(|error| {
        if error.to_string().starts_with("recursion limit") {
            return format!("must be nested at most {MAX_DEPTH} levels deep");
        }
        "must be a JSON object".to_owned()
    })
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

/// The language in a text, empty for none; notes what is wrong with it.
pub fn read_language(wrong: &mut Violations, text: &str) -> Option<Language> {
    if text.is_empty() { None } else { wrong.take("language", text.parse::<Language>()) }
}

/// Notes what is wrong with attributes.
pub fn check_attributes(wrong: &mut Violations, attributes: &Map<String, Value>) {
    if is_deeper_than(MAX_DEPTH, attributes) {
        wrong.add("attributes", format!("must be nested at most {MAX_DEPTH} levels deep"));
    }
    if stored_size(attributes) > MAX_ATTRIBUTES {
        wrong.add("attributes", format!("must be at most {MAX_ATTRIBUTES} bytes of JSON, with numbers written out"));
    }
    wrong.require(!holds_nul(attributes), "attributes", "must not contain NUL");
}

/// Which user names: from the first of these canonical forms to the second, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRange(String, String);

impl NameRange {
    /// Exactly the name with this canonical form.
    #[must_use]
    pub fn exact(canonical: String) -> Self {
        Self(canonical.clone(), canonical)
    }

    /// The names whose canonical form starts with this text.
    #[must_use]
    pub fn prefix(canonical: String) -> Self {
        // No name holds this character, and none sorts after it.
        let last = format!("{canonical}{}", char::MAX);
        Self(canonical, last)
    }

    /// The first and the last canonical form.
    #[must_use]
    pub fn bounds(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }

    fn holds(&self, canonical: &str) -> bool {
        self.0.as_str() <= canonical && canonical <= self.1.as_str()
    }
}

/// Which users to list. A user has to meet all that is set.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Those whose name is in this range.
    pub name: Option<NameRange>,
    /// The one that has this canonical email address.
    pub email: Option<String>,
    /// Only those with this role.
    pub role: Option<RoleId>,
    /// Only those that are disabled, or only those that are not.
    pub disabled: Option<bool>,
}

impl UserFilter {
    /// Whether somebody with these logins, as they were typed, is among those with such a name and address.
    #[must_use]
    pub fn accepts_logins(&self, logins: &[String]) -> bool {
        let logins: Vec<Login> = logins.iter().filter_map(|text| Login::parse(text).ok()).collect();
        let has = |kind: LoginKind, test: &dyn Fn(&str) -> bool| {
            logins.iter().any(|login| login.kind() == kind && test(login.canonical()))
        };
        self.name.as_ref().is_none_or(|range| has(LoginKind::Name, &|name| range.holds(name)))
            && self.email.as_deref().is_none_or(|email| has(LoginKind::Email, &|e| e == email))
    }
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
