//! What was applied lately, for everybody in this process who watches.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::{
    domain::feed::{ChangeKind, Cursor, Entry, Head},
    time::Timestamp,
};

/// How many changes a watcher may lag behind before its stream is ended.
const MOST_BEHIND: usize = 4096;
/// How many changes are kept for watchers that come back.
const KEPT: usize = 16_384;

/// One message for all watchers.
#[derive(Debug)]
pub struct Told {
    /// Where a watcher is after it.
    pub cursor: Cursor,
    /// What it says.
    pub news: News,
    wire: OnceLock<Bytes>,
}

/// What watchers are told.
#[derive(Debug)]
pub enum News {
    /// A change of what is revoked.
    Revocation(Entry),
    /// The signing keys changed.
    Keys,
    /// A user was changed: what an administrator who watches may do is looked at again.
    User(String),
    /// A change that concerns no watcher.
    Other,
    /// Everything up to this instant is known.
    Heartbeat(Timestamp),
    /// The history begins anew: what was told before may lack something.
    StartOver,
    /// This process may have missed something, or stops.
    Lost,
}

impl Told {
    fn new(cursor: Cursor, news: News) -> Arc<Self> {
        Arc::new(Self { cursor, news, wire: OnceLock::new() })
    }

    /// A sign of life of a process that knows everything up to `head`.
    pub(super) fn heartbeat(head: &Head, at: Timestamp) -> Arc<Self> {
        Self::new(Cursor::of(head), News::Heartbeat(at))
    }

    /// The message as it is sent; encoded by whoever asks first.
    pub fn wire(&self, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.wire.get_or_init(|| encode(self)).clone()
    }
}

fn news(entry: Entry) -> News {
    match entry.change.kind {
        ChangeKind::SessionRevoked
        | ChangeKind::ClientDisabled
        | ChangeKind::ClientEnabled
        | ChangeKind::KeyRevoked => News::Revocation(entry),
        ChangeKind::Keys => News::Keys,
        ChangeKind::User => News::User(entry.change.subject),
        ChangeKind::Client | ChangeKind::Role | ChangeKind::Settings => News::Other,
    }
}

/// Tells watchers, and keeps what it told.
#[derive(Debug)]
pub(super) struct Broadcast {
    sender: broadcast::Sender<Arc<Told>>,
    recent: Mutex<VecDeque<Arc<Told>>>,
}

/// The right to tell: while it is held, nobody subscribes and nothing else is told.
pub(super) struct Telling<'a> {
    broadcast: &'a Broadcast,
    recent: MutexGuard<'a, VecDeque<Arc<Told>>>,
}

impl Broadcast {
    /// Knows these entries as told.
    pub(super) fn new(head: &Head, entries: &[Entry]) -> Self {
        let broadcast = Self { sender: broadcast::Sender::new(MOST_BEHIND), recent: Mutex::default() };
        broadcast.telling().entries(&head.epoch, entries);
        broadcast
    }

    /// Takes the right to tell.
    pub(super) fn telling(&self) -> Telling<'_> {
        Telling { broadcast: self, recent: self.recent.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Telling<'_> {
    /// Tells changes, in their order.
    pub(super) fn entries(&mut self, epoch: &str, entries: &[Entry]) {
        for entry in entries {
            // Nobody may be watching.
            let _ = self.broadcast.sender.send(self.keep(epoch, entry));
        }
    }

    /// Knows a change as told.
    fn keep(&mut self, epoch: &str, entry: &Entry) -> Arc<Told> {
        let cursor = Cursor { epoch: epoch.into(), seq: entry.seq, tag: entry.tag.clone() };
        let told = Told::new(cursor, news(entry.clone()));
        self.recent.push_back(told.clone());
        while self.recent.len() > KEPT {
            self.recent.pop_front();
        }
        told
    }

    /// Forgets what was told, and tells that a new history begins; it has these entries so far.
    pub(super) fn start_over(&mut self, head: &Head, entries: &[Entry]) {
        self.recent.clear();
        for entry in entries {
            self.keep(&head.epoch, entry);
        }
        let _ = self.broadcast.sender.send(Told::new(Cursor::of(head), News::StartOver));
    }

    /// Tells something that is not kept.
    pub(super) fn tell(&self, head: &Head, news: News) {
        let _ = self.broadcast.sender.send(Told::new(Cursor::of(head), news));
    }

    /// Everything told from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.broadcast.sender.subscribe()
    }

    /// What was told after `cursor`; nothing if it does not lead on from there to `head`.
    pub(super) fn since(&self, cursor: &Cursor, head: &Head) -> Option<Vec<Arc<Told>>> {
        if *cursor == Cursor::of(head) {
            return Some(Vec::new());
        }
        let known = self.recent.iter().position(|told| told.cursor == *cursor)?;
        Some(self.recent.iter().skip(known + 1).cloned().collect())
    }
}
