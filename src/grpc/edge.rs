//! The outermost layer of every call. It creates the context, applies the access table, adds details to errors from
//! tonic itself, and writes one log line and one metric per call.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chancery_guard::listener::{Claim, Peer};
use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service as TowerService};

use super::{
    call::Call,
    context::{credentials, deadline, user_agent},
    dispatch::{dispatch, is_ours},
    protocol::{keeps_connection, refuse_other_protocols, with_whole_message},
    status::{code_name, deadline_exceeded, detailed_status, reason_in, status, unknown_method},
};
use crate::{
    domain::text::cleaned,
    error::{Error, Reason, Result as ServiceResult},
    metrics::Metrics,
    service::{Access, ClientCredentials, RequestContext, Service, method},
};

/// The longest origin in a log line, in bytes.
const MAX_ORIGIN: usize = 255;

#[derive(Clone, Debug)]
pub(super) struct EdgeLayer {
    service: Service,
    metrics: Arc<Metrics>,
}

impl EdgeLayer {
    pub(super) fn new(service: Service, metrics: Arc<Metrics>) -> Self {
        Self { service, metrics }
    }

    /// The context of a call that arrives now. It may be put among the extensions of the call, when something has to be
    /// known of it before it reaches this layer.
    pub(super) fn context<B>(&self, request: &Request<B>, deadline: tokio::time::Instant) -> RequestContext {
        let (peer, user_agent) = (peer(request), user_agent(request.headers()));
        RequestContext { deadline: Some(deadline), peer, user_agent, ..self.service.context() }
    }

    /// Counts and logs a call that was refused before it could reach this layer.
    pub(super) fn record_refusal(&self, ctx: &RequestContext, path: &str, refused: Status, took: Duration) {
        let code = refused.code();
        let method = method(path).map_or("unknown", |(name, _)| name);
        let headers = refused.into_http::<Body>().into_parts().0.headers;
        CompletedCall { method, code, took }.record(ctx, &self.metrics, &headers);
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
        if let Some(refused) = refuse_other_protocols(&request) {
            self.edge.metrics.rpc("unknown", code_name(Code::Unimplemented), "", Duration::ZERO);
            return Box::pin(std::future::ready(Ok(refused)));
        }
        // Until its message has arrived, a call costs its caller nothing, and at the cap it may be cut off.
        let claim = request.extensions().get::<Claim>().cloned();
        if let Some(claim) = &claim {
            claim.waive();
        }
        let row = method(request.uri().path());
        let deadline = deadline(row.map(|(name, _)| name), request.headers());
        let service = self.edge.service.clone();
        let ctx = request.extensions_mut().remove::<RequestContext>();
        let ctx = ctx.unwrap_or_else(|| self.edge.context(&request, deadline));
        let deadline = ctx.deadline.unwrap_or(deadline);
        // Keeps the credentials out of debug output of the headers.
        if let Some(credentials) = request.headers_mut().get_mut(http::header::AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        // Only the instance that was polled ready may be called; leave the clone behind.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let metrics = self.edge.metrics.clone();
        let arrived = tokio::time::Instant::now();
        Box::pin(async move {
            let _in_flight = metrics.call();
            let answer = async {
                match row {
                    None => Ok(unknown_method().into_http()),
                    Some((_, access)) => {
                        // A call is authorized after its message has arrived. Otherwise somebody could open calls, lose
                        // the permission, and send the messages later. A stream of messages is authorized at its start
                        // and for each batch.
                        let request = match with_whole_message(request).await {
                            Ok(request) => request,
                            Err(broken) => return Ok(broken.into_http()),
                        };
                        if let Some(claim) = claim.filter(|_| keeps_connection(request.uri().path())) {
                            claim.restore();
                        }
                        if !is_ours(request.uri().path()) {
                            return inner.call(request).await;
                        }
                        Ok(match admit(service, &ctx, request.headers(), access).await {
                            Ok(call) => dispatch(call, request).await,
                            Err(refused) => status(&ctx, &refused).into_http(),
                        })
                    }
                }
            };
            let response = match tokio::time::timeout_at(deadline, answer).await {
                Ok(answered) => add_missing_details(answered?),
                Err(_) => deadline_exceeded().into_http(),
            };
            let method = row.map_or("unknown", |(name, _)| name);
            let completed = CompletedCall { method, code: code(&response), took: arrived.elapsed() };
            completed.record(&ctx, &metrics, response.headers());
            Ok(response)
        })
    }
}

/// Authenticates the caller and checks the access that the method requires.
async fn admit(
    service: Service,
    ctx: &RequestContext,
    headers: &http::HeaderMap,
    access: Access,
) -> ServiceResult<Call> {
    // Methods open to anyone ignore credentials, valid or not.
    let credentials = match access {
        Access::Anyone => ClientCredentials::None,
        // Where only one kind of credentials is accepted, all others are refused alike.
        Access::Client | Access::ConfidentialClient => {
            credentials(headers).map_err(|_| Error::Unauthenticated(Reason::ClientAuthenticationFailed))?
        }
        Access::User => credentials(headers).map_err(|_| Error::Unauthenticated(Reason::TokenInvalid))?,
        Access::ClientOrUser | Access::SessionOrClient | Access::Permission(..) => credentials(headers)?,
    };
    let permit = service.callers.admit(ctx, &credentials, access).await?;
    Ok(Call::new(service, ctx.clone(), credentials, permit))
}

/// A completed call.
struct CompletedCall {
    method: &'static str,
    code: Code,
    took: Duration,
}

impl CompletedCall {
    /// Counts and logs the call: failed calls at INFO, successful ones at DEBUG.
    fn record(&self, ctx: &RequestContext, metrics: &Metrics, headers: &http::HeaderMap) {
        let Self { method, code, took } = *self;
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if code == Code::Ok {
            metrics.rpc(method, code_name(code), "", took);
            tracing::debug!(method, caller = ctx.caller.get(), ms, request_id = %ctx.request_id, peer = ctx.peer, "rpc");
            return;
        }
        let reason = reason_in(headers);
        #[cfg(debug_assertions)]
        if let Some(reason) = reason {
            super::documented::check(method, reason);
        }
        let reason = reason.map_or("", Reason::as_str);
        metrics.rpc(method, code_name(code), reason, took);
        let (caller, request_id) = (ctx.caller.get(), ctx.request_id.as_str());
        let (code, peer) = (code_name(code), &ctx.peer);
        if let Some(origin) = &ctx.origin {
            let origin = cleaned(origin, MAX_ORIGIN);
            tracing::info!(method, caller, code, reason, ms, request_id, peer, origin, "rpc");
            return;
        }
        tracing::info!(method, caller, code, reason, ms, request_id, peer, "rpc");
    }
}

fn peer<B>(request: &Request<B>) -> String {
    // A dual-stack listener shows IPv4 addresses as IPv6.
    request.extensions().get().map(|Peer(address)| address.ip().to_canonical().to_string()).unwrap_or_default()
}

/// The gRPC code in the headers. A response without one is successful so far; its code follows in the trailers.
fn code(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |v| Code::from_bytes(v.as_bytes()))
}

/// Adds error details to responses that tonic itself refused.
fn add_missing_details(response: Response<Body>) -> Response<Body> {
    let bare = !response.headers().contains_key("grpc-status-details-bin");
    match (code(&response), bare) {
        (Code::Ok, _) | (_, false) => response,
        (code, true) => {
            let from_tonic = Status::from_header_map(response.headers());
            let message = from_tonic.as_ref().map_or("", |s| s.message()).to_owned();
            detailed_status(code, &message).into_http()
        }
    }
}
