//! Receives keys and revocations over gRPC streams.

mod follow;
mod messages;
mod revoked;
mod secret;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tonic::transport::{ClientTlsConfig, Endpoint};

pub(crate) use self::revoked::RevokedSet;
use self::{follow::Follower, secret::Credentials};
use crate::{Clock, verifier::keyring::Keyring};

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the settings for watching an issuer are rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The address is invalid, or TLS cannot be set up.
    #[error("invalid gRPC endpoint of the issuer: {0}")]
    Endpoint(#[from] tonic::transport::Error),
    /// The client's secret would be sent over a network in plain text.
    #[error(
        "{0} is neither https nor on this machine; use Watch::with_endpoint if the connection is protected another way"
    )]
    Plaintext(String),
    /// The client's id or secret is empty.
    #[error("client_id and client_secret are required, of a client with the permission revocations.read")]
    Credentials,
}

/// Where to watch an issuer, and as which client.
#[derive(Clone)]
pub struct Watch {
    endpoint: Endpoint,
    credentials: Arc<Credentials>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("endpoint", self.endpoint.uri()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches at `endpoint`, such as `https://id.example.com:50051`, as a confidential client with the
    /// permission `revocations.read`. With `https` the system's trusted certificates are used.
    ///
    /// # Errors
    /// The endpoint is not a valid address, is neither `https` nor on this machine, or the client's id or
    /// secret is empty.
    pub fn new(endpoint: &str, client_id: &str, client_secret: &str) -> Result<Self, WatchError> {
        let mut endpoint = Endpoint::from_shared(endpoint.to_owned())?;
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        } else if !endpoint.uri().host().is_some_and(is_loopback) {
            return Err(WatchError::Plaintext(endpoint.uri().to_string()));
        }
        Self::with_endpoint(endpoint, client_id, client_secret)
    }

    /// Watches at an endpoint that you have configured yourself: certificates, proxies, time limits.
    ///
    /// # Errors
    /// The client's id or secret is empty.
    pub fn with_endpoint(endpoint: Endpoint, client_id: &str, client_secret: &str) -> Result<Self, WatchError> {
        let credentials = Arc::new(Credentials::new(client_id, client_secret)?);
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        Ok(Self { endpoint, credentials })
    }

    /// Reads the secret from this file before each connection, so that a new secret needs no restart. While the file
    /// is missing, empty or not readable, the last secret stays; and while the issuer refuses what the file has, so
    /// does the last secret that it accepted.
    #[must_use]
    pub fn secret_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Arc::new(self.credentials.read_from(path.into()));
        self
    }

    /// Starts the streams.
    pub(crate) fn start(self, keys: &Arc<Keyring>, clock: &Arc<dyn Clock>) -> WatchHandle {
        let revoked = Arc::new(RevokedSet::default());
        let channel = self.endpoint.connect_lazy();
        let follower = Follower { channel, credentials: self.credentials, clock: clock.clone() };
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

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_credentials_left_out_of_debug_output() {
        let watch = Watch::new("http://127.0.0.1:1", "orders-api", "secret-secret").unwrap();
        assert!(!format!("{watch:?}").contains("secret"));
        assert!(matches!(Watch::new("http://127.0.0.1:1", "orders-api", ""), Err(WatchError::Credentials)));
        assert!(matches!(Watch::new("http://id.example.com", "orders-api", "s"), Err(WatchError::Plaintext(_))));
        assert!(Watch::new("http://[::1]:50051", "orders-api", "s").is_ok());
        assert!(matches!(Watch::new("not an address", "orders-api", "s"), Err(WatchError::Endpoint(_))));
    }
}
