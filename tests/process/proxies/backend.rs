//! A small service behind a proxy, which notes what it gets.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

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

    /// The headers that a framework could take for the guard's, but for empty ones.
    pub(crate) fn identity(&self) -> Vec<(String, String)> {
        let all = self.headers.iter().map(|(name, value)| {
            let normalized = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            (name.as_str().chars().map(normalized).collect::<String>(), value.to_str().unwrap().to_owned())
        });
        all.filter(|(name, value)| name.starts_with("x-chancery") && !value.is_empty()).collect()
    }
}

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
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
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
        return (StatusCode::NO_CONTENT, [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")]).into_response();
    }
    let status = if seen.header("x-chancery-subject").is_empty() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, [("x-backend", "yes")]).into_response()
}
