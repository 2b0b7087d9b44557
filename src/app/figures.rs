//! The figures of the process in its metrics.

use crate::{
    domain::keys::KeyState,
    metrics::{KeyAge, Metrics, Runtime},
    service::Service,
    store::SCHEMA_VERSION,
};

/// Registers them.
pub(super) fn observe(metrics: &mut Metrics, service: &Service) {
    let service = service.clone();
    metrics.observe_runtime(move || {
        let now = service.now();
        let snapshot = service.live.snapshot();
        let signing = snapshot.ring.stored.iter().filter(|key| key.state == KeyState::Active);
        let keys = signing.map(|key| KeyAge {
            algorithm: key.algorithm.as_str(),
            age: now.seconds() - key.activated_at.unwrap_or(key.created_at).seconds(),
            rotates_at: key.rotate_at.unwrap_or(now).seconds(),
        });
        let figures = service.store().connection_figures();
        Runtime {
            schema: SCHEMA_VERSION,
            connections: [("open", figures.open), ("used", figures.used), ("most", figures.most)],
            writes_waiting: service.tokens.writes_waiting() as u64,
            watchers: service.live.watchers() as u64,
            feed_age: service.live.seconds_since_confirmed(),
            keys: keys.collect(),
        }
    });
}
