//! One connection, from its opening to its end.

use std::{
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Bytes, HttpBody},
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{sync::watch, time::Instant};
use tower::{Service, ServiceExt};

use super::{
    Encrypted, Incoming, Limits, Peer, Protocol, Tls,
    activity::{Activity, Verdict},
    body::{InFlight, Watched},
    stream::{Raw, Stream},
};

/// How long an idle HTTP/2 peer may take to agree to the end of its connection.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a connection without a request stays open once the listener stops: a silent peer agrees to nothing.
const CLOSE: Duration = Duration::from_secs(1);
/// How much a peer may send ahead of what is read: per request, and per connection. A message has at most 64 KiB.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// How much of a response may wait in memory for its peer.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests that were cancelled before they were looked at (CVE-2023-44487).
const RESET_STREAMS: usize = 20;
/// Headers of a request of HTTP/1. Proxies let more pass than the usual 100; what counts is their size.
const MAX_HEADERS: usize = 256;
/// HTTP/1 refuses a smaller buffer.
const LEAST_BUFFER: usize = 8192;

/// Serves one connection.
#[derive(Clone, Debug)]
pub(super) struct Serving<S> {
    pub(super) service: S,
    pub(super) protocol: Protocol,
    pub(super) limits: Limits,
    pub(super) peer: Option<SocketAddr>,
    pub(super) activity: Arc<Activity>,
    /// Whether it has TLS.
    pub(super) encrypted: bool,
}

impl<S, B> Serving<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Serves the connection until it ends, is in the way, or its last request is answered after `stopped`.
    pub(super) async fn run(self, raw: Raw, tls: Option<Tls>, mut stopped: watch::Receiver<bool>) {
        let Self { protocol, limits, peer, .. } = self;
        let activity = self.activity.clone();
        let (mut ticks, mut age) = (Ticks::new(&limits), Age::new(&limits));
        let raw = tokio::select! {
            biased;
            raw = handshaken(raw, tls, limits.head) => raw,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let Some(raw) = raw else { return };
        let stream = Stream::new(raw, activity.clone(), protocol != Protocol::Http, limits.stall);
        let builder = builder(protocol, &limits);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), self));
        let (mut stopping, mut leaving) = (false, false);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(?peer, error, "a connection failed");
                    }
                    return;
                }
                _ = stopped.wait_for(|stop| *stop), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    ticks.judge_in(CLOSE);
                }
                () = age.reached(), if !stopping && !leaving => {
                    // On HTTP/1, the next request could be under way already, and would be lost.
                    if activity.is_http2() {
                        connection.as_mut().graceful_shutdown();
                    }
                }
                () = activity.head_begins() => ticks.judge_within(limits.head),
                next_interval = ticks.next() => match activity.judge(&limits, next_interval) {
                    Verdict::Stays(time) if stopping => {
                        if activity.has_been_idle_for(CLOSE) {
                            return;
                        }
                        ticks.judge_in(time.min(CLOSE));
                    }
                    Verdict::Stays(time) => ticks.judge_in(time),
                    Verdict::Idle if !leaving => {
                        leaving = true;
                        connection.as_mut().graceful_shutdown();
                        ticks.judge_in(GOODBYE);
                    }
                    verdict => {
                        tracing::debug!(?peer, ?verdict, "a connection is closed");
                        return;
                    }
                },
            }
        }
    }

    /// Answers a request, in time.
    async fn answer(self, mut request: Request<Incoming>, in_flight: InFlight) -> Response<Either<B>> {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(Peer(peer));
        }
        if self.encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        request.extensions_mut().insert(in_flight.claim());
        let answer = self.service.oneshot(request);
        let answered = match self.limits.answer {
            None => answer.await,
            Some(limit) => match tokio::time::timeout(limit, answer).await {
                Ok(answered) => answered,
                Err(_) => return too_late(self.protocol),
            },
        };
        let response = match answered {
            Ok(response) => response,
            Err(never) => match never {},
        };
        response.map(|body| Either::Answer(Watched::new(body, in_flight)))
    }
}

