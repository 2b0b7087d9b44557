//! Metrics of the guessing limits, and of guests.

use crate::{
    metrics::{Guesses, Guests, Metrics},
    service::{Limits, Service},
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

/// Registers the metrics of guests.
pub(super) fn observe_guests(metrics: &mut Metrics, service: &Service) {
    let sign_ins = service.sign_ins.clone();
    metrics.observe_guests(move || {
        let figures = sign_ins.guest_figures();
        Guests { started: figures.started, joined: figures.joined, refused: figures.refused }
    });
}
