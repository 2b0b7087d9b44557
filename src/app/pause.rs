//! How jobs pause between steps.

use std::time::Duration;

use tokio::sync::watch;

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
