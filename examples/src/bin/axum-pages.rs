//! A small shop in axum. The proxy turns the browser's cookie into a token, which is verified here like any other: offline.
//!
//! ```text
//! cargo run -p chancery-examples --bin axum-pages 127.0.0.1:5000   # in one terminal
//! cargo run -- serve --dev --app http://127.0.0.1:5000             # in another; then open http://localhost:8000
//! ```
#![expect(clippy::print_stdout, reason = "a command-line program")]

use std::time::Duration;

use axum::{
    Router,
    http::StatusCode,
    response::{Html, Redirect},
    routing::get,
};
use chancery_verify::{Gate, Verifier, axum::Token};

// A request without a session has no token. One that cannot be checked right now is answered with 503.
async fn who(token: Option<Token>) -> Html<String> {
    // Ids are letters, digits and `_`: nothing to escape.
    Html(match token {
        Some(token) => format!("<p id=who>Hello {}!<p><a href=/sign-out/>Sign out</a>", token.subject),
        None => "<p id=who>Nobody is signed in.<p><a href=/sign-in/>Sign in</a>".to_owned(),
    })
}

async fn sign_in(token: Option<Token>) -> Result<Html<&'static str>, Redirect> {
    token.ok_or_else(|| Redirect::to("/auth/login?return_to=/sign-in/"))?;
    Ok(Html("<p id=members>For members only.<p><a href=/>Home</a>"))
}

async fn refunds(token: Option<Token>) -> Result<Html<&'static str>, (StatusCode, &'static str)> {
    token
        .filter(|token| token.has_permission("orders.refund"))
        .ok_or((StatusCode::FORBIDDEN, "You may not refund orders."))?;
    Ok(Html("<p id=refunds>For clerks only."))
}

async fn sign_out() -> Redirect {
    Redirect::to("/auth/logout?return_to=/")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = |n: usize, default: &str| std::env::args().nth(n).unwrap_or_else(|| default.to_owned());
    let verifier = Verifier::new(&argument(2, "http://127.0.0.1:8080"), &argument(3, "demo-api"))?;
    verifier.ready(Duration::from_secs(10)).await?;

    let app = Router::new()
        .route("/", get(who))
        .route("/sign-in/", get(sign_in))
        .route("/refunds/", get(refunds))
        .route("/sign-out/", get(sign_out));
    let listener = tokio::net::TcpListener::bind(argument(1, "127.0.0.1:5000")).await?;
    println!("ready http={}", listener.local_addr()?);
    Ok(axum::serve(listener, app.with_state(Gate::new(verifier))).await?)
}
