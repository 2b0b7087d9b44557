//! Snapshots of the revocations in force, shared by all watchers: built once, encoded once.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    domain::feed::{Change, ChangeKind, Cursor},
    service::runtime::{Live, Snapshot, Subscription},
};

/// Maximum revocations in one message: some 20 KiB. Each stream has a copy of the message that is being sent.
const PART: usize = 256;
/// A snapshot is shared with new watchers until this many changes have followed it; then a new one is built.
const MAX_MISSED: usize = 4096;

/// A part of a snapshot, as one message.
#[derive(Debug)]
pub struct SnapshotPart {
    /// Where to resume after the snapshot; only in its last part.
    cursor: Option<Cursor>,
    contents: Mutex<Contents>,
}

#[derive(Debug)]
enum Contents {
    Changes(Vec<Change>),
    Wire(Bytes),
}

impl SnapshotPart {
    /// The encoded message. The first caller encodes it, and only the result is kept.
    pub fn wire(&self, encode: impl FnOnce(&[Change], Option<&Cursor>) -> Bytes) -> Bytes {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let wire = match &*contents {
            Contents::Wire(wire) => return wire.clone(),
            Contents::Changes(changes) => encode(changes, self.cursor.as_ref()),
        };
        *contents = Contents::Wire(wire.clone());
        wire
    }
}

/// All revocations in force at one moment.
#[derive(Debug)]
pub(super) struct SharedSnapshot {
    cursor: Cursor,
    pub(super) parts: Vec<Arc<SnapshotPart>>,
}

impl SharedSnapshot {
    fn of(snapshot: &Snapshot) -> Self {
        let cursor = Cursor::of(&snapshot.head);
        let mut changes = changes(snapshot).peekable();
        let mut parts = Vec::new();
        loop {
            let part: Vec<Change> = changes.by_ref().take(PART).collect();
            let last = changes.peek().is_none();
            let cursor = last.then(|| cursor.clone());
            parts.push(Arc::new(SnapshotPart { cursor, contents: Mutex::new(Contents::Changes(part)) }));
            if last {
                break;
            }
        }
        Self { cursor, parts }
    }
}

fn changes(snapshot: &Snapshot) -> impl Iterator<Item = Change> {
    let sessions = snapshot.revoked_sessions.iter().map(|(id, r)| (ChangeKind::SessionRevoked, id.clone(), *r));
    let keys = snapshot.revoked_keys.iter().map(|(id, r)| (ChangeKind::KeyRevoked, id.clone(), *r));
    let revoked = sessions.chain(keys).map(|(kind, subject, revoked)| {
        let (at, ends_at) = (revoked.at, revoked.ends_at);
        Change { kind, subject, at, ends_at, status: None }
    });
    let disabled = snapshot.clients.values().filter_map(|client| {
        let at = client.disabled_at?;
        let subject = client.id.as_str().to_owned();
        Some(Change { kind: ChangeKind::ClientDisabled, subject, at, ends_at: at, status: None })
    });
    revoked.chain(disabled)
}

/// The snapshot that new watchers share. It lives as long as a watcher is receiving it.
#[derive(Debug, Default)]
pub(super) struct SharedSnapshots {
    latest: AsyncMutex<Weak<SharedSnapshot>>,
}

impl SharedSnapshots {
    /// A snapshot, and a subscription that continues it. An older snapshot is used while the history has all that
    /// followed: watchers that start one after the other then need no memory of their own.
    pub(super) async fn start(&self, live: &Live) -> (Arc<SharedSnapshot>, Subscription) {
        // While one watcher builds the snapshot, the others wait for it.
        let mut latest = self.latest.lock().await;
        if let Some(shared) = latest.upgrade() {
            let subscription = live.subscribe(Some(&shared.cursor));
            if subscription.missed.as_ref().is_some_and(|missed| missed.len() <= MAX_MISSED) {
                return (shared, subscription);
            }
        }
        let subscription = live.subscribe(None);
        let shared = Arc::new(SharedSnapshot::of(&subscription.snapshot));
        *latest = Arc::downgrade(&shared);
        (shared, subscription)
    }
}
