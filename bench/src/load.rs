//! Load generators: closed loop, as fast as responses come, or open loop, at fixed times.

mod closed;
mod open;
mod recorder;

use std::{future::Future, time::Duration};

pub(crate) use self::{closed::closed_loop, open::open_loop, recorder::Failure};

/// A client that sends one request at a time.
pub(crate) trait Caller: Send + 'static {
    /// Sends a request and waits for the response.
    fn call(&mut self) -> impl Future<Output = Outcome> + Send;
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It succeeded.
    Answered,
    /// It failed; the caller can continue.
    Failed(Failure),
    /// It failed, and the caller cannot continue.
    Broken(Failure),
    /// Nothing was sent, because no work is left.
    Finished,
}

/// The duration of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The first part, which is not counted.
    pub(crate) warmup: Duration,
    /// The second part, which is counted.
    pub(crate) measured: Duration,
}

impl Window {
    /// Time limit for everything started in the window.
    fn time_limit(self) -> Duration {
        self.warmup + self.measured + Duration::from_mins(1)
    }
}
