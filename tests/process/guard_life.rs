//! What happens to a guard while it runs: rotated secrets, signals, requests that nobody may read in its log.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use chancery::grpc::pb::{LoginRequest, LoginResponse};
use http::uri::PathAndQuery;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, interval, timeout},
};
use tonic::{Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_prost::ProstCodec;

use crate::{
    calls::start,
    guard::{Guard, flags, secret_file},
    place::Place,
    relay::Relay,
    server::{Server, command},
    watching::{log_out, sign_in, watcher},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The documented bound of a stop.
const STOP_BOUND: Duration = Duration::from_secs(20);

/// Gives the watcher another secret and returns it. The previous one is refused from now on.
pub(crate) fn rotate_secret(server: &Server) -> String {
    let text = server.command(&["client", "rotate-secret", "watcher", "--overlap", "0", "--json"], "");
    let made: serde_json::Value = serde_json::from_str(&text).unwrap();
    made["client_secret"].as_str().unwrap().to_owned()
}

/// Waits until a file has a line with this text.
async fn until_logged(log: &Path, wanted: &str) {
    let looking = async {
        let mut ticks = interval(Duration::from_millis(5));
        while !fs::read_to_string(log).unwrap().contains(wanted) {
            ticks.tick().await;
        }
    };
    let found = timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("no {wanted:?} in {}", fs::read_to_string(log).unwrap()));
}

/// Whether a session that ends is refused: the guard watches, with a secret that is good.
async fn assert_watches(guard: &Guard, server: &Server) {
    let pair = sign_in(server).await;
    guard.until("/check", &pair.access_token, 200).await;
    log_out(server, &pair).await.unwrap();
    guard.until("/check", &pair.access_token, 401).await;
}

#[tokio::test]
async fn a_guard_uses_a_rotated_secret_without_a_restart_and_passes_over_a_file_that_is_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let relay = Relay::to(&server.grpc).await;
    let file = secret_file(dir.path(), &watcher(&server));
    let watch = format!("http://{}", relay.address);
    let mut start = command(&flags(&server));
    start.args(["--watch", &watch, "--client-id", "watcher", "--client-secret-file", &file]);
    let log = dir.path().join("guard.log");
    start.stderr(File::create(&log).unwrap());
    let guard = Guard::started(start);
    guard.until("/readyz", "", 200).await;
    assert_watches(&guard, &server).await;

    fs::write(&file, "").unwrap();
    relay.redirect_to(&server.grpc);
    until_logged(&log, "the last one stays").await;
    assert_watches(&guard, &server).await;

    let secret = rotate_secret(&server);
    fs::write(&file, &secret[..secret.len() / 2]).unwrap();
    relay.redirect_to(&server.grpc);
    until_logged(&log, "Unauthenticated").await;
    fs::write(&file, &secret).unwrap();
    assert_watches(&guard, &server).await;
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains(&secret[..secret.len() / 2]), "{text}");
}

#[tokio::test]
async fn a_hangup_harms_neither_guard_nor_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let log = dir.path().join("guard.log");
    let mut start = command(&flags(&server));
    start.stderr(File::create(&log).unwrap());
    let guard = Guard::started(start);
    guard.until("/readyz", "", 200).await;
    for _ in 0..2 {
        server.signal("HUP");
        guard.signal("HUP");
    }
    until_logged(&server.log, "SIGHUP: certificates are read again").await;
    until_logged(&log, "SIGHUP: certificates are read again").await;
    let pair = sign_in(&server).await;
    assert_eq!(guard.status("/check", &pair.access_token).await, 200);
    server.terminate();
    let ended = tokio::task::spawn_blocking(move || server.wait());
    assert!(timeout(PATIENCE, ended).await.unwrap().unwrap().success(), "it still stops when asked");
}

/// Starts a call to the listener for Envoy whose message never comes.
async fn call_without_message(channel: Channel) -> Result<(), tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
    let nothing = Request::new(futures_util::stream::pending::<LoginRequest>());
    let answer = client.client_streaming(nothing, path, ProstCodec::<LoginRequest, LoginResponse>::default()).await;
    answer.map(drop)
}

/// A token in form only: a guard looks for its key.
const STRANGE: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AAAA";

#[tokio::test]
async fn a_guard_stops_in_time_whatever_its_clients_and_its_issuer_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let file = secret_file(dir.path(), &watcher(&server));
    let (watch, socket) = (format!("http://{}", server.grpc), dir.path().join("guard.sock"));
    let mut start = command(&flags(&server));
    start.args(["--watch", &watch, "--client-id", "watcher", "--client-secret-file", &file]);
    start.args(["--ext-authz", "127.0.0.1:0", "--socket", socket.to_str().unwrap()]);
    let mut guard = Guard::started(start);
    guard.until("/readyz", "", 200).await;

    let envoy = Channel::from_shared(format!("http://{}", guard.ext_authz)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(envoy.clone());
    let mut watching = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let unasked = tokio::spawn(call_without_message(envoy));
    let mut silent = Vec::new();
    for address in [&guard.address, &guard.ext_authz] {
        silent.push(TcpStream::connect(address).await.unwrap());
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /check HT").await.unwrap();
        silent.push(half);
    }
    server.signal("STOP");
    let mut waiting = TcpStream::connect(&guard.address).await.unwrap();
    let ask = format!("GET /check HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {STRANGE}\r\nconnection: close\r\n\r\n");
    waiting.write_all(ask.as_bytes()).await.unwrap();

    let began = Instant::now();
    guard.signal("TERM");
    let ended = async {
        let mut ticks = interval(Duration::from_millis(10));
        loop {
            if let Some(status) = guard.child.try_wait().unwrap() {
                return status;
            }
            ticks.tick().await;
        }
    };
    let status = timeout(STOP_BOUND, ended).await.expect("the guard does not stop");
    assert!(status.success(), "{status}");
    // A call whose message does not come is cut off long before the time to stop is over.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    // Whether the key can still be looked for depends on when keys were last read.
    let refused = ["HTTP/1.1 503", "HTTP/1.1 401"].iter().any(|line| answer.starts_with(line));
    assert!(refused, "a request in flight is answered: {answer}");
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(unasked.await.unwrap().is_err());
    server.signal("CONT");
    drop(silent);
}

#[tokio::test]
async fn neither_path_nor_query_nor_token_of_a_checked_request_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let log = dir.path().join("guard.log");
    let mut start = command(&flags(&server));
    start.args(["--log", "debug", "--observe"]).stderr(File::create(&log).unwrap());
    let guard = Guard::started(start);
    guard.until("/readyz", "", 200).await;
    let pair = sign_in(&server).await;
    for token in [pair.access_token.as_str(), STRANGE] {
        assert_eq!(guard.status("/check/canary-path?key=canary-query", token).await, 200);
    }
    until_logged(&log, "the request would have been refused").await;
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains("canary") && !text.contains(STRANGE), "{text}");
    assert!(!text.contains(pair.access_token.split('.').next_back().unwrap()), "{text}");
}
