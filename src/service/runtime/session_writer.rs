//! The session writer groups commits: requests that arrive during one commit go into the next.
//!
//! There is no timer. A request that arrives while nothing is being written is written immediately, on its own. One
//! task writes at a time and runs until the queue is empty. If a caller goes away, the task is not affected.

mod batch;
mod write;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::oneshot, time::Instant};

use self::batch::{Batch, Caller, Lane};
use super::live::Live;
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        session::{RevokedCause, RotateOutcome, Rotation, Session},
    },
    error::{Error, Result},
    id::SessionId,
    passwords::Phc,
    store::Store,
    time::{Clock, Ttl},
};

/// Maximum requests in one transaction. With more, the first requests would wait too long for the last.
const MAX_BATCH: usize = 256;
/// Maximum queued requests. Writing that many takes about half a second at full speed.
const MAX_WAITING: usize = 4096;
/// The retry delay sent to callers when the queue is full.
const COME_BACK: Ttl = Ttl::from_millis(500);

/// A kind of write request, and its outcome.
pub(in crate::service) trait Work {
    /// What the caller receives once the write is durable.
    type Outcome;
}

impl Work for Rotation {
    type Outcome = RotateOutcome;
}

/// Sessions to end, by whom and why. The outcome is how many were live.
#[derive(Debug)]
pub(in crate::service) struct Revocation {
    pub(in crate::service) sessions: Vec<SessionId>,
    pub(in crate::service) cause: RevokedCause,
    pub(in crate::service) actor: Actor,
}

impl Work for Revocation {
    type Outcome = usize;
}

/// A session to open. The outcome is false, and nothing is written, if the user has changed since the password was
/// checked.
#[derive(Debug)]
pub(in crate::service) struct Opening {
    pub(in crate::service) session: Session,
    /// The user's `security_version` when the password was checked.
    pub(in crate::service) security_version: i64,
    /// A new hash that replaces one with outdated parameters.
    pub(in crate::service) rehash: Option<Phc>,
    /// Maximum live sessions of a user; the oldest ones beyond it are ended.
    pub(in crate::service) most: i64,
    /// The audit event written with the session.
    pub(in crate::service) event: AuditEvent,
}

impl Work for Opening {
    type Outcome = bool;
}

/// Groups writes into transactions. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct SessionWriter(Arc<Inner>);

impl fmt::Debug for SessionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionWriter")
    }
}

struct Inner {
    store: Store,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    revocations: VecDeque<(Revocation, Caller<Revocation>)>,
    openings: VecDeque<(Opening, Caller<Opening>)>,
    rotations: VecDeque<(Rotation, Caller<Rotation>)>,
    /// Whether a task is writing.
    writing: bool,
}

impl Queue {
    fn waiting(&self) -> usize {
        self.revocations.len() + self.openings.len() + self.rotations.len()
    }

    /// Takes the next batch. Revocations go first, because somebody's security may depend on them.
    fn take(&mut self) -> Batch {
        let mut room = MAX_BATCH;
        Batch {
            revocations: Lane::take(&mut self.revocations, &mut room),
            openings: Lane::take(&mut self.openings, &mut room),
            rotations: Lane::take(&mut self.rotations, &mut room),
            may_be_told: false,
        }
    }
}

/// Maps a kind of request to its queue.
trait Queued: Work + Sized {
    fn queue(queue: &mut Queue) -> &mut VecDeque<(Self, Caller<Self>)>;
}

impl Queued for Rotation {
    fn queue(queue: &mut Queue) -> &mut VecDeque<(Self, Caller<Self>)> {
        &mut queue.rotations
    }
}

impl Queued for Revocation {
    fn queue(queue: &mut Queue) -> &mut VecDeque<(Self, Caller<Self>)> {
        &mut queue.revocations
    }
}

impl Queued for Opening {
    fn queue(queue: &mut Queue) -> &mut VecDeque<(Self, Caller<Self>)> {
        &mut queue.openings
    }
}

impl SessionWriter {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { store, live, clock, queue: Mutex::default() }))
    }

    /// Exchanges a refresh token.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] or [`Error::Throttled`]; in both cases nothing has changed.
    pub(in crate::service) async fn rotate(
        &self,
        rotation: Rotation,
        deadline: Option<Instant>,
    ) -> Result<RotateOutcome> {
        self.submit(rotation, deadline).await
    }

    /// Ends sessions and publishes that to every process before it returns.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database is unreachable.
    pub(in crate::service) async fn revoke(&self, revocation: Revocation) -> Result<usize> {
        self.submit(revocation, None).await
    }

    /// Opens a session. Returns false if the user has changed meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when it is unknown whether the session was opened.
    pub(in crate::service) async fn open(&self, opening: Opening, deadline: Option<Instant>) -> Result<bool> {
        self.submit(opening, deadline).await
    }

    async fn submit<W: Queued>(&self, work: W, deadline: Option<Instant>) -> Result<W::Outcome> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.0.queue();
            if queue.waiting() >= MAX_WAITING {
                return Err(Error::Throttled { after: COME_BACK });
            }
            W::queue(&mut queue).push_back((work, Caller { answer, deadline }));
            if !std::mem::replace(&mut queue.writing, true) {
                tokio::spawn(self.0.clone().write_all());
            }
        }
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable("the session writer has stopped".into())))
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes batches until the queue is empty.
    async fn write_all(self: Arc<Self>) {
        let turn = Turn(&self);
        let mut last_gap = self.clock.elapsed();
        while turn.goes_on() {
            last_gap = self.store.leave_gap(&*self.clock, last_gap).await;
            // The batch is taken last, so that it includes requests that arrive while the transaction begins.
            let tx = self.store.write().await;
            let mut batch = self.queue().take();
            match tx {
                Err(error) => batch.refuse(&error),
                Ok(tx) => {
                    batch.drop_late();
                    self.write(tx, batch).await;
                }
            }
        }
    }
}

/// The right to write, released however the task ends.
struct Turn<'a>(&'a Inner);

impl Turn<'_> {
    /// Whether requests are queued. If not, writing is released and the next caller starts a new task.
    fn goes_on(&self) -> bool {
        let mut queue = self.0.queue();
        queue.writing = queue.waiting() > 0;
        queue.writing
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue().writing = false;
        }
    }
}
