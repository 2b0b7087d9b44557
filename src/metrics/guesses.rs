//! What becomes of guesses, read whenever somebody asks.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Passwords and codes that were tried so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guesses {
    /// Those that were wrong.
    pub failed: u64,
    /// Those that were refused, by what they were counted by.
    pub refused: [(&'static str, u64); 6],
    /// Accounts whose guesses began to wait for the longest time, and those closed to guesses.
    pub throttled: [(&'static str, u64); 2],
    /// Counts in memory that say no.
    pub remembered: u64,
}

/// Reads the figures when `/metrics` is read.
pub(super) struct Collected(Box<dyn Fn() -> Guesses + Send + Sync>);

impl Collected {
    pub(super) fn new(read: impl Fn() -> Guesses + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

/// Shows counters that differ in one label.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    label: &str,
    values: &[(&'static str, u64)],
) -> fmt::Result {
    let mut all = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, n) in values {
        ConstCounter::new(*n).encode(all.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = (self.0)();
        let failed = encoder.encode_descriptor("guesses_failed", "Wrong passwords", None, MetricType::Counter)?;
        ConstCounter::new(now.failed).encode(failed)?;
        let refused = ("guesses_refused", "Attempts refused before their time, by the count that refused them");
        family(&mut encoder, refused, "counted_by", &now.refused)?;
        let throttled = (
            "accounts_throttled",
            "Accounts that reached the longest wait (slowest) or were closed to unknown devices (closed)",
        );
        family(&mut encoder, throttled, "state", &now.throttled)?;
        let help = "Counts in memory that refuse attempts";
        let remembered = encoder.encode_descriptor("guesses_remembered", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(now.remembered).unwrap_or(i64::MAX)).encode(remembered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_figures_are_shown_as_they_are_when_asked_for() {
        let mut metrics = Metrics::default();
        let refused = [("account", 2), ("device", 3), ("devices", 4), ("address", 5), ("network", 6), ("mail", 7)];
        let figures = Guesses { failed: 1, refused, throttled: [("slowest", 7), ("closed", 8)], remembered: 9 };
        metrics.observe_guesses(move || figures);
        let text = metrics.text();
        for line in [
            "chancery_guesses_failed_total 1",
            "chancery_guesses_refused_total{counted_by=\"account\"} 2",
            "chancery_guesses_refused_total{counted_by=\"network\"} 6",
            "chancery_accounts_throttled_total{state=\"slowest\"} 7",
            "chancery_accounts_throttled_total{state=\"closed\"} 8",
            "chancery_guesses_remembered 9",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
