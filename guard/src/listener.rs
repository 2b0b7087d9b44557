//! Serves HTTP and gRPC on a socket, and ends connections that only take up room. The guard's listeners and the
//! server's own share it.
//!
//! A connection ends when it sends no request, sends half of one, stays idle, answers no ping, or takes nothing of what
//! it is sent. A connection with a call in flight stays open as long as its peer answers and reads.
//!
//! Each listener has a cap of connections, and a lower one for each client address. At the cap, a new connection takes
//! the place of one that has no request in flight: first of those that never sent a request, then of those that have
//! been idle the longest. Refusing the new one instead would let silent connections lock everybody else out. Last come
//! connections whose requests have all waived their [`Claim`]. A new connection is refused only if every other one has
//! a request in flight that has not.

mod activity;
mod body;
mod claim;
mod connection;
mod connections;
mod network;
mod stream;
mod tls;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::{Bytes, HttpBody},
    http::{Request, Response},
};
pub use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};
use tower::Service;

pub use self::{
    claim::Claim,
    tls::{Tls, TlsError, TlsFiles, TlsStatus},
};
use self::{connection::Serving, connections::Connections, stream::Raw};

/// How long to wait after an error such as "too many open files" before accepting again.
const PAUSE: Duration = Duration::from_millis(50);
/// Failures to accept and caps that are reached are logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, and HTTP/2 without TLS for clients that begin with it.
    Http,
    /// HTTP/2 alone, for gRPC.
    Grpc,
    /// Both: what a connection is for is seen by its first bytes, or agreed on by TLS.
    Both,
}

/// A socket to accept connections on.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// TCP, with TLS.
    Tls(TcpListener, Tls),
    /// A Unix socket. Its peers have no address.
    Unix(UnixListener),
}

impl From<TcpListener> for Socket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<(Raw, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // Small responses are sent at once. It fails only for a connection that is gone.
                let _ = stream.set_nodelay(true);
                Ok((Raw::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => Ok((Raw::Unix(listener.accept().await?.0), None)),
        }
    }

    /// TCP, with TLS if there is any.
    #[must_use]
    pub fn tcp(listener: TcpListener, tls: Option<Tls>) -> Self {
        match tls {
            Some(tls) => Self::Tls(listener, tls),
            None => Self::Tcp(listener),
        }
    }

    fn tls(&self) -> Option<Tls> {
        match self {
            Self::Tls(_, tls) => Some(tls.clone()),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }
}

/// The limits of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Open connections of one IPv4 address or one /64 of IPv6; 0 for no such limit. Loopback has none.
    pub per_address: usize,
    /// From the first byte of a request, or from the opening of the connection, to the end of the request's headers.
    /// A TLS handshake counts too.
    pub head: Duration,
    /// How long a connection may have no request in flight.
    pub idle: Duration,
    /// How long a peer may take nothing of what it is sent.
    pub stall: Duration,
    /// How often an HTTP/2 peer is pinged.
    pub ping: Duration,
    /// How long it may take to answer a ping.
    pub pong: Duration,
    /// How long a connection of HTTP/2 is used for new requests, roughly: then its client is told to open another one,
    /// so that those of all clients spread over all servers again. Requests in flight are answered. `None` for ever.
    pub age: Option<Duration>,
    /// How long a service may take to begin its answer, unless it has deadlines of its own.
    pub answer: Option<Duration>,
    /// Concurrent requests on one HTTP/2 connection.
    pub streams: u32,
    /// Headers of a request, in bytes.
    pub header_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            per_address: 512,
            head: Duration::from_secs(10),
            idle: Duration::from_mins(2),
            stall: Duration::from_mins(1),
            ping: Duration::from_mins(1),
            pong: Duration::from_secs(20),
            age: None,
            answer: Some(Duration::from_secs(30)),
            streams: 256,
            header_bytes: 16 * 1024,
        }
    }
}

/// The address of a request's peer, among the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Among the extensions of a request that came over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted;

/// Serves until `stop` resolves and all requests in flight are answered. From then on, connections without a request
/// are closed after a second. Dropping the future cuts everything off.
pub async fn serve<S, B>(socket: Socket, protocol: Protocol, service: S, limits: Limits, stop: impl Future<Output = ()>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (stopping, stopped) = watch::channel(false);
    let connections = Arc::new(Connections::new(&limits));
    let mut tasks = JoinSet::new();
    let mut failing = Failing::default();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            // Those that made room are waited for in between: each holds an open file until its task has ended.
            accepted = socket.accept(), if !connections.are_closing() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_about_the_peer(&error) {
                    // Too many open files, most likely. There would be an error after the other without the pause.
                    connections.make_room();
                    failing.note(&error);
                    // A future that has resolved must not be polled again.
                    if timeout(PAUSE, &mut stop).await.is_ok() {
                        break;
                    }
                }
                continue;
            }
        };
        let Some(slot) = connections.admit(peer) else { continue };
        let (number, activity) = (slot.number(), slot.activity());
        let tls = socket.tls();
        let serving = Serving { service: service.clone(), protocol, limits, peer, activity, encrypted: tls.is_some() };
        let stopped = stopped.clone();
        let task = tasks.spawn(async move {
            serving.run(stream, tls, stopped).await;
            drop(slot);
        });
        connections.started(number, task);
    }
    drop(socket);
    let _ = stopping.send(true);
    while tasks.join_next().await.is_some() {}
}

/// How often connections could not be accepted.
#[derive(Debug, Default)]
struct Failing {
    times: u64,
    logged: Option<Instant>,
}

impl Failing {
    /// Counts an error, and returns whether it was logged too.
    fn note(&mut self, error: &io::Error) -> bool {
        self.times += 1;
        let logs = self.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if logs {
            tracing::warn!(%error, times = self.times, "cannot accept connections");
            self.logged = Some(Instant::now());
        }
        logs
    }
}

/// Whether only the accepted connection failed, not the listener.
fn is_about_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests;
