//! A read under way, for which many may wait.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

/// How long a request waits for what it cannot do without.
const PATIENCE: Duration = Duration::from_secs(2);

/// One read at a time. It is a task of its own: who gives up waiting does not end it.
#[derive(Debug, Default)]
pub(super) struct Flight(Mutex<Option<watch::Receiver<()>>>);

/// The end of a read.
#[derive(Debug)]
pub(super) struct Landing(watch::Receiver<()>);

impl Flight {
    /// Joins the read that is under way, or begins one; nothing outside of a runtime.
    pub(super) fn join<F>(&self, work: impl FnOnce() -> F) -> Option<Landing>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(landing) = under_way(running.as_ref()) {
            return Some(landing);
        }
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (sender, receiver) = watch::channel(());
        *running = Some(receiver.clone());
        let work = work();
        runtime.spawn(async move {
            work.await;
            drop(sender);
        });
        Some(Landing(receiver))
    }

    /// The read that is under way.
    pub(super) fn under_way(&self) -> Option<Landing> {
        under_way(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
    }
}

/// The sender lives as long as the read.
fn under_way(running: Option<&watch::Receiver<()>>) -> Option<Landing> {
    running.filter(|receiver| receiver.has_changed().is_ok()).cloned().map(Landing)
}

impl Landing {
    /// Waits for the end, for as long as a request may.
    pub(super) async fn wait(mut self) {
        // Nothing is ever sent: it ends when the sender is dropped.
        let _ = timeout(PATIENCE, self.0.changed()).await;
    }
}
