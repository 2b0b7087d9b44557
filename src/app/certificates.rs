//! The certificates of the listeners while they are in use: their metrics, warnings, and renewal.

use anyhow::Context;
use chancery_guard::listener::{Protocol, Tls, TlsFiles};
use tokio::{sync::watch, task::JoinSet};
use tracing::Instrument;

use super::config::{self, PerListener};
use crate::{
    metrics::{Certificate, Metrics},
    time::{Clock, SystemClock},
};

/// Those of each listener with TLS.
pub(super) type Certificates = PerListener<Option<Tls>>;

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub(super) fn load(files: &config::Tls, shared: bool) -> anyhow::Result<Self> {
        let load = |files: &Option<TlsFiles>, protocol| {
            files.clone().map(|files| Tls::load(files, protocol)).transpose().context("TLS")
        };
        let http = load(&files.http, if shared { Protocol::Both } else { Protocol::Http })?;
        Ok(Self {
            grpc: if shared { None } else { load(&files.grpc, Protocol::Grpc)? },
            http,
            check: load(&files.check, Protocol::Http)?,
            telemetry: load(&files.telemetry, Protocol::Http)?,
        })
    }

    /// Registers their metrics.
    pub(super) fn observe(&self, metrics: &mut Metrics) {
        let certificates = self.clone();
        metrics.observe_certificates(move || {
            let figures = certificates.named().map(|(listener, tls)| {
                let status = tls.status();
                Certificate {
                    listener,
                    expires_at: status.expires_at,
                    due_at: status.warns_at,
                    handshakes: status.handshakes,
                    failed: status.failed,
                    is_stuck: status.is_stuck,
                }
            });
            figures.collect()
        });
    }

    /// What an operator has to know now, a sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let now = SystemClock.now().seconds();
        let mut warnings = Vec::new();
        for (name, tls) in self.named() {
            warnings.extend(tls.warnings(now).into_iter().map(|warning| format!("{name}: {warning}")));
        }
        warnings
    }

    /// Follows the files until `ended`. Files are read at once when `asked` changes.
    pub(super) fn follow(&self, jobs: &mut JoinSet<()>, asked: &watch::Receiver<u64>, ended: &watch::Receiver<bool>) {
        for (listener, tls) in self.named() {
            // Listeners with the same files have the same problems, once each.
            let span = tracing::info_span!("tls", listener);
            let (fresh, mut ended) = (tls.clone().keep_fresh(asked.clone()).instrument(span), ended.clone());
            jobs.spawn(async move {
                tokio::select! {
                    () = fresh => {}
                    _ = ended.wait_for(|end| *end) => {}
                }
            });
        }
    }
}
