//! Who asks: as fast as answers come, or at fixed times.

mod closed;
mod open;
mod recorder;

use std::{future::Future, time::Duration};

pub(crate) use self::{closed::closed, open::open, recorder::Refusal};

/// Somebody who sends one request at a time.
pub(crate) trait Caller: Send + 'static {
    /// Sends a request and waits for the answer.
    fn call(&mut self) -> impl Future<Output = Outcome> + Send;
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It succeeded.
    Answered,
    /// It did not; the caller may go on.
    Refused(Refusal),
    /// It did not, and the caller has nothing to go on with.
    Broken(Refusal),
    /// None was sent: there is nothing left to ask.
    Finished,
}

/// How long a load lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// First, uncounted.
    pub(crate) warmup: Duration,
    /// Then, counted.
    pub(crate) measured: Duration,
}

impl Window {
    /// Longest that anything may take that was begun in the window.
    fn patience(self) -> Duration {
        self.warmup + self.measured + Duration::from_mins(1)
    }
}
