//! Figures of password hashing, collected whenever `/metrics` is read.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Figures of password hashing so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashing {
    /// Passwords in the queue.
    pub waiting: u64,
    /// Memory in use, in bytes.
    pub memory_bytes: u64,
    /// Passwords hashed or verified.
    pub hashed: u64,
    /// Seconds spent hashing, summed over all threads.
    pub seconds: f64,
    /// Passwords whose stored hash could not be checked.
    pub unusable: u64,
    /// Passwords refused, by cause.
    pub refused: [(&'static str, u64); 4],
}

/// Reads the figures whenever `/metrics` is read.
pub(super) struct HashingCollector(Box<dyn Fn() -> Hashing + Send + Sync>);

impl HashingCollector {
    pub(super) fn new(read: impl Fn() -> Hashing + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for HashingCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashingCollector")
    }
}

fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    metric: impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, kind)?)
}

impl Collector for HashingCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = (self.0)();
        let (gauge, counter, all) = (MetricType::Gauge, MetricType::Counter, &mut encoder);
        let gauge_of = |n: u64| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
        show(all, "hashing_waiting", "Passwords waiting to be hashed", gauge, gauge_of(now.waiting))?;
        let memory = gauge_of(now.memory_bytes);
        show(all, "hashing_memory_bytes", "Memory in use for hashing", gauge, memory)?;
        let seconds = ConstCounter::new(now.seconds);
        show(all, "hashing_seconds", "Time spent on hashing, in all threads together", counter, seconds)?;
        let hashed = ConstCounter::new(now.hashed);
        show(all, "hashing_passwords", "Passwords hashed or checked", counter, hashed)?;
        let unusable = ConstCounter::new(now.unusable);
        let help = "Sign-ins answered like wrong passwords because the stored hash cannot be checked";
        show(all, "hashing_unusable_hashes", help, counter, unusable)?;
        let help = "Passwords refused, by cause";
        let mut refused = all.encode_descriptor("hashing_refused", help, None, counter)?;
        for (cause, n) in now.refused {
            ConstCounter::new(n).encode(refused.encode_family(&[("cause", cause)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_current_figures_are_shown() {
        let mut metrics = Metrics::default();
        let refused = [("queue_full", 5), ("account_waiting", 6), ("deadline", 7), ("evicted", 8)];
        let figures = Hashing { waiting: 1, memory_bytes: 2, hashed: 3, seconds: 4.5, unusable: 9, refused };
        metrics.observe_hashing(move || figures);
        let text = metrics.text();
        for line in [
            "chancery_hashing_waiting 1",
            "chancery_hashing_memory_bytes 2",
            "chancery_hashing_passwords_total 3",
            "chancery_hashing_seconds_total 4.5",
            "chancery_hashing_unusable_hashes_total 9",
            "chancery_hashing_refused_total{cause=\"queue_full\"} 5",
            "chancery_hashing_refused_total{cause=\"account_waiting\"} 6",
            "chancery_hashing_refused_total{cause=\"deadline\"} 7",
            "chancery_hashing_refused_total{cause=\"evicted\"} 8",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
