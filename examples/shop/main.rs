//! A shop. A guest fills a cart, registers in the middle of the checkout, and finds the cart again on another device.
//! Chancery keeps the cart and the half-filled forms; the shop keeps orders alone, and neither passwords nor cookies.
//!
//! ```text
//! cargo run -- serve --dev                         # in one terminal
//! cargo run -p chancery-examples --bin shop        # in another; it prints its address
//! ```
#![expect(clippy::print_stdout, reason = "a command-line program")]

mod cart;
mod chancery;
mod checkout;
mod kept;
mod orders;
mod pages;
mod visit;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, get, post},
};
use chancery_verify::Verifier;

use crate::{chancery::Chancery, orders::Orders, pages::Pages};

/// Maximum size of a form, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// How long the shop waits for the keys of Chancery.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every page needs. Cheap to clone.
#[derive(Clone)]
struct Shop {
    chancery: Chancery,
    verifier: Arc<Verifier>,
    orders: Arc<Orders>,
    pages: Arc<Pages>,
}

fn routes(shop: Shop) -> Router {
    Router::new()
        .route("/", get(cart::products))
        .route("/cart", get(cart::show).post(cart::change))
        .route("/cart/guests", post(cart::choose))
        .route("/checkout", get(checkout::begin))
        .route("/checkout/address", get(checkout::show_address).post(checkout::take_address))
        .route("/checkout/delivery", get(checkout::show_delivery).post(checkout::take_delivery))
        .route("/checkout/confirm", get(checkout::show_summary).post(checkout::order))
        .route("/orders", get(orders::own))
        .route("/admin", get(orders::all))
        .route("/auth/{*path}", any(chancery::pages))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(shop)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = |n: usize, default: &str| std::env::args().nth(n).unwrap_or_else(|| default.to_owned());
    let chancery = Chancery::new(argument(2, "http://127.0.0.1:8080"), argument(3, "http://127.0.0.1:8082"))?;
    let verifier = Verifier::builder(&argument(4, "http://127.0.0.1:8080"), &argument(5, "demo-api"))
        .allow_guests(true)
        .build()?;
    verifier.ready(PATIENCE).await?;
    let listener = tokio::net::TcpListener::bind(argument(1, "127.0.0.1:8000")).await?;
    let shop = Shop { chancery, verifier: Arc::new(verifier), orders: Arc::default(), pages: Arc::new(Pages::new()?) };
    println!("ready http={}", listener.local_addr()?);
    println!("The shop is open at http://localhost:{}/", listener.local_addr()?.port());
    Ok(axum::serve(listener, routes(shop)).await?)
}
