//! How jobs wait.

use std::time::Duration;

use tokio::sync::watch;

/// Waits for the next turn; false when it is time to end.
pub(super) async fn turn(every: Duration, ended: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = ended.wait_for(|end| *end) => false,
        () = pause(every) => true,
    }
}

#[expect(clippy::disallowed_methods, reason = "jobs are what may sleep")]
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
