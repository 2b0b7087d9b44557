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
const MAX_LAG: usize = 4096;
/// How many changes are kept for watchers that reconnect.
const HISTORY_LEN: usize = 16_384;

/// A message to all watchers.
#[derive(Debug)]
pub struct Notice {
    /// The cursor of a watcher that has received it.
    pub cursor: Cursor,
    /// What it reports.
    pub kind: NoticeKind,
    wire: OnceLock<Bytes>,
}

/// What a notice reports.
#[derive(Debug)]
pub enum NoticeKind {
    /// A change to the revocations.
    Revocation(Entry),
    /// The signing keys changed.
    KeysChanged,
    /// A user changed. If that user is a watching administrator, its permissions are checked again.
    UserChanged(String),
    /// A change that no watcher needs.
    Other,
    /// Everything up to this instant has been sent.
    Heartbeat(Timestamp),
    /// The history was reset: earlier notices may be incomplete.
    Reset,
    /// This process may have missed a change; streams end.
    Disconnect,
    /// This process is stopping; streams end.
    Stop,
}

impl Notice {
    fn new(cursor: Cursor, kind: NoticeKind) -> Arc<Self> {
        Arc::new(Self { cursor, kind, wire: OnceLock::new() })
    }

    /// A heartbeat of a process that has applied everything up to `head`.
    pub(super) fn heartbeat(head: &Head, at: Timestamp) -> Arc<Self> {
        Self::new(Cursor::of(head), NoticeKind::Heartbeat(at))
    }

    /// The encoded message. The first caller encodes it; later callers share the result.
    pub fn wire(&self, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.wire.get_or_init(|| encode(self)).clone()
    }
}

fn kind_of(entry: Entry) -> NoticeKind {
    match entry.change.kind {
        ChangeKind::SessionRevoked
        | ChangeKind::ClientDisabled
        | ChangeKind::ClientEnabled
        | ChangeKind::KeyRevoked => NoticeKind::Revocation(entry),
        ChangeKind::Keys => NoticeKind::KeysChanged,
        ChangeKind::User => NoticeKind::UserChanged(entry.change.subject),
        ChangeKind::Client | ChangeKind::Role | ChangeKind::Settings | ChangeKind::SealingKey => NoticeKind::Other,
    }
}

/// Sends notices to watchers, and keeps recent ones.
#[derive(Debug)]
pub(super) struct Broadcast {
    sender: broadcast::Sender<Arc<Notice>>,
    recent: Mutex<VecDeque<Arc<Notice>>>,
}

/// Exclusive access to the broadcast: while it is held, nobody subscribes and nothing else is sent.
pub(super) struct BroadcastGuard<'a> {
    broadcast: &'a Broadcast,
    recent: MutexGuard<'a, VecDeque<Arc<Notice>>>,
}

impl Broadcast {
    /// Starts with these entries as the history.
    pub(super) fn new(head: &Head, entries: &[Entry]) -> Self {
        let broadcast = Self { sender: broadcast::Sender::new(MAX_LAG), recent: Mutex::default() };
        broadcast.lock().send_entries(&head.epoch, entries);
        broadcast
    }

    /// How many are subscribed.
    pub(super) fn watchers(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Locks the broadcast.
    pub(super) fn lock(&self) -> BroadcastGuard<'_> {
        BroadcastGuard { broadcast: self, recent: self.recent.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl BroadcastGuard<'_> {
    /// Sends changes in order.
    pub(super) fn send_entries(&mut self, epoch: &str, entries: &[Entry]) {
        for entry in entries {
            // Nobody may be watching.
            let _ = self.broadcast.sender.send(self.record(epoch, entry));
        }
    }

    /// Adds a change to the history.
    fn record(&mut self, epoch: &str, entry: &Entry) -> Arc<Notice> {
        let cursor = Cursor { epoch: epoch.into(), seq: entry.seq, tag: entry.tag.clone() };
        let notice = Notice::new(cursor, kind_of(entry.clone()));
        self.recent.push_back(notice.clone());
        while self.recent.len() > HISTORY_LEN {
            self.recent.pop_front();
        }
        notice
    }

    /// Replaces the history with these entries and tells watchers to start over.
    pub(super) fn reset(&mut self, head: &Head, entries: &[Entry]) {
        self.recent.clear();
        for entry in entries {
            self.record(&head.epoch, entry);
        }
        let _ = self.broadcast.sender.send(Notice::new(Cursor::of(head), NoticeKind::Reset));
    }

    /// Sends a notice that is not kept in the history.
    pub(super) fn send(&self, head: &Head, kind: NoticeKind) {
        let _ = self.broadcast.sender.send(Notice::new(Cursor::of(head), kind));
    }

    /// Subscribes to all later notices.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Notice>> {
        self.broadcast.sender.subscribe()
    }

    /// The notices after `cursor`; `None` if the history does not contain it.
    pub(super) fn notices_after(&self, cursor: &Cursor, head: &Head) -> Option<Vec<Arc<Notice>>> {
        if *cursor == Cursor::of(head) {
            return Some(Vec::new());
        }
        let known = self.recent.iter().position(|notice| notice.cursor == *cursor)?;
        Some(self.recent.iter().skip(known + 1).cloned().collect())
    }
}
