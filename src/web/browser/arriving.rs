//! Requests whose body is on its way. Until it is there, a request costs its sender nothing, and where there are too many
//! connections it may be cut off: otherwise anybody could hold all of them with forms that never arrive.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::Request,
};
use chancery_guard::listener::Claim;
use http_body::{Frame, SizeHint};

/// The same request, which has no claim on its connection until its body has arrived.
pub(super) fn without_claim_until_arrived(request: Request) -> Request {
    let claim = request.extensions().get::<Claim>().filter(|_| !request.body().is_end_stream()).cloned();
    let Some(claim) = claim else { return request };
    claim.waive();
    request.map(|body| Body::new(Arriving { body, claim }))
}

struct Arriving {
    body: Body,
    claim: Claim,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.claim.restore();
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
