//! The check as a layer around a service: verified [`Claims`] are put into the request, and what has no good
//! token is answered with 401, 403 or 503.
//!
//! In axum the handler takes them by `Extension<Arc<Claims>>`:
//!
//! ```no_run
//! # async fn example() {
//! use std::sync::Arc;
//! use axum::{Extension, Router, routing::get};
//! use chancery_verify::{Claims, Verifier, middleware::TokenLayer};
//!
//! async fn orders(Extension(claims): Extension<Arc<Claims>>) -> String {
//!     format!("orders of {}", claims.subject)
//! }
//!
//! let verified = TokenLayer::new(Verifier::new("https://id.example.com", "orders-api"));
//! let app: Router = Router::new()
//!     .route("/orders", get(orders).layer(verified.clone().require_scope("orders.read")))
//!     .layer(verified);
//! # }
//! ```

#[cfg(feature = "tonic")]
mod grpc;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Request, Response, StatusCode, header};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Claims, Gate, Refusal, Verifier};

#[cfg(feature = "tonic")]
pub use self::grpc::TokenInterceptor;

/// A layer that lets requests with a good token pass.
#[derive(Clone, Debug)]
pub struct TokenLayer {
    gate: Gate,
    answer: Answer,
}

/// How a refusal is told.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Http,
    #[cfg(feature = "tonic")]
    Grpc,
}

impl From<Gate> for TokenLayer {
    fn from(gate: Gate) -> Self {
        Self { gate, answer: Answer::Http }
    }
}

impl TokenLayer {
    /// Any good token passes.
    pub fn new(verifier: impl Into<Arc<Verifier>>) -> Self {
        Gate::new(verifier).into()
    }

    /// Answers with gRPC statuses, for services of tonic.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub const fn grpc(mut self) -> Self {
        self.answer = Answer::Grpc;
        self
    }

    fn with(self, change: impl FnOnce(Gate) -> Gate) -> Self {
        Self { gate: change(self.gate), ..self }
    }

    /// Asks for a scope: 403 without it.
    #[must_use]
    pub fn require_scope(self, scope: impl Into<String>) -> Self {
        self.with(|gate| gate.require_scope(scope))
    }

    /// Asks for a permission: 403 without it.
    #[must_use]
    pub fn require_permission(self, permission: impl Into<String>) -> Self {
        self.with(|gate| gate.require_permission(permission))
    }

    /// Asks for a user who signed in so recently: else 401 with `max_age` (RFC 9470).
    #[must_use]
    pub fn require_sign_in_within(self, age: Duration) -> Self {
        self.with(|gate| gate.require_sign_in_within(age))
    }

    /// Asks for a class of sign-in: else 401 with `acr_values` (RFC 9470).
    #[must_use]
    pub fn require_acr(self, acr: impl Into<String>) -> Self {
        self.with(|gate| gate.require_acr(acr))
    }

    /// Refuses nobody, and counts and logs whom it would refuse. Handlers must take
    /// `Option<Extension<Arc<Claims>>>` meanwhile.
    #[must_use]
    pub fn observe(self, on: bool) -> Self {
        self.with(|gate| gate.observe(on))
    }

    /// What decides.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = Verified<S>;

    fn layer(&self, inner: S) -> Verified<S> {
        Verified { inner, layer: self.clone() }
    }
}

/// A service behind a [`TokenLayer`].
#[derive(Clone, Debug)]
pub struct Verified<S> {
    inner: S,
    layer: TokenLayer,
}

impl<S, B, R> Service<Request<B>> for Verified<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was ready serves; its copy waits for its own turn.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let layer = self.layer.clone();
        Box::pin(async move {
            let values: Vec<_> = request.headers().get_all(header::AUTHORIZATION).iter().cloned().collect();
            // Claims of an outer layer with other terms must not pass for this one's.
            request.extensions_mut().remove::<Arc<Claims>>();
            match layer.gate.admit(values.iter().map(header::HeaderValue::as_bytes)).await {
                Ok(Some(claims)) => drop(request.extensions_mut().insert(claims)),
                Ok(None) => {}
                Err(refusal) => return Ok(layer.answer.response(&refusal)),
            }
            inner.call(request).await
        })
    }
}

impl Answer {
    fn response<R: Default>(self, refusal: &Refusal) -> Response<R> {
        match self {
            Self::Http => http_response(refusal),
            #[cfg(feature = "tonic")]
            Self::Grpc => grpc::status(refusal).into_http(),
        }
    }
}

/// The refusal in its headers, without a body.
fn http_response<R: Default>(refusal: &Refusal) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    add_headers(response.headers_mut(), refusal);
    response
}

fn add_headers(headers: &mut HeaderMap, refusal: &Refusal) {
    if let Some(value) = refusal.www_authenticate().and_then(|v| v.parse().ok()) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    if matches!(refusal, Refusal::Unavailable(_)) {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    // What is refused today may be let in tomorrow.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
