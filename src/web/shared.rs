//! One listener for gRPC and for everything else. The content type decides.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, Request, Response, StatusCode, Version, header},
    response::IntoResponse,
};
use chancery_guard::listener::{self, Incoming, Limits, Protocol, Socket};
use tower::{Service, ServiceExt};

/// The content type of gRPC. Another word may follow it, such as `+proto`.
const GRPC: &str = "application/grpc";

/// Serves until `stop` resolves and all requests in flight are answered. Calls of gRPC have deadlines of their own.
pub async fn serve_with_grpc<G, B>(
    socket: Socket,
    limits: Limits,
    (routes, grpc): (Router, G),
    stop: impl Future<Output = ()>,
) where
    G: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    G::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let both = Both { routes, grpc, answer: limits.answer };
    listener::serve(socket, Protocol::Both, both, Limits { answer: None, ..limits }, stop).await;
}

#[derive(Clone, Debug)]
struct Both<G> {
    routes: Router,
    grpc: G,
    /// How long a page may take.
    answer: Option<Duration>,
}

impl<G, B> Service<Request<Incoming>> for Both<G>
where
    G: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    G::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if request.version() == Version::HTTP_2 && is_grpc(request.headers()) {
            let call = self.grpc.clone().oneshot(request);
            return Box::pin(async move { Ok(call.await?.map(Body::new)) });
        }
        let (page, limit) = (self.routes.clone().oneshot(request.map(Body::new)), self.answer);
        Box::pin(async move {
            let Some(limit) = limit else { return page.await };
            let answered = tokio::time::timeout(limit, page).await;
            answered.unwrap_or_else(|_| Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()))
        })
    }
}

/// Whether a request is a call of gRPC. One of gRPC-Web is not: its listener is that of HTTP.
fn is_grpc(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let rest = sent.and_then(|sent| {
        let (start, rest) = sent.split_at_checked(GRPC.len())?;
        start.eq_ignore_ascii_case(GRPC).then_some(rest)
    });
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type_alone() {
        for (sent, is) in [
            (Some("application/grpc"), true),
            (Some("application/grpc+proto"), true),
            (Some("Application/GRPC; charset=x"), true),
            (Some("application/grpc-web"), false),
            (Some("application/grpc-web+proto"), false),
            (Some("application/grpc-web-text"), false),
            (Some("application/json"), false),
            (Some("application/gr"), false),
            (None, false),
        ] {
            let headers = sent.map(|sent| (header::CONTENT_TYPE, sent.parse().unwrap())).into_iter().collect();
            assert_eq!(is_grpc(&headers), is, "{sent:?}");
        }
    }
}
