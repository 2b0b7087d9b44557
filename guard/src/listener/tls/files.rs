//! What is in the files.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
    time::Duration,
};

use chancery_verify::small_file::read_pem;
use tokio_rustls::rustls::{
    Error, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use x509_cert::{Certificate, der::Decode, ext::pkix::BasicConstraints, time::Time};

use super::{TlsError, TlsFiles};
use crate::listener::Protocol;

/// More than any chain of certificates takes, or any bundle of authorities.
const MOST: u64 = 1 << 20;

/// What was made of the files.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) life: Life,
    /// Differs where the contents do.
    pub(super) mark: u64,
}

/// When a listener's own certificate, the first of its chain, expires, and from when that is soon, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) expires_at: i64,
    pub(super) warns_at: i64,
    pub(super) valid_from: i64,
    /// When the first of the certificates above it expires, if there are any. Clients may need it or not: old roots that have
    /// signed new ones often stay in chains.
    pub(super) above_expires_at: Option<i64>,
}

impl Life {
    pub(super) const fn is_valid(self, now: i64) -> bool {
        self.valid_from <= now && now < self.expires_at
    }
}

/// Reads the files and checks that they can be used together.
pub(super) fn load(files: &TlsFiles, protocol: Protocol) -> Result<Loaded, TlsError> {
    Contents::read(files)?.load(files, protocol)
}

/// The same, unless they have in them what this mark is of.
pub(super) fn load_changed(files: &TlsFiles, protocol: Protocol, mark: u64) -> Result<Option<Loaded>, TlsError> {
    let contents = Contents::read(files)?;
    if contents.mark() == mark { Ok(None) } else { contents.load(files, protocol).map(Some) }
}

/// What is in the files.
#[derive(Hash)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let (cert, key) = (read(&files.cert)?, read(&files.key)?);
        Ok(Self { cert, key, client_ca: files.client_ca.as_ref().map(|path| read(path)).transpose()? })
    }

    fn mark(&self) -> u64 {
        let mut mark = DefaultHasher::new();
        self.hash(&mut mark);
        mark.finish()
    }

    fn load(&self, files: &TlsFiles, protocol: Protocol) -> Result<Loaded, TlsError> {
        let chain = certificates(&files.cert, &self.cert)?;
        let life = life_of(&files.cert, &chain)?;
        let key = private_key(&files.key, &self.key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = match (&files.client_ca, &self.client_ca) {
            (Some(path), Some(pem)) => verifier(path, pem, &provider)?,
            _ => WebPkiClientVerifier::no_client_auth(),
        };
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
        let builder = builder.map_err(|error| unusable(&files.cert, error.to_string()))?;
        let config = builder.with_client_cert_verifier(clients).with_single_cert(chain.clone(), key);
        let mut config = config.map_err(|error| of_the_pair(files, &error))?;
        if files.client_ca.is_some() {
            // A session that is resumed is not asked for a certificate again, which may have expired (RFC 8446 §4.6.1).
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // Tickets keep the state of a session at its client instead of here.
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| unusable(&files.key, error.to_string()))?;
        }
        let spoken: &[&[u8]] = match protocol {
            Protocol::Grpc => &[b"h2"],
            Protocol::Http | Protocol::Both => &[b"h2", b"http/1.1", b"http/1.0"],
        };
        config.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
        Ok(Loaded { config: Arc::new(config), chain, life, mark: self.mark() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_pem(path, MOST).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

fn unusable(path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::Unusable { path: path.to_owned(), problem: problem.into() }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|_| unusable(path, "it is not in PEM (-----BEGIN CERTIFICATE-----)"))?;
    if all.is_empty() {
        return Err(unusable(path, "there is no certificate in PEM (-----BEGIN CERTIFICATE-----) in it"));
    }
    Ok(all)
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let is_encrypted = pem.windows(9).any(|words| words == b"ENCRYPTED");
        unusable(
            path,
            if is_encrypted {
                "the private key is encrypted, and nobody is there to type its password; write it unencrypted, \
                 readable for this server alone"
            } else {
                "there is no private key in PEM (-----BEGIN PRIVATE KEY-----) in it"
            },
        )
    })
}

fn life_of(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Life, TlsError> {
    let seconds = |time: Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let lives = chain.iter().map(|der| {
        let certificate = Certificate::from_der(der).map_err(|_| unusable(path, "a certificate in it is damaged"))?;
        let validity = certificate.tbs_certificate().validity();
        Ok((seconds(validity.not_before), seconds(validity.not_after)))
    });
    let lives = lives.collect::<Result<Vec<_>, _>>()?;
    let Some(((valid_from, expires_at), above)) = lives.split_first() else {
        return Err(unusable(path, "there is no certificate in it"));
    };
    let warns_at = expires_at - (expires_at - valid_from) / 5;
    let above_expires_at = above.iter().map(|(_, expires_at)| *expires_at).min();
    Ok(Life { expires_at: *expires_at, warns_at, valid_from: *valid_from, above_expires_at })
}

fn verifier(path: &Path, pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let authorities = certificates(path, pem)?;
    let roots = trusted(&authorities).map_err(|error| unusable(path, error.to_string()))?;
    if !authorities.iter().any(may_vouch) {
        return Err(unusable(path, "no certificate in it is an authority's (CA:TRUE)"));
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
    verifier.map_err(|error| unusable(path, error.to_string()))
}

fn trusted(authorities: &[CertificateDer<'_>]) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    Ok(Arc::new(roots))
}

/// Whether a client's certificate can be accepted because of this one: it is an authority's (RFC 5280 §4.2.1.9), or it
/// vouches for itself.
fn may_vouch(der: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return true };
    let constraints = certificate.tbs_certificate().get_extension::<BasicConstraints>();
    constraints.is_ok_and(|found| found.is_some_and(|(_, constraints)| constraints.ca))
        || is_its_own_issuer(&certificate)
}

/// Whether it is self-issued (RFC 5280 §3.2).
fn is_its_own_issuer(certificate: &Certificate) -> bool {
    certificate.tbs_certificate().issuer() == certificate.tbs_certificate().subject()
}

/// Whether a certificate of a chain is one that nobody else has issued.
pub(super) fn includes_root(chain: &[CertificateDer<'_>]) -> bool {
    chain.iter().any(|der| Certificate::from_der(der).is_ok_and(|certificate| is_its_own_issuer(&certificate)))
}

/// Whether a client that trusts the authorities in a file, and no others, accepts this chain for a name at a time, in
/// seconds since 1970.
pub(super) fn is_accepted(chain: &[CertificateDer<'_>], authorities: &Path, name: &str, at: i64) -> Option<bool> {
    let roots = trusted(&certificates(authorities, &read(authorities).ok()?).ok()?).ok()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build().ok()?;
    let (leaf, above) = chain.split_first()?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.try_into().ok()?));
    Some(verifier.verify_server_cert(leaf, above, &ServerName::try_from(name).ok()?, &[], at).is_ok())
}

/// What is wrong with a certificate and a key that can both be read.
fn of_the_pair(files: &TlsFiles, error: &Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() },
        Error::InvalidCertificate(_) => unusable(&files.cert, error.to_string()),
        _ => unusable(&files.key, error.to_string()),
    }
}
