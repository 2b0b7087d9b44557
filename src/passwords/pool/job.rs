//! The jobs for the hashing threads.

use tokio::{sync::oneshot, time::Instant};

use super::super::{HashError, PasswordVerdict, Phc, UnusableHash, phc::Stored};
use crate::secret::Password;

/// A password, what to do with it, and the channel for the answer.
pub(super) enum HashJob {
    Hash { password: Password, answer: oneshot::Sender<Result<Phc, HashError>> },
    Verify { password: Password, stored: Option<Phc>, answer: oneshot::Sender<Result<Verified, HashError>> },
}

/// The result of a check, and the earliest time to answer if the password was wrong.
pub(super) struct Verified {
    pub(super) verdict: PasswordVerdict,
    pub(super) not_before: Instant,
}

impl HashJob {
    /// Whether nobody is waiting for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => answer.is_closed(),
            Self::Verify { answer, .. } => answer.is_closed(),
        }
    }

    /// Parses the stored hash, if there is one.
    pub(super) fn stored(&self) -> Result<Option<Stored>, UnusableHash> {
        let Self::Verify { stored: Some(stored), .. } = self else { return Ok(None) };
        Stored::parse(stored.as_str()).map(Some).map_err(|_| UnusableHash::Corrupt)
    }

    /// Answers with an error. It does not matter if the caller is gone.
    pub(super) fn refuse(self, error: HashError) {
        match self {
            Self::Hash { answer, .. } => drop(answer.send(Err(error))),
            Self::Verify { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}
