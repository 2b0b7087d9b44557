//! Metrics for operators. Imports nothing from the crate.

mod alerts;
mod certificates;
mod checks;
mod guesses;
mod guests;
mod hashing;
mod mails;
mod runtime;
mod token_sizes;

use std::{fmt, time::Duration};

pub use self::{
    alerts::{ALERTS, Alert},
    certificates::Certificate,
    checks::Checks,
    guesses::Guesses,
    guests::Guests,
    hashing::Hashing,
    mails::Mails,
    runtime::{KeyAge, Runtime},
    token_sizes::TokenSizes,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    method: &'static str,
    code: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

/// The metrics that `/metrics` shows.
pub struct Metrics {
    registry: Registry,
    rpcs: Family<RpcLabels, Counter>,
    seconds: Family<MethodLabel, Histogram>,
    ready: Gauge,
    under_way: Gauge,
    mails: Mails,
    checks: Checks,
}

/// Counts a call as in flight until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct CallUnderWay(Gauge);

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Upper bounds of the call duration histogram's buckets, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("chancery");
        let rpcs = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let (ready, under_way) = (Gauge::default(), Gauge::default());
        registry.register("rpcs", "Calls answered, by method, gRPC code and error reason", rpcs.clone());
        registry.register("rpc_seconds", "Seconds from the arrival of a call to its answer", seconds.clone());
        registry.register("ready", "Whether this process signs tokens (1) or not (0)", ready.clone());
        registry.register("calls_under_way", "Calls in flight", under_way.clone());
        let mails = Mails::register(&mut registry);
        let checks = Checks::register(&mut registry);
        Self { registry, rpcs, seconds, ready, under_way, mails, checks }
    }
}

impl Metrics {
    /// Registers the figures of password hashing; `read` provides them.
    pub fn observe_hashing(&mut self, read: impl Fn() -> Hashing + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(hashing::HashingCollector::new(read)));
    }

    /// Registers the figures of the listeners' certificates; `read` provides them.
    pub fn observe_certificates(&mut self, read: impl Fn() -> Vec<Certificate> + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(certificates::CertificatesCollector::new(read)));
    }

    /// Registers the figures of the process; `read` provides them.
    pub fn observe_runtime(&mut self, read: impl Fn() -> Runtime + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(runtime::RuntimeCollector::new(read)));
    }

    /// Registers the figures of guesses; `read` provides them.
    pub fn observe_guesses(&mut self, read: impl Fn() -> Guesses + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(guesses::GuessesCollector::new(read)));
    }

    /// Registers the figures of guests; `read` provides them.
    pub fn observe_guests(&mut self, read: impl Fn() -> Guests + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(guests::GuestsCollector::new(read)));
    }

    /// Registers the sizes of access tokens and the number of those refused for their size; `read` provides them.
    pub fn observe_token_sizes(&mut self, read: impl Fn() -> (Vec<TokenSizes>, u64) + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(token_sizes::TokenSizesCollector::new(read)));
    }

    /// Records a finished call and its duration. All labels are static, so that no caller can invent new ones.
    pub fn rpc(&self, method: &'static str, code: &'static str, reason: &'static str, took: Duration) {
        self.rpcs.get_or_create(&RpcLabels { method, code, reason }).inc();
        self.seconds.get_or_create(&MethodLabel { method }).observe(took.as_secs_f64());
    }

    /// Sets whether this process signs tokens.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Whether this process signs tokens and is not about to stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.get() == 1
    }

    /// The metrics of outgoing mails.
    #[must_use]
    pub fn mails(&self) -> &Mails {
        &self.mails
    }

    /// The metrics of checks.
    #[must_use]
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Counts a call as in flight, until the returned value is dropped.
    pub fn call(&self) -> CallUnderWay {
        self.under_way.inc();
        CallUnderWay(self.under_way.clone())
    }

    /// The number of calls in flight.
    #[must_use]
    pub fn calls_under_way(&self) -> i64 {
        self.under_way.get()
    }

    /// All metrics in the Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut out, &self.registry);
        out
    }
}
