//! The outermost layer of every call: its context, the access table, details on what tonic itself
//! refuses, one log line and one count.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service as TowerService};

use super::{
    access::access,
    context::deadline,
    status::{complete, reason_in, too_late, unknown_method},
};
use crate::{
    metrics::Metrics,
    service::{RequestContext, Service},
};

#[derive(Clone, Debug)]
pub(super) struct EdgeLayer {
    service: Service,
    metrics: Arc<Metrics>,
}

impl EdgeLayer {
    pub(super) fn new(service: Service, metrics: Arc<Metrics>) -> Self {
        Self { service, metrics }
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;
    fn layer(&self, inner: S) -> Edge<S> {
        Edge { inner, edge: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Edge<S> {
    inner: S,
    edge: EdgeLayer,
}

impl<S> TowerService<Request<Body>> for Edge<S>
where
    S: TowerService<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let known = access(&path).is_some();
        let gives_up = deadline(request.headers());
        let ctx = RequestContext { deadline: Some(gives_up), peer: peer(&request), ..self.edge.service.context() };
        request.extensions_mut().insert(ctx.clone());
        // Whoever prints these headers prints no credentials.
        if let Some(credentials) = request.headers_mut().get_mut(http::header::AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        // The service that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let metrics = self.edge.metrics.clone();
        let arrived = tokio::time::Instant::now();
        Box::pin(async move {
            let _under_way = metrics.call();
            let response = if known {
                // The library has a timer of its own, a little later, whose answer lacks code and details.
                match tokio::time::timeout_at(gives_up, inner.call(request)).await {
                    Ok(answered) => finish(answered?),
                    Err(_) => too_late().into_http(),
                }
            } else {
                unknown_method().into_http()
            };
            let method = if known { path.as_str() } else { "unknown" };
            let code = code(&response);
            let took = arrived.elapsed();
            let reason = reason_in(response.headers());
            metrics.rpc(method, code, &reason, took);
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let (caller, request_id) = (ctx.caller.get(), ctx.request_id.as_str());
            tracing::info!(method, caller, code = ?code, reason, ms, request_id, peer = ctx.peer, "rpc");
            Ok(response)
        })
    }
}

fn peer(request: &Request<Body>) -> String {
    let info = request.extensions().get::<tonic::transport::server::TcpConnectInfo>();
    info.and_then(tonic::transport::server::TcpConnectInfo::remote_addr).map(|a| a.ip().to_string()).unwrap_or_default()
}

/// The code in the headers; an answer without one has its code in the trailers, and is a success so far.
fn code(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |v| Code::from_bytes(v.as_bytes()))
}

/// Adds the details that a refusal of tonic's own lacks.
fn finish(response: Response<Body>) -> Response<Body> {
    let bare = !response.headers().contains_key("grpc-status-details-bin");
    match (code(&response), bare) {
        (Code::Ok, _) | (_, false) => response,
        (code, true) => {
            let from_tonic = Status::from_header_map(response.headers());
            let message = from_tonic.as_ref().map_or("", |s| s.message()).to_owned();
            complete(code, &message).into_http()
        }
    }
}
