//! Streams over gRPC-Web: while the server stops, and more of them than it has room for.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{calls::page, server::Server};

/// Far less than the server's time to stop.
const SOON: Duration = Duration::from_secs(10);
const WATCH: &str = "POST /chancery.v1.KeyService/WatchJwks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\
                     content-type: application/grpc-web+proto\r\n\r\n\0\0\0\0\0";

/// Opens a stream. When this returns, its first message has begun to arrive.
async fn watch(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.http).await.unwrap();
    stream.write_all(WATCH.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("\"keys\"") {
        let read = timeout(SOON, stream.read_buf(&mut text)).await.expect("no message").unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&text));
    }
    assert!(String::from_utf8_lossy(&text).contains("x-accel-buffering: no"), "nginx would hold it back");
    stream
}

#[tokio::test]
async fn a_stopping_server_ends_streams_over_grpc_web_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--http-rpc", "all"]);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(watch(&server).await);
    }
    server.terminate();
    for mut stream in streams {
        let mut text = Vec::new();
        timeout(SOON, stream.read_to_end(&mut text)).await.expect("the stream does not end").unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("grpc-status:14") && text.contains("grpc-status-details-bin:"), "{text}");
        assert!(text.ends_with("0\r\n\r\n"), "cut off: {text}");
    }
    let ended = timeout(SOON, tokio::task::spawn_blocking(|| server.wait())).await;
    assert!(ended.expect("the process does not end").unwrap().success());
}

#[tokio::test]
async fn streams_that_anybody_may_open_make_room_for_calls() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--http-rpc", "all", "--max-connections", "64"]);
    let mut streams = Vec::new();
    for _ in 0..600 {
        streams.push(watch(&server).await);
    }
    assert!(page(&server.http, "/.well-known/jwks.json").await.unwrap().starts_with("HTTP/1.1 200"));
}
