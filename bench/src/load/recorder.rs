//! What is noted of each answer.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Outcome, Window};
use crate::stats::{Latencies, Measured};

/// Why a request did not succeed.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The code, and the reason if there is one.
    pub(crate) label: String,
    /// Whether the request or its answer was lost on the way.
    pub(crate) lost: bool,
}

/// Answers that end within the measured part of a window.
#[derive(Debug)]
pub(super) struct Recorder {
    from: Instant,
    to: Instant,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    ok: Latencies,
    refused: BTreeMap<String, Latencies>,
    breaks: u64,
    unsent: u64,
}

impl Recorder {
    pub(super) fn new(began: Instant, window: Window) -> Self {
        let from = began + window.warmup;
        Self { from, to: from + window.measured, noted: Mutex::default() }
    }

    /// The measured part.
    pub(super) fn bounds(&self) -> (Instant, Instant) {
        (self.from, self.to)
    }

    /// Notes an answer to a request that was sent, or should have been, at `since`. Says whether its
    /// caller may go on. An answer counts where `at` lies, but a broken chain counts whenever it breaks.
    pub(super) fn note(&self, outcome: Outcome, at: Instant, took: Duration) -> bool {
        let counts = at >= self.from && at < self.to;
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let (refusal, go_on) = match outcome {
            Outcome::Answered => {
                if counts {
                    noted.ok.add(took);
                }
                return true;
            }
            Outcome::Finished => return false,
            Outcome::Refused(refusal) => (refusal, true),
            Outcome::Broken(refusal) => {
                noted.breaks += 1;
                (refusal, false)
            }
        };
        if counts {
            noted.refused.entry(refusal.label).or_default().add(took);
        }
        go_on
    }

    /// Notes a request that nobody was free to send.
    pub(super) fn unsent(&self, at: Instant) {
        if at >= self.from && at < self.to {
            self.noted.lock().unwrap_or_else(PoisonError::into_inner).unsent += 1;
        }
    }

    /// All that was noted, of a load that ended no later than now.
    pub(super) fn measured(&self, ended: Instant) -> Measured {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        let seconds = ended.min(self.to).saturating_duration_since(self.from).as_secs_f64();
        let Noted { ok, refused, breaks, unsent } = noted;
        Measured { seconds, ok, refused, breaks, unsent, ..Measured::default() }
    }
}
