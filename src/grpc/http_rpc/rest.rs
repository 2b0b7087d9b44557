//! What is left of a request's body when the answer is already known. HTTP/1.1 has no way to stop a body: whoever closes
//! the connection instead resets it, and the peer may lose the answer, or the next request that it has already sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use chancery_guard::listener::Claim;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, timeout_at},
};
use tonic::{Status, body::Body};

/// How much is read for nothing, in bytes. It is thrown away as it comes.
const MAX_REST: usize = 8 * 1024 * 1024;
/// For how long.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// What is left of a body, once nobody reads it any longer.
#[derive(Debug)]
pub(super) struct Rest {
    left: oneshot::Receiver<(Body, bool)>,
    claim: Option<Claim>,
    /// Whether the peer sends the body only when it is asked for (RFC 9110 §10.1.1).
    waits: bool,
}

/// The request, whose body comes back if it is not read to its end. HTTP/2 needs none of it.
pub(super) fn lend(request: Request<Body>) -> (Request<Body>, Option<Rest>) {
    if request.version() > Version::HTTP_11 {
        return (request, None);
    }
    let (back, left) = oneshot::channel();
    let waits = request.headers().contains_key(header::EXPECT);
    let rest = Rest { left, claim: request.extensions().get().cloned(), waits };
    (request.map(|body| Body::new(Lent { body, begun: false, back: Some(back) })), Some(rest))
}

impl Rest {
    /// Reads the rest, or says that the connection ends with this answer.
    pub(super) async fn settle(mut self, response: &mut Response<Body>, deadline: Instant) {
        // Nothing comes back while something reads, nor after the end.
        let Ok((mut body, begun)) = self.left.try_recv() else { return };
        if let Some(claim) = &self.claim {
            claim.waive();
        }
        let until = deadline.min(Instant::now() + MAX_WAIT);
        // What was not asked for does not come.
        let comes = begun || !self.waits;
        let ended = comes && timeout_at(until, discard(&mut body)).await.unwrap_or(false);
        if !ended {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads a body for nothing, and returns whether it has ended.
async fn discard(body: &mut Body) -> bool {
    let mut left = MAX_REST;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
        left = less;
    }
    true
}

/// A body that goes back when it is dropped before its end, with whether it was begun.
struct Lent {
    body: Body,
    begun: bool,
    back: Option<oneshot::Sender<(Body, bool)>>,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.begun = true;
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.back = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take().filter(|_| !self.body.is_end_stream()) {
            // Whoever waits for it may be gone, with the connection.
            let _ = back.send((std::mem::take(&mut self.body), self.begun));
        }
    }
}
