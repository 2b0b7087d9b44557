//! Certificates made for a test, and requests over TLS that trust them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// An authority, and the folder with its files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    /// Makes an authority, with its certificate at `ca.pem` of the folder.
    pub(crate) fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir: dir.to_owned() }
    }

    pub(crate) fn ca(&self) -> String {
        self.dir.join("ca.pem").to_str().unwrap().to_owned()
    }

    /// Makes or replaces a certificate for this machine, at `NAME-cert.pem` and `NAME-key.pem`.
    pub(crate) fn issue(&self, name: &str) -> Pair {
        self.issue_until(name, 2100)
    }

    /// The same for one that expires in a year.
    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned).to_vec()).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let path = |what: &str| self.dir.join(format!("{name}-{what}.pem")).to_str().unwrap().to_owned();
        let pair = Pair { cert: path("cert"), key: path("key") };
        fs::write(&pair.cert, leaf.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

/// What a client knows: the file with the authority it trusts, and perhaps a certificate of its own.
pub(crate) struct Trust<'a> {
    pub(crate) ca: &'a str,
    pub(crate) own: Option<&'a Pair>,
}

impl Trust<'_> {
    /// Opens a gRPC connection.
    pub(crate) async fn channel(&self, address: &str) -> Result<Channel, tonic::transport::Error> {
        self.endpoint(address).connect().await
    }

    pub(crate) fn endpoint(&self, address: &str) -> Endpoint {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(self.ca).unwrap()));
        if let Some(Pair { cert, key }) = self.own {
            tls = tls.identity(Identity::from_pem(fs::read(cert).unwrap(), fs::read(key).unwrap()));
        }
        Channel::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap()
    }

    /// The complete answer to a request of HTTP/1.1 with these headers; `None` if there is none.
    pub(crate) async fn page(&self, address: &str, path: &str, headers: &str) -> Option<String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca).unwrap()).unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match self.own {
            None => builder.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let cert = CertificateDer::from_pem_file(cert).unwrap();
                builder.with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        };
        let stream = TcpStream::connect(address).await.ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        // A server may close without a word of TLS.
        let _ = stream.read_to_end(&mut answer).await;
        (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
    }
}
