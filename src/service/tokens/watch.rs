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
        runtime::{Live, News, Snapshot, Subscription, Told},
    },
};

/// Maximum revocations in one message of a snapshot.
const PART: usize = 4096;

/// A message to a watcher.
#[derive(Debug)]
pub enum Sent {
    /// A part of a snapshot of all live revocations. The last part carries the cursor.
    Part(Vec<Change>, Option<Cursor>),
    /// A notice shared by all watchers.
    Told(Arc<Told>),
}

/// A stream of revocations.
#[derive(Debug)]
pub struct Watcher {
    live: Arc<Live>,
    callers: Callers,
    admin: Admin,
    queue: VecDeque<Sent>,
    told: broadcast::Receiver<Arc<Told>>,
    at: Cursor,
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
        if !self.live.knows_everything() {
            self.live.confirm().await?;
        }
        let Subscription { snapshot, missed, sign_of_life, told } = self.live.subscribe(cursor.as_ref());
        let mut queue = match missed {
            Some(missed) => {
                missed.into_iter().filter(|t| matches!(t.news, News::Revocation(_))).map(Sent::Told).collect()
            }
            None => parts(&snapshot),
        };
        queue.extend(sign_of_life.map(Sent::Told));
        let (live, callers, admin) = (self.live.clone(), self.callers.clone(), admin.clone());
        Ok(Watcher { live, callers, admin, queue, told, at: Cursor::of(&snapshot.head) })
    }
}

impl Watcher {
    /// The next message.
    ///
    /// # Errors
    /// Every error ends the stream: [`Error::TooSlow`], [`Error::Unavailable`], or the caller has lost its
    /// permission.
    pub async fn next(&mut self) -> Result<Sent> {
        loop {
            if let Some(sent) = self.queue.pop_front() {
                return Ok(sent);
            }
            let told = self.told.recv().await.map_err(|error| match error {
                RecvError::Lagged(_) => Error::TooSlow,
                RecvError::Closed => Error::Unavailable("the server is shutting down".into()),
            })?;
            if matches!(&told.news, News::User(id) if self.admin.is_user(id)) || matches!(told.news, News::StartOver) {
                self.callers.read_again(&mut self.admin).await?;
            }
            self.callers.check_still_admitted(&self.admin, REVOCATIONS_READ)?;
            match told.news {
                News::Lost => return Err(Error::Unavailable("this server may have missed a change".into())),
                News::StartOver => {
                    let snapshot = self.live.snapshot();
                    self.queue = parts(&snapshot);
                    self.at = Cursor::of(&snapshot.head);
                }
                // A snapshot may be newer than notices sent before it.
                _ if told.cursor.epoch == self.at.epoch && told.cursor.seq < self.at.seq => {}
                News::Revocation(_) | News::Heartbeat(_) => {
                    self.at = told.cursor.clone();
                    return Ok(Sent::Told(told));
                }
                News::Keys | News::User(_) | News::Other => {}
            }
        }
    }
}

/// Splits all live revocations of a state into snapshot messages.
fn parts(snapshot: &Snapshot) -> VecDeque<Sent> {
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
    let mut queue: VecDeque<Sent> = all.chunks(PART).map(|part| Sent::Part(part.to_vec(), None)).collect();
    let cursor = Some(Cursor::of(&snapshot.head));
    match queue.back_mut() {
        Some(Sent::Part(_, last)) => *last = cursor,
        _ => queue.push_back(Sent::Part(Vec::new(), cursor)),
    }
    queue
}
