//! Listeners with TLS on free ports, with certificates made here.

mod contents;
mod sessions;

use std::{
    fs,
    path::Path,
    sync::{Arc, Once},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector, client,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use super::{super::*, *};

/// Far more than any limit in these tests.
const PATIENCE: Duration = Duration::from_secs(20);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// An authority, and files that it has signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for localhost and its key, in PEM.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    /// The same, valid from the beginning of one year to that of another.
    fn issue_for(&self, (from, to): (i32, i32)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn trusted(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        roots
    }
}

struct Running {
    address: String,
    tls: Tls,
    dir: TempDir,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn limits() -> Limits {
    Limits { head: Duration::from_millis(500), stall: Duration::from_millis(600), per_address: 0, ..Limits::default() }
}

fn write(dir: &Path, (cert, key): &(String, String)) {
    fs::write(dir.join("cert.pem"), cert).unwrap();
    fs::write(dir.join("key.pem"), key).unwrap();
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem"), client_ca: None }
}

/// Serves `/` and `/large`. Clients need a certificate of `clients`, if there are any.
async fn running(authority: &Authority, clients: Option<&Authority>, limits: Limits) -> Running {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &authority.issue());
    let mut files = files(dir.path());
    if let Some(clients) = clients {
        fs::write(dir.path().join("ca.pem"), clients.pem()).unwrap();
        files.client_ca = Some(dir.path().join("ca.pem"));
    }
    let tls = Tls::load(files, Protocol::Http).unwrap();
    let routes = Router::new()
        .route(
            "/",
            get(async |request: Request<Body>| request.extensions().get::<Encrypted>().map_or("plain", |_| "ok")),
        )
        .route("/large", get(async || vec![b'x'; 4 << 20]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let socket = Socket::tcp(listener, Some(tls.clone()));
    let task = tokio::spawn(serve(socket, Protocol::Http, routes, limits, std::future::pending()));
    Running { address, tls, dir, task }
}

type Stream = client::TlsStream<TcpStream>;

struct Dialling<'a> {
    trusts: &'a Authority,
    version: &'static SupportedProtocolVersion,
    alpn: &'static [u8],
    identity: Option<(String, String)>,
}

impl<'a> Dialling<'a> {
    fn new(trusts: &'a Authority) -> Self {
        Self { trusts, version: &TLS13, alpn: b"http/1.1", identity: None }
    }

    fn config(self) -> Arc<ClientConfig> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        });
        let builder = ClientConfig::builder_with_protocol_versions(&[self.version]);
        let builder = builder.with_root_certificates(self.trusts.trusted());
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = vec![self.alpn.to_vec()];
        Arc::new(config)
    }

    async fn dial(self, running: &Running) -> io::Result<Stream> {
        connect(self.config(), running).await
    }
}

async fn connect(config: Arc<ClientConfig>, running: &Running) -> io::Result<Stream> {
    let stream = TcpStream::connect(&running.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    timeout(PATIENCE, TlsConnector::from(config).connect(name, stream)).await.expect("no handshake")
}

/// Asks for `/`. With TLS 1.3, a refusal of the client's certificate is only seen here.
async fn asks(stream: &mut Stream) -> Option<String> {
    stream.write_all(GET).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        if timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("no answer").ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(answer).unwrap())
}

/// Whether a new connection is answered, by a certificate of this authority.
async fn is_answered(running: &Running, trusts: &Authority) -> bool {
    match Dialling::new(trusts).dial(running).await {
        Ok(mut stream) => asks(&mut stream).await.is_some(),
        Err(_) => false,
    }
}

/// Reads until the server closes the connection.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stays open");
    answer
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_are_spoken() {
    let authority = Authority::new();
    let running = running(&authority, None, limits()).await;
    for version in [&TLS12, &TLS13] {
        let dialling = Dialling { version, ..Dialling::new(&authority) };
        assert!(asks(&mut dialling.dial(&running).await.unwrap()).await.unwrap().starts_with("HTTP/1.1 200"));
        let dialling = Dialling { version, alpn: b"h2", ..Dialling::new(&authority) };
        let mut stream = dialling.dial(&running).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut header = [0; 9];
        stream.read_exact(&mut header).await.unwrap();
        assert_eq!(header[3], 4, "the server's settings come first");
    }
    // HTTP/1.0 is answered as without TLS: once.
    let dialling = Dialling { alpn: b"http/1.0", ..Dialling::new(&authority) };
    let mut stream = dialling.dial(&running).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.0"[..]));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(closed(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("ok"), "{answer}");
    let dialling = Dialling { alpn: b"smtp", ..Dialling::new(&authority) };
    assert!(dialling.dial(&running).await.is_err());
    let TlsStatus { handshakes, failed, is_stuck, .. } = running.tls.status();
    assert_eq!((handshakes, failed, is_stuck), (5, 1, false));
}

#[tokio::test]
async fn clients_need_a_certificate_of_the_authority_that_is_named() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let running = running(&authority, Some(&clients), limits()).await;
    for version in [&TLS12, &TLS13] {
        for (identity, passes) in [(None, false), (Some(&strangers), false), (Some(&clients), true)] {
            let identity = identity.map(Authority::issue);
            let dialling = Dialling { version, identity, ..Dialling::new(&authority) };
            let answered = match dialling.dial(&running).await {
                Ok(mut stream) => asks(&mut stream).await.is_some(),
                Err(_) => false,
            };
            assert_eq!(answered, passes, "{version:?}");
        }
    }
    // Another authority counts from the next connection on.
    fs::write(running.dir.path().join("ca.pem"), strangers.pem()).unwrap();
    assert!(running.tls.read_again().await);
    let dialling = Dialling { identity: Some(strangers.issue()), ..Dialling::new(&authority) };
    assert!(asks(&mut dialling.dial(&running).await.unwrap()).await.is_some());
}

