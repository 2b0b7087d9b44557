//! Connections that write several responses with one system call.
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
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// A connection that reports no support for vectored writes and yields to ready tasks before it writes.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Whether the pending write has already yielded.
    yielded: bool,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self { stream, yielded: false }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.yielded, true) {
            // A task that wakes itself moves to the end of the run queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.yielded = false;
        Poll::Ready(written)
    }

    // `is_write_vectored` deliberately keeps the trait's default, false.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
