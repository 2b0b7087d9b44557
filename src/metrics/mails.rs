//! What becomes of outgoing mails.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

/// What becomes of outgoing mails.
#[derive(Debug, Default)]
pub struct Mails {
    sent: Family<Kind, Counter>,
    failed: Family<Cause, Counter>,
    dropped: Family<Cause, Counter>,
    waiting: Gauge,
    oldest: Gauge,
}

impl Mails {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let own = Self::default();
        registry.register("mails_sent", "Mails accepted by the mail server, by kind", own.sent.clone());
        registry.register("mails_failed", "Failed attempts to send a mail, by cause", own.failed.clone());
        registry.register("mails_dropped", "Mails given up, by cause", own.dropped.clone());
        registry.register("mails_waiting", "Mails in the outbox that all processes share", own.waiting.clone());
        registry.register(
            "mails_oldest_seconds",
            "Seconds that the oldest mail in the outbox has waited",
            own.oldest.clone(),
        );
        own
    }

    /// A mail server took a mail.
    pub fn sent(&self, kind: &'static str) {
        self.sent.get_or_create(&Kind { kind }).inc();
    }

    /// An attempt failed.
    pub fn failed(&self, cause: &'static str) {
        self.failed.get_or_create(&Cause { cause }).inc();
    }

    /// Mails were given up.
    pub fn dropped(&self, cause: &'static str, mails: u64) {
        self.dropped.get_or_create(&Cause { cause }).inc_by(mails);
    }

    /// What lies in the outbox.
    pub fn set_waiting(&self, mails: i64, oldest: Duration) {
        self.waiting.set(mails);
        self.oldest.set(i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
    }
}
