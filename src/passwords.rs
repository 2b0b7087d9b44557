//! Hashing passwords: Argon2id on threads of its own, in front of which a bounded queue refuses early.
//! Imports `secret`, `entropy`, `time`.

mod argon;
mod pool;

use std::{fmt, sync::Arc};

pub use self::{
    argon::{Params, Phc},
    pool::Passwords,
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
    #[error("the stored password hash is not acceptable")]
    Corrupt,
}

/// How passwords are hashed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Argon2id's parameters for new hashes.
    pub params: Params,
    /// Threads that hash.
    pub threads: usize,
    /// Most jobs that wait.
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { params: Params::default(), threads, queue: 64 }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

/// The randomness of salts.
type Salts = Arc<dyn Entropy>;
