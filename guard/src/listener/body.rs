//! The body of a response, which notes whether the peer takes it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::{activity::Activity, claim::Claim};

/// Larger pieces are split, so that a peer that reads slowly is not taken for one that does not read.
const PIECE: usize = 16 * 1024;

/// Counts a request as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    claim: Claim,
    /// The interval in which the response began to wait for the peer, if it does.
    waits_since: Option<u64>,
}

impl InFlight {
    pub(super) fn begin(activity: Arc<Activity>) -> Self {
        activity.begin();
        let claim = Claim::new(activity.clone());
        Self { activity, claim, waits_since: None }
    }

    /// Its claim on the connection.
    pub(super) fn claim(&self) -> Claim {
        self.claim.clone()
    }

    fn wait(&mut self) {
        self.waits_since = Some(self.activity.wait());
    }

    fn taken(&mut self) {
        if let Some(interval) = self.waits_since.take() {
            self.activity.taken(interval);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.taken();
        self.claim.end();
        self.activity.end();
    }
}

/// The body. The connection asks for another piece only when there is room for it, so a body that is not asked is one
/// that the peer does not take.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    rest: Bytes,
    in_flight: InFlight,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, mut in_flight: InFlight) -> Self {
        in_flight.wait();
        Self { body, rest: Bytes::new(), in_flight }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.in_flight.taken();
        if self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => self.rest = data,
                Ok(Err(other)) => return Poll::Ready(Some(Ok(other))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.in_flight.wait();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
