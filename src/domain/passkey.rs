//! Passkeys, as they are stored.

use std::fmt;

use crate::{
    id::{FactorId, UserId},
    time::Timestamp,
};

/// The length of what authenticators call a user (P24).
pub const HANDLE: usize = 64;
/// How many passkeys a user may have. The lists that browsers get name them all.
pub const MAX_PASSKEYS: usize = 20;

/// What authenticators call a user: random bytes, which say nothing about the user.
pub type UserHandle = [u8; HANDLE];

/// What is known about a key that an authenticator keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// What the authenticator calls it: at most 1023 bytes.
    pub id: Vec<u8>,
    /// What stays as it was at the registration: the public key first of all.
    pub static_state: Vec<u8>,
    /// What each use may change: the counter of signatures and the state of the backup.
    pub dynamic_state: Vec<u8>,
    /// How browsers reach it, as names of `WebAuthn` with spaces in between.
    pub transports: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("transports", &self.transports).finish_non_exhaustive()
    }
}

/// A passkey of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The id.
    pub id: FactorId,
    /// Whose it is.
    pub user: UserId,
    /// What its user calls it.
    pub name: String,
    /// The host where it was made. It counts there alone.
    pub host: String,
    /// The key.
    pub credential: Credential,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used to sign in.
    pub last_used_at: Option<Timestamp>,
}

/// A use of a passkey that was checked: it counts only if nobody has used the passkey since it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct PasskeyUse {
    /// The passkey.
    pub id: FactorId,
    /// What the use was checked against.
    pub before: Vec<u8>,
    /// What it has changed that to.
    pub after: Vec<u8>,
}

impl fmt::Debug for PasskeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasskeyUse").field("id", &self.id).finish_non_exhaustive()
    }
}
