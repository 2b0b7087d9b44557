//! A tower layer that checks access tokens: it puts the verified [`Claims`] into the request, and answers 400,
//! 401, 403 or 503 if the token is missing or not accepted.
//!
//! An axum handler gets the claims with `Extension<Arc<Claims>>`:
//!
//! ```no_run
//! # fn example() -> Result<(), chancery_verify::SettingsError> {
//! use std::sync::Arc;
//! use axum::{Extension, Router, routing::get};
//! use chancery_verify::{Claims, Verifier, middleware::TokenLayer};
//!
//! async fn orders(Extension(claims): Extension<Arc<Claims>>) -> String {
//!     format!("orders of {}", claims.subject)
//! }
//!
//! let verified = TokenLayer::new(Verifier::new("https://id.example.com", "orders-api")?);
//! let app: Router = Router::new()
//!     .route("/orders", get(orders).layer(verified.clone().require_scope("orders.read")))
//!     .layer(verified);
//! # Ok(())
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

use http::{Extensions, HeaderMap, Request, Response, StatusCode, header};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Claims, Gate, Refusal, Verifier,
    bearer::{Admission, Counted},
};

#[cfg(feature = "tonic")]
pub use self::grpc::TokenInterceptor;

/// A layer that admits only requests with an accepted token.
#[derive(Clone, Debug)]
pub struct TokenLayer {
    gate: Gate,
    error_format: ErrorFormat,
}

/// How a refusal is sent to the caller.
#[derive(Clone, Copy, Debug)]
enum ErrorFormat {
    Http,
    #[cfg(feature = "tonic")]
    Grpc,
}

impl From<Gate> for TokenLayer {
    fn from(gate: Gate) -> Self {
        Self { gate, error_format: ErrorFormat::Http }
    }
}

impl TokenLayer {
    /// Admits any valid token.
    pub fn new(verifier: impl Into<Arc<Verifier>>) -> Self {
        Gate::new(verifier).into()
    }

    /// Answers refusals with gRPC statuses, for tonic services.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub const fn grpc(mut self) -> Self {
        self.error_format = ErrorFormat::Grpc;
        self
    }

    fn map_gate(self, change: impl FnOnce(Gate) -> Gate) -> Self {
        Self { gate: change(self.gate), ..self }
    }

    /// Requires a scope; answers 403 without it.
    #[must_use]
    pub fn require_scope(self, scope: impl Into<String>) -> Self {
        self.map_gate(|gate| gate.require_scope(scope))
    }

    /// Requires a permission; answers 403 without it.
    #[must_use]
    pub fn require_permission(self, permission: impl Into<String>) -> Self {
        self.map_gate(|gate| gate.require_permission(permission))
    }

    /// Requires that the user signed in within the last `age`; otherwise answers 401 with `max_age` (RFC 9470).
    #[must_use]
    pub fn require_sign_in_within(self, age: Duration) -> Self {
        self.map_gate(|gate| gate.require_sign_in_within(age))
    }

    /// Requires an authentication context class; otherwise answers 401 with `acr_values` (RFC 9470).
    #[must_use]
    pub fn require_acr(self, acr: impl Into<String>) -> Self {
        self.map_gate(|gate| gate.require_acr(acr))
    }

    /// Refuses nobody, but counts and logs the requests it would have refused. While this is on, handlers must
    /// take `Option<Extension<Arc<Claims>>>`.
    #[must_use]
    pub fn observe(self, on: bool) -> Self {
        self.map_gate(|gate| gate.observe(on))
    }

    /// The gate that decides.
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
        // Only the instance that was polled ready may be called; the clone has to become ready first.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let layer = self.layer.clone();
        Box::pin(async move {
            let values: Vec<_> = request.headers().get_all(header::AUTHORIZATION).iter().cloned().collect();
            let counted = was_counted(request.extensions(), &layer.gate);
            match layer.gate.admit_once(values.iter().map(header::HeaderValue::as_bytes), counted).await {
                Ok(admission) => mark_admitted(request.extensions_mut(), admission, &layer.gate),
                Err(refusal) => return Ok(layer.error_format.response(&refusal)),
            }
            inner.call(request).await
        })
    }
}

/// Whether a gate with the same count has counted the request as one that would have been refused.
pub(crate) fn was_counted(request: &Extensions, gate: &Gate) -> bool {
    gate.is_observing() && request.get::<Vec<Counted>>().is_some_and(|all| all.contains(&gate.mark()))
}

/// Notes that a gate has counted the request. Others with counts of their own may have done so before.
pub(crate) fn mark_counted(request: &mut Extensions, gate: &Gate) {
    let all = request.get_or_insert_default::<Vec<Counted>>();
    if !all.contains(&gate.mark()) {
        all.push(gate.mark());
    }
}

/// Adds the claims of an admitted request, and the mark that it is counted.
fn mark_admitted(request: &mut Extensions, admission: Admission, gate: &Gate) {
    // Claims from an outer layer with other requirements must not be mistaken for this layer's.
    request.remove::<Arc<Claims>>();
    if let Some(claims) = admission.claims {
        request.insert(claims);
    }
    if admission.counted {
        mark_counted(request, gate);
    }
}

impl ErrorFormat {
    fn response<R: Default>(self, refusal: &Refusal) -> Response<R> {
        match self {
            Self::Http => http_response(refusal),
            #[cfg(feature = "tonic")]
            Self::Grpc => grpc::status(refusal).into_http(),
        }
    }
}

/// The refusal as a status and headers, without a body.
pub(crate) fn http_response<R: Default>(refusal: &Refusal) -> Response<R> {
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
    // The same request may be accepted later.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
