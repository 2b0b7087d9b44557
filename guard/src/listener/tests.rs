//! Listeners on free ports, with clients that misbehave.

mod crowd;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, http::Request, routing::get};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::*;

/// Far more than any limit in these tests.
const PATIENCE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// Types and flags of frames.
const HEADERS: u8 = 1;
const SETTINGS_TYPE: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// A `SETTINGS` frame that closes the window of every stream.
const SETTINGS_WITHOUT_WINDOW: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
/// HEADERS of stream 1, with both flags for its end: `GET http://x/large`, without Huffman codes.
const GET_LARGE: &[u8] = b"\0\0\x0d\x01\x05\0\0\0\x01\x82\x86\x04\x06/large\x41\x01x";

const LIMITS: Limits = Limits {
    connections: 50,
    per_address: 0,
    head: Duration::from_millis(300),
    idle: Duration::from_millis(600),
    stall: Duration::from_millis(600),
    ping: Duration::from_millis(300),
    pong: Duration::from_millis(300),
    age: None,
    answer: Some(Duration::from_millis(600)),
    streams: 10,
    header_bytes: 16 * 1024,
};

/// A body that never has anything to send and never ends.
struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

struct Running {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    /// Lets `/held` answer.
    held: Arc<Notify>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `/`, `/large` with 4 MiB, `/held` with an answer that waits, and `/endless` with a body that never ends.
async fn running(protocol: Protocol, limits: Limits) -> Running {
    let held = Arc::new(Notify::new());
    let notified = held.clone();
    let routes = Router::new()
        .route("/", get(async || "ok"))
        .route("/large", get(async || vec![b'x'; 4 << 20]))
        .route(
            "/held",
            get(async move || {
                notified.notified().await;
                "late"
            }),
        )
        .route("/endless", get(async || Body::new(Endless)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(Socket::Tcp(listener), protocol, routes, limits, async {
        let _ = stopped.await;
    }));
    Running { address, stop: Some(stop), task, held }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

/// Reads until the server closes the connection.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // An error is a reset, which is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stays open");
    answer
}

/// Reads until this text has arrived.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(text) {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("no answer").unwrap();
        assert!(read > 0, "closed after {answer:?}");
    }
}

