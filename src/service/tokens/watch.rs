//! The revocation stream: a snapshot, or what followed a cursor, then every change as it happens.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    domain::{
        feed::{Change, ChangeKind, Cursor},
        permission::REVOCATIONS_READ,
    },
    error::{Error, Result},
    service::{
        access::{Admin, Callers},
        runtime::{Live, Notice, NoticeKind, Snapshot, Subscription},
    },
};

/// Maximum revocations in one message of a snapshot.
const SNAPSHOT_PART: usize = 4096;

/// A message to a watcher.
#[derive(Debug)]
pub enum WatchMessage {
    /// A part of a snapshot of all live revocations. The last part carries the cursor.
    SnapshotPart(Vec<Change>, Option<Cursor>),
    /// A notice shared by all watchers.
    Notice(Arc<Notice>),
}

/// A stream of revocations.
#[derive(Debug)]
pub struct Watcher {
    live: Arc<Live>,
    callers: Callers,
    admin: Admin,
    queue: VecDeque<WatchMessage>,
    notices: broadcast::Receiver<Arc<Notice>>,
    cursor: Cursor,
}

/// Publishes revocations to verifiers.
#[derive(Debug)]
pub struct Revocations {
    live: Arc<Live>,
    callers: Callers,
}

impl Revocations {
    pub(in crate::service) fn new(live: Arc<Live>, callers: Callers) -> Self {
        Self { live, callers }
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
        let Subscription { snapshot, missed, heartbeat, notices } = self.live.subscribe(cursor.as_ref());
        let mut queue = match missed {
            Some(missed) => missed
                .into_iter()
                .filter(|t| matches!(t.kind, NoticeKind::Revocation(_)))
                .map(WatchMessage::Notice)
                .collect(),
            None => snapshot_parts(&snapshot),
        };
        queue.extend(heartbeat.map(WatchMessage::Notice));
        let (live, callers, admin) = (self.live.clone(), self.callers.clone(), admin.clone());
        Ok(Watcher { live, callers, admin, queue, notices, cursor: Cursor::of(&snapshot.head) })
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
            if let Some(sent) = self.queue.pop_front() {
                return Ok(sent);
            }
            let notice = self.notices.recv().await.map_err(|error| match error {
                RecvError::Lagged(_) => Error::TooSlow,
                RecvError::Closed => Error::Unavailable("the server is shutting down".into()),
            })?;
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
                NoticeKind::Reset => {
                    let snapshot = self.live.snapshot();
                    self.queue = snapshot_parts(&snapshot);
                    self.cursor = Cursor::of(&snapshot.head);
                }
                // A snapshot may be newer than notices sent before it.
                _ if notice.cursor.epoch == self.cursor.epoch && notice.cursor.seq < self.cursor.seq => {}
                NoticeKind::Revocation(_) | NoticeKind::Heartbeat(_) => {
                    self.cursor = notice.cursor.clone();
                    return Ok(WatchMessage::Notice(notice));
                }
                NoticeKind::KeysChanged | NoticeKind::UserChanged(_) | NoticeKind::Other => {}
            }
        }
    }
}

/// Splits all live revocations of a state into snapshot messages.
fn snapshot_parts(snapshot: &Snapshot) -> VecDeque<WatchMessage> {
    let mut all: Vec<Change> = Vec::new();
    for (subject, revoked) in snapshot.revoked_sessions.iter() {
        let (at, ends_at) = (revoked.at, revoked.ends_at);
        all.push(Change { kind: ChangeKind::SessionRevoked, subject: subject.clone(), at, ends_at, status: None });
    }
    for (subject, revoked) in snapshot.revoked_keys.iter() {
        let (at, ends_at) = (revoked.at, revoked.ends_at);
        all.push(Change { kind: ChangeKind::KeyRevoked, subject: subject.clone(), at, ends_at, status: None });
    }
    for client in snapshot.clients.values() {
        if let Some(at) = client.disabled_at {
            let subject = client.id.as_str().to_owned();
            all.push(Change { kind: ChangeKind::ClientDisabled, subject, at, ends_at: at, status: None });
        }
    }
    let mut queue: VecDeque<WatchMessage> =
        all.chunks(SNAPSHOT_PART).map(|part| WatchMessage::SnapshotPart(part.to_vec(), None)).collect();
    let cursor = Some(Cursor::of(&snapshot.head));
    match queue.back_mut() {
        Some(WatchMessage::SnapshotPart(_, last)) => *last = cursor,
        _ => queue.push_back(WatchMessage::SnapshotPart(Vec::new(), cursor)),
    }
    queue
}
