//! Figures of the process and of what it stands on, collected whenever `/metrics` is read.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// Figures of a process.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    /// The schema that this binary reads and writes.
    pub schema: i64,
    /// Connections to the database: those that are open, those that are in use, and as many as there may be.
    pub connections: [(&'static str, u64); 3],
    /// Requests that wait to be written.
    pub writes_waiting: u64,
    /// Open streams of revocations and keys.
    pub watchers: u64,
    /// How long ago this process confirmed that it has seen every change, in seconds.
    pub feed_age: f64,
    /// The key that signs with each algorithm.
    pub keys: Vec<KeyAge>,
}

/// How old a signing key is.
#[derive(Clone, Copy, Debug)]
pub struct KeyAge {
    /// Its algorithm.
    pub algorithm: &'static str,
    /// How long it has been signing, in seconds.
    pub age: i64,
    /// When it is to be replaced, in seconds since 1970.
    pub rotates_at: i64,
}

/// Reads the figures whenever `/metrics` is read.
pub(super) struct RuntimeCollector(Box<dyn Fn() -> Runtime + Send + Sync>);

impl RuntimeCollector {
    pub(super) fn new(read: impl Fn() -> Runtime + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for RuntimeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuntimeCollector")
    }
}

fn show(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, metric: impl EncodeMetric) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// A gauge of what cannot be negative.
fn gauge(n: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX))
}

impl Collector for RuntimeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (now, all) = ((self.0)(), &mut encoder);
        let help = "The version of this binary, and the schema that it reads and writes";
        let mut build = all.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        let labels = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("schema", now.schema.to_string())];
        gauge(1).encode(build.encode_family(&labels)?)?;
        let help = "Connections to the database, by state";
        let mut connections = all.encode_descriptor("database_connections", help, None, MetricType::Gauge)?;
        for (state, n) in now.connections {
            gauge(n).encode(connections.encode_family(&[("state", state)])?)?;
        }
        show(
            all,
            "writes_waiting",
            "Session changes that wait for their turn to be written",
            gauge(now.writes_waiting),
        )?;
        show(all, "watchers", "Open streams of revocations and keys", gauge(now.watchers))?;
        let help = "Seconds since this process confirmed that it has seen every change";
        show(all, "feed_age_seconds", help, ConstGauge::new(now.feed_age))?;
        let help = "Seconds for which the key has been signing";
        let mut ages = all.encode_descriptor("signing_key_age_seconds", help, None, MetricType::Gauge)?;
        for key in &now.keys {
            ConstGauge::new(key.age).encode(ages.encode_family(&[("alg", key.algorithm)])?)?;
        }
        let help = "When the key that signs is to be replaced, in seconds since 1970";
        let mut rotations = all.encode_descriptor("signing_key_rotates", help, None, MetricType::Gauge)?;
        for key in &now.keys {
            ConstGauge::new(key.rotates_at).encode(rotations.encode_family(&[("alg", key.algorithm)])?)?;
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
        let keys = vec![KeyAge { algorithm: "ES256", age: 7, rotates_at: 8 }];
        let connections = [("open", 1), ("used", 2), ("most", 3)];
        let figures = Runtime { schema: 5, connections, writes_waiting: 4, watchers: 6, feed_age: 0.25, keys };
        metrics.observe_runtime(move || figures.clone());
        let text = metrics.text();
        for line in [
            &format!("chancery_build_info{{version=\"{}\",schema=\"5\"}} 1", env!("CARGO_PKG_VERSION")),
            "chancery_database_connections{state=\"most\"} 3",
            "chancery_writes_waiting 4",
            "chancery_watchers 6",
            "chancery_feed_age_seconds 0.25",
            "chancery_signing_key_age_seconds{alg=\"ES256\"} 7",
            "chancery_signing_key_rotates{alg=\"ES256\"} 8",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
