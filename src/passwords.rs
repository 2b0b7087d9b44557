//! Password hashing: Argon2id on dedicated threads, behind a bounded queue that sheds load early. Hashes made by
//! other systems are verified as well, and replaced.
//! Imports `secret`, `entropy` and `time`.

mod applicant;
mod argon;
mod cost;
mod foreign;
mod memory;
mod pace;
mod padding;
mod params;
mod phc;
mod pool;
mod priority;
mod queue;
mod turns;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    applicant::{Account, Applicant, Level, Prefix},
    cost::HashCost,
    params::Params,
    phc::{OutOfRange, Phc, PhcProblem},
    pool::{Passwords, Slot},
    turns::Turn,
};
use crate::{entropy::Entropy, time::Ttl};

/// The result of checking a password.
#[derive(Debug)]
#[must_use]
pub enum PasswordVerdict {
    /// The password is right.
    Right {
        /// A new hash to store, if the old one does not have the current parameters.
        rehash: Option<Phc>,
    },
    /// The password is wrong, or there was no hash to check it against.
    Wrong,
    /// The stored hash cannot be checked here. To be answered like a wrong password, at the same cost: any other answer
    /// would tell that the account exists.
    Unusable(UnusableHash),
}

/// Why a stored hash cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableHash {
    /// It cannot be parsed, or its cost is above the limits.
    #[error("the stored password hash is invalid")]
    Corrupt,
    /// It needs more memory than all threads may use together.
    #[error(
        "the password hash needs {needs_mib} MiB, but hashing_memory_mib is {has_mib}; set it to at least {needs_mib}"
    )]
    Memory {
        /// What it needs.
        needs_mib: u64,
        /// What is available.
        has_mib: u64,
    },
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The queue is full; the request was shed.
    #[error("too many passwords are waiting to be hashed")]
    Busy {
        /// How long to wait before retrying.
        after: Ttl,
    },
    /// Other sign-ins at the account have not been answered yet.
    #[error("other sign-ins at the account are in progress")]
    AccountBusy {
        /// How long to wait before retrying.
        after: Ttl,
    },
    /// The caller's deadline passed.
    #[error("the deadline passed before the password was hashed")]
    Gone,
    /// A hash cannot be computed with these parameters.
    #[error("the parameters of a password hash are invalid")]
    Corrupt,
}

/// The configuration of password hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The Argon2id parameters for new hashes.
    pub params: Params,
    /// The number of hashing threads.
    pub threads: usize,
    /// Maximum number of sign-ins in the queue.
    pub queue: usize,
    /// Memory limit for all threads together, in KiB. It is raised to what they need for new hashes.
    pub memory_kib: u64,
}

/// Figures of password hashing so far, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Passwords in the queue.
    pub waiting: usize,
    /// Memory in use, in KiB.
    pub memory_kib: u64,
    /// Passwords hashed or verified.
    pub hashed: u64,
    /// Time spent hashing, summed over all threads.
    pub took: Duration,
    /// The hashes computed for them.
    pub made: Made,
    /// Refused because the queue was full.
    pub queue_full: u64,
    /// Refused because others at the same account had not been answered.
    pub account_waiting: u64,
    /// Refused, or dropped at its turn, because of the deadline.
    pub deadline: u64,
    /// Answered like wrong passwords because the stored hash cannot be checked.
    pub unusable: u64,
    /// Evicted in favour of a network with fewer in the queue.
    pub evicted: u64,
}

/// Numbers of hashes computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// With the current parameters.
    pub current: u64,
    /// With another algorithm or other parameters, to check a stored hash.
    pub other: u64,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

/// Randomness for salts, and for the jitter of retries.
type Salts = Arc<dyn Entropy>;
