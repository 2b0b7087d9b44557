//! Figures of the listeners' certificates, collected whenever `/metrics` is read.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Figures of one listener with TLS.
#[derive(Clone, Copy, Debug)]
pub struct Certificate {
    /// The listener.
    pub listener: &'static str,
    /// When its certificate expires, in seconds since 1970.
    pub expires_at: i64,
    /// From when a new one is late, in seconds since 1970.
    pub due_at: i64,
    /// Handshakes that succeeded.
    pub handshakes: u64,
    /// Those that failed.
    pub failed: u64,
    /// Whether its files cannot be used any more.
    pub is_stuck: bool,
}

/// Reads the figures whenever `/metrics` is read.
pub(super) struct CertificatesCollector(Box<dyn Fn() -> Vec<Certificate> + Send + Sync>);

impl CertificatesCollector {
    pub(super) fn new(read: impl Fn() -> Vec<Certificate> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for CertificatesCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificatesCollector")
    }
}

impl Collector for CertificatesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = (self.0)();
        if all.is_empty() {
            return Ok(());
        }
        let help = "When the certificate of a listener expires, in seconds since 1970";
        let mut family = encoder.encode_descriptor("tls_certificate_expires", help, None, MetricType::Gauge)?;
        for one in &all {
            ConstGauge::new(one.expires_at).encode(family.encode_family(&[("listener", one.listener)])?)?;
        }
        let help =
            "From when a new certificate of a listener is late, in seconds since 1970: a fifth of its time is left";
        let mut family = encoder.encode_descriptor("tls_certificate_due", help, None, MetricType::Gauge)?;
        for one in &all {
            ConstGauge::new(one.due_at).encode(family.encode_family(&[("listener", one.listener)])?)?;
        }
        let help = "Whether the TLS files of a listener have changed to something that cannot be used (1)";
        let mut family = encoder.encode_descriptor("tls_files_unusable", help, None, MetricType::Gauge)?;
        for one in &all {
            let stuck = ConstGauge::new(i64::from(one.is_stuck));
            stuck.encode(family.encode_family(&[("listener", one.listener)])?)?;
        }
        let help = "TLS handshakes of a listener, by their result";
        let mut family = encoder.encode_descriptor("tls_handshakes", help, None, MetricType::Counter)?;
        for one in &all {
            for (result, n) in [("done", one.handshakes), ("failed", one.failed)] {
                let labels = [("listener", one.listener), ("result", result)];
                ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn each_listener_with_tls_is_shown() {
        let mut metrics = Metrics::default();
        let one = Certificate { listener: "grpc", expires_at: 1, due_at: 4, handshakes: 2, failed: 3, is_stuck: true };
        metrics.observe_certificates(move || vec![one]);
        let text = metrics.text();
        for line in [
            "chancery_tls_certificate_expires{listener=\"grpc\"} 1",
            "chancery_tls_certificate_due{listener=\"grpc\"} 4",
            "chancery_tls_files_unusable{listener=\"grpc\"} 1",
            "chancery_tls_handshakes_total{listener=\"grpc\",result=\"done\"} 2",
            "chancery_tls_handshakes_total{listener=\"grpc\",result=\"failed\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
