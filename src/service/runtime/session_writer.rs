//! The session writer groups commits: requests that arrive during one commit go into the next.
//!
//! There is no timer. A request that arrives while nothing is being written is written immediately, on its own. One
//! task writes at a time and runs until the queue is empty. If a caller goes away, the task is not affected.

mod batch;
mod write;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::oneshot, time::Instant};

use self::batch::{Batch, Lane, Waiter};
use super::live::Live;
use crate::{
    domain::{
        audit::Actor,
        session::{OpenOutcome, RevokedCause, RotateOutcome, Rotation, SessionTouch},
    },
    error::{Error, Result},
    id::SessionId,
    store::{Opening, Store},
    time::{Clock, Timestamp, Ttl},
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

impl Work for Opening {
    type Outcome = OpenOutcome;
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
    /// Idle expiries. Nobody waits for these: one statement writes all of a batch, and what does not fit is dropped.
    touches: BTreeMap<SessionId, Timestamp>,
    /// Whether a task is writing.
    writing: bool,
}

impl WriteQueue {
    fn queued(&self) -> usize {
        self.revocations.len() + self.openings.len() + self.rotations.len() + self.touches.len()
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
        let touches = self.take_touches();
        Batch { revocations, openings, rotations, touches, may_be_in_feed: false }
    }

    /// Adds a touch. Of those for one session the latest counts.
    fn touch(&mut self, touch: SessionTouch) {
        let SessionTouch { session, idle_expires_at } = touch;
        if let Some(queued) = self.touches.get_mut(&session) {
            *queued = idle_expires_at.max(*queued);
        } else if self.touches.len() < MAX_QUEUED {
            self.touches.insert(session, idle_expires_at);
        }
    }

    fn take_touches(&mut self) -> Vec<SessionTouch> {
        let next = std::iter::from_fn(|| self.touches.pop_first()).take(MAX_BATCH);
        next.map(|(session, idle_expires_at)| SessionTouch { session, idle_expires_at }).collect()
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

    /// Opens a session.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when it is unknown whether the session was opened.
    pub(in crate::service) async fn open(&self, opening: Opening, deadline: Option<Instant>) -> Result<OpenOutcome> {
        self.submit(opening, deadline).await
    }

    /// Notes that a session's cookie was used. It is written with the next batch; under too much load, or if the
    /// database is unreachable, it is dropped, and the next use is noted instead.
    pub(in crate::service) fn touch(&self, touch: SessionTouch) {
        let mut queue = self.0.queue();
        queue.touch(touch);
        self.start_writing(&mut queue);
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
            self.start_writing(&mut queue);
        }
        outcome.await.unwrap_or_else(|_| Err(Error::Unavailable("the session writer has stopped".into())))
    }

    fn start_writing(&self, queue: &mut WriteQueue) {
        if !std::mem::replace(&mut queue.writing, true) {
            tokio::spawn(self.0.clone().write_all());
        }
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
    #[test]
    fn touches_of_one_session_are_one_and_those_beyond_the_limit_are_dropped() {
        let entropy = SeededEntropy::new(1);
        let at = Timestamp::from_millis;
        let mut queue = WriteQueue::default();
        let first = SessionId::new(at(0), &entropy);
        for idle_expires_at in [at(7), at(9), at(8)] {
            queue.touch(SessionTouch { session: first.clone(), idle_expires_at });
        }
        for n in 0..2 * MAX_QUEUED {
            let session = SessionId::new(at(i64::try_from(n).unwrap() + 1), &entropy);
            queue.touch(SessionTouch { session, idle_expires_at: at(7) });
        }
        assert_eq!(queue.queued(), MAX_QUEUED);
        // One that is queued is still moved.
        queue.touch(SessionTouch { session: first.clone(), idle_expires_at: at(10) });
        let batch = queue.take();
        assert_eq!(batch.touches.len(), MAX_BATCH);
        assert_eq!(batch.touches[0], SessionTouch { session: first, idle_expires_at: at(10) });
        assert_eq!(queue.queued(), MAX_QUEUED - MAX_BATCH);
    }
}
