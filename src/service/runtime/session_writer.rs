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
        session_data::{DataOutcome, DataWrite},
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
/// Maximum bytes of queued data. It also takes about half a second to write them.
const MAX_QUEUED_DATA: usize = 16 * 1024 * 1024;
/// Maximum bytes of data in one transaction, unless one value alone has more, so that nobody else waits long for them.
const MAX_BATCH_DATA: usize = 512 * 1024;
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

impl Work for DataWrite {
    type Outcome = DataOutcome;
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
    data: VecDeque<(DataWrite, Waiter<DataWrite>)>,
    /// The bytes of the values in `data`.
    data_bytes: usize,
    /// Idle expiries. Nobody waits for these: one statement writes all of a batch, and what does not fit is dropped.
    touches: BTreeMap<SessionId, Timestamp>,
    /// Whether a task is writing.
    writing: bool,
}

impl WriteQueue {
    fn queued(&self) -> usize {
        self.revocations.len() + self.openings.len() + self.rotations.len() + self.data.len() + self.touches.len()
    }

    /// Takes the next batch. Revocations go first, because somebody's security may depend on them, but they leave room
    /// for the others.
    fn take(&mut self) -> Batch {
        let room_of = |queued: usize| queued.min(LANE_ROOM);
        let (openings, rotations) = (room_of(self.openings.len()), room_of(self.rotations.len()));
        let data = room_of(self.data.len());
        let revocations = Lane::take(&mut self.revocations, MAX_BATCH - openings - rotations - data);
        let room = MAX_BATCH - revocations.work.len();
        let openings = Lane::take(&mut self.openings, room - rotations - data);
        let room = room - openings.work.len();
        let rotations = Lane::take(&mut self.rotations, room - data);
        let data = self.take_data(room - rotations.work.len());
        let touches = self.take_touches();
        Batch { revocations, openings, rotations, data, touches, may_be_in_feed: false }
    }

    /// Takes as many changes of data as there is room for, by number and by size.
    fn take_data(&mut self, room: usize) -> Lane<DataWrite> {
        let (mut bytes, mut count) = (0, 0);
        for (write, _) in self.data.iter().take(room) {
            bytes += data_size(write);
            if bytes > MAX_BATCH_DATA && count > 0 {
                break;
            }
            count += 1;
        }
        let taken = Lane::take(&mut self.data, count);
        self.data_bytes -= taken.work.iter().map(data_size).sum::<usize>();
        taken
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
    /// Whether there is room for it beside what is queued, apart from its number; if so, it is counted.
    fn admit(&self, _: &mut WriteQueue) -> bool {
        true
    }
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

impl HasQueue for DataWrite {
    fn queue(queue: &mut WriteQueue) -> &mut VecDeque<(Self, Waiter<Self>)> {
        &mut queue.data
    }
    fn admit(&self, queue: &mut WriteQueue) -> bool {
        let bytes = queue.data_bytes + data_size(self);
        let has_room = bytes <= MAX_QUEUED_DATA;
        if has_room {
            queue.data_bytes = bytes;
        }
        has_room
    }
}

/// The bytes of a change.
fn data_size(write: &DataWrite) -> usize {
    write.value.as_ref().map_or(0, |value| value.as_json().len())
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

    /// Changes data of a session or its user.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] or [`Error::Throttled`], and nothing has changed; [`Error::Unavailable`], also when it
    /// is unknown whether the change was made.
    pub(in crate::service) async fn write_data(
        &self,
        write: DataWrite,
        deadline: Option<Instant>,
    ) -> Result<DataOutcome> {
        self.submit(write, deadline).await
    }

    /// How many requests are queued.
    pub(in crate::service) fn waiting(&self) -> usize {
        self.0.queue().queued()
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
            if W::queue(&mut queue).len() >= MAX_QUEUED || !work.admit(&mut queue) {
                return Err(Error::Throttled { after: RETRY_AFTER });
            }
            W::queue(&mut queue).push_back((work, Waiter { reply, deadline }));
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
mod tests;
