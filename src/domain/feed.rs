//! The feed: the numbered log of changes that every process follows.

use std::{fmt, str::FromStr};

use super::status_list::StatusIndex;
use crate::time::Timestamp;

/// What kind of thing changed.
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
    /// A client was disabled: every token with its id is rejected until it is enabled again.
    ClientDisabled,
    /// A client was enabled again.
    ClientEnabled,
    /// A signing key was revoked.
    KeyRevoked,
    /// A user's status changed.
    User,
}

impl ChangeKind {
    const ALL: [Self; 9] = [
        Self::Keys,
        Self::Client,
        Self::Role,
        Self::Settings,
        Self::SessionRevoked,
        Self::ClientDisabled,
        Self::ClientEnabled,
        Self::KeyRevoked,
        Self::User,
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
        }
    }
}

impl FromStr for ChangeKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or_else(|| format!("unknown change {text:?}"))
    }
}

/// One change, before it has a number.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its kind.
    pub kind: ChangeKind,
    /// The id of what changed.
    pub subject: String,
    /// When it was made.
    pub at: Timestamp,
    /// When it may be forgotten.
    pub ends_at: Timestamp,
    /// Of a revoked session: where its bit stands.
    pub status: Option<StatusIndex>,
}

/// One change with its place in the feed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number.
    pub seq: i64,
    /// Its random tag, by which a restored database is noticed.
    pub tag: String,
    /// What changed.
    pub change: Change,
}

/// Where the feed stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Names this history; a new one means: forget everything and read again.
    pub epoch: String,
    /// The newest number.
    pub seq: i64,
    /// The tag of the newest entry.
    pub tag: String,
}

/// A place in the feed, as watchers keep it: opaque to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The history.
    pub epoch: String,
    /// The number of the last change that is known.
    pub seq: i64,
    /// Its tag.
    pub tag: String,
}

impl Cursor {
    /// The newest place.
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
