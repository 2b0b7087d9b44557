//! The values of a file's entries, and of what the database has: both in one form, so that they can be compared.

use std::collections::BTreeMap;

use crate::time::Ttl;

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Switch,
    Text,
    /// A length of time: seconds, or such as `5m`.
    Length,
    /// Texts.
    List,
    /// Texts by name.
    Table,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Switch(bool),
    Text(String),
    /// In seconds.
    Length(i64),
    List(Vec<String>),
    Table(BTreeMap<String, String>),
}

/// Values by the names of their keys.
pub(super) type Fields = BTreeMap<&'static str, Value>;

impl Value {
    /// Whether it says that there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Switch(on) => !on,
            Self::Text(text) => text.is_empty(),
            Self::Length(_) => false,
            Self::List(all) => all.is_empty(),
            Self::Table(all) => all.is_empty(),
        }
    }

    /// The value as people read it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Switch(on) => on.to_string(),
            _ if self.is_empty() => "(none)".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Length(seconds) => Ttl::from_secs(*seconds).in_units(),
            Self::List(all) => all.join(", "),
            Self::Table(all) => {
                let pairs = all.iter().map(|(name, value)| format!("{name} = {value}"));
                pairs.collect::<Vec<_>>().join(", ")
            }
        }
    }

    pub(super) const fn switch(&self) -> bool {
        matches!(self, Self::Switch(true))
    }

    pub(super) fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    pub(super) const fn seconds(&self) -> Option<i64> {
        if let Self::Length(seconds) = self { Some(*seconds) } else { None }
    }

    pub(super) fn list(&self) -> &[String] {
        if let Self::List(all) = self { all } else { &[] }
    }

    /// The pairs of a table as `NAME=TEXT`.
    pub(super) fn pairs(&self) -> Vec<String> {
        let Self::Table(all) = self else { return Vec::new() };
        all.iter().map(|(name, text)| format!("{name}={text}")).collect()
    }
}
