//! Numbers about numbers.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::machine::Usage;

/// Longest latency that is told apart, in microseconds.
const LONGEST: u64 = 120_000_000;

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn float(n: u64) -> f64 {
    n as f64
}

/// A number of things as a number to divide by.
pub(crate) fn size(n: usize) -> f64 {
    float(u64::try_from(n).unwrap_or(u64::MAX))
}

/// How long each of some requests took.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    #[expect(clippy::expect_used, reason = "the bounds are constant and right")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds"))
    }
}

impl Latencies {
    /// Adds one.
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST).max(1));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What this share of them did not exceed, in milliseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        float(self.0.value_at_percentile(percent)) / 1000.0
    }

    /// What is told of them.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            count: self.count(),
            p50_ms: self.percentile(50.0),
            p90_ms: self.percentile(90.0),
            p99_ms: self.percentile(99.0),
            p999_ms: self.percentile(99.9),
            max_ms: self.percentile(100.0),
        }
    }
}

/// Latencies in a few numbers.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

/// What came of one measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// How long it was.
    pub(crate) seconds: f64,
    /// The requests that succeeded.
    pub(crate) ok: Latencies,
    /// The others, by code and reason.
    pub(crate) refused: BTreeMap<String, Latencies>,
    /// Chains whose own refresh was refused.
    pub(crate) breaks: u64,
    /// Requests that could not be sent in time, for want of somebody to send them.
    pub(crate) unsent: u64,
    /// What the server used meanwhile.
    pub(crate) server: Usage,
    /// What the generator used meanwhile.
    pub(crate) generator_cpu_ms: u64,
    /// What everything else on the machine used meanwhile: a database server, or a neighbour who disturbs.
    pub(crate) others_cpu_ms: u64,
}

impl Measured {
    /// This, with what was used as `other` has it.
    pub(crate) fn using(self, other: &Self) -> Self {
        let Self { server, generator_cpu_ms, others_cpu_ms, .. } = *other;
        Self { server, generator_cpu_ms, others_cpu_ms, ..self }
    }

    /// Successes a second.
    pub(crate) fn rate(&self) -> f64 {
        float(self.ok.count()) / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// What is told of it below a line of the table.
    pub(crate) fn line(&self) -> String {
        let Summary { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = self.ok.summary();
        let share = |ms: u64| float(ms) / 10.0 / self.seconds.max(f64::MIN_POSITIVE);
        format!(
            "ms: p50 {p50_ms:.2}, p90 {p90_ms:.2}, p99 {p99_ms:.2}, p99.9 {p999_ms:.2}, max {max_ms:.2}; server: {:.0} us \
             of processor a request, {:.0} % of a core, {} MiB; generator: {:.0} %, all others: {:.0} %",
            self.server_us(),
            share(self.server.cpu_ms),
            self.server.rss_kib / 1024,
            share(self.generator_cpu_ms),
            share(self.others_cpu_ms)
        )
    }

    /// Those refused with this code.
    pub(crate) fn refused_with(&self, code: &str) -> Latencies {
        let mut all = Latencies::default();
        for (_, some) in self.refused.iter().filter(|(label, _)| label.split(' ').next() == Some(code)) {
            // The bounds are equal.
            let _ = all.0.add(&some.0);
        }
        all
    }

    /// The server's processor time for one success, in microseconds.
    pub(crate) fn server_us(&self) -> f64 {
        float(self.server.cpu_ms) * 1000.0 / float(self.ok.count().max(1))
    }

    /// Everything, for the JSON.
    pub(crate) fn detail(&self) -> serde_json::Value {
        let refused: BTreeMap<_, _> = self.refused.iter().map(|(label, some)| (label, some.summary())).collect();
        serde_json::json!({
            "seconds": self.seconds, "rate": self.rate(), "latency": self.ok.summary(), "refused": refused,
            "chain_breaks": self.breaks, "unsent": self.unsent, "server": self.server,
            "server_cpu_us_per_request": self.server_us(), "generator_cpu_ms": self.generator_cpu_ms,
            "others_cpu_ms": self.others_cpu_ms,
        })
    }
}

/// The middle one; of an even number the mean of the two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(sorted.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// The least and the greatest.
pub(crate) fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    values.iter().copied().max_by(f64::total_cmp).map(|greatest| (least, greatest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_stand_in_any_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((1.0, 3.0)));
    }

    #[test]
    fn percentiles_are_told_in_milliseconds_and_refusals_by_code() {
        let mut measured = Measured { seconds: 2.0, ..Measured::default() };
        for ms in 1..=100 {
            measured.ok.add(Duration::from_millis(ms));
        }
        assert!((measured.ok.percentile(99.0) - 99.0).abs() < 0.1);
        assert!((measured.rate() - 50.0).abs() < 1e-9);
        for label in ["UNAVAILABLE A", "UNAVAILABLE B", "UNKNOWN"] {
            measured.refused.entry(label.to_owned()).or_default().add(Duration::from_millis(5));
        }
        assert_eq!(measured.refused_with("UNAVAILABLE").count(), 2);
    }
}
