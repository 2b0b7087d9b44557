//! A gRPC service that accepts access tokens of the dev server, and refuses a session as soon as it is logged
//! out.
//!
//! ```text
//! cargo run -- serve --dev                                 # in one terminal
//! cargo run -p chancery-examples --bin tonic-service       # in another
//! grpcurl -plaintext -H "authorization: Bearer $TOKEN" -proto examples/proto/orders/v1/orders.proto \
//!   127.0.0.1:3001 orders.v1.Orders/List
//! ```
#![expect(clippy::print_stdout, reason = "a command-line program")]

use std::{sync::Arc, time::Duration};

use chancery_verify::{Claims, Verifier, Watch, middleware::TokenLayer};
use tonic::{Request, Response, Status, codegen::tokio_stream::wrappers::TcpListenerStream, transport::Server};

use crate::orders::{
    ListRequest, ListResponse,
    orders_server::{Orders, OrdersServer},
};

#[allow(clippy::allow_attributes, clippy::allow_attributes_without_reason, missing_docs, reason = "generated")]
#[allow(unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
mod orders {
    tonic::include_proto!("orders.v1");
}

#[derive(Debug)]
struct Shop;

#[tonic::async_trait]
impl Orders for Shop {
    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let claims = request.extensions().get::<Arc<Claims>>().ok_or_else(|| Status::internal("no claims"))?;
        let orders = vec!["tea".to_owned(), "biscuits".to_owned()];
        Ok(Response::new(ListResponse { subject: claims.subject.clone(), orders }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = |n: usize, default: &str| std::env::args().nth(n).unwrap_or_else(|| default.to_owned());
    let (listen, issuer) = (argument(1, "127.0.0.1:3001"), argument(2, "http://127.0.0.1:8080"));
    let watch =
        Watch::new(&argument(3, "http://127.0.0.1:50051"), "demo-service", "demo-service-secret-known-to-everybody")?;
    let verifier = Verifier::builder(&issuer, "demo-api").watch(watch).build()?;
    verifier.ready(Duration::from_secs(10)).await?;

    let token = TokenLayer::new(verifier).grpc();
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("ready grpc={}", listener.local_addr()?);
    let server = Server::builder().layer(token).add_service(OrdersServer::new(Shop));
    Ok(server.serve_with_incoming(TcpListenerStream::new(listener)).await?)
}
