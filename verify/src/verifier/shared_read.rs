//! A read that many requests can wait for.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

/// The longest time a request waits for a read.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Runs one read at a time. The read is a task of its own, so it goes on when a waiter gives up.
#[derive(Debug, Default)]
pub(super) struct SharedRead(Mutex<Option<watch::Receiver<()>>>);

/// Waits for the end of a read.
#[derive(Debug)]
pub(super) struct ReadHandle(watch::Receiver<()>);

impl SharedRead {
    /// Joins the read in progress, or starts one. Returns `None` outside of a tokio runtime.
    pub(super) fn join_or_start<F>(&self, work: impl FnOnce() -> F) -> Option<ReadHandle>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = in_progress(running.as_ref()) {
            return Some(handle);
        }
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (sender, receiver) = watch::channel(());
        *running = Some(receiver.clone());
        let work = work();
        runtime.spawn(async move {
            work.await;
            drop(sender);
        });
        Some(ReadHandle(receiver))
    }

    /// The read in progress, if there is one.
    pub(super) fn in_progress(&self) -> Option<ReadHandle> {
        in_progress(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
    }
}

/// The sender is dropped when the read ends.
fn in_progress(running: Option<&watch::Receiver<()>>) -> Option<ReadHandle> {
    running.filter(|receiver| receiver.has_changed().is_ok()).cloned().map(ReadHandle)
}

impl ReadHandle {
    /// Waits for the end of the read, at most [`MAX_WAIT`].
    pub(super) async fn wait(mut self) {
        // Nothing is ever sent: the wait ends when the sender is dropped.
        let _ = timeout(MAX_WAIT, self.0.changed()).await;
    }
}
