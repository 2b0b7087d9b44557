//! What is written together, and who waits for it.

use std::collections::VecDeque;

use tokio::{sync::oneshot, time::Instant};

use super::{Opening, Revocation, Work};
use crate::{
    domain::session::Rotation,
    error::{Error, Result},
};

/// Who waits for something to be written.
pub(super) struct Caller<W: Work> {
    pub(super) answer: oneshot::Sender<Result<W::Outcome>>,
    /// When it gives up.
    pub(super) deadline: Option<Instant>,
}

impl<W: Work> Caller<W> {
    fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }
}

/// A caller and what it is to learn.
pub(super) struct Answered<W: Work> {
    caller: Caller<W>,
    pub(super) outcome: W::Outcome,
}

impl<W: Work> Answered<W> {
    /// Tells the outcome, or why this process cannot vouch for it.
    pub(super) fn send(self, confirmed: &Result<()>) {
        let answer = confirmed.as_ref().map(|()| self.outcome).map_err(again);
        // Who went away has no use for it.
        let _ = self.caller.answer.send(answer);
    }
}

/// Requests of one kind. The work stands apart from the callers: the store takes it as it is.
pub(super) struct Lane<W: Work> {
    pub(super) work: Vec<W>,
    pub(super) callers: Vec<Caller<W>>,
}

impl<W: Work> Lane<W> {
    /// Takes as many as there is room for, in the order in which they came.
    pub(super) fn take(queue: &mut VecDeque<(W, Caller<W>)>, room: &mut usize) -> Self {
        let count = queue.len().min(*room);
        *room -= count;
        let (work, callers) = queue.drain(..count).unzip();
        Self { work, callers }
    }

    const fn none() -> Self {
        Self { work: Vec::new(), callers: Vec::new() }
    }

    /// Drops, unwritten, what nobody waits for any more.
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

    /// Every caller with its outcome.
    pub(super) fn answered(self, outcomes: Vec<W::Outcome>) -> impl Iterator<Item = Answered<W>> {
        self.callers.into_iter().zip(outcomes).map(|(caller, outcome)| Answered { caller, outcome })
    }

    /// One lane for each.
    fn apart(self) -> impl Iterator<Item = Self> {
        let pairs = self.work.into_iter().zip(self.callers);
        pairs.map(|(work, caller)| Self { work: vec![work], callers: vec![caller] })
    }
}

/// What one transaction writes.
pub(super) struct Batch {
    pub(super) revocations: Lane<Revocation>,
    pub(super) openings: Lane<Opening>,
    pub(super) rotations: Lane<Rotation>,
    /// Whether an earlier attempt, whose outcome nobody knows, may have written to the feed.
    pub(super) may_be_told: bool,
}

impl Batch {
    const fn none() -> Self {
        Self { revocations: Lane::none(), openings: Lane::none(), rotations: Lane::none(), may_be_told: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.revocations.work.is_empty() && self.openings.work.is_empty() && self.rotations.work.is_empty()
    }

    /// Drops, unwritten, what nobody waits for any more. What was to be ended is ended all the same.
    pub(super) fn drop_late(&mut self) {
        let now = Instant::now();
        self.openings.drop_late(now);
        self.rotations.drop_late(now);
    }

    /// Tells every caller the same.
    pub(super) fn refuse(&mut self, error: &Error) {
        self.revocations.refuse(error);
        self.openings.refuse(error);
        self.rotations.refuse(error);
    }

    /// A batch for each request.
    pub(super) fn apart(self) -> impl Iterator<Item = Self> {
        let none = move || Self { may_be_told: self.may_be_told, ..Self::none() };
        let revocations = self.revocations.apart().map(move |revocations| Self { revocations, ..none() });
        let openings = self.openings.apart().map(move |openings| Self { openings, ..none() });
        let rotations = self.rotations.apart().map(move |rotations| Self { rotations, ..none() });
        revocations.chain(openings).chain(rotations)
    }
}

/// The same error for another caller.
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
