//! Figures of guests, collected whenever `/metrics` is read.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

/// Figures of guests so far.
#[derive(Clone, Debug, Default)]
pub struct Guests {
    /// Sessions of guests opened.
    pub started: u64,
    /// Guests who have signed in.
    pub joined: u64,
    /// New guests refused, by the limit that refused them.
    pub refused: Vec<(&'static str, u64)>,
}

/// Reads the figures whenever `/metrics` is read.
pub(super) struct GuestsCollector(Box<dyn Fn() -> Guests + Send + Sync>);

impl GuestsCollector {
    pub(super) fn new(read: impl Fn() -> Guests + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for GuestsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestsCollector")
    }
}

impl Collector for GuestsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = (self.0)();
        let one = [
            ("guests_started", "Sessions of guests opened", now.started),
            ("guests_joined", "Guests who have signed in", now.joined),
        ];
        for (name, help, n) in one {
            ConstCounter::new(n).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let help = "New guests refused, by the limit that refused them";
        let mut all = encoder.encode_descriptor("guests_refused", help, None, MetricType::Counter)?;
        for (by, n) in now.refused {
            ConstCounter::new(n).encode(all.encode_family(&[("counted_by", by)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_current_figures_of_guests_are_shown() {
        let mut metrics = Metrics::default();
        let figures = Guests { started: 3, joined: 2, refused: vec![("guests_address", 5), ("guests", 1)] };
        metrics.observe_guests(move || figures.clone());
        let text = metrics.text();
        for line in [
            "chancery_guests_started_total 3",
            "chancery_guests_joined_total 2",
            "chancery_guests_refused_total{counted_by=\"guests_address\"} 5",
            "chancery_guests_refused_total{counted_by=\"guests\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
