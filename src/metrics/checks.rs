//! Metrics of the checks for applications behind a proxy.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Counts checks by outcome.
#[derive(Clone, Debug)]
pub struct Checks(Family<OutcomeLabel, Counter>);

impl Checks {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let outcomes = Family::default();
        registry.register("checks", "Requests to applications that were checked, by outcome", outcomes.clone());
        Self(outcomes)
    }

    /// Counts a check.
    pub fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
