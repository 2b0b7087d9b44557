//! Counters for operators. Imports nothing of the crate.

mod guesses;
mod hashing;
mod mails;

use std::{fmt, time::Duration};

pub use self::{guesses::Guesses, hashing::Hashing, mails::Mails};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rpc {
    method: &'static str,
    code: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

/// What `/metrics` shows.
pub struct Metrics {
    registry: Registry,
    rpcs: Family<Rpc, Counter>,
    seconds: Family<Method, Histogram>,
    ready: Gauge,
    under_way: Gauge,
    mails: Mails,
}

/// A call that is under way for as long as this lives.
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

/// Upper bounds of the histogram of call times, in seconds.
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
        Self { registry, rpcs, seconds, ready, under_way, mails }
    }
}

impl Metrics {
    /// Shows what becomes of passwords, as `read` tells it.
    pub fn observe_hashing(&mut self, read: impl Fn() -> Hashing + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(hashing::Collected::new(read)));
    }

    /// Shows what becomes of guesses, as `read` tells it.
    pub fn observe_guesses(&mut self, read: impl Fn() -> Guesses + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(guesses::Collected::new(read)));
    }

    /// Counts a call and the time it took. The names are fixed texts, so that no caller can make up more.
    pub fn rpc(&self, method: &'static str, code: &'static str, reason: &'static str, took: Duration) {
        self.rpcs.get_or_create(&Rpc { method, code, reason }).inc();
        self.seconds.get_or_create(&Method { method }).observe(took.as_secs_f64());
    }

    /// Notes whether this process signs.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Whether this process signs, and goes on to.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.get() == 1
    }

    /// What becomes of mails.
    #[must_use]
    pub fn mails(&self) -> &Mails {
        &self.mails
    }

    /// Notes that a call is under way.
    pub fn call(&self) -> CallUnderWay {
        self.under_way.inc();
        CallUnderWay(self.under_way.clone())
    }

    /// How many calls have no answer yet.
    #[must_use]
    pub fn calls_under_way(&self) -> i64 {
        self.under_way.get()
    }

    /// The text that a Prometheus server reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut out, &self.registry);
        out
    }
}
