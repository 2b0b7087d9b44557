//! Hands the messages of an open stream to the transport, and ends a stream that is not read.
//!
//! The transport asks for a message only when it can send one, so a stream that nobody reads is not polled at all.
//! A task of its own therefore waits for the stream's messages. If one is not taken in time, the task drops
//! everything that the stream keeps in memory; the caller is told when it reads on.

use std::{future::Future, pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tonic::Status;

use super::status::status;
use crate::{
    error::{Error, Result},
    service::RequestContext,
};

/// How long a message may wait for the transport. The slowest stream that lives on reads some 3 KiB a second.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// Something with a stream of messages.
pub(super) trait Source: Send + 'static {
    /// A message, as the transport takes it.
    type Message: Send + 'static;

    /// The path of the method.
    #[cfg_attr(not(debug_assertions), expect(dead_code, reason = "only debug builds check what a method documents"))]
    const METHOD: &'static str = "";

    /// Waits for the next message. Every error ends the stream.
    fn next(&mut self) -> impl Future<Output = Result<Self::Message>> + Send;
}

/// The messages of a source, for the transport.
pub(super) type Messages<M> = Pin<Box<dyn Stream<Item = std::result::Result<M, Status>> + Send>>;

/// Streams the messages of a source until it fails, is not read in time, or the stream is dropped.
pub(super) fn messages<S: Source>(source: S, ctx: RequestContext) -> Messages<S::Message> {
    let (sender, receiver) = mpsc::channel(1);
    let (end_sender, end) = oneshot::channel();
    tokio::spawn(async move {
        if let Some(error) = send_all(source, &sender).await {
            #[cfg(debug_assertions)]
            super::documented::check(S::METHOD, error.reason());
            tracing::debug!(request_id = %ctx.request_id, reason = error.reason().as_str(), "a stream ended");
            // The stream reads this as soon as the sender is gone, which is when this task ends.
            let _ = end_sender.send(status(&ctx, &error));
        }
    });
    Box::pin(stream::unfold(Some((receiver, end)), |state| async {
        let (mut receiver, end) = state?;
        if let Some(message) = receiver.recv().await {
            return Some((Ok(message), Some((receiver, end))));
        }
        // No end is sent if the runtime stops.
        end.await.ok().map(|status| (Err(status), None))
    }))
}

/// Sends messages until the stream ends. Returns why, unless nobody listens any more.
async fn send_all<S: Source>(mut source: S, sender: &mpsc::Sender<S::Message>) -> Option<Error> {
    loop {
        let next = tokio::select! {
            biased;
            () = sender.closed() => return None,
            next = source.next() => next,
        };
        let message = match next {
            Ok(message) => message,
            Err(error) => return Some(error),
        };
        match timeout(TAKEN_WITHIN, sender.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return None,
            Err(_) => return Some(Error::TooSlow),
        }
    }
}

#[cfg(test)]
mod tests;
