//! How an issuer is dialled.

use std::io;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::WatchError;
use crate::{
    causes::with_causes,
    tls_files::{TlsPem, TlsReader},
};

/// The address, and what TLS takes.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) endpoint: Endpoint,
    /// What was given; `None` without TLS.
    pub(super) tls: Option<ClientTlsConfig>,
    /// The files with certificates; `None` without TLS, too.
    pub(super) files: Option<TlsReader>,
}

impl Dial {
    /// The endpoint, with what is in the files now.
    pub(super) fn first(&self) -> Result<(Endpoint, TlsPem), WatchError> {
        let pem = match &self.files {
            Some(files) => files.read_now().map_err(|error| WatchError::Endpoint { reason: error.to_string() })?,
            None => TlsPem::default(),
        };
        Ok((self.endpoint(&pem)?, pem))
    }

    /// What is in the files now, if there are any.
    pub(super) async fn read(&self) -> Option<io::Result<TlsPem>> {
        Some(self.files.as_ref()?.read().await)
    }

    /// The endpoint with these certificates.
    pub(super) fn endpoint(&self, pem: &TlsPem) -> Result<Endpoint, WatchError> {
        let Some(mut tls) = self.tls.clone() else { return Ok(self.endpoint.clone()) };
        if let Some(ca) = &pem.ca {
            tls = tls.ca_certificate(Certificate::from_pem(ca));
        }
        if let Some((cert, key)) = &pem.client {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        let endpoint = self.endpoint.clone().tls_config(tls);
        endpoint.map_err(|error| WatchError::Endpoint { reason: with_causes(&error) })
    }
}
