//! The revocation stream: a snapshot, or what followed a cursor, then every change as it happens.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Instant,
};

use super::shared_snapshot::{SharedSnapshot, SharedSnapshots, SnapshotPart};
use crate::{
    domain::{feed::Cursor, permission::REVOCATIONS_READ},
    error::{Error, Result},
    service::{
        access::{Admin, Callers},
        runtime::{Live, Notice, NoticeKind, Subscription},
    },
};

/// A watcher that has not received the whole snapshot after this time is too slow: meanwhile the snapshot stays in
/// memory, however old it becomes.
const SNAPSHOT_WITHIN: Duration = Duration::from_mins(2);

/// A message to a watcher.
#[derive(Debug)]
pub enum WatchMessage {
    /// A part of a snapshot of all live revocations, shared by all watchers. The last part carries the cursor.
    SnapshotPart(Arc<SnapshotPart>),
    /// A notice shared by all watchers.
    Notice(Arc<Notice>),
}

/// A stream of revocations.
#[derive(Debug)]
pub struct Watcher {
    live: Arc<Live>,
    callers: Callers,
    snapshots: Arc<SharedSnapshots>,
    admin: Admin,
    snapshot: Option<SnapshotInProgress>,
    /// What followed the snapshot or the watcher's cursor.
    missed: VecDeque<Arc<Notice>>,
    notices: broadcast::Receiver<Arc<Notice>>,
    cursor: Cursor,
}

/// A snapshot that is being sent.
#[derive(Debug)]
struct SnapshotInProgress {
    shared: Arc<SharedSnapshot>,
    next_part: usize,
    began: Instant,
}

/// Publishes revocations to verifiers.
#[derive(Debug)]
pub struct Revocations {
    live: Arc<Live>,
    callers: Callers,
    snapshots: Arc<SharedSnapshots>,
}

impl Revocations {
    pub(in crate::service) fn new(live: Arc<Live>, callers: Callers) -> Self {
        Self { live, callers, snapshots: Arc::default() }
    }

    /// Starts a stream: after `cursor` if it is known, otherwise with a snapshot.
    ///
    /// # Errors
    /// A malformed cursor; this process may have missed a change.
    pub async fn watch(&self, admin: &Admin, cursor: &str) -> Result<Watcher> {
        let cursor = match cursor {
            "" => None,
            text => Some(text.parse::<Cursor>().map_err(|problem| Error::invalid("cursor", problem))?),
        };
        if !self.live.is_current() {
            self.live.confirm().await?;
        }
        let subscription = cursor.map(|cursor| self.live.subscribe(Some(&cursor)));
        let (shared, subscription) = if let Some(subscription) = subscription.filter(|s| s.missed.is_some()) {
            (None, subscription)
        } else {
            let (shared, subscription) = self.snapshots.start(&self.live).await;
            (Some(shared), subscription)
        };
        let (live, callers, snapshots) = (self.live.clone(), self.callers.clone(), self.snapshots.clone());
        let (cursor, notices) = (Cursor::of(&subscription.snapshot.head), subscription.notices);
        let missed = relevant(subscription.missed, subscription.heartbeat);
        let snapshot = shared.map(SnapshotInProgress::new);
        Ok(Watcher { live, callers, snapshots, admin: admin.clone(), snapshot, missed, notices, cursor })
    }
}

/// The notices that a watcher is sent before it waits for new ones.
fn relevant(missed: Option<Vec<Arc<Notice>>>, heartbeat: Option<Arc<Notice>>) -> VecDeque<Arc<Notice>> {
    let missed = missed.unwrap_or_default().into_iter().filter(|n| matches!(n.kind, NoticeKind::Revocation(_)));
    missed.chain(heartbeat).collect()
}

impl SnapshotInProgress {
    fn new(shared: Arc<SharedSnapshot>) -> Self {
        Self { shared, next_part: 0, began: Instant::now() }
    }

    fn next(&mut self) -> Option<Arc<SnapshotPart>> {
        let part = self.shared.parts.get(self.next_part).cloned();
        self.next_part += 1;
        part
    }
}

impl Watcher {
    /// The next message.
    ///
    /// # Errors
    /// Every error ends the stream: [`Error::TooSlow`], [`Error::Unavailable`], or the caller has lost its
    /// permission.
    pub async fn next(&mut self) -> Result<WatchMessage> {
        loop {
            if let Some(part) = self.next_part()? {
                return Ok(WatchMessage::SnapshotPart(part));
            }
            if let Some(notice) = self.missed.pop_front() {
                return Ok(WatchMessage::Notice(notice));
            }
            let notice = self.notices.recv().await.map_err(|error| match error {
                RecvError::Lagged(_) => Error::TooSlow,
                RecvError::Closed => Error::Stopping,
            })?;
            // A caller need not be admitted any more to be told this.
            if matches!(notice.kind, NoticeKind::Stop) {
                return Err(Error::Stopping);
            }
            if matches!(&notice.kind, NoticeKind::UserChanged(id) if self.admin.is_user(id))
                || matches!(notice.kind, NoticeKind::Reset)
            {
                self.callers.reload_roles(&mut self.admin).await?;
            }
            self.callers.check_still_admitted(&self.admin, REVOCATIONS_READ)?;
            match notice.kind {
                NoticeKind::Disconnect => {
                    return Err(Error::Unavailable("this server may have missed a change".into()));
                }
                NoticeKind::Reset => self.restart().await,
                // A snapshot may be newer than notices sent before it.
                _ if notice.cursor.epoch == self.cursor.epoch && notice.cursor.seq < self.cursor.seq => {}
                NoticeKind::Revocation(_) | NoticeKind::Heartbeat(_) => {
                    self.cursor = notice.cursor.clone();
                    return Ok(WatchMessage::Notice(notice));
                }
                NoticeKind::KeysChanged | NoticeKind::UserChanged(_) | NoticeKind::Other | NoticeKind::Stop => {}
            }
        }
    }

    /// The next part of the snapshot, until all are sent.
    fn next_part(&mut self) -> Result<Option<Arc<SnapshotPart>>> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(None) };
        if snapshot.began.elapsed() > SNAPSHOT_WITHIN {
            return Err(Error::TooSlow);
        }
        let part = snapshot.next();
        if part.is_none() {
            self.snapshot = None;
        }
        Ok(part)
    }

    /// Starts over with a new snapshot.
    async fn restart(&mut self) {
        let (shared, subscription) = self.snapshots.start(&self.live).await;
        let Subscription { snapshot, missed, heartbeat, notices } = subscription;
        self.snapshot = Some(SnapshotInProgress::new(shared));
        self.missed = relevant(missed, heartbeat);
        self.notices = notices;
        self.cursor = Cursor::of(&snapshot.head);
    }
}
