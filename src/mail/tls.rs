//! How the certificate of a mail server is checked.
//!
//! The library checks it as the web does: an authority signed it, and it is not itself that of an authority. A mail
//! server in a private network often has a single certificate, which it signed itself and whose usual form says that
//! it is one of an authority. Who names exactly this certificate means it: it is trusted where everything else is right,
//! its names and its dates included.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use lettre::transport::smtp::{
    Error,
    client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
};

/// How a certificate begins and ends. The library accepts a file that contains none.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// What the library says of a server that shows the certificate of an authority as its own. It says so only after it
/// has checked the dates.
const SHOWN_BY_SERVER: &str = "CaUsedAsEndEntity";

/// What a reader can do about a certificate that was refused, by what the library says of it.
const HINTS: [(&str, &str); 6] = [
    ("UnknownIssuer", "name the certificate of the authority that signed it in mail_ca_file"),
    ("BadSignature", "the one in mail_ca_file has the name of the authority that signed it, but another key"),
    (SHOWN_BY_SERVER, "the server shows a certificate of an authority: name exactly this one in mail_ca_file"),
    ("not valid for name", "its subjectAltName must have the host of mail_smtp"),
    ("NotValidForName", "its subjectAltName must have the host of mail_smtp"),
    ("UnsupportedCertVersion", "make one of version 3, with the host of mail_smtp as subjectAltName"),
];

/// The settings of TLS for one mail server.
#[derive(Clone)]
pub(super) struct Tls {
    /// Those that check everything.
    pub(super) strict: TlsParameters,
    /// Those that check all but who signed, for a certificate that is named itself.
    pub(super) unsigned: TlsParameters,
    /// The certificates that are named.
    named: Vec<Vec<u8>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("named", &self.named.len()).finish_non_exhaustive()
    }
}

impl Tls {
    /// For a host, with the certificates (PEM) to trust instead of the system's.
    ///
    /// # Errors
    /// What is wrong with the certificates.
    pub(super) fn new(host: &str, ca: Option<&[u8]>) -> Result<Self, String> {
        let named = ca.map(certificates).unwrap_or_default();
        let strict = parameters(host, ca, named.is_empty(), false)?;
        Ok(Self { strict, unsigned: parameters(host, ca, named.is_empty(), true)?, named })
    }

    /// Whether a refusal may be about a certificate that is named itself.
    pub(super) fn may_be_named(&self, refusal: &Error) -> bool {
        !self.named.is_empty() && refusal.to_string().contains(SHOWN_BY_SERVER)
    }

    /// Whether the server has shown a certificate that is named itself.
    pub(super) fn is_named(&self, connection: &AsyncSmtpConnection) -> bool {
        connection.peer_certificate().is_ok_and(|shown| self.named.contains(&shown))
    }
}

fn parameters(host: &str, ca: Option<&[u8]>, lacks: bool, unsigned: bool) -> Result<TlsParameters, String> {
    // Names, dates and the server's possession of the key are checked all the same.
    let mut builder = TlsParameters::builder(host.to_owned()).dangerous_accept_invalid_certs(unsigned);
    if let Some(pem) = ca {
        let none = || "contains no PEM certificates".to_owned();
        if lacks {
            return Err(none());
        }
        let certificates = Certificate::from_pem(pem).map_err(|_| none())?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    builder.build_rustls().map_err(|e| e.to_string())
}

/// The certificates in a file.
fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let bodies = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END).map(|(body, _)| body));
    let packed = bodies.map(|body| body.split_whitespace().collect::<String>());
    packed.filter_map(|body| STANDARD.decode(body).ok()).collect()
}

/// What the library says of a failure, and what can be done about it.
pub(super) fn explained(error: &Error) -> String {
    let said = error.to_string();
    match HINTS.iter().find(|(what, _)| said.contains("certificate") && said.contains(what)) {
        // A description has little room.
        Some((what, hint)) => format!("the certificate of the mail server is refused ({what}): {hint}"),
        None => said,
    }
}
