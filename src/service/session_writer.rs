//! The session writer: whatever arrived while a commit was on its way to disk goes into the next one.
//!
//! There is no timer: who finds nothing under way is written at once, alone. One task at a time writes;
//! it lives as long as something waits, and a caller that goes away takes nothing with it.

mod batch;
mod write;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::oneshot, time::Instant};

use self::batch::{Batch, Caller, Lane};
use super::Live;
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

/// Most requests in one transaction: more would make the first of them wait for the last.
const MAX_BATCH: usize = 256;
/// Most requests that wait. At full speed they take about half a second.
const MAX_WAITING: usize = 4096;
/// When to come back to a writer whose queue is full.
const COME_BACK: Ttl = Ttl::from_millis(500);

/// Something to be written, and what becomes of it.
pub(super) trait Work {
    /// What the caller learns once it is durable.
    type Outcome;
}

impl Work for Rotation {
    type Outcome = RotateOutcome;
}

/// Sessions to be ended, by whom and why; the outcome is the number that had been live.
#[derive(Debug)]
pub(super) struct Revocation {
    pub(super) sessions: Vec<SessionId>,
    pub(super) cause: RevokedCause,
    pub(super) actor: Actor,
}

impl Work for Revocation {
    type Outcome = usize;
}

/// A session to be opened; the outcome is false, and nothing was written, if the user has changed since
/// the password was checked.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) session: Session,
    /// The user's `security_version` when the password was checked.
    pub(super) security_version: i64,
    /// A new hash to put in place of one with older parameters.
    pub(super) rehash: Option<Phc>,
    /// Most live sessions of a user; the oldest beyond are ended.
    pub(super) most: i64,
    /// The event that goes with it.
    pub(super) event: AuditEvent,
}

impl Work for Opening {
    type Outcome = bool;
}

/// Groups writes into transactions. Cheap to clone.
#[derive(Clone)]
pub(super) struct SessionWriter(Arc<Shared>);

impl fmt::Debug for SessionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionWriter")
    }
}

struct Shared {
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

    /// The next batch: revocations first, since somebody may be waiting for them to be safe.
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

/// Which queue a kind of work waits in.
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
    pub(super) fn new(store: Store, live: Arc<Live>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { store, live, clock, queue: Mutex::default() }))
    }

    /// Exchanges a refresh token.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] and [`Error::Throttled`] have changed nothing.
    pub(super) async fn rotate(&self, rotation: Rotation, deadline: Option<Instant>) -> Result<RotateOutcome> {
        self.submit(rotation, deadline).await
    }

    /// Ends sessions, and lets every process know before it returns.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub(super) async fn revoke(&self, revocation: Revocation) -> Result<usize> {
        self.submit(revocation, None).await
    }

    /// Opens a session; false if the user has changed meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`] also when nobody can tell whether the session was opened.
    pub(super) async fn open(&self, opening: Opening, deadline: Option<Instant>) -> Result<bool> {
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

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing waits.
    async fn write_all(self: Arc<Self>) {
        let turn = Turn(&self);
        let mut last_gap = self.clock.elapsed();
        while turn.goes_on() {
            last_gap = self.store.leave_gap(&*self.clock, last_gap).await;
            // The batch is taken last: what arrives while the transaction begins still belongs to it.
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

/// The right to write, given back however the task ends.
struct Turn<'a>(&'a Shared);

impl Turn<'_> {
    /// Whether something waits. If not, the next caller starts a task of its own.
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
