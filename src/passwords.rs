//! Hashing passwords: Argon2id on threads of its own, in front of which a bounded queue refuses early. Hashes
//! that other systems made are checked too, and replaced.
//! Imports `secret`, `entropy`, `time`.

mod applicant;
mod argon;
mod foreign;
mod memory;
mod pace;
mod phc;
mod pool;
mod priority;
mod queue;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    applicant::{Account, Applicant, Prefix},
    argon::Params,
    phc::{Phc, PhcProblem},
    pool::{Passwords, Slot},
};
use crate::{entropy::Entropy, time::Ttl};

/// What became of a check.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// The password is right; a new hash if the stored one is of older parameters.
    Right {
        /// To be stored in place of the old one.
        rehash: Option<Phc>,
    },
    /// It is wrong, or there was nothing to check it against.
    Wrong,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Too much is waiting.
    #[error("too many passwords are waiting to be hashed")]
    Busy {
        /// When there should be room.
        after: Ttl,
    },
    /// The caller's deadline passed first.
    #[error("the deadline passed before the password was hashed")]
    Gone,
    /// The stored hash cannot be read, or asks for more work than is allowed.
    #[error("the stored password hash is invalid")]
    Corrupt,
    /// The stored hash asks for more memory than all threads may use together.
    #[error("the stored password hash needs {needs_mib} MiB, but hashing_memory_mib is {has_mib}; raise it")]
    Memory {
        /// What it asks for.
        needs_mib: u64,
        /// What there is.
        has_mib: u64,
    },
}

/// How passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Argon2id's parameters for new hashes.
    pub params: Params,
    /// Threads that hash.
    pub threads: usize,
    /// Most sign-ins that wait.
    pub queue: usize,
    /// Most memory that all threads use together, in KiB; never less than they need for new hashes.
    pub memory_kib: u64,
}

/// What became of the passwords so far, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Passwords that wait.
    pub waiting: usize,
    /// Memory in use, in KiB.
    pub memory_kib: u64,
    /// Passwords hashed or checked.
    pub hashed: u64,
    /// The time that took, in all threads together.
    pub took: Duration,
    /// The hashes that were made for them.
    pub made: Made,
    /// Refused because the queue was full.
    pub queue_full: u64,
    /// Refused because the account had one waiting.
    pub account_waiting: u64,
    /// Refused, or dropped when the turn came, because it would have been too late.
    pub deadline: u64,
    /// Sent away for somebody whose prefix had fewer waiting.
    pub evicted: u64,
}

/// Hashes that were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// With today's parameters.
    pub current: u64,
    /// As another system makes them, or with other parameters, to compare.
    pub other: u64,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

/// The randomness of salts, and of how long refused callers stay away.
type Salts = Arc<dyn Entropy>;
