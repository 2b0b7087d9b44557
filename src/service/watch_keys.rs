//! Watching the published keys.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use super::{News, Service, Told};
use crate::{
    domain::feed::ChangeKind,
    error::{Error, Result},
    keys::Keyring,
};

/// One stream of key sets.
#[derive(Debug)]
pub struct KeyWatcher {
    service: Service,
    told: broadcast::Receiver<Arc<Told>>,
    sent: Option<String>,
}

impl Service {
    /// Begins to watch the published keys.
    ///
    /// # Errors
    /// This process may have missed a change.
    pub async fn watch_keys(&self) -> Result<KeyWatcher> {
        if !self.live.knows_everything() {
            self.live.confirm().await?;
        }
        let told = self.live.subscribe(None).told;
        Ok(KeyWatcher { service: self.clone(), told, sent: None })
    }
}

impl KeyWatcher {
    /// The keys as they are now, once they differ from those given before.
    ///
    /// # Errors
    /// Each ends the stream.
    pub async fn next(&mut self) -> Result<Arc<Keyring>> {
        loop {
            let ring = self.service.live.snapshot().ring.clone();
            if self.sent.as_ref() != Some(&ring.etag) {
                self.sent = Some(ring.etag.clone());
                return Ok(ring);
            }
            self.change().await?;
        }
    }

    /// Waits until the keys may have changed.
    async fn change(&mut self) -> Result<()> {
        loop {
            let told = match self.told.recv().await {
                Ok(told) => told,
                // Whatever was missed, the newest set is what counts.
                Err(RecvError::Lagged(_)) => return Ok(()),
                Err(RecvError::Closed) => return Err(Error::Unavailable("the server is shutting down".into())),
            };
            match &told.news {
                News::Lost => return Err(Error::Unavailable("this server may have missed a change".into())),
                News::Keys | News::StartOver => return Ok(()),
                News::Revocation(entry) if entry.change.kind == ChangeKind::KeyRevoked => return Ok(()),
                News::Revocation(_) | News::Other | News::Heartbeat(_) => {}
            }
        }
    }
}
