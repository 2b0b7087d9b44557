//! A stopping server first reports that it is not ready, then finishes the calls in flight.

use std::{process::ExitStatus, time::Duration};

use chancery::grpc::pb::{
    GetJwksRequest, LoginRequest, LoginResponse, key_service_client::KeyServiceClient, login_response,
};
use http::uri::PathAndQuery;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tonic::{Request, Response, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_prost::ProstCodec;

use crate::{
    calls::{PASSWORD, log_in, login_request, page, start},
    place::Place,
    relay::Relay,
    server::Server,
};

/// Far less than the drain timeout of the server.
const SOON: Duration = Duration::from_secs(10);

async fn exit(server: Server) -> ExitStatus {
    let ended = timeout(SOON, tokio::task::spawn_blocking(|| server.wait())).await;
    ended.expect("the process has not ended").unwrap()
}

/// The status of a page; `None` if nothing is listening.
async fn status(address: &str, path: &str) -> Option<u16> {
    page(address, path).await?.split_whitespace().nth(1)?.parse().ok()
}

type Answer = JoinHandle<Result<Response<LoginResponse>, Status>>;

/// Starts a sign-in but withholds its message. When this returns, the server has received the call.
async fn begin_login(channel: &Channel) -> (oneshot::Sender<LoginRequest>, Answer) {
    let (message, held) = oneshot::channel();
    let (began, known) = oneshot::channel();
    let body = futures_util::stream::once(async move {
        began.send(()).unwrap();
        held.await.unwrap()
    });
    let mut client = tonic::client::Grpc::new(channel.clone());
    let answer = tokio::spawn(async move {
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static("/chancery.v1.AuthService/Login");
        client.client_streaming(Request::new(body), path, ProstCodec::default()).await
    });
    known.await.unwrap();
    // Requests on one connection arrive in order.
    KeyServiceClient::new(channel.clone()).get_jwks(GetJwksRequest {}).await.unwrap();
    (message, answer)
}

#[tokio::test]
async fn a_stopping_server_reports_it_first_then_finishes_its_calls_and_exits_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let request = HealthCheckRequest { service: "chancery.v1.AuthService".to_owned() };
    let mut watch = HealthClient::new(server.channel().await).watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(status(&server.telemetry, "/readyz").await, Some(200));
    let channel = server.channel().await;
    let (message, answer) = begin_login(&channel).await;

    server.terminate();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    timeout(SOON, async {
        while status(&server.telemetry, "/readyz").await.expect("it must say that it is not ready") != 503 {}
        while TcpStream::connect(&server.grpc).await.is_ok() {}
    })
    .await
    .expect("still ready");
    assert_eq!(status(&server.telemetry, "/healthz").await, Some(200));

    message.send(login_request("grace", PASSWORD)).unwrap();
    let answer = answer.await.unwrap().unwrap().into_inner().result;
    assert!(matches!(answer, Some(login_response::Result::Tokens(pair)) if !pair.refresh_token.is_empty()));
    let (place, log) = (server.place.clone(), server.log.clone());
    assert!(exit(server).await.success(), "{}", std::fs::read_to_string(log).unwrap());
    assert_eq!(place.count("sessions", "revoked_at IS NULL").await, 1);
}

#[tokio::test]
async fn queued_sign_ins_are_answered_while_idle_connections_stay_open() {
    const USERS: usize = 6;
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    for n in 0..USERS {
        server.command(&["user", "create", &format!("user{n}"), "--password-stdin"], PASSWORD);
    }
    let idle = server.channel().await;
    let mut silent = Vec::new();
    for address in [&server.grpc, &server.http, &server.telemetry] {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let channel = server.channel().await;
    let mut logins = JoinSet::new();
    for n in 0..USERS {
        let channel = channel.clone();
        logins.spawn(async move { log_in(channel, &format!("user{n}"), PASSWORD).await });
    }
    // The first answer takes one hash; all requests were sent long before that.
    logins.join_next().await.unwrap().unwrap().unwrap();
    server.terminate();
    for answer in logins.join_all().await {
        answer.unwrap();
    }
    let log = server.log.clone();
    assert!(exit(server).await.success(), "{}", std::fs::read_to_string(log).unwrap());
    drop((idle, silent));
}

#[tokio::test]
async fn a_server_that_drains_says_that_it_is_not_ready_and_goes_on_answering_until_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(start(&place));
    let server = Server::on(&place, &["--drain", "600"]);
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = HealthClient::new(server.channel().await).watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.terminate();
    // Whoever watches is told, and the stream stays.
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    timeout(SOON, async { while status(&server.telemetry, "/readyz").await != Some(503) {} }).await.unwrap();
    // A new connection, too, is answered.
    log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    assert_eq!(status(&server.telemetry, "/readyz").await, Some(503));
    server.terminate();
    let log = server.log.clone();
    assert!(exit(server).await.success(), "{}", std::fs::read_to_string(log).unwrap());
}

#[tokio::test]
async fn a_connection_that_has_come_of_age_is_replaced_and_no_call_fails() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--connection-age", "1"]);
    // Counts the connections that the client opens.
    let relay = Relay::to(&server.grpc).await;
    let channel = Channel::from_shared(format!("http://{}", relay.address)).unwrap().connect().await.unwrap();
    timeout(SOON, async {
        while relay.accepted() < 3 {
            KeyServiceClient::new(channel.clone()).get_jwks(GetJwksRequest {}).await.unwrap();
        }
    })
    .await
    .expect("the connection stays");
}
