//! Receives keys and revocations over gRPC streams.

mod builder;
mod dial;
mod follow;
mod line;
mod messages;
mod revoked;
mod secret;

use std::{fmt, io, path::PathBuf, sync::Arc};

use tokio::task::JoinHandle;

pub use self::builder::{WatchBuilder, WatchError};
pub(crate) use self::revoked::RevokedSet;
use self::{
    dial::Dial,
    follow::Follower,
    line::Line,
    secret::{Credentials, SecretFile},
};
use crate::{Clock, tls_files::TlsPem, verifier::keyring::Keyring};

/// Where to watch an issuer, and as which client.
#[derive(Clone)]
pub struct Watch {
    dial: Arc<Dial>,
    first: (tonic::transport::Endpoint, TlsPem),
    credentials: Arc<Credentials>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("endpoint", self.dial.endpoint.uri()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches at `endpoint`, such as `https://id.example.com:50051`, as a confidential client with the
    /// permission `revocations.read`. With `https` the system's trusted certificates are used.
    /// [`builder`](Self::builder) has more settings.
    ///
    /// # Errors
    /// The endpoint is not a valid address, is neither `https` nor on this machine, or the client's id or
    /// secret is empty.
    pub fn new(endpoint: &str, client_id: &str, client_secret: &str) -> Result<Self, WatchError> {
        Self::builder(endpoint, client_id, client_secret).build()
    }

    /// The settings for watching at `endpoint`.
    pub fn builder(endpoint: &str, client_id: &str, client_secret: &str) -> WatchBuilder {
        WatchBuilder::new(endpoint, client_id, client_secret)
    }

    /// The same with the secret in a file, which is also read again before each connection, as
    /// [`client_secret_file`](WatchBuilder::client_secret_file) says.
    ///
    /// # Errors
    /// The file is missing, empty, larger than 4096 bytes, not text or not a regular file, or its file system does not
    /// answer.
    pub async fn builder_with_secret_file(
        endpoint: &str,
        client_id: &str,
        path: impl Into<PathBuf>,
    ) -> io::Result<WatchBuilder> {
        let path = path.into();
        let secret = SecretFile::new(path.clone()).read().await?;
        Ok(Self::builder(endpoint, client_id, &secret).client_secret_file(path))
    }

    /// Starts the streams.
    pub(crate) fn start(self, keys: &Arc<Keyring>, clock: &Arc<dyn Clock>) -> WatchHandle {
        let revoked = Arc::new(RevokedSet::default());
        let line = Line::new(self.dial, self.first);
        let follower = Follower { line, credentials: self.credentials, clock: clock.clone() };
        let tasks = vec![
            tokio::spawn(follower.clone().follow_revocations(revoked.clone())),
            tokio::spawn(follower.follow_keys(keys.clone())),
        ];
        WatchHandle { revoked, tasks }
    }
}

/// The streams from an issuer. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct WatchHandle {
    pub(crate) revoked: Arc<RevokedSet>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
