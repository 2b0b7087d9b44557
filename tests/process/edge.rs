//! Clients that are slow or silent, and many of them.

use std::{fs, time::Duration};

use chancery::grpc::pb::{GetJwksRequest, WatchJwksRequest, key_service_client::KeyServiceClient};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    calls::{PASSWORD, log_in, page, refresh},
    guard::Guard,
    place::Place,
    server::Server,
};

const PATIENCE: Duration = Duration::from_mins(1);
/// More than the processes may open files.
const CONNECTIONS: usize = 200;
const OPEN_FILES: u32 = 128;
const HALF_REQUESTS: [&[u8]; 4] =
    [b"", b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\nx-a: ", b"PRI * HTTP/2.0\r\n", b"POST / HTTP/1.1\r\n"];

/// Opens connections that send half a request or nothing.
async fn half_open(address: &str) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be closed already, to make room for others.
        let _ = stream.write_all(HALF_REQUESTS[n % HALF_REQUESTS.len()]).await;
        open.push(stream);
    }
    open
}

/// Waits until the process has closed all of these.
async fn all_closed(connections: Vec<TcpStream>) {
    let mut reading = JoinSet::new();
    for mut stream in connections {
        reading.spawn(async move {
            let mut rest = Vec::new();
            // A reset is an end too.
            let _ = stream.read_to_end(&mut rest).await;
        });
    }
    timeout(PATIENCE, reading.join_all()).await.expect("connections stay open");
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

async fn status(address: &str, path: &str) -> u16 {
    let page = timeout(PATIENCE, page(address, path)).await.expect("no answer").expect("not listening");
    page.split_whitespace().nth(1).unwrap_or_else(|| panic!("closed without an answer: {path}")).parse().unwrap()
}

async fn assert_serving(server: &Server) {
    assert_eq!(status(&server.http, "/.well-known/jwks.json").await, 200);
    assert_eq!(status(&server.telemetry, "/readyz").await, 200);
    let channel = timeout(PATIENCE, server.channel()).await.unwrap();
    KeyServiceClient::new(channel.clone()).get_jwks(GetJwksRequest {}).await.unwrap();
    let pair = log_in(channel.clone(), "grace", PASSWORD).await.unwrap();
    refresh(channel, &pair.refresh_token, "1").await.unwrap();
}

#[tokio::test]
async fn more_silent_connections_than_open_files_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = Server::with_open_files(&place, OPEN_FILES, &["--header-seconds", "5"]);
        server.command(&["user", "create", "grace", "--password-stdin"], PASSWORD);
        let flags = ["--public", "--first-party", "--audience", "api", "--alg", "ES256", "--scope", "read"];
        server.command(&[&["client", "create", "app"], &flags[..]].concat(), "");
        assert_serving(&server).await;
        let before = open_files(server.id());
        let mut silent = Vec::new();
        for address in [&server.grpc, &server.http, &server.telemetry] {
            silent.extend(half_open(address).await);
        }
        assert_serving(&server).await;
        assert!(open_files(server.id()) < OPEN_FILES as usize);
        all_closed(silent).await;
        assert_serving(&server).await;
        // The calls have left connections of their own behind.
        let after = open_files(server.id());
        assert!(after <= before + 10, "{}: {before} open files before, {after} after", place.engine());
        let log = fs::read_to_string(&server.log).unwrap();
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    }
}

#[tokio::test]
async fn more_silent_connections_than_open_files_stop_no_guard() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let socket = dir.path().join("guard.sock");
    let flags = ["--ext-authz", "127.0.0.1:0", "--socket", socket.to_str().unwrap(), "--header-seconds", "5"];
    let guard = Guard::with_open_files(&server, OPEN_FILES, &flags);
    guard.until("/readyz", "", 200).await;
    let mut silent = half_open(&guard.address).await;
    silent.extend(half_open(&guard.ext_authz).await);
    let mut on_socket = Vec::new();
    for _ in 0..CONNECTIONS {
        on_socket.push(tokio::net::UnixStream::connect(&socket).await.unwrap());
    }
    assert_eq!(guard.status("/readyz", "").await, 200);
    assert_eq!(guard.status("/check", "nonsense").await, 401);
    all_closed(silent).await;
    for mut stream in on_socket {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("a connection stays open");
    }
    assert_eq!(guard.status("/readyz", "").await, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_one_with_a_stream_stays() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--idle-seconds", "1", "--header-seconds", "1"]);
    let mut keys = KeyServiceClient::new(server.channel().await);
    let mut stream = keys.watch_jwks(WatchJwksRequest {}).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    for address in [&server.http, &server.telemetry] {
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, idle.read_to_end(&mut answer)).await.expect("it stays open").unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404"), "{answer:?}");
    }
    let mut idle = TcpStream::connect(&server.grpc).await.unwrap();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.expect("it stays open").unwrap();
    // Everything else has been closed for being idle, and the stream goes on.
    assert!(timeout(Duration::from_millis(1), stream.message()).await.is_err(), "the stream has ended");
    keys.get_jwks(GetJwksRequest {}).await.unwrap();
}
