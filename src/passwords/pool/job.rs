//! What the threads are given to do.

use tokio::{sync::oneshot, time::Instant};

use super::super::{HashError, Phc, Verdict, phc::Stored};
use crate::secret::Password;

/// A password, what is to be done with it, and where the answer goes.
pub(super) enum Work {
    Hash { password: Password, answer: oneshot::Sender<Result<Phc, HashError>> },
    Verify { password: Password, stored: Option<Phc>, answer: oneshot::Sender<Result<Checked, HashError>> },
}

/// What became of a check, and when somebody whose password was wrong may hear of it.
pub(super) struct Checked {
    pub(super) verdict: Verdict,
    pub(super) not_before: Instant,
}

impl Work {
    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => answer.is_closed(),
            Self::Verify { answer, .. } => answer.is_closed(),
        }
    }

    /// Reads the stored hash, if there is one.
    pub(super) fn stored(&self) -> Result<Option<Stored>, HashError> {
        let Self::Verify { stored: Some(stored), .. } = self else { return Ok(None) };
        Stored::parse(stored.as_str()).map(Some).map_err(|_| HashError::Corrupt)
    }

    /// Answers without a verdict. A caller that went away is not missed.
    pub(super) fn refuse(self, error: HashError) {
        match self {
            Self::Hash { answer, .. } => drop(answer.send(Err(error))),
            Self::Verify { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}
