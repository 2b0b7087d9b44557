//! Whether a request keeps its connection when the cap is reached.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use super::activity::Activity;

const HELD: u8 = 0;
const WAIVED: u8 = 1;
const OVER: u8 = 2;

/// A request's claim on its connection, among the request's extensions. At the cap, a connection makes room for a new
/// one if all of its requests have waived theirs. A request has its claim until the service waives it.
#[derive(Clone, Debug)]
pub struct Claim(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    activity: Arc<Activity>,
    state: AtomicU8,
}

impl Claim {
    /// The claim of a request that has arrived.
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        activity.claim();
        Self(Arc::new(Inner { activity, state: AtomicU8::new(HELD) }))
    }

    /// Says that this request may be cut off.
    pub fn waive(&self) {
        if self.becomes(HELD, WAIVED) {
            self.0.activity.release();
        }
    }

    /// Says that it may not, after all.
    pub fn restore(&self) {
        if self.becomes(WAIVED, HELD) {
            self.0.activity.claim();
        }
    }

    /// Ends the claim with its request. Nothing restores it then.
    pub(super) fn end(&self) {
        if self.0.state.swap(OVER, Relaxed) == HELD {
            self.0.activity.release();
        }
    }

    fn becomes(&self, from: u8, to: u8) -> bool {
        self.0.state.compare_exchange(from, to, Relaxed, Relaxed).is_ok()
    }
}