#[tokio::test]
async fn a_new_certificate_is_used_and_open_connections_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let running = running(&old, None, limits()).await;
    let mut open = Dialling::new(&old).dial(&running).await.unwrap();
    assert!(asks(&mut open).await.is_some());
    assert!(!running.tls.read_again().await, "nothing has changed");
    let mark = running.tls.with_current(|current| current.loaded.mark);
    assert!(
        files::load_changed(running.tls.files(), Protocol::Http, mark).unwrap().is_none(),
        "nothing is made of files that have not changed"
    );
    write(running.dir.path(), &new.issue());
    assert!(running.tls.read_again().await);
    assert!(asks(&mut open).await.is_some());
    assert!(is_answered(&running, &new).await && !is_answered(&running, &old).await);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_a_new_certificate() {
    let (old, new) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (name, authority) in [("..one", &old), ("..two", &new)] {
        fs::create_dir(path(name)).unwrap();
        write(&path(name), &authority.issue());
    }
    // As in a volume of Kubernetes: the files lead to a link, which is replaced.
    std::os::unix::fs::symlink("..one", path("..data")).unwrap();
    for name in ["cert.pem", "key.pem"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), path(name)).unwrap();
    }
    let tls = Tls::load(files(dir.path()), Protocol::Http).unwrap();
    std::os::unix::fs::symlink("..two", path("..new")).unwrap();
    fs::rename(path("..new"), path("..data")).unwrap();
    assert!(tls.read_again().await && !tls.status().is_stuck);
}

#[tokio::test]
async fn files_that_cannot_be_used_replace_nothing_until_they_can() {
    let (old, new) = (Authority::new(), Authority::new());
    let running = running(&old, None, limits()).await;
    let (cert, key) = new.issue();
    // The certificate is there, its key is not yet.
    fs::write(running.dir.path().join("cert.pem"), &cert).unwrap();
    for _ in 0..2 {
        assert!(!running.tls.read_again().await && running.tls.status().is_stuck);
    }
    fs::remove_file(running.dir.path().join("key.pem")).unwrap();
    assert!(!running.tls.read_again().await && running.tls.status().is_stuck);
    assert!(is_answered(&running, &old).await);
    fs::write(running.dir.path().join("key.pem"), &key).unwrap();
    assert!(running.tls.read_again().await && !running.tls.status().is_stuck);
    assert!(is_answered(&running, &new).await);
}

#[tokio::test]
async fn failed_handshakes_end_themselves_and_nothing_else() {
    let authority = Authority::new();
    let running = running(&authority, None, limits()).await;
    let hello = [b"\x16\x03\x01\x02\0".as_slice(), &[0; 20]].concat();
    let starts: [&[u8]; 5] = [b"", b"\x16", &hello, b"\x16\x03\x01\0\x05junk!", b"\0\xff\x80"];
    for start in starts {
        let began = Instant::now();
        let mut stream = TcpStream::connect(&running.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        closed(&mut stream).await;
        assert!(began.elapsed() < PATIENCE);
    }
    drop(TcpStream::connect(&running.address).await.unwrap());
    assert!(is_answered(&running, &authority).await);
    let strangers = Authority::new();
    assert!(!is_answered(&running, &strangers).await, "the client trusts another authority");
    assert!(is_answered(&running, &authority).await);
    // Whoever said nothing has not begun a handshake.
    assert_eq!(running.tls.status().failed, 5, "{:?}", running.tls.status());
}

#[tokio::test]
async fn a_client_without_tls_is_told_so() {
    let authority = Authority::new();
    let running = running(&authority, None, limits()).await;
    let mut stream = TcpStream::connect(&running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected_with_tls_too() {
    let authority = Authority::new();
    let running = running(&authority, None, limits()).await;
    let mut stream = Dialling::new(&authority).dial(&running).await.unwrap();
    let began = Instant::now();
    loop {
        let write = async {
            stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await?;
            stream.flush().await
        };
        match timeout(Duration::from_millis(20), write).await {
            Ok(Err(_)) => break,
            _ => assert!(began.elapsed() < PATIENCE, "the connection stays open"),
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_now_takes_the_place_of_none_that_is() {
    let (old, new) = (Authority::new(), Authority::new());
    let running = running(&old, None, limits()).await;
    for years in [(2000, 2001), (2998, 2999)] {
        write(running.dir.path(), &new.issue_for(years));
        assert!(!running.tls.read_again().await && running.tls.status().is_stuck, "{years:?}");
        assert!(is_answered(&running, &old).await);
    }
    write(running.dir.path(), &new.issue_for((2000, 2999)));
    assert!(running.tls.read_again().await && !running.tls.status().is_stuck);
    // One that was there from the start is used, and said to be what it is.
    write(running.dir.path(), &new.issue_for((2000, 2001)));
    let tls = Tls::load(files(running.dir.path()), Protocol::Http).unwrap();
    assert!(tls.warnings(1_800_000_000).concat().ends_with("has expired"));
    assert!(tls.warnings(0).concat().contains("is not valid yet"));
    assert!(tls.warnings(tls.status().warns_at).concat().contains("expires in "));
    assert!(tls.warnings(tls.status().warns_at - 1).is_empty());
}
