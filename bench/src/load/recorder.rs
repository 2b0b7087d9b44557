//! Records the outcome of each request.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Outcome, Window};
use crate::stats::{Latencies, Measurement};

/// Why a request failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code, and the reason if any.
    pub(crate) label: String,
    /// Whether the request or its response was lost on the way.
    pub(crate) lost: bool,
}

/// Records outcomes in the counted part of a window.
#[derive(Debug)]
pub(super) struct Recorder {
    from: Instant,
    to: Instant,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    ok: Latencies,
    failed: BTreeMap<String, Latencies>,
    breaks: u64,
    unsent: u64,
}

impl Recorder {
    pub(super) fn new(began: Instant, window: Window) -> Self {
        let from = began + window.warmup;
        Self { from, to: from + window.measured, records: Mutex::default() }
    }

    /// The start and end of the counted part.
    pub(super) fn bounds(&self) -> (Instant, Instant) {
        (self.from, self.to)
    }

    /// Records the outcome of a request that was sent, or was due, at `at`. Returns whether its caller can
    /// continue. An outcome counts if `at` lies in the counted part; a broken chain always counts.
    pub(super) fn record(&self, outcome: Outcome, at: Instant, took: Duration) -> bool {
        let counts = at >= self.from && at < self.to;
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let (failure, go_on) = match outcome {
            Outcome::Answered => {
                if counts {
                    records.ok.add(took);
                }
                return true;
            }
            Outcome::Finished => return false,
            Outcome::Failed(failure) => (failure, true),
            Outcome::Broken(failure) => {
                records.breaks += 1;
                (failure, false)
            }
        };
        if counts {
            records.failed.entry(failure.label).or_default().add(took);
        }
        go_on
    }

    /// Counts a request that no caller was free to send.
    pub(super) fn record_unsent(&self, at: Instant) {
        if at >= self.from && at < self.to {
            self.records.lock().unwrap_or_else(PoisonError::into_inner).unsent += 1;
        }
    }

    /// Takes all records of a load that has ended.
    pub(super) fn take(&self, ended: Instant) -> Measurement {
        let records = std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        let seconds = ended.min(self.to).saturating_duration_since(self.from).as_secs_f64();
        let Records { ok, failed, breaks, unsent } = records;
        Measurement { seconds, ok, failed, breaks, unsent, ..Measurement::default() }
    }
}
