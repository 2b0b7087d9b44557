//! The feed: a numbered log of changes that every process follows.

use std::{fmt, str::FromStr};

use super::status_list::StatusIndex;
use crate::time::Timestamp;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Signing keys.
    Keys,
    /// A client or an audience.
    Client,
    /// A role.
    Role,
    /// The shared settings.
    Settings,
    /// A session was revoked.
    SessionRevoked,
    /// A client was disabled. Every token with its id is rejected until the client is enabled again.
    ClientDisabled,
    /// A client was enabled again.
    ClientEnabled,
    /// A signing key was revoked.
    KeyRevoked,
    /// A user's status changed.
    User,
    /// Another version of the sealing key came into use, or one was dropped.
    SealingKey,
}

impl ChangeKind {
    const ALL: [Self; 10] = [
        Self::Keys,
        Self::Client,
        Self::Role,
        Self::Settings,
        Self::SessionRevoked,
        Self::ClientDisabled,
        Self::ClientEnabled,
        Self::KeyRevoked,
        Self::User,
        Self::SealingKey,
    ];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Client => "client",
            Self::Role => "role",
            Self::Settings => "settings",
            Self::SessionRevoked => "session_revoked",
            Self::ClientDisabled => "client_disabled",
            Self::ClientEnabled => "client_enabled",
            Self::KeyRevoked => "key_revoked",
            Self::User => "user",
            Self::SealingKey => "sealing_key",
        }
    }
}

impl FromStr for ChangeKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or_else(|| format!("unknown change {text:?}"))
    }
}

/// A change that has no number yet.
#[derive(Clone, Debug)]
pub struct Change {
    /// What changed.
    pub kind: ChangeKind,
    /// The id of what changed.
    pub subject: String,
    /// When it was made.
    pub at: Timestamp,
    /// When the entry may be deleted.
    pub ends_at: Timestamp,
    /// The position of a revoked session's bit in the status lists.
    pub status: Option<StatusIndex>,
}

/// A change at its place in the feed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The number.
    pub seq: i64,
    /// A random tag. It reveals that a database was restored from a backup.
    pub tag: String,
    /// What changed.
    pub change: Change,
}

/// The end of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The id of this history. When it changes, processes discard what they know and read everything again.
    pub epoch: String,
    /// The newest number.
    pub seq: i64,
    /// The tag of the newest entry.
    pub tag: String,
}

/// A position in the feed. Watchers keep it as an opaque text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The history.
    pub epoch: String,
    /// The number of the last change seen.
    pub seq: i64,
    /// The tag of that change.
    pub tag: String,
}

impl Cursor {
    /// The position at the end of the feed.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self { epoch: head.epoch.clone(), seq: head.seq, tag: head.tag.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.seq, self.tag)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.split('.');
            let (epoch, seq, tag) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
            let plain = |t: &str| t.len() <= 64 && t.bytes().all(|b| b.is_ascii_hexdigit());
            let good = parts.next().is_none() && plain(epoch) && plain(tag);
            good.then(|| Self { epoch: epoch.to_owned(), seq, tag: tag.to_owned() })
        };
        parse().ok_or("must be empty or the cursor of an earlier message")
    }
}
