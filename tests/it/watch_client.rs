//! The stream of `chancery-verify` against an issuer that misbehaves.

use std::{
    collections::VecDeque,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use chancery::grpc::pb::{
    self, Heartbeat, Snapshot, WatchJwksRequest, WatchJwksResponse, WatchRevocationsRequest, WatchRevocationsResponse,
    key_service_server::{KeyService, KeyServiceServer},
    revocation_service_server::{RevocationService, RevocationServiceServer},
    watch_revocations_response::Event,
};
use chancery_verify::{Freshness, Verifier, Watch};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, interval, timeout},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the issuer does with the next stream of revocations; after the last, it goes on forever.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Refuses it.
    Refuse(tonic::Code),
    /// Sends a snapshot with a cursor and a heartbeat, and ends it at once.
    Greet,
}

/// An issuer that follows a script.
#[derive(Clone, Debug, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Next>>>,
    cursors: Arc<Mutex<Vec<String>>>,
}

fn message(event: Event, cursor: &str) -> WatchRevocationsResponse {
    WatchRevocationsResponse { cursor: cursor.to_owned(), event: Some(event) }
}

fn snapshot() -> WatchRevocationsResponse {
    message(Event::Snapshot(Snapshot::default()), "cursor")
}

fn heartbeat() -> WatchRevocationsResponse {
    message(Event::Heartbeat(Heartbeat { server_time: Some(SystemTime::now().into()) }), "")
}

#[tonic::async_trait]
impl RevocationService for Scripted {
    type WatchRevocationsStream = ReceiverStream<Result<WatchRevocationsResponse, Status>>;

    async fn watch_revocations(
        &self,
        request: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        self.cursors.lock().unwrap().push(request.into_inner().cursor);
        let next = self.script.lock().unwrap().pop_front();
        let (sender, receiver) = mpsc::channel(4);
        match next {
            Some(Next::Refuse(code)) => return Err(Status::new(code, "no such cursor")),
            Some(Next::Greet) => {
                for message in [snapshot(), heartbeat()] {
                    sender.send(Ok(message)).await.unwrap();
                }
            }
            None => drop(tokio::spawn(async move {
                let mut ticks = interval(Duration::from_millis(200));
                let mut message = snapshot();
                while sender.send(Ok(message)).await.is_ok() {
                    ticks.tick().await;
                    message = heartbeat();
                }
            })),
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl KeyService for Scripted {
    type WatchJwksStream = ReceiverStream<Result<WatchJwksResponse, Status>>;

    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_signing_keys(
        &self,
        _: Request<pb::ListSigningKeysRequest>,
    ) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn rotate_signing_key(
        &self,
        _: Request<pb::RotateSigningKeyRequest>,
    ) -> Result<Response<pb::RotateSigningKeyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn revoke_signing_key(
        &self,
        _: Request<pb::RevokeSigningKeyRequest>,
    ) -> Result<Response<pb::RevokeSigningKeyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn watch_jwks(&self, _: Request<WatchJwksRequest>) -> Result<Response<Self::WatchJwksStream>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        let keys = WatchJwksResponse { jwks_json: "{\"keys\":[]}".to_owned(), ..WatchJwksResponse::default() };
        sender.send(Ok(keys)).await.unwrap();
        // The stream stays open.
        tokio::spawn(async move { sender.closed().await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Scripted {
    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = tonic::transport::Server::builder()
            .add_service(RevocationServiceServer::new(self.clone()))
            .add_service(KeyServiceServer::new(self.clone()));
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    fn cursors(&self) -> Vec<String> {
        self.cursors.lock().unwrap().clone()
    }
}

/// A relay whose present connections can fall silent without being closed.
struct Relay {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    silence: watch::Sender<u64>,
}

impl Relay {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, (silence, silent)) = (Arc::<AtomicUsize>::default(), watch::channel(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut silent = silent.clone();
                silent.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = silent.changed() => std::future::pending::<()>().await,
                    }
                });
            }
        });
        Self { address, connections, silence }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn watching(address: SocketAddr) -> Verifier {
    let watch = Watch::new(&format!("http://{address}"), "watcher", "secret").unwrap();
    Verifier::builder("https://id.example.com", "api").watch(watch).build().unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        let mut ticks = interval(Duration::from_millis(5));
        while !condition() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("not in time");
}

#[tokio::test]
async fn after_silence_a_verifier_dials_anew_and_does_not_wait_for_the_dead_connection() {
    let relay = Relay::to(Scripted::default().serve().await).await;
    let verifier = watching(relay.address);
    until(|| verifier.health().revocations == Freshness::Fresh).await;
    assert_eq!(relay.connections(), 1, "both streams share a connection");
    relay.silence.send_modify(|n| *n += 1);
    let since = Instant::now();
    until(|| verifier.health().revocations != Freshness::Fresh).await;
    until(|| verifier.health().revocations == Freshness::Fresh).await;
    // The stream is given up after five seconds. On the dead connection it took 15 until its pings failed.
    let took = since.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert_eq!(relay.connections(), 2);
}

#[tokio::test]
async fn a_refused_cursor_is_dropped_and_the_next_stream_begins_without_it() {
    let script = [Next::Greet, Next::Refuse(tonic::Code::Unavailable), Next::Refuse(tonic::Code::InvalidArgument)];
    let issuer = Scripted { script: Arc::new(Mutex::new(script.into())), ..Scripted::default() };
    let verifier = watching(issuer.serve().await);
    until(|| issuer.cursors().len() >= 4).await;
    assert_eq!(issuer.cursors()[..4], ["", "cursor", "cursor", ""]);
    until(|| verifier.health().revocations == Freshness::Fresh).await;
}

/// Collects what is logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn failures_are_logged_with_their_whole_cause() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // Nothing listens on this port.
    let verifier = watching("127.0.0.1:9".parse().unwrap());
    until(|| {
        let text = log.text();
        ["the stream of revocations ended", "the stream of keys ended"]
            .iter()
            .all(|what| text.lines().any(|line| line.contains(what) && line.contains("Connection refused")))
    })
    .await;
    drop(verifier);
}
