//! A small service behind a proxy, which notes what it gets. It takes every upgrade, as far too many servers do.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

/// A request that came through the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// A header; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The protocols that the request asks for.
    pub(crate) fn upgrades(&self) -> Vec<&str> {
        self.headers.get_all("upgrade").iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The headers that a framework could take for the guard's, but for empty ones.
    pub(crate) fn identity(&self) -> Vec<(String, String)> {
        let all = self.headers.iter().map(|(name, value)| {
            let normalized = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            (name.as_str().chars().map(normalized).collect::<String>(), value.to_str().unwrap().to_owned())
        });
        all.filter(|(name, value)| name.starts_with("x-chancery") && !value.is_empty()).collect()
    }
}

/// Axum takes no more headers than 100.
const MANY: usize = 90;

type Log = Arc<Mutex<Vec<Seen>>>;

pub(crate) struct Backend {
    pub(crate) port: u16,
    log: Log,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, log) = (listener.local_addr().unwrap().port(), Log::default());
        let routes = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(log.clone());
        let (sender, connections) = mpsc::unbounded_channel();
        let at = listener.local_addr().unwrap();
        let upgrades = log.clone();
        let task = tokio::spawn(async move {
            let accepting = async {
                loop {
                    let (stream, peer) = listener.accept().await.unwrap();
                    tokio::spawn(sort(stream, peer, sender.clone(), upgrades.clone()));
                }
            };
            tokio::select! {
                () = accepting => {}
                served = axum::serve(Plain { connections, at }, routes) => served.unwrap(),
            }
        });
        Self { port, log, task }
    }

    /// What has come since the last call.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

/// Answers preflights, refuses what names no subject, and takes everything else.
async fn answer(State(log): State<Log>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let seen = Seen { method, path: uri.to_string(), headers, body };
    log.lock().unwrap().push(seen.clone());
    let preflight = seen.method == Method::OPTIONS && seen.headers.contains_key("access-control-request-method");
    if preflight {
        return (StatusCode::NO_CONTENT, [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CONNECTION, "close")])
            .into_response();
    }
    let status = if seen.header("x-chancery-subject").is_empty() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, [("x-backend", "yes"), ("connection", "close")]).into_response()
}

/// The connections whose request asks for no upgrade. Each has one request.
struct Plain {
    connections: mpsc::UnboundedReceiver<(TcpStream, SocketAddr)>,
    at: SocketAddr,
}

impl axum::serve::Listener for Plain {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

/// Looks at the head of a connection's request and passes the connection on, or makes the upgrade.
async fn sort(stream: TcpStream, peer: SocketAddr, plain: mpsc::UnboundedSender<(TcpStream, SocketAddr)>, log: Log) {
    let mut seen = vec![0; 64 * 1024];
    let head = loop {
        let Ok(length @ 1..) = stream.peek(&mut seen).await else { return };
        let text = String::from_utf8_lossy(&seen[..length]);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break head.to_owned();
        }
        tokio::task::yield_now().await;
    };
    if head.to_ascii_lowercase().contains("\r\nupgrade:") {
        let _ = upgrade(stream, &head, &log).await;
    } else if head.lines().count() > MANY {
        let _ = answer_many(stream, &head, &log).await;
    } else {
        let _ = plain.send((stream, peer));
    }
}

/// Notes a request without a body that has more headers than axum takes, and answers it.
async fn answer_many(mut stream: TcpStream, head: &str, log: &Log) -> io::Result<()> {
    let request = read_head(&mut stream, head).await?;
    log.lock().unwrap().push(request);
    stream.write_all(b"HTTP/1.1 200 OK\r\nX-Backend: yes\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await
}

async fn read_head(stream: &mut TcpStream, head: &str) -> io::Result<Seen> {
    stream.read_exact(&mut vec![0; head.len() + 4]).await?;
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().parse().unwrap(), first.next().unwrap().to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.trim().parse().unwrap()))
        .collect();
    Ok(Seen { method, path, headers, body: Bytes::new() })
}

/// Takes the upgrade, notes what follows and sends it back.
async fn upgrade(mut stream: TcpStream, head: &str, log: &Log) -> io::Result<()> {
    let request = read_head(&mut stream, head).await?;
    let to = request.upgrades().first().copied().unwrap_or_default().to_owned();
    log.lock().unwrap().push(request.clone());
    let answer = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let body = Bytes::copy_from_slice(&buffer[..length]);
        log.lock().unwrap().push(Seen { path: "after the upgrade".to_owned(), body, ..request.clone() });
        stream.write_all(&buffer[..length]).await?;
    }
}
