//! The stream of published keys.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use super::SigningKeys;
use crate::{
    domain::feed::ChangeKind,
    error::{Error, Result},
    keys::Keyring,
    service::runtime::{Live, News, Told},
};

/// A stream of key sets.
#[derive(Debug)]
pub struct KeyWatcher {
    live: Arc<Live>,
    told: broadcast::Receiver<Arc<Told>>,
    sent: Option<String>,
}

impl SigningKeys {
    /// Starts to watch the published keys.
    ///
    /// # Errors
    /// If this process may have missed a change.
    pub async fn watch(&self) -> Result<KeyWatcher> {
        if !self.live.knows_everything() {
            self.live.confirm().await?;
        }
        let told = self.live.subscribe(None).told;
        Ok(KeyWatcher { live: self.live.clone(), told, sent: None })
    }
}

impl KeyWatcher {
    /// Returns the current keys, waiting until they differ from those last returned.
    ///
    /// # Errors
    /// Every error ends the stream.
    pub async fn next(&mut self) -> Result<Arc<Keyring>> {
        loop {
            let ring = self.live.snapshot().ring.clone();
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
                // Missed notices do not matter: only the newest set is sent.
                Err(RecvError::Lagged(_)) => return Ok(()),
                Err(RecvError::Closed) => return Err(Error::Unavailable("the server is shutting down".into())),
            };
            match &told.news {
                News::Lost => return Err(Error::Unavailable("this server may have missed a change".into())),
                News::Keys | News::StartOver => return Ok(()),
                News::Revocation(entry) if entry.change.kind == ChangeKind::KeyRevoked => return Ok(()),
                News::Revocation(_) | News::User(_) | News::Other | News::Heartbeat(_) => {}
            }
        }
    }
}
