//! Figures of guesses, collected whenever `/metrics` is read.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Figures of attempts with passwords and codes so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guesses {
    /// Attempts that were wrong.
    pub failed: u64,
    /// Attempts that were refused, by the kind of count that refused them.
    pub refused: [(&'static str, u64); 12],
    /// How often an account reached the longest wait, and how often one was closed to attempts.
    pub throttled: [(&'static str, u64); 2],
    /// Counts in memory that currently refuse attempts.
    pub remembered: u64,
}

/// Reads the figures whenever `/metrics` is read.
pub(super) struct GuessesCollector(Box<dyn Fn() -> Guesses + Send + Sync>);

impl GuessesCollector {
    pub(super) fn new(read: impl Fn() -> Guesses + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for GuessesCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuessesCollector")
    }
}

/// Encodes counters that differ in one label.
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

impl Collector for GuessesCollector {
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
    fn the_current_figures_are_shown() {
        let mut metrics = Metrics::default();
        let kinds = [
            "account",
            "device",
            "devices",
            "address",
            "network",
            "site",
            "provider",
            "factor",
            "mail",
            "mail_site",
            "mail_provider",
            "inbox",
        ];
        let mut n = 1;
        let refused = kinds.map(|kind| {
            n += 1;
            (kind, n)
        });
        let figures = Guesses { failed: 1, refused, throttled: [("slowest", 7), ("closed", 8)], remembered: 9 };
        metrics.observe_guesses(move || figures);
        let text = metrics.text();
        for line in [
            "chancery_guesses_failed_total 1",
            "chancery_guesses_refused_total{counted_by=\"account\"} 2",
            "chancery_guesses_refused_total{counted_by=\"network\"} 6",
            "chancery_guesses_refused_total{counted_by=\"provider\"} 8",
            "chancery_accounts_throttled_total{state=\"slowest\"} 7",
            "chancery_accounts_throttled_total{state=\"closed\"} 8",
            "chancery_guesses_remembered 9",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
