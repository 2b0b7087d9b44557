//! Follows keys and revocations over gRPC.

mod follow;
mod messages;
mod revoked;

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::task::JoinHandle;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{ClientTlsConfig, Endpoint},
};

use self::follow::Follower;
pub(crate) use self::revoked::Revoked;
use crate::{Clock, verifier::keyring::Keyring};

/// Longest time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an issuer cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The address is none, or its certificates cannot be checked.
    #[error("the address of the issuer's gRPC endpoint: {0}")]
    Endpoint(#[from] tonic::transport::Error),
    /// It would send the secret over a network in clear.
    #[error("{0} is not https and not this machine; Watch::at takes an endpoint that is protected otherwise")]
    Plaintext(String),
    /// The client's id or secret is empty.
    #[error("watching needs the id and the secret of a client with the permission revocations.read")]
    Credentials,
}

/// Where to watch, and as whom.
#[derive(Clone)]
pub struct Watch {
    endpoint: Endpoint,
    authorization: MetadataValue<Ascii>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("endpoint", self.endpoint.uri()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches at `endpoint`, as `https://id.example.com:50051`, as a confidential client that has the
    /// permission `revocations.read`. With `https` the machine's trusted certificates count.
    ///
    /// # Errors
    /// If the endpoint is no address, or neither `https` nor on this machine; or the client's id or secret is
    /// empty.
    pub fn new(endpoint: &str, client_id: &str, client_secret: &str) -> Result<Self, WatchError> {
        let mut endpoint = Endpoint::from_shared(endpoint.to_owned())?;
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        } else if !endpoint.uri().host().is_some_and(is_loopback) {
            return Err(WatchError::Plaintext(endpoint.uri().to_string()));
        }
        Self::at(endpoint, client_id, client_secret)
    }

    /// The same at an endpoint with settings of your own: certificates, proxies, time limits.
    ///
    /// # Errors
    /// If the client's id or secret is empty.
    pub fn at(endpoint: Endpoint, client_id: &str, client_secret: &str) -> Result<Self, WatchError> {
        if client_id.is_empty() || client_secret.is_empty() {
            return Err(WatchError::Credentials);
        }
        let pair = format!("{}:{}", form_encoded(client_id), form_encoded(client_secret));
        let text = format!("Basic {}", STANDARD.encode(pair));
        let mut authorization: MetadataValue<Ascii> = text.parse().map_err(|_| WatchError::Credentials)?;
        authorization.set_sensitive(true);
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        Ok(Self { endpoint, authorization })
    }

    /// Begins to follow.
    pub(crate) fn start(self, keys: &Arc<Keyring>, clock: &Arc<dyn Clock>) -> Watching {
        let revoked = Arc::new(Revoked::default());
        let channel = self.endpoint.connect_lazy();
        let follower = Follower { channel, authorization: self.authorization, clock: clock.clone() };
        let tasks = vec![
            tokio::spawn(follower.clone().revocations(revoked.clone())),
            tokio::spawn(follower.keys(keys.clone())),
        ];
        Watching { revoked, tasks }
    }
}

/// An issuer being watched, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    pub(crate) revoked: Arc<Revoked>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|a| a.is_loopback())
}

/// The halves of `Basic` are form-encoded before they are joined (RFC 6749 §2.3.1).
fn form_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_form_encoded_and_never_shown() {
        assert_eq!(form_encoded("a:b p%é"), "a%3Ab%20p%25%C3%A9");
        let watch = Watch::new("http://127.0.0.1:1", "orders-api", "secret-secret").unwrap();
        assert!(!format!("{watch:?}").contains("secret"));
        assert!(matches!(Watch::new("http://127.0.0.1:1", "orders-api", ""), Err(WatchError::Credentials)));
        assert!(matches!(Watch::new("http://id.example.com", "orders-api", "s"), Err(WatchError::Plaintext(_))));
        assert!(Watch::new("http://[::1]:50051", "orders-api", "s").is_ok());
        assert!(matches!(Watch::new("not an address", "orders-api", "s"), Err(WatchError::Endpoint(_))));
    }
}
