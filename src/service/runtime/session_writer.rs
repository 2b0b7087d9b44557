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

use self::batch::{Batch, Lane, Waiter};
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
/// Room in a transaction that each kind of request has whatever else is queued.
const LANE_ROOM: usize = MAX_BATCH / 4;
/// Maximum queued requests of each kind. Writing that many takes about half a second at full speed.
const MAX_QUEUED: usize = 4096;
/// The retry delay sent to callers when the queue is full.
const RETRY_AFTER: Ttl = Ttl::from_millis(500);

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
    pub(in crate::service) max_sessions: i64,
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
    queue: Mutex<WriteQueue>,
}

#[derive(Default)]
struct WriteQueue {
    revocations: VecDeque<(Revocation, Waiter<Revocation>)>,
    openings: VecDeque<(Opening, Waiter<Opening>)>,
    rotations: VecDeque<(Rotation, Waiter<Rotation>)>,
    /// Whether a task is writing.
    writing: bool,
}

impl WriteQueue {
    fn queued(&self) -> usize {
        self.revocations.len() + self.openings.len() + self.rotations.len()
    }

    /// Takes the next batch. Revocations go first, because somebody's security may depend on them, but they leave room
    /// for the others.
    fn take(&mut self) -> Batch {
        let room_of = |queued: usize| queued.min(LANE_ROOM);
        let (openings, rotations) = (room_of(self.openings.len()), room_of(self.rotations.len()));
        let revocations = Lane::take(&mut self.revocations, MAX_BATCH - openings - rotations);
        let room = MAX_BATCH - revocations.work.len();
        let openings = Lane::take(&mut self.openings, room - rotations);
        let rotations = Lane::take(&mut self.rotations, room - openings.work.len());
        Batch { revocations, openings, rotations, may_be_in_feed: false }
    }
}

/// Maps a kind of request to its queue.
trait HasQueue: Work + Sized {
    fn queue(queue: &mut WriteQueue) -> &mut VecDeque<(Self, Waiter<Self>)>;
}

impl HasQueue for Rotation {
    fn queue(queue: &mut WriteQueue) -> &mut VecDeque<(Self, Waiter<Self>)> {
        &mut queue.rotations
    }
}

impl HasQueue for Revocation {
    fn queue(queue: &mut WriteQueue) -> &mut VecDeque<(Self, Waiter<Self>)> {
        &mut queue.revocations
    }
}

impl HasQueue for Opening {
    fn queue(queue: &mut WriteQueue) -> &mut VecDeque<(Self, Waiter<Self>)> {
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

    async fn submit<W: HasQueue>(&self, work: W, deadline: Option<Instant>) -> Result<W::Outcome> {
        let (reply, outcome) = oneshot::channel();
        {
            let mut queue = self.0.queue();
            let lane = W::queue(&mut queue);
            if lane.len() >= MAX_QUEUED {
                return Err(Error::Throttled { after: RETRY_AFTER });
            }
            lane.push_back((work, Waiter { reply, deadline }));
            if !std::mem::replace(&mut queue.writing, true) {
                tokio::spawn(self.0.clone().write_all());
            }
        }
        outcome.await.unwrap_or_else(|_| Err(Error::Unavailable("the session writer has stopped".into())))
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, WriteQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes batches until the queue is empty.
    async fn write_all(self: Arc<Self>) {
        let guard = WriterGuard(&self);
        let mut last_gap = self.clock.elapsed();
        while guard.has_more() {
            last_gap = self.store.leave_gap(&*self.clock, last_gap).await;
            // The batch is taken last, so that it includes requests that arrive while the transaction begins.
            let tx = self.store.write().await;
            let mut batch = self.queue().take();
            match tx {
                Err(error) => {
                    // Whoever else waits would wait as long again.
                    while !batch.is_empty() {
                        batch.fail(&error);
                        batch = self.queue().take();
                    }
                }
                Ok(tx) => {
                    batch.drop_expired();
                    self.write(tx, batch).await;
                }
            }
        }
    }
}

/// The right to write, released however the task ends.
struct WriterGuard<'a>(&'a Inner);

impl WriterGuard<'_> {
    /// Whether requests are queued. If not, writing is released and the next caller starts a new task.
    fn has_more(&self) -> bool {
        let mut queue = self.0.queue();
        queue.writing = queue.queued() > 0;
        queue.writing
    }
}

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue().writing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::SeededEntropy, time::Timestamp};

    fn waiter<W: Work>() -> Waiter<W> {
        Waiter { reply: oneshot::channel().0, deadline: None }
    }

    fn revocation() -> Revocation {
        Revocation { sessions: Vec::new(), cause: RevokedCause::Logout, actor: Actor::system() }
    }

    fn rotation() -> Rotation {
        Rotation {
            session: SessionId::new(Timestamp::from_millis(1), &SeededEntropy::new(1)),
            generation: 1,
            secret: crate::secret::SessionSecret::generate(&SeededEntropy::new(1)).hash(),
            client: "app".parse().unwrap(),
            audience: "api".parse().unwrap(),
            scopes: Vec::new(),
            request_id: None,
            arrived: Timestamp::from_millis(1),
            tried_at: None,
        }
    }

    #[test]
    fn a_flood_of_logouts_leaves_room_for_refreshes_in_every_batch() {
        let mut queue = WriteQueue::default();
        queue.revocations.extend((0..1000).map(|_| (revocation(), waiter())));
        queue.rotations.extend((0..1000).map(|_| (rotation(), waiter())));
        let batch = queue.take();
        assert_eq!(batch.revocations.work.len(), MAX_BATCH - LANE_ROOM);
        assert_eq!(batch.rotations.work.len(), LANE_ROOM);
        // Room that nobody needs is not wasted.
        queue.rotations.truncate(10);
        let batch = queue.take();
        assert_eq!((batch.revocations.work.len(), batch.rotations.work.len()), (MAX_BATCH - 10, 10));
        queue.revocations.clear();
        queue.rotations.extend((0..1000).map(|_| (rotation(), waiter())));
        assert_eq!(queue.take().rotations.work.len(), MAX_BATCH);
    }
}
