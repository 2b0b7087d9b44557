//! The versions of the sealing key, as the database knows them.

use std::fmt;

use crate::time::Timestamp;

/// Tables with a column that is sealed, and that says under which version. Tickets are not among them: they stay with the
/// version that they were made with, and expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedTable {
    /// Signing keys.
    SigningKeys,
    /// Apps that show codes.
    TotpFactors,
    /// Outgoing mails.
    Mails,
}

impl SealedTable {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::SigningKeys, Self::TotpFactors, Self::Mails];
}

/// A version of the sealing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingVersion {
    /// Its number.
    pub version: i64,
    /// The value by which the key is recognised.
    pub check_value: Vec<u8>,
    /// When a process first held it.
    pub created_at: Timestamp,
    /// When it came into use.
    pub used_from: Option<Timestamp>,
    /// When the next version came into use.
    pub used_until: Option<Timestamp>,
    /// When it was dropped.
    pub dropped_at: Option<Timestamp>,
}

/// The state of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealingState {
    /// It was never used.
    Loaded,
    /// Everything is made with it.
    InUse,
    /// What was made with it is still read.
    VerifyOnly,
    /// Nothing is read with it.
    Dropped,
}

impl SealingState {
    /// The name, for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::InUse => "in use",
            Self::VerifyOnly => "verify only",
            Self::Dropped => "dropped",
        }
    }
}

/// What came of a call that brings a version into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Switched {
    /// This call did it.
    Done,
    /// The number was given back, and belongs to another key now.
    OtherKey,
    /// Another call came first, or the version is gone.
    Lost,
}

impl SealingVersion {
    /// Its state.
    #[must_use]
    pub const fn state(&self) -> SealingState {
        match (self.dropped_at, self.used_until, self.used_from) {
            (Some(_), ..) => SealingState::Dropped,
            (None, Some(_), _) => SealingState::VerifyOnly,
            (None, None, Some(_)) => SealingState::InUse,
            (None, None, None) => SealingState::Loaded,
        }
    }

    /// Since when it is in its state.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.dropped_at.or(self.used_until).or(self.used_from).unwrap_or(self.created_at)
    }
}

/// How many rows are sealed under a version, tickets excepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealedRows {
    /// Signing keys.
    pub signing_keys: i64,
    /// Secrets of apps that show codes.
    pub apps: i64,
    /// Outgoing mails.
    pub mails: i64,
}

impl SealedRows {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> i64 {
        self.signing_keys + self.apps + self.mails
    }
}

impl fmt::Display for SealedRows {
    /// Which there are, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signing_keys, apps, mails } = *self;
        let counts = [("signing keys", signing_keys), ("secrets of apps", apps), ("mails", mails)];
        let there = counts.iter().filter(|(_, count)| *count > 0);
        f.write_str(&there.map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", "))
    }
}

/// What depends on a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dependents {
    /// Rows that are sealed under it.
    pub rows: SealedRows,
    /// Tickets that are valid.
    pub tickets: i64,
    /// When the last of those expires.
    pub tickets_end: Option<Timestamp>,
    /// Sessions whose refresh token or cookie was made with it.
    pub sessions: i64,
    /// When the last session that was opened under it expires. One that was refreshed since is among them: whoever lost the
    /// answer still holds the token from before.
    pub sessions_end: Option<Timestamp>,
}
