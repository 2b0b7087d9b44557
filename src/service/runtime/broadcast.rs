//! Broadcasts applied changes to all watchers in this process, and keeps the recent ones.

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
/// How many changes are kept for watchers that reconnect.
const KEPT: usize = 16_384;

/// A message to all watchers.
#[derive(Debug)]
pub struct Told {
    /// The cursor of a watcher that has received it.
    pub cursor: Cursor,
    /// What it reports.
    pub news: News,
    wire: OnceLock<Bytes>,
}

/// What a notice reports.
#[derive(Debug)]
pub enum News {
    /// A change to the revocations.
    Revocation(Entry),
    /// The signing keys changed.
    Keys,
    /// A user changed. If that user is a watching administrator, its permissions are checked again.
    User(String),
    /// A change that no watcher needs.
    Other,
    /// Everything up to this instant has been sent.
    Heartbeat(Timestamp),
    /// The history was reset: earlier notices may be incomplete.
    StartOver,
    /// This process may have missed a change, or is shutting down; streams end.
    Lost,
}

impl Told {
    fn new(cursor: Cursor, news: News) -> Arc<Self> {
        Arc::new(Self { cursor, news, wire: OnceLock::new() })
    }

    /// A heartbeat of a process that has applied everything up to `head`.
    pub(super) fn heartbeat(head: &Head, at: Timestamp) -> Arc<Self> {
        Self::new(Cursor::of(head), News::Heartbeat(at))
    }

    /// The encoded message. The first caller encodes it; later callers share the result.
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

/// Sends notices to watchers, and keeps recent ones.
#[derive(Debug)]
pub(super) struct Broadcast {
    sender: broadcast::Sender<Arc<Told>>,
    recent: Mutex<VecDeque<Arc<Told>>>,
}

/// Exclusive access to the broadcast: while it is held, nobody subscribes and nothing else is sent.
pub(super) struct Telling<'a> {
    broadcast: &'a Broadcast,
    recent: MutexGuard<'a, VecDeque<Arc<Told>>>,
}

impl Broadcast {
    /// Starts with these entries as the history.
    pub(super) fn new(head: &Head, entries: &[Entry]) -> Self {
        let broadcast = Self { sender: broadcast::Sender::new(MOST_BEHIND), recent: Mutex::default() };
        broadcast.telling().entries(&head.epoch, entries);
        broadcast
    }

    /// Locks the broadcast.
    pub(super) fn telling(&self) -> Telling<'_> {
        Telling { broadcast: self, recent: self.recent.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Telling<'_> {
    /// Sends changes in order.
    pub(super) fn entries(&mut self, epoch: &str, entries: &[Entry]) {
        for entry in entries {
            // Nobody may be watching.
            let _ = self.broadcast.sender.send(self.keep(epoch, entry));
        }
    }

    /// Adds a change to the history.
    fn keep(&mut self, epoch: &str, entry: &Entry) -> Arc<Told> {
        let cursor = Cursor { epoch: epoch.into(), seq: entry.seq, tag: entry.tag.clone() };
        let told = Told::new(cursor, news(entry.clone()));
        self.recent.push_back(told.clone());
        while self.recent.len() > KEPT {
            self.recent.pop_front();
        }
        told
    }

    /// Replaces the history with these entries and tells watchers to start over.
    pub(super) fn start_over(&mut self, head: &Head, entries: &[Entry]) {
        self.recent.clear();
        for entry in entries {
            self.keep(&head.epoch, entry);
        }
        let _ = self.broadcast.sender.send(Told::new(Cursor::of(head), News::StartOver));
    }

    /// Sends a notice that is not kept in the history.
    pub(super) fn tell(&self, head: &Head, news: News) {
        let _ = self.broadcast.sender.send(Told::new(Cursor::of(head), news));
    }

    /// Subscribes to all later notices.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.broadcast.sender.subscribe()
    }

    /// The notices after `cursor`; `None` if the history does not contain it.
    pub(super) fn since(&self, cursor: &Cursor, head: &Head) -> Option<Vec<Arc<Told>>> {
        if *cursor == Cursor::of(head) {
            return Some(Vec::new());
        }
        let known = self.recent.iter().position(|told| told.cursor == *cursor)?;
        Some(self.recent.iter().skip(known + 1).cloned().collect())
    }
}
