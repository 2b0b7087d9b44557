//! What an operator tells a running process.

use tokio::sync::watch;

/// How often a process was told what. Both begin at zero.
#[derive(Clone, Debug)]
pub struct Signals {
    /// To stop. The second time, it waits for nobody any more.
    pub stops: watch::Receiver<u64>,
    /// To read certificates again.
    pub reloads: watch::Receiver<u64>,
}

impl Signals {
    /// Resolves once the process was told to stop this many times.
    pub async fn stopped(&self, times: u64) {
        let mut stops = self.stops.clone();
        if stops.wait_for(|told| *told >= times).await.is_err() {
            // Nobody is there to tell.
            std::future::pending::<()>().await;
        }
    }
}
