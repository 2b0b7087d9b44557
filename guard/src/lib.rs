//! A process beside a service that checks its callers' access tokens: for services in languages without a
//! library of Chancery's, and for proxies. Envoy asks by `ext_authz`, nginx, Caddy and Traefik by HTTP, a
//! service on the same machine over a Unix socket.
//!
//! All three ask the same [`Gate`], so that the policy is one.

mod check;
mod decision;
mod ext_authz;
mod forward;
mod headers;
mod pb;

use std::{io, net::SocketAddr, path::PathBuf};

use chancery_verify::Gate;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};

use self::decision::Decider;

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// HTTP forward-auth, and health.
    pub http: Option<SocketAddr>,
    /// Envoy's `ext_authz` over gRPC.
    pub ext_authz: Option<SocketAddr>,
    /// `GuardService` on a Unix socket.
    pub socket: Option<PathBuf>,
}

/// Why a guard cannot stand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// An address cannot be listened on.
    #[error("cannot listen on {place}: {source}")]
    Listen {
        /// The address or path.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// Another process serves the socket.
    #[error("another process listens on {0}")]
    SocketTaken(PathBuf),
    /// A listener failed.
    #[error("serving failed: {0}")]
    Serve(#[from] io::Error),
    /// A gRPC listener failed.
    #[error("serving failed: {0}")]
    Grpc(#[from] tonic::transport::Error),
}

/// A guard whose listeners are open.
#[derive(Debug)]
pub struct Guard {
    gate: Gate,
    http: Option<TcpListener>,
    ext_authz: Option<TcpListener>,
    socket: Option<(UnixListener, PathBuf)>,
}

impl Guard {
    /// Opens the listeners.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub async fn open(gate: Gate, places: &Places) -> Result<Self, GuardError> {
        let socket = match &places.socket {
            Some(path) => Some((open_socket(path).await?, path.clone())),
            None => None,
        };
        let guard = Self { gate, http: listen(places.http).await?, ext_authz: listen(places.ext_authz).await?, socket };
        Ok(guard)
    }

    /// Where it listens, as `name=address` with blanks between.
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

    /// Answers until `stop` resolves.
    ///
    /// # Errors
    /// If a listener fails.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), GuardError> {
        let (stopping, stopped) = watch::channel(false);
        let decider = Decider::new(self.gate);
        let http = serve_http(self.http, decider.clone(), stopped.clone());
        let ext_authz = serve_ext_authz(self.ext_authz, decider.clone(), stopped.clone());
        let (listener, path) = self.socket.unzip();
        let socket = serve_socket(listener, decider, stopped);
        let all = async { tokio::try_join!(http, ext_authz, socket).map(|_| ()) };
        tokio::pin!(all);
        let result = tokio::select! {
            result = &mut all => result,
            () = stop => {
                let _ = stopping.send(true);
                all.await
            }
        };
        if let Some(path) = path {
            let _ = std::fs::remove_file(path);
        }
        result
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, GuardError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| GuardError::Listen { place: address.to_string(), source })
}

/// Binds the socket. One that a process left behind is replaced; one that is served is not.
async fn open_socket(path: &PathBuf) -> Result<UnixListener, GuardError> {
    let refused = |source| GuardError::Listen { place: path.display().to_string(), source };
    let answer = tokio::net::UnixStream::connect(path).await.map_err(|e| e.kind());
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| is_socket(&m));
    let left_behind = answer.is_err_and(|kind| kind == io::ErrorKind::ConnectionRefused);
    // One that is too busy to answer is served all the same.
    if is_socket && !left_behind {
        return Err(GuardError::SocketTaken(path.clone()));
    }
    if is_socket {
        std::fs::remove_file(path).map_err(refused)?;
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    protect(path).map_err(refused)?;
    Ok(listener)
}

fn is_socket(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_socket()
}

/// For its owner and its group: whoever may open it may ask.
fn protect(path: &PathBuf) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn serve_http(
    listener: Option<TcpListener>,
    decider: Decider,
    stopped: watch::Receiver<bool>,
) -> Result<(), GuardError> {
    let Some(listener) = listener else { return Ok(()) };
    Ok(axum::serve(listener, forward::routes(decider)).with_graceful_shutdown(until(stopped)).await?)
}

async fn serve_ext_authz(
    listener: Option<TcpListener>,
    decider: Decider,
    stopped: watch::Receiver<bool>,
) -> Result<(), GuardError> {
    let Some(listener) = listener else { return Ok(()) };
    let router = tonic::transport::Server::builder().add_service(ext_authz::service(decider));
    Ok(router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), until(stopped)).await?)
}

async fn serve_socket(
    listener: Option<UnixListener>,
    decider: Decider,
    stopped: watch::Receiver<bool>,
) -> Result<(), GuardError> {
    let Some(listener) = listener else { return Ok(()) };
    let router = tonic::transport::Server::builder().add_service(check::service(decider));
    Ok(router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), until(stopped)).await?)
}

#[cfg(test)]
mod tests;
