//! Watching what is revoked: a snapshot or what came after a cursor, then everything as it happens.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::broadcast::{self, error::RecvError};

use super::{ClientCredentials, News, Permit, RequestContext, Service, Snapshot, Told, live::Subscription};
use crate::{
    domain::feed::{Change, ChangeKind, Cursor},
    error::{Error, Result},
};

/// The permission to watch.
pub const WATCH: &str = "revocations.read";
/// Most revocations in one part of a snapshot.
const PART: usize = 4096;

/// What a watcher is sent.
#[derive(Debug)]
pub enum Sent {
    /// A part of everything that counts now; the last one has the cursor.
    Part(Vec<Change>, Option<Cursor>),
    /// The same for all watchers.
    Told(Arc<Told>),
}

/// One stream of revocations.
#[derive(Debug)]
pub struct Watcher {
    service: Service,
    permit: Permit,
    queue: VecDeque<Sent>,
    told: broadcast::Receiver<Arc<Told>>,
    at: Cursor,
}

impl Service {
    /// Begins to watch, after `cursor` if it is known, else with a snapshot.
    ///
    /// # Errors
    /// The caller may not watch; a malformed cursor; this process may have missed a change.
    pub async fn watch(&self, ctx: &RequestContext, credentials: &ClientCredentials, cursor: &str) -> Result<Watcher> {
        let permit = self.permitted(ctx, credentials, WATCH).await?;
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
        Ok(Watcher { service: self.clone(), permit, queue, told, at: Cursor::of(&snapshot.head) })
    }
}

impl Watcher {
    /// The next message.
    ///
    /// # Errors
    /// Each ends the stream: [`Error::TooSlow`], [`Error::Unavailable`], or the caller's permit has ended.
    pub async fn next(&mut self) -> Result<Sent> {
        loop {
            if let Some(sent) = self.queue.pop_front() {
                return Ok(sent);
            }
            let told = self.told.recv().await.map_err(|error| match error {
                RecvError::Lagged(_) => Error::TooSlow,
                RecvError::Closed => Error::Unavailable("the server is shutting down".into()),
            })?;
            self.service.still_permitted(&self.permit, WATCH)?;
            match told.news {
                News::Lost => return Err(Error::Unavailable("this server may have missed a change".into())),
                News::StartOver => {
                    let snapshot = self.service.live.snapshot();
                    self.queue = parts(&snapshot);
                    self.at = Cursor::of(&snapshot.head);
                }
                // A snapshot may be ahead of what was told before it.
                _ if told.cursor.epoch == self.at.epoch && told.cursor.seq < self.at.seq => {}
                News::Revocation(_) | News::Heartbeat(_) => {
                    self.at = told.cursor.clone();
                    return Ok(Sent::Told(told));
                }
                News::Keys | News::Other => {}
            }
        }
    }
}

/// Everything that counts in a state.
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
