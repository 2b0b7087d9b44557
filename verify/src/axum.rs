//! An extractor for axum: a handler that takes a [`Token`] gets the claims of a verified token, and is not called
//! without one.
//!
//! ```no_run
//! # fn example() -> Result<(), chancery_verify::SettingsError> {
//! use axum::{Router, routing::{get, post}};
//! use chancery_verify::{Gate, Refusal, Verifier, axum::Token};
//!
//! async fn orders(token: Token) -> String {
//!     format!("orders of {}", token.subject)
//! }
//!
//! async fn buy(token: Token) -> Result<String, Refusal> {
//!     token.require_scope("orders.write")?;
//!     Ok(format!("{} bought tea", token.subject))
//! }
//!
//! /// Anybody may read; a token that is sent must be good all the same.
//! async fn news(token: Option<Token>) -> String {
//!     token.map_or_else(|| "news".to_owned(), |token| format!("news for {}", token.subject))
//! }
//!
//! let gate = Gate::new(Verifier::new("https://id.example.com", "orders-api")?);
//! let app: Router = Router::new()
//!     .route("/orders", get(orders))
//!     .route("/buy", post(buy))
//!     .route("/news", get(news))
//!     .with_state(gate);
//! # Ok(())
//! # }
//! ```
//!
//! With a state of your own, implement [`FromRef`] to get the [`Gate`] from it. Where whole routers have one policy, use
//! [`TokenLayer`](crate::middleware::TokenLayer) instead.

use std::{ops::Deref, sync::Arc};

use axum_core::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{header, request::Parts};

use crate::{
    Claims, Gate, Refusal,
    middleware::{http_response, mark_counted, was_counted},
};

/// The claims of the request's bearer token, which the [`Gate`] in the router's state has admitted.
///
/// A refusal answers the request as [`TokenLayer`](crate::middleware::TokenLayer) does. `Option<Token>` is `None` for a
/// request without a token; a token that is sent must be good. While the gate only observes, `Option<Token>` is also
/// `None` for a token that is not good, and `Token` refuses the request, for lack of claims.
#[derive(Clone, Debug)]
pub struct Token(pub Arc<Claims>);

impl Deref for Token {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0
    }
}

impl Token {
    /// Fails with 403 unless the scope was granted.
    ///
    /// # Errors
    /// [`Refusal::MissingScope`].
    pub fn require_scope(&self, scope: &str) -> Result<(), Refusal> {
        if self.has_scope(scope) { Ok(()) } else { Err(Refusal::MissingScope(scope.to_owned())) }
    }

    /// Fails with 403 unless the permission was granted at this audience.
    ///
    /// # Errors
    /// [`Refusal::MissingPermission`].
    pub fn require_permission(&self, permission: &str) -> Result<(), Refusal> {
        if self.has_permission(permission) { Ok(()) } else { Err(Refusal::MissingPermission(permission.to_owned())) }
    }
}

impl<S> FromRequestParts<S> for Token
where
    S: Send + Sync,
    Gate: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        admitted(parts, state).await?.ok_or(Refusal::NoToken)
    }
}

impl<S> OptionalFromRequestParts<S> for Token
where
    S: Send + Sync,
    Gate: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Refusal> {
        match admitted(parts, state).await {
            Err(Refusal::NoToken) => Ok(None),
            other => other,
        }
    }
}

async fn admitted<S>(parts: &mut Parts, state: &S) -> Result<Option<Token>, Refusal>
where
    Gate: FromRef<S>,
{
    let gate = Gate::from_ref(state);
    let values = parts.headers.get_all(header::AUTHORIZATION).iter().map(header::HeaderValue::as_bytes);
    let admission = gate.admit_once(values, was_counted(&parts.extensions, &gate)).await?;
    if admission.counted {
        mark_counted(&mut parts.extensions, &gate);
    }
    Ok(admission.claims.map(Token))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        http_response(&self)
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
