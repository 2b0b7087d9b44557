//! Strangers that hold connections with calls that cost them nothing.

use std::sync::Arc;

use chancery::{
    grpc::{
        self,
        pb::{GetJwksRequest, WatchJwksRequest, key_service_client::KeyServiceClient},
    },
    metrics::Metrics,
};
use chancery_guard::listener::Limits;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tonic::{Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;

use crate::support::App;

on_each_engine! {
    #[tokio::test]
    App => {
        calls_that_cost_strangers_nothing_lock_nobody_out,
    }
}

const MOST: usize = 4;

async fn small_server(app: &App) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (health, metrics) = (grpc::Health::default(), Arc::new(Metrics::default()));
    health.handle().set(true).await;
    let limits = Limits { connections: MOST, ..Limits::default() };
    tokio::spawn(grpc::serve(app.service.clone(), metrics, (listener, limits), health, std::future::pending()));
    address
}

async fn connect(address: &str) -> Channel {
    Channel::from_shared(address.to_owned()).unwrap().connect().await.unwrap()
}

/// Makes a call whose request never ends.
async fn never_ending(channel: Channel, path: &'static str) {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let silence = futures_util::stream::pending::<GetJwksRequest>();
    let codec = ProstCodec::<GetJwksRequest, GetJwksRequest>::default();
    let _ = client.streaming(Request::new(silence), PathAndQuery::from_static(path), codec).await;
    std::future::pending::<()>().await;
}

async fn calls_that_cost_strangers_nothing_lock_nobody_out(app: &App) {
    let address = small_server(app).await;
    let mut open = Vec::new();
    for round in 0..3 * MOST {
        let channel = connect(&address).await;
        // It does not end when its connection is closed, so every one of these holds one until the server closes it.
        match round % 4 {
            0 => {
                let mut keys = KeyServiceClient::new(channel);
                let stream = keys.watch_jwks(WatchJwksRequest {}).await.unwrap();
                open.push(tokio::spawn(async move {
                    let _stream = stream;
                    std::future::pending::<()>().await;
                }));
            }
            1 => {
                let stream = HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap();
                open.push(tokio::spawn(async move {
                    let _stream = stream;
                    std::future::pending::<()>().await;
                }));
            }
            2 => open.push(tokio::spawn(never_ending(channel, "/chancery.v1.AuthService/Login"))),
            _ => {
                let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
                open.push(tokio::spawn(never_ending(channel, reflection)));
            }
        }
        let mut newcomer = KeyServiceClient::new(connect(&address).await);
        newcomer.get_jwks(GetJwksRequest {}).await.unwrap_or_else(|refused| panic!("round {round}: {refused:?}"));
    }
    open.iter().for_each(tokio::task::JoinHandle::abort);
}
