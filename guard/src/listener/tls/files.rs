//! What is in the files.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use tokio_rustls::rustls::{
    Error, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use x509_cert::{Certificate, der::Decode, time::Time};

use super::{TlsError, TlsFiles};
use crate::listener::Protocol;

/// More than any chain of certificates takes, or any bundle of authorities.
const MOST: u64 = 1 << 20;

/// The contents of the files.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) life: Life,
    /// Differs where the contents do.
    pub(super) mark: u64,
}

/// When the first certificate of a chain expires, and from when that is soon, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) expires_at: i64,
    pub(super) warns_at: i64,
    /// When the last one of the chain becomes valid.
    pub(super) valid_from: i64,
}

impl Life {
    pub(super) const fn is_valid(self, now: i64) -> bool {
        self.valid_from <= now && now < self.expires_at
    }
}

/// Reads the files and checks that they can be used together.
pub(super) fn load(files: &TlsFiles, protocol: Protocol) -> Result<Loaded, TlsError> {
    let (cert, key) = (read(&files.cert)?, read(&files.key)?);
    let client_ca = files.client_ca.as_ref().map(|path| read(path)).transpose()?;
    let mut mark = DefaultHasher::new();
    (&cert, &key, &client_ca).hash(&mut mark);
    let chain = certificates(&files.cert, &cert)?;
    let life = shortest_life(&files.cert, &chain)?;
    let key = private_key(&files.key, &key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = match (&files.client_ca, client_ca) {
        (Some(path), Some(pem)) => verifier(path, &pem, &provider)?,
        _ => WebPkiClientVerifier::no_client_auth(),
    };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.map_err(|error| unusable(&files.cert, error.to_string()))?;
    let config = builder.with_client_cert_verifier(clients).with_single_cert(chain, key);
    let mut config = config.map_err(|error| of_the_pair(files, &error))?;
    if files.client_ca.is_some() {
        // A session that is resumed is not asked for a certificate again, which may have expired (RFC 8446 §4.6.1).
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        // Tickets keep the state of a session at its client instead of here.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| unusable(&files.key, error.to_string()))?;
    }
    config.alpn_protocols = match protocol {
        Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::Http | Protocol::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(Loaded { config: Arc::new(config), life, mark: mark.finish() })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        // Opening a pipe without a writer would never end, and one is empty when it is read again.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST {
            return Err(io::Error::other(format!("it is larger than {MOST} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
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

fn shortest_life(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Life, TlsError> {
    let seconds = |time: Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let lives = chain.iter().map(|der| {
        let certificate = Certificate::from_der(der).map_err(|_| unusable(path, "a certificate in it is damaged"))?;
        let validity = certificate.tbs_certificate().validity();
        let (issued_at, expires_at) = (seconds(validity.not_before), seconds(validity.not_after));
        Ok(Life { expires_at, warns_at: expires_at - (expires_at - issued_at) / 5, valid_from: issued_at })
    });
    let lives = lives.collect::<Result<Vec<_>, _>>()?;
    let valid_from = lives.iter().map(|life| life.valid_from).max().unwrap_or(i64::MIN);
    lives
        .into_iter()
        .min()
        .map(|life| Life { valid_from, ..life })
        .ok_or_else(|| unusable(path, "there is no certificate in it"))
}

fn verifier(path: &Path, pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path, pem)? {
        roots.add(authority).map_err(|error| unusable(path, error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    verifier.map_err(|error| unusable(path, error.to_string()))
}

/// What is wrong with a certificate and a key that can both be read.
fn of_the_pair(files: &TlsFiles, error: &Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() },
        Error::InvalidCertificate(_) => unusable(&files.cert, error.to_string()),
        _ => unusable(&files.key, error.to_string()),
    }
}
