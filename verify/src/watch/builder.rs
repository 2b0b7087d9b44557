//! Settings of the streams.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::{Watch, dial::Dial, secret::Credentials};
use crate::{
    TlsFiles,
    causes::with_causes,
    tls_files::TlsReader,
    verifier::{SettingsError, check_url, is_loopback},
};

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection is pinged after this long, and closed if no answer comes within the other.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Why the settings for watching an issuer are rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The address is invalid, or TLS cannot be set up.
    #[error("invalid gRPC endpoint of the issuer: {reason}")]
    Endpoint {
        /// What is wrong.
        reason: String,
    },
    /// The client's secret would be sent over a network in plain text.
    #[error(
        "{0} is neither https nor on this machine; use WatchBuilder::plain_http_beyond_loopback if the network is \
         protected another way"
    )]
    Plaintext(String),
    /// The client's id or secret is empty.
    #[error("client_id and client_secret are required, of a client with the permission revocations.read")]
    Credentials,
}

/// Builds a [`Watch`].
#[must_use]
pub struct WatchBuilder {
    endpoint: String,
    client_id: String,
    client_secret: String,
    secret_file: Option<PathBuf>,
    plain_http: bool,
    ca_certificates: Vec<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
    tls_files: Option<TlsFiles>,
}

impl fmt::Debug for WatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchBuilder").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl WatchBuilder {
    pub(super) fn new(endpoint: &str, client_id: &str, client_secret: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            secret_file: None,
            plain_http: false,
            ca_certificates: Vec::new(),
            identity: None,
            server_name: None,
            tls_files: None,
        }
    }

    /// Watches over plain HTTP on other machines too. Whoever can read what is sent learns the client's secret, so
    /// this is only for networks that are protected another way, such as a service mesh.
    pub fn plain_http_beyond_loopback(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Reads the secret from this file before each connection, so that a new secret needs no restart. While the file
    /// is missing, empty or not readable, the last secret stays; and while the issuer refuses what the file has, so
    /// does the last secret that it accepted.
    pub fn client_secret_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.secret_file = Some(path.into());
        self
    }

    /// Trusts these certificates, in PEM, in addition to the system's.
    pub fn ca_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates.push(pem.into());
        self
    }

    /// Presents this certificate with its private key, both in PEM, to a server that asks for one.
    pub fn client_certificate_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Uses the certificates in these files, in place of the system's and of those given in PEM.
    pub fn tls_files(mut self, files: TlsFiles) -> Self {
        self.tls_files = Some(files);
        self
    }

    /// Expects a certificate for this name, where the endpoint is another, such as an address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Checks the settings. Nothing is dialled yet.
    ///
    /// # Errors
    /// The endpoint is not a valid address, is neither `https` nor on this machine, the client's id or secret is empty,
    /// or the TLS files cannot be used.
    pub fn build(self) -> Result<Watch, WatchError> {
        let credentials = Arc::new(self.credentials()?);
        let endpoint = self.checked_endpoint()?;
        let tls = (endpoint.uri().scheme_str() == Some("https")).then(|| self.tls());
        if tls.is_none() && !self.plain_http && !endpoint.uri().host().is_some_and(is_loopback) {
            return Err(WatchError::Plaintext(endpoint.uri().to_string()));
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .keep_alive_while_idle(true);
        let files = self.tls_files.filter(|_| tls.is_some()).map(TlsReader::new);
        let dial = Dial { endpoint, tls, files };
        Ok(Watch { first: dial.first()?, dial: Arc::new(dial), credentials })
    }

    fn credentials(&self) -> Result<Credentials, WatchError> {
        let fixed = Credentials::new(&self.client_id, &self.client_secret)?;
        Ok(match &self.secret_file {
            Some(file) => fixed.read_from(file.clone()),
            None => fixed,
        })
    }

    fn checked_endpoint(&self) -> Result<Endpoint, WatchError> {
        let url = check_url("the address", &self.endpoint).map_err(|e: SettingsError| invalid(e.to_string()))?;
        if url.query().is_some() || url.path() != "/" {
            return Err(invalid("the address must not have a path or a query".to_owned()));
        }
        Endpoint::from_shared(self.endpoint.clone()).map_err(|e| invalid(with_causes(&e)))
    }

    fn tls(&self) -> ClientTlsConfig {
        let mut tls = ClientTlsConfig::new();
        // A machine may have no authorities of its own, as a container made from nothing has none.
        if self.tls_files.as_ref().is_none_or(|files| !files.has_authorities()) {
            tls = tls.with_native_roots();
        }
        for pem in &self.ca_certificates {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        tls
    }
}

fn invalid(reason: String) -> WatchError {
    WatchError::Endpoint { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_left_out_of_debug_output() {
        let builder = Watch::builder("http://127.0.0.1:1", "orders-api", "secret-secret");
        assert!(!format!("{builder:?}").contains("secret-"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("secret"));
        assert_eq!(Watch::new("http://127.0.0.1:1", "orders-api", "").unwrap_err(), WatchError::Credentials);
        assert_eq!(Watch::new("http://127.0.0.1:1", "", "s").unwrap_err(), WatchError::Credentials);
    }

    #[test]
    fn an_endpoint_is_a_clean_address_and_plaintext_stays_on_this_machine() {
        for good in ["http://[::1]:50051", "http://127.0.0.1:50051/", "https://id.example.com:50051"] {
            assert!(Watch::new(good, "orders-api", "s").is_ok(), "{good}");
        }
        let remote = "http://id.example.com:50051";
        assert!(matches!(Watch::new(remote, "orders-api", "s"), Err(WatchError::Plaintext(_))));
        assert!(Watch::builder(remote, "orders-api", "s").plain_http_beyond_loopback().build().is_ok());
        for bad in [
            "not an address",
            "id.example.com:50051",
            "https://id.example.com/grpc",
            "https://id.example.com?x=1",
            "https://ada:secret@id.example.com",
            "unix:///run/chancery.sock",
        ] {
            let error = Watch::new(bad, "orders-api", "s").expect_err(bad);
            assert!(matches!(error, WatchError::Endpoint { .. }), "{bad}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_refused_at_construction() {
        let builder = || Watch::builder("https://id.example.com", "orders-api", "s");
        assert!(builder().client_certificate_pem("junk", "junk").build().is_err());
        assert!(builder().server_name("not a name").build().is_err());
    }
}
