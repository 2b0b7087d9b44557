//! The outermost layer of every call: its context, the access table, details on what tonic itself
//! refuses, one log line and one count.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service as TowerService};

use super::{
    call::Call,
    context::{credentials, deadline},
    dispatch::{dispatch, is_ours},
    status::{code_name, complete, reason_in, status, too_late, unknown_method},
};
use crate::{
    error::{Reason, Result as ServiceResult},
    metrics::Metrics,
    service::{Access, ClientCredentials, RequestContext, Service, method},
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
        let row = method(request.uri().path());
        let gives_up = deadline(row.map(|(name, _)| name), request.headers());
        let service = self.edge.service.clone();
        let ctx = RequestContext { deadline: Some(gives_up), peer: peer(&request), ..service.context() };
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
            let answer = async {
                match row {
                    None => Ok(unknown_method().into_http()),
                    Some((_, access)) if is_ours(request.uri().path()) => {
                        Ok(match admit(service, &ctx, request.headers(), access).await {
                            Ok(call) => dispatch(call, request).await,
                            Err(refused) => status(&ctx, &refused).into_http(),
                        })
                    }
                    Some(_) => inner.call(request).await,
                }
            };
            // The library has a timer of its own, a little later, whose answer lacks code and details.
            let response = match tokio::time::timeout_at(gives_up, answer).await {
                Ok(answered) => finish(answered?),
                Err(_) => too_late().into_http(),
            };
            let method = row.map_or("unknown", |(name, _)| name);
            let answered = Answered { method, code: code(&response), took: arrived.elapsed() };
            answered.tell(&ctx, &metrics, response.headers());
            Ok(response)
        })
    }
}

/// Finds out who calls, and admits the call by the row of the access table.
async fn admit(
    service: Service,
    ctx: &RequestContext,
    headers: &http::HeaderMap,
    access: Access,
) -> ServiceResult<Call> {
    // What anyone may call takes no notice of credentials, good or bad.
    let credentials = if access == Access::Anyone { ClientCredentials::None } else { credentials(headers)? };
    let permit = service.callers.admit(ctx, &credentials, access).await?;
    Ok(Call::new(service, ctx.clone(), credentials, permit))
}

/// A call that has its answer.
struct Answered {
    method: &'static str,
    code: Code,
    took: Duration,
}

impl Answered {
    /// Counts the call, and logs it: what was refused so that operators see it, the rest for those who
    /// look for it.
    fn tell(&self, ctx: &RequestContext, metrics: &Metrics, headers: &http::HeaderMap) {
        let Self { method, code, took } = *self;
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if code == Code::Ok {
            metrics.rpc(method, code_name(code), "", took);
            tracing::debug!(method, caller = ctx.caller.get(), ms, request_id = %ctx.request_id, peer = ctx.peer, "rpc");
            return;
        }
        let reason = reason_in(headers).map_or("", Reason::as_str);
        metrics.rpc(method, code_name(code), reason, took);
        let (caller, request_id) = (ctx.caller.get(), ctx.request_id.as_str());
        tracing::info!(method, caller, code = code_name(code), reason, ms, request_id, peer = ctx.peer, "rpc");
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
