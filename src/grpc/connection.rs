//! Connections that take a whole answer at once.
//!
//! On a stream that can write several buffers at once, HTTP/2's library copies no message of 256 bytes or
//! more: it writes after each such message, and a token is as long as that. Headers, message and trailers
//! then take two system calls for each answer, and answers that are ready together are never sent together.
//! On a stream that cannot, messages below 1024 bytes are copied behind each other, and one call sends them
//! all. Copying some hundred bytes costs far less than a call into the kernel.
//!
//! And the runtime runs the task of a connection as soon as one answer is ready, ahead of those that are about
//! to give it others. So the first attempt to write only goes to the end of the queue: what becomes ready
//! meanwhile goes into the same call. Where nothing else is to be done that costs nothing but a turn.

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

/// A connection that says of itself that it writes one buffer at a time, and that lets everything go first
/// that is ready to run.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Whether what is to be written now has let the others go first.
    waited: bool,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self { stream, waited: false }
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
        if !std::mem::replace(&mut self.waited, true) {
            // A task that wakes itself goes to the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.waited = false;
        Poll::Ready(written)
    }

    // `is_write_vectored` stays false, as the trait has it: that is the point.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
