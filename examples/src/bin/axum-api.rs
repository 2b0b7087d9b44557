//! An HTTP API that accepts access tokens of the dev server, and refuses a session as soon as it is logged out.
//!
//! ```text
//! cargo run -- serve --dev                                 # in one terminal
//! cargo run -p chancery-examples --bin axum-api            # in another
//! curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:3000/orders
//! ```
#![expect(clippy::print_stdout, reason = "a command-line program")]

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    routing::{get, post},
};
use chancery_verify::{Claims, Verifier, Watch, middleware::TokenLayer};
use serde_json::{Value, json};

async fn list(Extension(claims): Extension<Arc<Claims>>) -> Json<Value> {
    Json(json!({ "subject": claims.subject, "orders": ["tea", "biscuits"] }))
}

async fn buy(Extension(claims): Extension<Arc<Claims>>) -> Json<Value> {
    Json(json!({ "subject": claims.subject, "bought": "tea" }))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = |n: usize, default: &str| std::env::args().nth(n).unwrap_or_else(|| default.to_owned());
    let (listen, issuer) = (argument(1, "127.0.0.1:3000"), argument(2, "http://127.0.0.1:8080"));
    let watch =
        Watch::new(&argument(3, "http://127.0.0.1:50051"), "demo-service", "demo-service-secret-known-to-everybody")?;
    let verifier = Verifier::new(&issuer, "demo-api").watch(watch);
    verifier.ready(Duration::from_secs(10)).await?;

    // Any valid token may list orders; buying requires a scope.
    let token = TokenLayer::new(verifier);
    let app = Router::new()
        .route("/orders", get(list).layer(token.clone()))
        .route("/buy", post(buy).layer(token.require_scope("orders.write")));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("ready http={}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
