//! A sidecar that checks access tokens, for services in languages without a Chancery library and for proxies.
//! Envoy uses `ext_authz`; nginx, Caddy and Traefik use HTTP; services on the same machine use a Unix socket.
//!
//! All three listeners share one [`Gate`], and so one policy.

mod check;
mod decision;
mod ext_authz;
mod forward;
pub mod headers;
mod health;
pub mod listener;
mod pb;

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use chancery_verify::Gate;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinSet,
};
use tonic::{body::Body, service::Routes};
use tower::ServiceExt;

use self::{
    decision::Decider,
    health::Health,
    listener::{Incoming, Limits, Protocol, Socket, Tls, TlsError, TlsFiles},
};

/// Maximum size of the headers of a request to `/check`, which has those of the original request: proxies allow
/// 32 KiB and more.
const FORWARDED_HEADERS: u32 = 64 * 1024;

/// How long an answer may take, and so how long a call whose message does not arrive holds its connection. Keys and a
/// status list may each have to be fetched first, for which a check waits at most two seconds each time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop may take, whatever the clients do. Orchestrators wait for 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The addresses to listen on.
#[derive(Clone, Debug, Default)]
pub struct ListenAddrs {
    /// HTTP: forward-auth and health checks.
    pub http: Option<SocketAddr>,
    /// gRPC: Envoy's `ext_authz`.
    pub ext_authz: Option<SocketAddr>,
    /// Unix socket: `GuardService`.
    pub socket: Option<PathBuf>,
    /// TLS of the HTTP and gRPC listeners.
    pub tls: Option<TlsFiles>,
}

/// Why a guard cannot start, or why it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// A listener cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address or path.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another process is listening on the socket.
    #[error("another process is listening on {0}")]
    SocketInUse(PathBuf),
    /// The files of TLS cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

/// A guard with open listeners.
#[derive(Debug)]
pub struct Guard {
    gate: Gate,
    limits: Limits,
    http: Option<TcpListener>,
    ext_authz: Option<TcpListener>,
    socket: Option<(UnixListener, PathBuf)>,
    /// Of the HTTP listener and of the gRPC listener.
    tls: [Option<Tls>; 2],
    asked: Option<watch::Receiver<u64>>,
}

impl Guard {
    /// Opens the listeners.
    ///
    /// # Errors
    /// The first listener that cannot be opened.
    pub async fn bind(gate: Gate, addrs: &ListenAddrs) -> Result<Self, GuardError> {
        let load = |protocol| addrs.tls.clone().map(|files| Tls::load(files, protocol)).transpose();
        let tls = [load(Protocol::Http)?, load(Protocol::Grpc)?];
        let socket = match &addrs.socket {
            Some(path) => Some((open_socket(path).await?, path.clone())),
            None => None,
        };
        let (http, ext_authz) = (listen(addrs.http).await?, listen(addrs.ext_authz).await?);
        Ok(Self { gate, limits: Limits::default(), http, ext_authz, socket, tls, asked: None })
    }

