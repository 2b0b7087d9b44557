//! An HTTP API that accepts access tokens of the dev server, and refuses a session as soon as it is logged out.
//!
//! ```text
//! cargo run -- serve --dev                                 # in one terminal
//! cargo run -p chancery-examples --bin axum-api            # in another
//! curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:3000/orders
//! ```
#![expect(clippy::print_stdout, reason = "a command-line program")]

use std::time::Duration;

use axum::{
    Json, Router,
    routing::{get, post},
};
use chancery_verify::{Gate, Refusal, Verifier, Watch, axum::Token};
use serde_json::{Value, json};

// Any valid token may list orders; buying requires a scope.
async fn list(token: Token) -> Json<Value> {
    Json(json!({ "subject": token.subject, "orders": ["tea", "biscuits"] }))
}

async fn buy(token: Token) -> Result<Json<Value>, Refusal> {
    token.require_scope("orders.write")?;
    Ok(Json(json!({ "subject": token.subject, "bought": "tea" })))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = |n: usize, default: &str| std::env::args().nth(n).unwrap_or_else(|| default.to_owned());
    let (listen, issuer) = (argument(1, "127.0.0.1:3000"), argument(2, "http://127.0.0.1:8080"));
    let watch =
        Watch::new(&argument(3, "http://127.0.0.1:50051"), "demo-service", "demo-service-secret-known-to-everybody")?;
    let verifier = Verifier::builder(&issuer, "demo-api").watch(watch).build()?;
    verifier.ready(Duration::from_secs(10)).await?;

    let app = Router::new().route("/orders", get(list)).route("/buy", post(buy)).with_state(Gate::new(verifier));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("ready http={}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
