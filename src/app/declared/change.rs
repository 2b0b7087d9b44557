//! A change that makes the database what a file wants, as people read it.

use std::fmt;

use super::{
    keys::Kind,
    value::{Fields, Value},
};
use crate::{
    domain::declared::{Declared, DeclaredKind},
    service::ToRemember,
};

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldChange {
    pub(super) name: &'static str,
    pub(super) from: Value,
    pub(super) to: Value,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Setting {
        name: String,
        from: String,
        to: String,
        pruned: bool,
    },
    NewAudience {
        name: String,
    },
    NewRole {
        name: String,
        fields: Fields,
    },
    Role {
        name: String,
        changed: Vec<FieldChange>,
    },
    /// Disables a client that the file names no more, and gives its site up.
    PruneClient {
        id: String,
        has_site: bool,
    },
    Client {
        id: String,
        changed: Vec<FieldChange>,
        disabled: Option<bool>,
        secret_file: Option<String>,
    },
    NewClient {
        id: String,
        fields: Fields,
        disabled: bool,
        secret_file: Option<String>,
    },
    Owner {
        audience: String,
        from: Option<String>,
        to: Option<String>,
    },
    NewUser {
        name: String,
        roles: Vec<String>,
        has_password: bool,
    },
    UserRole {
        user: String,
        role: String,
    },
    PruneRole {
        name: String,
    },
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) changes: Vec<Change>,
    /// What the operator should know besides.
    pub(super) notes: Vec<String>,
    pub(super) remember: ToRemember,
}

impl Plan {
    /// Whether the database is what the file wants.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many changes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.changes.len()
    }

    /// Every change, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.changes
            .iter()
            .flat_map(|change| change.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// What the operator should know besides.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is noted with a change: that the file names what it is about, unless that is noted already.
    pub(super) fn declared_with(&self, change: &Change) -> Option<Declared> {
        let (kind, name) = change.named()?;
        self.remember.declared.iter().find(|noted| noted.kind == kind && noted.name == name).cloned()
    }

    /// How much there is to do.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |sign: char| self.changes.iter().filter(|change| change.sign() == sign).count();
        let parts = [('+', "to add"), ('~', "to change"), ('-', "to remove")].map(|(sign, what)| (count(sign), what));
        let said: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if said.is_empty() { "nothing differs".to_owned() } else { said.join(", ") }
    }
}

impl Change {
    const fn sign(&self) -> char {
        match self {
            Self::NewAudience { .. } | Self::NewRole { .. } | Self::NewClient { .. } | Self::NewUser { .. } => '+',
            Self::PruneClient { .. } | Self::PruneRole { .. } => '-',
            _ => '~',
        }
    }

    /// What it is about.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Setting { name, .. } => format!("setting {name}"),
            Self::NewAudience { name } | Self::Owner { audience: name, .. } => format!("audience {name}"),
            Self::NewRole { name, .. } | Self::Role { name, .. } | Self::PruneRole { name } => format!("role {name}"),
            Self::PruneClient { id, .. } | Self::Client { id, .. } | Self::NewClient { id, .. } => {
                format!("client {id}")
            }
            Self::NewUser { name, .. } | Self::UserRole { user: name, .. } => format!("user {name}"),
        }
    }

    /// What it says of its subject, one text for each line.
    fn details(&self) -> Vec<String> {
        let shown = |owner: &Option<String>| owner.clone().unwrap_or_else(|| "(none)".to_owned());
        match self {
            Self::Setting { from, to, pruned, .. } => {
                let why = if *pruned { " (its default; the file names it no more)" } else { "" };
                vec![format!("{from} → {to}{why}")]
            }
            Self::NewAudience { .. } => Vec::new(),
            Self::NewRole { fields, .. } => said(Kind::Role, fields),
            Self::Role { changed, .. } => changed.iter().map(FieldChange::to_string).collect(),
            Self::PruneClient { has_site, .. } => {
                let site = if *has_site { ", and gives its site up" } else { "" };
                vec![format!("is disabled{site}: the file names it no more")]
            }
            Self::Client { changed, disabled, secret_file, .. } => {
                let mut all: Vec<_> = changed.iter().map(FieldChange::to_string).collect();
                all.extend(disabled.map(|disabled| format!("disabled: {} → {disabled}", !disabled)));
                let until = "the one before counts for another day";
                all.extend(secret_file.as_ref().map(|file| format!("secret: changed (from {file}; {until})")));
                all
            }
            Self::NewClient { fields, disabled, secret_file, .. } => {
                let mut all = said(Kind::Client, fields);
                all.extend(disabled.then(|| "disabled: true".to_owned()));
                all.extend(secret_file.as_ref().map(|file| format!("secret: set (from {file})")));
                all
            }
            Self::Owner { from, to, .. } => vec![format!("served by: {} → {}", shown(from), shown(to))],
            Self::NewUser { roles, has_password, .. } => {
                let mut all = Vec::new();
                if !roles.is_empty() {
                    all.push(format!("roles: {}", roles.join(", ")));
                }
                all.extend(has_password.then(|| "password: set (from its file)".to_owned()));
                all
            }
            Self::UserRole { role, .. } => vec![format!("roles: + {role}")],
            Self::PruneRole { .. } => vec!["is deleted: the file names it no more".to_owned()],
        }
    }

    /// What it makes or changes that files name.
    pub(super) fn named(&self) -> Option<(DeclaredKind, &str)> {
        match self {
            Self::Setting { name, pruned: false, .. } => Some((DeclaredKind::Setting, name)),
            Self::NewRole { name, .. } | Self::Role { name, .. } => Some((DeclaredKind::Role, name)),
            Self::NewClient { id, .. } | Self::Client { id, .. } => Some((DeclaredKind::Client, id)),
            _ => None,
        }
    }

    /// Whether it gives a client a secret from a file.
    pub(super) const fn sets_secret(&self) -> bool {
        matches!(self, Self::NewClient { secret_file: Some(_), .. } | Self::Client { secret_file: Some(_), .. })
    }

    /// What a new confidential client lacks, if it lacks it.
    pub(super) fn lacks_secret(&self) -> Option<&str> {
        match self {
            Self::NewClient { id, fields, secret_file: None, .. }
                if !fields.get("public").is_some_and(Value::switch) =>
            {
                Some(id)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Change {
    /// One line for each detail; a new thing has one of its own before them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, subject, details) = (self.sign(), self.subject(), self.details());
        if sign == '+' || details.is_empty() {
            writeln!(f, "{sign} {subject}")?;
        }
        details.iter().try_for_each(|detail| writeln!(f, "{sign} {subject}: {detail}"))
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.name, self.from.shown(), self.to.shown())
    }
}

/// What is said of something new: whatever is not empty.
fn said(kind: Kind, fields: &Fields) -> Vec<String> {
    let all = kind.keys().iter().filter_map(|key| fields.get(key.name).map(|value| (key.name, value)));
    all.filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {}", value.shown())).collect()
}
