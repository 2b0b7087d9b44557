//! How jobs pause between steps, and how servers wait for their end.

use std::time::Duration;

use tokio::sync::watch;

/// Waits until this is true.
pub(super) async fn wait_for_stop(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is dropped, so the server is gone.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Pauses for this long; returns false as soon as the job must end.
pub(super) async fn pause_unless_ended(every: Duration, ended: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = ended.wait_for(|end| *end) => false,
        () = pause(every) => true,
    }
}

#[expect(clippy::disallowed_methods, reason = "only jobs may sleep")]
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
