//! Statistics.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::machine::Usage;

/// The longest latency that is recorded exactly, in microseconds.
const LONGEST: u64 = 120_000_000;

/// Converts a count to a float.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn float(n: u64) -> f64 {
    n as f64
}

/// Converts a size to a float.
pub(crate) fn size(n: usize) -> f64 {
    float(u64::try_from(n).unwrap_or(u64::MAX))
}

/// The latencies of a set of requests.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    #[expect(clippy::expect_used, reason = "the bounds are constant and valid")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds"))
    }
}

impl Latencies {
    /// Adds a latency.
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST).max(1));
    }

    /// The number of latencies.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency at this percentile, in milliseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        float(self.0.value_at_percentile(percent)) / 1000.0
    }

    /// A summary of the latencies.
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

/// Summary statistics of latencies.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

/// The result of one measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measurement {
    /// Its duration.
    pub(crate) seconds: f64,
    /// Latencies of the successful requests.
    pub(crate) ok: Latencies,
    /// Latencies of the failed requests, by code and reason.
    pub(crate) failed: BTreeMap<String, Latencies>,
    /// Chains that broke because a refresh failed.
    pub(crate) breaks: u64,
    /// Requests that could not be sent when they were due, for lack of a free caller.
    pub(crate) unsent: u64,
    /// The server's resource use.
    pub(crate) server: Usage,
    /// The load generator's processor time.
    pub(crate) generator_cpu_ms: u64,
    /// Processor time of everything else on the machine, such as a database server or unrelated processes.
    pub(crate) others_cpu_ms: u64,
}

impl Measurement {
    /// Returns `self` with the resource use of `other`.
    pub(crate) fn with_usage_of(self, other: &Self) -> Self {
        let Self { server, generator_cpu_ms, others_cpu_ms, .. } = *other;
        Self { server, generator_cpu_ms, others_cpu_ms, ..self }
    }

    /// Successful requests per second.
    pub(crate) fn rate(&self) -> f64 {
        float(self.ok.count()) / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// A one-line summary, printed below a row of the table.
    pub(crate) fn line(&self) -> String {
        let Summary { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = self.ok.summary();
        let share = |ms: u64| float(ms) / 10.0 / self.seconds.max(f64::MIN_POSITIVE);
        format!(
            "ms: p50 {p50_ms:.2}, p90 {p90_ms:.2}, p99 {p99_ms:.2}, p99.9 {p999_ms:.2}, max {max_ms:.2}; server: {:.0} us of CPU \
             per request, {:.0} % of a core, {} MiB; generator: {:.0} %, all others: {:.0} %",
            self.server_us(),
            share(self.server.cpu_ms),
            self.server.rss_kib / 1024,
            share(self.generator_cpu_ms),
            share(self.others_cpu_ms)
        )
    }

    /// Latencies of the requests that failed with this code.
    pub(crate) fn failed_with(&self, code: &str) -> Latencies {
        let mut all = Latencies::default();
        for (_, some) in self.failed.iter().filter(|(label, _)| label.split(' ').next() == Some(code)) {
            // Both histograms have the same bounds.
            let _ = all.0.add(&some.0);
        }
        all
    }

    /// The server's processor time per successful request, in microseconds.
    pub(crate) fn server_us(&self) -> f64 {
        float(self.server.cpu_ms) * 1000.0 / float(self.ok.count().max(1))
    }

    /// All details, for the JSON.
    pub(crate) fn detail(&self) -> serde_json::Value {
        let failed: BTreeMap<_, _> = self.failed.iter().map(|(label, some)| (label, some.summary())).collect();
        serde_json::json!({
            "seconds": self.seconds, "rate": self.rate(), "latency": self.ok.summary(), "refused": failed,
            "chain_breaks": self.breaks, "unsent": self.unsent, "server": self.server,
            "server_cpu_us_per_request": self.server_us(), "generator_cpu_ms": self.generator_cpu_ms,
            "others_cpu_ms": self.others_cpu_ms,
        })
    }
}

/// The median; for an even count the mean of the two middle values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(sorted.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// The minimum and the maximum.
pub(crate) fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    values.iter().copied().max_by(f64::total_cmp).map(|greatest| (least, greatest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_do_not_depend_on_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((1.0, 3.0)));
    }

    #[test]
    fn percentiles_are_in_milliseconds_and_failures_are_grouped_by_code() {
        let mut measured = Measurement { seconds: 2.0, ..Measurement::default() };
        for ms in 1..=100 {
            measured.ok.add(Duration::from_millis(ms));
        }
        assert!((measured.ok.percentile(99.0) - 99.0).abs() < 0.1);
        assert!((measured.rate() - 50.0).abs() < 1e-9);
        for label in ["UNAVAILABLE A", "UNAVAILABLE B", "UNKNOWN"] {
            measured.failed.entry(label.to_owned()).or_default().add(Duration::from_millis(5));
        }
        assert_eq!(measured.failed_with("UNAVAILABLE").count(), 2);
    }
}
