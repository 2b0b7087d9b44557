//! What a file may declare, as far as the database remembers it.

/// A kind of thing that a file declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeclaredKind {
    /// A client, by its id.
    Client,
    /// A role, by its name.
    Role,
    /// A setting, by its name.
    Setting,
}

impl DeclaredKind {
    const ALL: [Self; 3] = [Self::Client, Self::Role, Self::Setting];

    /// The name, in the database and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Role => "role",
            Self::Setting => "setting",
        }
    }

    /// The kind of this name; nothing for those of later releases.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something that an applied file has named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// What it is.
    pub kind: DeclaredKind,
    /// Its name.
    pub name: String,
    /// Whether it was pruned, because the file named it no more.
    pub pruned: bool,
}