/// The stream, after its TLS handshake if there is any. Returns none if that fails.
async fn handshaken(raw: Raw, tls: Option<Tls>, limit: Duration) -> Option<Raw> {
    match (raw, tls) {
        (Raw::Tcp(stream), Some(tls)) => tls.accept(stream, limit).await.map(|stream| Raw::Tls(Box::new(stream))),
        (raw, _) => Some(raw),
    }
}

/// The body of an answer, or none.
#[derive(Debug)]
pub(super) enum Either<B> {
    Answer(Watched<B>),
    Nothing,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Either<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Answer(body) => Pin::new(body).poll_frame(cx),
            Self::Nothing => std::task::Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Answer(body) => body.is_end_stream(),
            Self::Nothing => true,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Answer(body) => body.size_hint(),
            Self::Nothing => hyper::body::SizeHint::with_exact(0),
        }
    }
}

fn too_late<B>(protocol: Protocol) -> Response<Either<B>> {
    let mut response = Response::new(Either::Nothing);
    match protocol {
        Protocol::Http | Protocol::Both => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
        Protocol::Grpc => {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            // DEADLINE_EXCEEDED
            headers.insert("grpc-status", HeaderValue::from_static("4"));
        }
    }
    response
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Serving<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Either<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = InFlight::begin(self.activity.clone());
        if !request.body().is_end_stream() {
            self.activity.has_body();
        }
        let serving = self.clone();
        Box::pin(async move { Ok(serving.answer(request, in_flight).await) })
    }
}

fn builder(protocol: Protocol, limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // HTTP/1 has no timer of its own here: hyper's would close idle connections as early as half a request.
    let buffer = usize::try_from(limits.header_bytes).unwrap_or(LEAST_BUFFER).max(LEAST_BUFFER);
    builder.http1().max_buf_size(buffer).max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.pong)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    if protocol == Protocol::Grpc { builder.http2_only() } else { builder }
}

/// When a connection is judged: at the time that the last verdict named, and at the end of each interval.
struct Ticks {
    sleep: Pin<Box<tokio::time::Sleep>>,
    interval: Duration,
    interval_ends: Instant,
    judge_at: Instant,
}

impl Ticks {
    #[expect(clippy::disallowed_methods, reason = "deadlines for the peer")]
    fn new(limits: &Limits) -> Self {
        let (now, interval) = (Instant::now(), Activity::interval(limits));
        let (interval_ends, judge_at) = (now + interval, now + limits.head);
        let sleep = Box::pin(tokio::time::sleep(limits.head.min(interval)));
        Self { sleep, interval, interval_ends, judge_at }
    }

    fn judge_in(&mut self, time: Duration) {
        self.judge_at = Instant::now() + time;
        self.sleep.as_mut().reset(self.judge_at.min(self.interval_ends));
    }

    /// Brings the next judgement forward to this much from now.
    fn judge_within(&mut self, time: Duration) {
        if Instant::now() + time < self.judge_at {
            self.judge_in(time);
        }
    }

    /// Waits for the next judgement, and returns whether an interval is over.
    async fn next(&mut self) -> bool {
        self.sleep.as_mut().await;
        let over = Instant::now() >= self.interval_ends;
        if over {
            self.interval_ends = Instant::now() + self.interval;
        }
        over
    }
}

/// When a connection is to be used no more, if ever.
struct Age(Option<Pin<Box<tokio::time::Sleep>>>);

impl Age {
    #[expect(clippy::disallowed_methods, reason = "a deadline for the peer")]
    fn new(limits: &Limits) -> Self {
        Self(limits.age.map(|age| Box::pin(tokio::time::sleep(spread(age)))))
    }

    /// Resolves once.
    async fn reached(&mut self) {
        match &mut self.0 {
            Some(age) => age.as_mut().await,
            None => std::future::pending().await,
        }
        self.0 = None;
    }
}

/// A time up to a tenth longer or shorter, so that connections that were opened together do not end together.
fn spread(time: Duration) -> Duration {
    // A hasher with keys of its own is the randomness of the standard library.
    let random = RandomState::new().hash_one(()) % 2048;
    time.mul_f64(0.9 + 0.2 * f64::from(u32::try_from(random).unwrap_or(0)) / 2048.0)
}
