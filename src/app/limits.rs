//! Metrics of the guessing limits.

use crate::{
    metrics::{Guesses, Metrics},
    service::Limits,
};

/// Registers the metrics of the guessing limits.
pub(super) fn observe(metrics: &mut Metrics, limits: &Limits) {
    let limits = limits.clone();
    metrics.observe_guesses(move || {
        let figures = limits.figures();
        Guesses {
            failed: figures.failures,
            refused: figures.refused.map(|(kind, n)| (kind.as_str(), n)),
            throttled: [("slowest", figures.max_delay), ("closed", figures.closed)],
            remembered: figures.cached,
        }
    });
}
