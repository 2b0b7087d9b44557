//! Requests that are written together, and their waiters.

use std::collections::VecDeque;

use tokio::{sync::oneshot, time::Instant};

use super::{Revocation, Work};
use crate::{
    domain::{
        session::{Rotation, SessionTouch},
        session_data::DataWrite,
    },
    error::{Error, Result},
    service::runtime::copy_error,
    store::Opening,
};

/// A caller waiting for its request to be written.
pub(super) struct Waiter<W: Work> {
    pub(super) reply: oneshot::Sender<Result<W::Outcome>>,
    /// When the caller gives up.
    pub(super) deadline: Option<Instant>,
}

impl<W: Work> Waiter<W> {
    fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }
}

/// A waiter and its outcome.
pub(super) struct Reply<W: Work> {
    waiter: Waiter<W>,
    pub(super) outcome: W::Outcome,
}

impl<W: Work> Reply<W> {
    /// Sends the outcome, or the error if this process could not confirm it.
    pub(super) fn send(self, confirmed: &Result<()>) {
        let reply = confirmed.as_ref().map(|()| self.outcome).map_err(copy_error);
        // The caller may have gone away.
        let _ = self.waiter.reply.send(reply);
    }
}

/// Requests of one kind. The work and the waiters are separate lists, because the store takes the work as a slice.
pub(super) struct Lane<W: Work> {
    pub(super) work: Vec<W>,
    pub(super) waiters: Vec<Waiter<W>>,
}

impl<W: Work> Lane<W> {
    /// Takes as many requests as there is room for, in order of arrival.
    pub(super) fn take(queue: &mut VecDeque<(W, Waiter<W>)>, room: usize) -> Self {
        let count = queue.len().min(room);
        let (work, waiters) = queue.drain(..count).unzip();
        Self { work, waiters }
    }

    const fn empty() -> Self {
        Self { work: Vec::new(), waiters: Vec::new() }
    }

    /// Drops requests that nobody waits for any more, without writing them.
    fn drop_expired(&mut self, now: Instant) {
        if !self.waiters.iter().any(|w| w.is_expired(now) || w.reply.is_closed()) {
            return;
        }
        let all = self.work.drain(..).zip(self.waiters.drain(..)).collect::<Vec<_>>();
        for (work, waiter) in all {
            if waiter.is_expired(now) {
                let _ = waiter.reply.send(Err(Error::DeadlineExceeded));
            } else if !waiter.reply.is_closed() {
                self.work.push(work);
                self.waiters.push(waiter);
            }
        }
    }

    pub(super) fn fail(&mut self, error: &Error) {
        self.work.clear();
        for waiter in self.waiters.drain(..) {
            let _ = waiter.reply.send(Err(copy_error(error)));
        }
    }

    /// Pairs every waiter with its outcome.
    pub(super) fn replies(self, outcomes: Vec<W::Outcome>) -> impl Iterator<Item = Reply<W>> {
        self.waiters.into_iter().zip(outcomes).map(|(waiter, outcome)| Reply { waiter, outcome })
    }

    /// Splits into one lane per request.
    fn split(self) -> impl Iterator<Item = Self> {
        let pairs = self.work.into_iter().zip(self.waiters);
        pairs.map(|(work, waiter)| Self { work: vec![work], waiters: vec![waiter] })
    }
}

/// The requests that one transaction writes.
pub(super) struct Batch {
    pub(super) revocations: Lane<Revocation>,
    pub(super) openings: Lane<Opening>,
    pub(super) rotations: Lane<Rotation>,
    pub(super) data: Lane<DataWrite>,
    pub(super) touches: Vec<SessionTouch>,
    /// Whether an earlier attempt with an unknown outcome may have written to the feed.
    pub(super) may_be_in_feed: bool,
}

impl Batch {
    const fn empty() -> Self {
        Self {
            revocations: Lane::empty(),
            openings: Lane::empty(),
            rotations: Lane::empty(),
            data: Lane::empty(),
            touches: Vec::new(),
            may_be_in_feed: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.revocations.work.is_empty()
            && self.openings.work.is_empty()
            && self.rotations.work.is_empty()
            && self.data.work.is_empty()
            && self.touches.is_empty()
    }

    /// Drops requests that nobody waits for any more, without writing them. Revocations are kept.
    pub(super) fn drop_expired(&mut self) {
        let now = Instant::now();
        self.openings.drop_expired(now);
        self.rotations.drop_expired(now);
        self.data.drop_expired(now);
    }

    /// Fails every request with the same error.
    pub(super) fn fail(&mut self, error: &Error) {
        self.revocations.fail(error);
        self.openings.fail(error);
        self.rotations.fail(error);
        self.data.fail(error);
        self.touches.clear();
    }

    /// Splits into one batch per request, and one for all touches, which are one statement.
    pub(super) fn split(self) -> impl Iterator<Item = Self> {
        let empty = move || Self { may_be_in_feed: self.may_be_in_feed, ..Self::empty() };
        let revocations = self.revocations.split().map(move |revocations| Self { revocations, ..empty() });
        let openings = self.openings.split().map(move |openings| Self { openings, ..empty() });
        let rotations = self.rotations.split().map(move |rotations| Self { rotations, ..empty() });
        let data = self.data.split().map(move |data| Self { data, ..empty() });
        let touches = (!self.touches.is_empty()).then(|| Self { touches: self.touches, ..empty() });
        revocations.chain(openings).chain(rotations).chain(data).chain(touches)
    }
}
