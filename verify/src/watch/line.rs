//! The connection that both streams share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use super::dial::Dial;
use crate::tls_files::{InUse, TlsPem};

/// Keeps one connection, and dials anew when it is found dead.
#[derive(Clone, Debug)]
pub(super) struct Line {
    dial: Arc<Dial>,
    dialled: Arc<Mutex<InUse<Endpoint>>>,
    /// The files are read by one stream at a time.
    reading: Arc<tokio::sync::Mutex<()>>,
    current: Arc<watch::Sender<Connection>>,
}

/// A connection that was dialled, or will be when it is first used.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) channel: Channel,
    number: u64,
}

impl Line {
    pub(super) fn new(dial: Arc<Dial>, (endpoint, pem): (Endpoint, TlsPem)) -> Self {
        let first = Connection { channel: endpoint.connect_lazy(), number: 0 };
        let dialled = Arc::new(Mutex::new(InUse::new(pem, endpoint)));
        Self { dial, dialled, reading: Arc::default(), current: Arc::new(watch::Sender::new(first)) }
    }

    /// Reads the certificates in files again. If they have changed, everything is dialled with them from now on. While
    /// they cannot be used, the last ones stay.
    pub(super) async fn read_certificates(&self) {
        let _turn = self.reading.lock().await;
        let Some(read) = self.dial.read().await else { return };
        let make = |pem: &TlsPem| self.dial.endpoint(pem).map_err(|error| error.to_string());
        let changed = self.dialled.lock().unwrap_or_else(PoisonError::into_inner).update(read, make);
        if changed {
            self.redial(&self.connection());
        }
    }

    fn endpoint(&self) -> Endpoint {
        self.dialled.lock().unwrap_or_else(PoisonError::into_inner).made().clone()
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
                *current = Connection { channel: self.endpoint().connect_lazy(), number: dead.number.wrapping_add(1) };
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
