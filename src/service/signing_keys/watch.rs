//! The stream of published keys.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use super::SigningKeys;
use crate::{
    domain::feed::ChangeKind,
    error::{Error, Result},
    keys::Keyring,
    service::runtime::{Live, Notice, NoticeKind},
};

/// A stream of key sets.
#[derive(Debug)]
pub struct KeyWatcher {
    live: Arc<Live>,
    notices: broadcast::Receiver<Arc<Notice>>,
    last_etag: Option<String>,
}

impl SigningKeys {
    /// Starts to watch the published keys.
    ///
    /// # Errors
    /// If this process may have missed a change.
    pub async fn watch(&self) -> Result<KeyWatcher> {
        if !self.live.is_current() {
            self.live.confirm().await?;
        }
        let notices = self.live.subscribe(None).notices;
        Ok(KeyWatcher { live: self.live.clone(), notices, last_etag: None })
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
            if self.last_etag.as_ref() != Some(&ring.etag) {
                self.last_etag = Some(ring.etag.clone());
                return Ok(ring);
            }
            self.wait_for_change().await?;
        }
    }

    /// Waits until the keys may have changed.
    async fn wait_for_change(&mut self) -> Result<()> {
        loop {
            let notice = match self.notices.recv().await {
                Ok(notice) => notice,
                // Missed notices do not matter: only the newest set is sent.
                Err(RecvError::Lagged(_)) => return Ok(()),
                Err(RecvError::Closed) => return Err(Error::Stopping),
            };
            match &notice.kind {
                NoticeKind::Disconnect => {
                    return Err(Error::Unavailable("this server may have missed a change".into()));
                }
                NoticeKind::Stop => return Err(Error::Stopping),
                NoticeKind::KeysChanged | NoticeKind::Reset => return Ok(()),
                NoticeKind::Revocation(entry) if entry.change.kind == ChangeKind::KeyRevoked => return Ok(()),
                NoticeKind::Revocation(_)
                | NoticeKind::UserChanged(_)
                | NoticeKind::Other
                | NoticeKind::Heartbeat(_) => {}
            }
        }
    }
}
