//! Requests that are written together, and their waiters.

use std::collections::VecDeque;

use tokio::{sync::oneshot, time::Instant};

use super::{Opening, Revocation, Work};
use crate::{
    domain::session::Rotation,
    error::{Error, Result},
};

/// A caller waiting for its request to be written.
pub(super) struct Caller<W: Work> {
    pub(super) answer: oneshot::Sender<Result<W::Outcome>>,
    /// When the caller gives up.
    pub(super) deadline: Option<Instant>,
}

impl<W: Work> Caller<W> {
    fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }
}

/// A waiter and its outcome.
pub(super) struct Answered<W: Work> {
    caller: Caller<W>,
    pub(super) outcome: W::Outcome,
}

impl<W: Work> Answered<W> {
    /// Sends the outcome, or the error if this process could not confirm it.
    pub(super) fn send(self, confirmed: &Result<()>) {
        let answer = confirmed.as_ref().map(|()| self.outcome).map_err(again);
        // The caller may have gone away.
        let _ = self.caller.answer.send(answer);
    }
}

/// Requests of one kind. The work and the waiters are separate lists, because the store takes the work as a slice.
pub(super) struct Lane<W: Work> {
    pub(super) work: Vec<W>,
    pub(super) callers: Vec<Caller<W>>,
}

impl<W: Work> Lane<W> {
    /// Takes as many requests as there is room for, in order of arrival.
    pub(super) fn take(queue: &mut VecDeque<(W, Caller<W>)>, room: &mut usize) -> Self {
        let count = queue.len().min(*room);
        *room -= count;
        let (work, callers) = queue.drain(..count).unzip();
        Self { work, callers }
    }

    const fn none() -> Self {
        Self { work: Vec::new(), callers: Vec::new() }
    }

    /// Drops requests that nobody waits for any more, without writing them.
    fn drop_late(&mut self, now: Instant) {
        if !self.callers.iter().any(|c| c.is_late(now) || c.answer.is_closed()) {
            return;
        }
        let all = self.work.drain(..).zip(self.callers.drain(..)).collect::<Vec<_>>();
        for (work, caller) in all {
            if caller.is_late(now) {
                let _ = caller.answer.send(Err(Error::DeadlineExceeded));
            } else if !caller.answer.is_closed() {
                self.work.push(work);
                self.callers.push(caller);
            }
        }
    }

    pub(super) fn refuse(&mut self, error: &Error) {
        self.work.clear();
        for caller in self.callers.drain(..) {
            let _ = caller.answer.send(Err(again(error)));
        }
    }

    /// Pairs every waiter with its outcome.
    pub(super) fn answered(self, outcomes: Vec<W::Outcome>) -> impl Iterator<Item = Answered<W>> {
        self.callers.into_iter().zip(outcomes).map(|(caller, outcome)| Answered { caller, outcome })
    }

    /// Splits into one lane per request.
    fn apart(self) -> impl Iterator<Item = Self> {
        let pairs = self.work.into_iter().zip(self.callers);
        pairs.map(|(work, caller)| Self { work: vec![work], callers: vec![caller] })
    }
}

/// The requests that one transaction writes.
pub(super) struct Batch {
    pub(super) revocations: Lane<Revocation>,
    pub(super) openings: Lane<Opening>,
    pub(super) rotations: Lane<Rotation>,
    /// Whether an earlier attempt with an unknown outcome may have written to the feed.
    pub(super) may_be_told: bool,
}

impl Batch {
    const fn none() -> Self {
        Self { revocations: Lane::none(), openings: Lane::none(), rotations: Lane::none(), may_be_told: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.revocations.work.is_empty() && self.openings.work.is_empty() && self.rotations.work.is_empty()
    }

    /// Drops requests that nobody waits for any more, without writing them. Revocations are kept.
    pub(super) fn drop_late(&mut self) {
        let now = Instant::now();
        self.openings.drop_late(now);
        self.rotations.drop_late(now);
    }

    /// Fails every request with the same error.
    pub(super) fn refuse(&mut self, error: &Error) {
        self.revocations.refuse(error);
        self.openings.refuse(error);
        self.rotations.refuse(error);
    }

    /// Splits into one batch per request.
    pub(super) fn apart(self) -> impl Iterator<Item = Self> {
        let none = move || Self { may_be_told: self.may_be_told, ..Self::none() };
        let revocations = self.revocations.apart().map(move |revocations| Self { revocations, ..none() });
        let openings = self.openings.apart().map(move |openings| Self { openings, ..none() });
        let rotations = self.rotations.apart().map(move |rotations| Self { rotations, ..none() });
        revocations.chain(openings).chain(rotations)
    }
}

/// Copies an error for another waiter.
fn again(error: &Error) -> Error {
    match error {
        Error::Conflict => Error::Conflict,
        Error::DeadlineExceeded => Error::DeadlineExceeded,
        Error::Internal(source) => Error::Internal(source.to_string().into()),
        other => Error::Unavailable(
            std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string).into(),
        ),
    }
}