    /// Sets the limits of each listener.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The addresses it listens on, as `name=address` separated by spaces.
    #[must_use]
    pub fn addresses(&self) -> String {
        let tcp = |name: &str, listener: &Option<TcpListener>| {
            let address = listener.as_ref().and_then(|l| l.local_addr().ok());
            address.map(|a| format!("{name}={a}"))
        };
        let socket = self.socket.as_ref().map(|(_, path)| format!("socket={}", path.display()));
        let all = [tcp("http", &self.http), tcp("ext_authz", &self.ext_authz), socket];
        all.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Reads certificates again at once whenever this changes.
    #[must_use]
    pub fn read_again_on(mut self, asked: watch::Receiver<u64>) -> Self {
        self.asked = Some(asked);
        self
    }

    /// Follows the files of TLS until the result is dropped.
    fn keep_fresh(&self) -> JoinSet<()> {
        // Nothing is ever sent through a channel whose sender is gone.
        let asked = self.asked.clone().unwrap_or_else(|| watch::channel(0).1);
        self.tls.iter().flatten().cloned().map(|tls| tls.keep_fresh(asked.clone())).collect()
    }

    /// Serves until `stop` resolves and all requests in flight are answered, but no longer than 20 s after `stop`.
    /// Certificates are read again when they change.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let _fresh = self.keep_fresh();
        let certificates = self.tls.iter().flatten().cloned().collect();
        let [http_tls, grpc_tls] = self.tls;
        let (stopping, stopped) = watch::channel(false);
        let health = Health::new(self.gate.clone(), stopped.clone());
        let (decider, limits) = (Decider::new(self.gate), Limits { answer: Some(ANSWER_TIMEOUT), ..self.limits });
        let http = self.http.map(|http| Socket::tcp(http, http_tls));
        let http = serve_http(http, forward::routes(decider.clone(), certificates), limits, stopped.clone());
        let routes = Routes::new(ext_authz::service(decider.clone())).add_service(health.service(ext_authz::NAME));
        let ext_authz =
            serve_grpc(self.ext_authz.map(|listener| Socket::tcp(listener, grpc_tls)), routes, limits, stopped.clone());
        let (listener, path) = self.socket.unzip();
        let routes = Routes::new(check::service(decider)).add_service(health.service(check::NAME));
        let socket = serve_grpc(listener.map(Socket::Unix), routes, limits, stopped);
        let all = async { tokio::join!(http, ext_authz, socket) };
        let time_to_stop = async {
            stop.await;
            let _ = stopping.send(true);
            let never = std::future::pending::<()>();
            let _ = tokio::time::timeout(STOP_TIMEOUT, never).await;
        };
        tokio::select! {
            _ = all => {}
            () = time_to_stop => tracing::warn!("the time to stop is over; requests still in flight are cut off"),
        }
        if let Some(path) = path {
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, GuardError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| GuardError::Listen { address: address.to_string(), source })
}

/// Binds the socket. A socket file that a dead process left behind is replaced; one in use is not.
async fn open_socket(path: &PathBuf) -> Result<UnixListener, GuardError> {
    let listen_error = |source| GuardError::Listen { address: path.display().to_string(), source };
    let answer = tokio::net::UnixStream::connect(path).await.map_err(|e| e.kind());
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| is_socket(&m));
    let is_stale = answer.is_err_and(|kind| kind == io::ErrorKind::ConnectionRefused);
    // A socket that is too busy to accept is still in use.
    if is_socket && !is_stale {
        return Err(GuardError::SocketInUse(path.clone()));
    }
    if is_socket {
        std::fs::remove_file(path).map_err(listen_error)?;
    }
    let listener = UnixListener::bind(path).map_err(listen_error)?;
    protect(path).map_err(listen_error)?;
    Ok(listener)
}

fn is_socket(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_socket()
}

/// Limits access to the owner and the group: whoever can open the socket can check tokens.
fn protect(path: &PathBuf) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
}

async fn wait_for_stop(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn serve_http(socket: Option<Socket>, routes: axum::Router, limits: Limits, stopped: watch::Receiver<bool>) {
    let Some(socket) = socket else { return };
    let limits = Limits { header_bytes: FORWARDED_HEADERS, ..limits };
    listener::serve(socket, Protocol::Http, routes, limits, wait_for_stop(stopped)).await;
}

async fn serve_grpc(socket: Option<Socket>, routes: Routes, limits: Limits, stopped: watch::Receiver<bool>) {
    let Some(socket) = socket else { return };
    let routes = routes.prepare().map_request(|request: axum::http::Request<Incoming>| request.map(Body::new));
    listener::serve(socket, Protocol::Grpc, routes, limits, wait_for_stop(stopped)).await;
}

#[cfg(test)]
mod tests;
