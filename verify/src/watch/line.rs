//! The connection that both streams share.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

/// Keeps one connection, and dials anew when it is found dead.
#[derive(Clone, Debug)]
pub(super) struct Line {
    endpoint: Endpoint,
    current: Arc<watch::Sender<Connection>>,
}

/// A connection that was dialled, or will be when it is first used.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) channel: Channel,
    number: u64,
}

impl Line {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let first = Connection { channel: endpoint.connect_lazy(), number: 0 };
        Self { endpoint, current: Arc::new(watch::Sender::new(first)) }
    }

    /// The current connection.
    pub(super) fn connection(&self) -> Connection {
        self.current.borrow().clone()
    }

    /// Replaces a dead connection, unless that was done meanwhile. Waiting for its end would take as long as its pings,
    /// and all that time every new stream would be opened on it.
    pub(super) fn redial(&self, dead: &Connection) {
        self.current.send_if_modified(|current| {
            let same = current.number == dead.number;
            if same {
                *current = Connection { channel: self.endpoint.connect_lazy(), number: dead.number.wrapping_add(1) };
            }
            same
        });
    }

    /// Waits until this connection was replaced.
    pub(super) async fn replaced(&self, old: &Connection) {
        let mut changes = self.current.subscribe();
        // The sender lives as long as `self`, so this does not fail.
        let _ = changes.wait_for(|current| current.number != old.number).await;
    }
}
