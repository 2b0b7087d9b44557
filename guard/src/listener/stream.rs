//! A connection's stream. It notes what arrives, fails if its peer takes nothing for too long, and on gRPC connections
//! writes several responses with one system call.
//!
//! On a stream with vectored writes, the h2 crate does not copy messages of 256 bytes or more. It writes after each
//! such message, and a token is that long. Headers, message and trailers then take two system calls per response,
//! and responses that are ready at the same time are never sent together. On a stream without vectored writes, h2
//! copies messages below 1024 bytes into one buffer and sends them with one call. Copying a few hundred bytes costs
//! far less than a system call.
//!
//! The runtime also polls a connection's task as soon as one response is ready, before the tasks that are about to
//! produce more. The first write attempt therefore yields once, so that responses that become ready in the meantime
//! go into the same call. On an idle server this costs one extra poll.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::Sleep,
};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Raw {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// Calls a method of whichever stream it is.
macro_rules! on_stream {
    ($raw:expr, $stream:ident => $call:expr) => {
        match $raw {
            Raw::Tcp($stream) => $call,
            Raw::Tls($stream) => $call,
            Raw::Unix($stream) => $call,
        }
    };
}

#[derive(Debug)]
pub(super) struct Stream {
    raw: Raw,
    activity: Arc<Activity>,
    /// Whether to write several responses with one call.
    gathers: bool,
    /// Whether the pending write has already yielded.
    yielded: bool,
    stall: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) const fn new(raw: Raw, activity: Arc<Activity>, gathers: bool, stall: Duration) -> Self {
        Self { raw, activity, gathers, yielded: false, stall, stalled: None }
    }

    /// Whether a write has to yield first.
    fn yields(&mut self, cx: &Context<'_>) -> bool {
        let yields = self.gathers && !std::mem::replace(&mut self.yielded, true);
        if yields {
            // A task that wakes itself moves to the end of the run queue.
            cx.waker().wake_by_ref();
        }
        yields
    }

    /// Fails a write that has been pending for too long.
    #[expect(clippy::disallowed_methods, reason = "a deadline for the peer")]
    fn watched<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.yielded = false;
            self.stalled = None;
            return written;
        }
        let limit = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = on_stream!(&mut self.raw, stream => Pin::new(stream).poll_read(cx, buffer));
        if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.activity.read(bytes);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.yields(cx) {
            return Poll::Pending;
        }
        let written = on_stream!(&mut self.raw, stream => Pin::new(stream).poll_write(cx, bytes));
        self.watched(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        !self.gathers
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.yields(cx) {
            return Poll::Pending;
        }
        let written = on_stream!(&mut self.raw, stream => Pin::new(stream).poll_write_vectored(cx, bytes));
        self.watched(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = on_stream!(&mut self.raw, stream => Pin::new(stream).poll_flush(cx));
        // With TLS, a write is done as soon as its bytes are encrypted; the peer takes them only now.
        if matches!(self.raw, Raw::Tls(_)) { self.watched(flushed, cx) } else { flushed }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.raw, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