#[tokio::test]
async fn silent_and_half_sent_connections_are_closed_on_every_protocol() {
    let http = running(Protocol::Http, LIMITS).await;
    let grpc = running(Protocol::Grpc, LIMITS).await;
    let halves: [&[u8]; 5] = [b"", b"G", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ", b"PRI * HTTP", PREFACE];
    for half in halves {
        closed(&mut http.send(half).await).await;
        closed(&mut grpc.send(half).await).await;
    }
}

#[tokio::test]
async fn a_slow_sender_gains_no_time_by_sending_more() {
    let http = running(Protocol::Http, LIMITS).await;
    let mut stream = http.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    let began = Instant::now();
    let mut byte = [0];
    // Another byte every 50 ms, until the server has had enough.
    while timeout(Duration::from_millis(50), stream.read(&mut byte)).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "the connection stays open");
        if stream.write_all(b"x").await.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn a_body_that_never_comes_holds_nothing() {
    let http = running(Protocol::Http, LIMITS).await;
    let mut stream = http.send(b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nabc").await;
    let answer = closed(&mut stream).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    let mut stream = http.send(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab").await;
    assert!(closed(&mut stream).await.starts_with(b"HTTP/1.1 405"));
}

#[tokio::test]
async fn idle_connections_are_closed_and_may_be_used_until_then() {
    let http = running(Protocol::Http, LIMITS).await;
    let mut stream = http.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(&mut stream, "ok").await;
    }
    assert_eq!(closed(&mut stream).await, b"");
    // Half of another request.
    let mut stream = http.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut stream, "ok").await;
    stream.write_all(b"GET / HT").await.unwrap();
    closed(&mut stream).await;
    for server in [&http, &running(Protocol::Grpc, LIMITS).await] {
        closed(&mut server.send(&[PREFACE, SETTINGS].concat()).await).await;
    }
}

#[tokio::test]
async fn a_stream_stays_open_while_its_peer_answers_pings() {
    let grpc = running(Protocol::Grpc, LIMITS).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Empty<Bytes>>();
    let request = Request::get(format!("http://{}/endless", grpc.address)).body(Empty::new()).unwrap();
    let mut body = client.request(request).await.unwrap().into_body();
    // Longer than every limit together.
    let total = LIMITS.head + LIMITS.idle + LIMITS.stall + LIMITS.ping + LIMITS.pong;
    assert!(timeout(total, body.frame()).await.is_err(), "the stream has ended");
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_disconnected() {
    let limits = Limits { idle: PATIENCE, stall: PATIENCE, ..LIMITS };
    let grpc = running(Protocol::Grpc, limits).await;
    let endless = [PREFACE, SETTINGS, b"\0\0\x0f\x01\x05\0\0\0\x01\x82\x86\x04\x08/endless\x41\x01x"].concat();
    let answer = closed(&mut grpc.send(&endless).await).await;
    assert!(answer.windows(5).any(|frame| frame == [0, 0, 8, PING, 0]), "no ping in {answer:?}");
    assert!(answer.windows(4).any(|frame| frame[2..] == [HEADERS, END_HEADERS]), "no response in {answer:?}");
}

/// Answers pings and settings, takes no data, and reads until the server closes the connection. Returns the types of
/// the frames that arrived.
async fn closed_in_spite_of_pongs(mut stream: TcpStream) -> Vec<u8> {
    let mut frames = Vec::new();
    timeout(PATIENCE, async {
        let mut header = [0; 9];
        while stream.read_exact(&mut header).await.is_ok() {
            let mut payload = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
            if stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            frames.push(header[3]);
            if matches!(header[3], SETTINGS_TYPE | PING) && header[4] == 0 {
                header[4] = ACK;
                let sent = if header[3] == PING { payload } else { Vec::new() };
                header[2] = u8::try_from(sent.len()).unwrap();
                if stream.write_all(&[&header[..], &sent].concat()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
    .expect("the connection stays open");
    frames
}

#[tokio::test]
async fn a_peer_that_answers_pings_but_takes_nothing_is_disconnected() {
    let limits = Limits { idle: PATIENCE, ..LIMITS };
    let grpc = running(Protocol::Grpc, limits).await;
    // One window is closed from the beginning, the other after 64 KiB.
    for settings in [SETTINGS_WITHOUT_WINDOW, SETTINGS] {
        let stream = grpc.send(&[PREFACE, settings, GET_LARGE].concat()).await;
        let frames = closed_in_spite_of_pongs(stream).await;
        assert!(frames.contains(&HEADERS) && frames.contains(&PING), "{frames:?}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_socket_is_disconnected() {
    let limits = Limits { idle: PATIENCE, ..LIMITS };
    let http = running(Protocol::Http, limits).await;
    let mut stream = http.connect().await;
    // Requests enough for more than the buffers of the two sockets take. The server stops reading them.
    let began = Instant::now();
    loop {
        let write = stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n");
        match timeout(Duration::from_millis(20), write).await {
            Ok(Err(_)) => break,
            _ => assert!(began.elapsed() < PATIENCE, "the connection stays open"),
        }
    }
}

#[tokio::test]
async fn a_slow_reader_gets_all_it_asked_for() {
    let grpc = running(Protocol::Grpc, LIMITS).await;
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(true).http2_initial_stream_window_size(64 * 1024);
    let client = builder.build_http::<Empty<Bytes>>();
    let request = Request::get(format!("http://{}/large", grpc.address)).body(Empty::new()).unwrap();
    let mut body = client.request(request).await.unwrap().into_body();
    let (mut length, mut pauses) = (0, 0);
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
        // Slow enough to take longer than the limit altogether.
        if pauses < 20 && length > pauses << 17 {
            pauses += 1;
            let never = timeout(Duration::from_millis(100), std::future::pending::<()>()).await;
            assert!(never.is_err());
        }
    }
    assert_eq!(length, 4 << 20);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let http = running(Protocol::Http, LIMITS).await;
    let mut stream = http.send(b"GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(closed(&mut stream).await.starts_with(b"HTTP/1.1 503"));
}

#[tokio::test]
async fn silent_connections_lock_nobody_out() {
    let http = running(Protocol::Http, Limits { connections: 5, head: PATIENCE, ..LIMITS }).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(http.connect().await);
        let mut stream = http.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(closed(&mut stream).await.starts_with(b"HTTP/1.1 200"));
    }
    // The oldest have made room.
    for stream in &mut silent[..30] {
        closed(stream).await;
    }
}

#[tokio::test]
async fn connections_in_use_are_not_closed_for_new_ones() {
    let limits = Limits { connections: 2, answer: None, ..LIMITS };
    let http = running(Protocol::Http, limits).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = http.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        read_until(&mut stream, "ok").await;
        stream.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        busy.push(stream);
    }
    // Both are in flight once a new connection is refused.
    timeout(PATIENCE, async {
        loop {
            let mut stream = http.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
            if closed(&mut stream).await.is_empty() {
                break;
            }
        }
    })
    .await
    .expect("nothing is refused");
    for stream in &mut busy {
        http.held.notify_one();
        assert!(String::from_utf8(closed(stream).await).unwrap().ends_with("late"));
    }
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_closes_the_rest() {
    let limits = Limits { answer: None, head: PATIENCE, idle: PATIENCE, ..LIMITS };
    let mut http = running(Protocol::Http, limits).await;
    let mut silent = http.connect().await;
    let mut idle = http.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut idle, "ok").await;
    let mut busy = http.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut busy, "ok").await;
    busy.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    http.stop.take().unwrap().send(()).unwrap();
    closed(&mut silent).await;
    closed(&mut idle).await;
    http.held.notify_one();
    closed(&mut busy).await;
    timeout(PATIENCE, &mut http.task).await.expect("it does not end").unwrap();
    assert!(TcpStream::connect(&http.address).await.is_err());
}
