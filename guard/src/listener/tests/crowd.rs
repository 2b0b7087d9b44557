//! Listeners that are full, short of files, or stopping.

use std::os::fd::OwnedFd;

use super::*;

/// Limits that no connection in these tests reaches.
const PATIENT: Limits =
    Limits { head: PATIENCE, idle: PATIENCE, stall: PATIENCE, ping: PATIENCE, pong: PATIENCE, answer: None, ..LIMITS };
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// A listener whose every attempt to accept fails at once: a connected socket. Keep the other end open.
async fn broken_listener() -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    // It has something to read, as a listener with a connection to accept does.
    near.write_all(b"x").await.unwrap();
    let far = std::net::TcpListener::from(OwnedFd::from(far.into_std().unwrap()));
    (TcpListener::from_std(far).unwrap(), near)
}

#[tokio::test]
async fn a_listener_that_cannot_accept_stops_like_any_other() {
    let (listener, _near) = broken_listener().await;
    let (stop, stopped) = oneshot::channel();
    let routes = Router::new().route("/", get(async || "ok"));
    let serving = tokio::spawn(serve(Socket::Tcp(listener), Protocol::Http, routes, LIMITS, async {
        let _ = stopped.await;
    }));
    // Long enough for it to have failed once, so that it waits before it tries again.
    assert!(timeout(PAUSE / 2, std::future::pending::<()>()).await.is_err());
    stop.send(()).unwrap();
    timeout(PATIENCE, serving).await.expect("it does not stop").expect("it panicked");
}

#[tokio::test(start_paused = true)]
async fn failures_to_accept_are_logged_once_in_ten_seconds() {
    let mut failing = Failing::default();
    let mut logged = 0;
    for _ in 0..1000 {
        logged += u32::from(failing.note(&io::Error::other("too many open files")));
        tokio::time::advance(PAUSE).await;
    }
    assert_eq!(logged, 5);
}

#[tokio::test]
async fn half_a_later_request_is_given_the_time_for_a_head() {
    // Neither the time for an idle connection nor a regular look at it comes first.
    let http =
        running(Protocol::Http, Limits { head: LIMITS.head, idle: 9 * PATIENCE, stall: 9 * PATIENCE, ..PATIENT });
    let http = http.await;
    let whole = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut pipelined = http.send(format!("{whole}{whole}GET / HT").as_bytes()).await;
    let mut later = http.send(whole.as_bytes()).await;
    read_until(&mut later, "ok").await;
    later.write_all(b"GET / HT").await.unwrap();
    closed(&mut pipelined).await;
    closed(&mut later).await;
}

#[tokio::test]
async fn a_silent_http2_peer_does_not_hold_up_a_stop() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let mut running = running(protocol, Limits { ping: 9 * PATIENCE, idle: 9 * PATIENCE, ..PATIENT }).await;
        let mut silent = running.send(&[PREFACE, SETTINGS].concat()).await;
        // The server's own settings: it serves the connection.
        silent.read_exact(&mut [0; 9]).await.unwrap();
        running.stop.take().unwrap().send(()).unwrap();
        timeout(PATIENCE / 2, &mut running.task).await.expect("it does not end").unwrap();
    }
}

/// Serves `/`, and `/waived` with a body that never ends and no claim on its connection.
async fn waiving(limits: Limits) -> String {
    let waive = async |request: Request<Body>| {
        request.extensions().get::<Claim>().unwrap().waive();
        Body::new(Endless)
    };
    let routes = Router::new().route("/", get(async || "ok")).route("/waived", get(waive));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = tower::ServiceExt::map_request(routes, |request: Request<Incoming>| request.map(Body::new));
    tokio::spawn(serve(Socket::Tcp(listener), Protocol::Http, routes, limits, std::future::pending()));
    address
}

#[tokio::test]
async fn requests_that_waive_their_claim_lock_nobody_out() {
    let address = waiving(Limits { connections: 4, ..PATIENT }).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let mut endless = TcpStream::connect(&address).await.unwrap();
        endless.write_all(b"GET /waived HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(&mut endless, "200").await;
        all.push(endless);
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        assert!(closed(&mut stream).await.starts_with(b"HTTP/1.1 200"));
    }
    // The oldest have made room.
    for stream in &mut all[..15] {
        closed(stream).await;
    }
}
