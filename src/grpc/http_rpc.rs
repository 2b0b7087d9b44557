//! The same calls over HTTP, for browsers and for programs without gRPC: JSON by the unary protocol of Connect
//! (<https://connectrpc.com/docs/protocol>), and gRPC-Web by tonic-web. Each request becomes the gRPC call that it stands
//! for and goes to the edge, so that access, limits, reasons and deadlines are the same. Cookies are not looked at.

mod connect;
mod cors;
mod doubled;
mod error_json;
mod messages;
mod refusal;
mod rest;

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, task};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use tokio::time::Instant;
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service as TowerService, ServiceExt};

use self::refusal::{Refusal, Wire};
use super::{
    context::{MAX_HTTP_DEADLINE, timeout},
    edge::{Edge, EdgeLayer},
    status::unknown_method,
};
use crate::{
    metrics::Metrics,
    service::{HttpRpc, RequestContext, Service},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers calls over HTTP. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpRpcService {
    service: Service,
    layer: EdgeLayer,
    edge: Edge<NoOthers>,
    offered: HttpRpc,
}

impl HttpRpcService {
    /// Answers the methods that are offered.
    #[must_use]
    pub fn new(service: Service, metrics: Arc<Metrics>, offered: HttpRpc) -> Self {
        let layer = EdgeLayer::new(service.clone(), metrics);
        Self { service, edge: layer.layer(NoOthers), layer, offered }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let began = Instant::now();
        let path = request.uri().path().to_owned();
        let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let with_body = request.method() != Method::HEAD;
        let (request, rest) = rest::lend(request);
        let ctx = RequestContext {
            origin: cors::origin(request.headers()),
            ..self.layer.context(&request, began + MAX_HTTP_DEADLINE)
        };
        if request.method() == Method::OPTIONS {
            let mut response = cors::preflight(&self, &ctx, &request);
            add_headers(&ctx, response.headers_mut());
            return response;
        }
        let answered = match refusal::check(&self, &ctx, &request) {
            Ok(Wire::Json) => connect::answer(self.edge.clone(), &ctx, request).await.map_err(Refusal::Call),
            Ok(Wire::GrpcWeb) => Ok(grpc_web(self.edge.clone(), &ctx, request).await),
            Err(refused) => {
                drop(request);
                Err(refused)
            }
        };
        let mut response = answered.unwrap_or_else(|refused| {
            self.layer.record_refusal(&ctx, &path, refused.status(), began.elapsed());
            refused.answer(content_type)
        });
        add_headers(&ctx, response.headers_mut());
        let readable = |origin: &&str| self.service.callers.allows_preflight(&path, origin);
        cors::let_read(&mut response, ctx.origin.as_deref().filter(readable));
        if let Some(rest) = rest {
            rest.settle(&mut response, began + MAX_HTTP_DEADLINE).await;
        }
        if with_body { response } else { response.map(|_| Body::empty()) }
    }
}

impl<B> TowerService<Request<B>> for HttpRpcService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request.map(Body::new)).await) })
    }
}

/// Answers may have tokens in them (RFC 6749 §5.1).
fn add_headers(ctx: &RequestContext, headers: &mut http::HeaderMap) {
    if let Ok(id) = ctx.request_id.as_str().parse() {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Answers a call of gRPC-Web, whose deadline is written as gRPC writes it.
async fn grpc_web(edge: Edge<NoOthers>, ctx: &RequestContext, mut request: Request<Body>) -> Response<Body> {
    let longest = timeout(request.headers()).unwrap_or(MAX_HTTP_DEADLINE).min(MAX_HTTP_DEADLINE);
    request.extensions_mut().insert(RequestContext { deadline: Some(Instant::now() + longest), ..ctx.clone() });
    let is_stream = messages::shape(request.uri().path()).is_some_and(|shape| !shape.is_unary);
    let mut response = answered(GrpcWebLayer::new().layer(edge).oneshot(request).await);
    if is_stream {
        // nginx holds an answer back until it has a page of it, unless this says otherwise.
        response.headers_mut().insert(UNBUFFERED, HeaderValue::from_static("no"));
    }
    response
}

/// The answer of a service that always has one.
fn answered(result: Result<Response<Body>, Infallible>) -> Response<Body> {
    match result {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A body that is there as a whole.
fn whole(bytes: impl Into<Bytes>) -> Body {
    Body::new(Full::new(bytes.into()))
}

/// What would answer health and reflection: over HTTP, nothing does.
#[derive(Clone, Copy, Debug)]
struct NoOthers;

impl TowerService<Request<Body>> for NoOthers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Ok(unknown_method().into_http()))
    }
}
