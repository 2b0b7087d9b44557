//! The in-memory state of a process: keys, clients, settings and live revocations. Following the feed keeps it up to
//! date.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, broadcast};

use super::{
    broadcast::{Broadcast, Notice, NoticeKind},
    copy_error,
    snapshot::{Snapshot, apply, load},
};
use crate::{
    domain::{
        client::Client,
        feed::{Change, ChangeKind, Cursor, Entry, Head},
        settings::Settings,
    },
    error::{Error, Result},
    keys::{LacksVersionInUse, SealingKeys},
    store::{Store, Tx},
    time::{Clock, Timestamp, Ttl},
};

/// A heartbeat is sent only if the last confirmation is at most this old.
const HEARTBEAT_MAX_AGE: Ttl = Ttl::from_secs(1);
/// Watchers' streams end after this long without a confirmation.
const DISCONNECT_AFTER: Ttl = Ttl::from_secs(3);
/// No database time is known, or the local clock takes precedence.
const NO_DATABASE_TIME: i64 = i64::MIN;

/// The in-memory state and the feed follower that updates it.
pub struct Live {
    store: Store,
    issuer: Arc<str>,
    sealing: Arc<SealingKeys>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    broadcast: Broadcast,
    /// [`Clock::elapsed`] at the start of the last successful round.
    confirmed: AtomicI64,
    /// The database's time at the zero of [`Clock::elapsed`], or [`NO_DATABASE_TIME`].
    database_zero: AtomicI64,
    rounds_started: AtomicU64,
    /// The last round that ended. The holder of the lock runs the next one.
    last_round: Mutex<Round>,
}

/// A round that has ended.
#[derive(Debug)]
struct Round {
    number: u64,
    outcome: Result<()>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("head", &self.snapshot.load().head).finish_non_exhaustive()
    }
}

/// A snapshot and the notices that follow it, taken atomically.
#[derive(Debug)]
pub(in crate::service) struct Subscription {
    /// The current state.
    pub(in crate::service) snapshot: Arc<Snapshot>,
    /// The notices after the cursor; `None` if the retained history does not reach back to it.
    pub(in crate::service) missed: Option<Vec<Arc<Notice>>>,
    /// A heartbeat, if the state is confirmed, so that a new watcher need not wait for the next one.
    pub(in crate::service) heartbeat: Option<Arc<Notice>>,
    /// All later notices.
    pub(in crate::service) notices: broadcast::Receiver<Arc<Notice>>,
}

impl Live {
    /// Loads the full state.
    ///
    /// # Errors
    /// If the database cannot be reached, or a stored key cannot be decrypted.
    pub async fn read(store: Store, sealing: Arc<SealingKeys>, clock: Arc<dyn Clock>) -> Result<Self> {
        let began = clock.elapsed();
        let mut tx = store.read().await?;
        let (head, time) = read_head(&mut tx).await?;
        let now = time.unwrap_or_else(|| clock.now());
        let entries = tx.feed_live(now).await?;
        let broadcast = Broadcast::new(&head, &entries);
        let snapshot = load(&mut tx, head, &entries, &sealing).await?;
        let live = Self {
            issuer: snapshot.issuer.clone(),
            broadcast,
            store,
            sealing,
            clock,
            snapshot: ArcSwap::from_pointee(snapshot),
            confirmed: AtomicI64::new(began.millis()),
            database_zero: AtomicI64::new(NO_DATABASE_TIME),
            rounds_started: AtomicU64::new(0),
            last_round: Mutex::new(Round { number: 0, outcome: Ok(()) }),
        };
        live.adopt_database_time(time, began);
        Ok(live)
    }

    /// The current time. Where several machines share a database, its clock is used: the machines agree, and a jump
    /// of one machine's clock changes nothing.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.database_zero.load(Ordering::Relaxed) {
            NO_DATABASE_TIME => self.clock.now(),
            zero => Timestamp::from_millis(zero).plus(self.clock.elapsed()),
        }
    }

    /// Adopts the database's time, which was read at some moment since `began`. A difference no larger than the
    /// query's round trip is ignored.
    fn adopt_database_time(&self, time: Option<Timestamp>, began: Ttl) {
        let Some(time) = time.filter(|_| self.clock.yields_to_database()) else { return };
        let ended = self.clock.elapsed();
        let zero = time.millis() - i64::midpoint(began.millis(), ended.millis());
        let known = self.database_zero.load(Ordering::Relaxed);
        let tolerance = ended.millis() - began.millis() + 1;
        if known == NO_DATABASE_TIME || known.abs_diff(zero) > tolerance.unsigned_abs() {
            self.database_zero.store(zero, Ordering::Relaxed);
        }
    }

    /// The issuer, as in `iss`. A process stops signing when the issuer in its database changes.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The latest state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// A client by id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(in crate::service) fn client(&self, id: &str) -> Result<Arc<Client>> {
        let found = self.snapshot.load().clients.get(id).cloned();
        found.ok_or_else(|| Error::NotFound("client", id.to_owned()))
    }

    /// Whether this process confirmed recently enough to be sure that it has seen every change, and holds the sealing key in
    /// use.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let age = self.clock.elapsed().millis() - self.confirmed.load(Ordering::SeqCst);
        age <= self.snapshot.load().settings.confirm_within.millis() && self.sealing.hold_version_in_use()
    }

    /// The version of the sealing key that is in use and that this process does not hold, if that is so.
    #[must_use]
    pub fn lacking_sealing_key(&self) -> Option<Arc<LacksVersionInUse>> {
        self.sealing.lacking()
    }

    /// How long ago this process last confirmed that it has seen every change.
    pub(in crate::service) fn confirmation_age(&self) -> Ttl {
        Ttl::from_millis(self.clock.elapsed().millis().saturating_sub(self.confirmed.load(Ordering::SeqCst)))
    }

    /// The same in seconds, for people.
    #[must_use]
    pub fn seconds_since_confirmed(&self) -> f64 {
        self.confirmation_age().duration().as_secs_f64()
    }

    /// How many streams are open.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.broadcast.watchers()
    }

    /// Whether this process is current enough to serve watchers.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.confirmation_age() <= DISCONNECT_AFTER
    }

    /// Sends watchers a heartbeat, or ends their streams if this process has fallen behind. Called once a second.
    pub fn send_heartbeat(&self) {
        let watchers = self.broadcast.lock();
        let head = &self.snapshot.load().head;
        if self.confirmation_age() <= HEARTBEAT_MAX_AGE {
            watchers.send(head, NoticeKind::Heartbeat(self.now()));
        } else if !self.is_current() {
            watchers.send(head, NoticeKind::Disconnect);
        }
    }

    /// Ends all watchers' streams because this process is stopping.
    pub fn end_watchers(&self) {
        self.broadcast.lock().send(&self.snapshot.load().head, NoticeKind::Stop);
    }

    /// Returns what a watcher that starts after `cursor` needs.
    pub(in crate::service) fn subscribe(&self, cursor: Option<&Cursor>) -> Subscription {
        let watchers = self.broadcast.lock();
        let snapshot = self.snapshot();
        let missed = cursor.and_then(|cursor| watchers.notices_after(cursor, &snapshot.head));
        let alive = self.confirmation_age() <= HEARTBEAT_MAX_AGE;
        let heartbeat = alive.then(|| Notice::heartbeat(&snapshot.head, self.now()));
        Subscription { snapshot, missed, heartbeat, notices: watchers.subscribe() }
    }

    /// The state to sign with; an error if changes may have been missed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] after too long without confirmation.
    pub fn for_signing(&self) -> Result<Arc<Snapshot>> {
        if self.is_fresh() {
            return Ok(self.snapshot());
        }
        if let Some(lacks) = self.sealing.lacking() {
            return Err(Error::Unavailable(Box::new(LacksVersionInUse::clone(&lacks))));
        }
        Err(Error::Unavailable("the change feed has not been confirmed recently; this process does not sign".into()))
    }

    /// A feed entry for a change. It is kept until every affected token has expired.
    pub(in crate::service) fn change(&self, kind: ChangeKind, subject: &str, now: Timestamp) -> Change {
        self.snapshot.load().settings.feed_entry(kind, subject, now)
    }

    /// Commits a transaction, then applies its feed entries to this process.
    ///
    /// # Errors
    /// If the database is unreachable; [`Error::Conflict`].
    pub(in crate::service) async fn commit(&self, tx: Tx) -> Result<()> {
        if tx.commit().await? { self.confirm().await } else { Ok(()) }
    }

    /// Ensures that every change committed before this call is applied here. Concurrent waiters share one round, and
    /// its failure: nobody waits for more than the round that is running and the next.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn confirm(&self) -> Result<()> {
        let started_before = self.rounds_started.load(Ordering::SeqCst);
        let mut last = self.last_round.lock().await;
        if last.number > started_before {
            return last.outcome.as_ref().map_err(copy_error).copied();
        }
        let number = self.rounds_started.fetch_add(1, Ordering::SeqCst) + 1;
        let began = self.clock.elapsed();
        let outcome = self.run_round(began).await;
        if outcome.is_ok() {
            self.confirmed.store(began.millis(), Ordering::SeqCst);
        }
        *last = Round { number, outcome };
        last.outcome.as_ref().map_err(copy_error).copied()
    }

    async fn run_round(&self, began: Ttl) -> Result<()> {
        let old = self.snapshot();
        let mut tx = self.store.follow().await?;
        let (head, time) = read_head(&mut tx).await?;
        self.adopt_database_time(time, began);
        if head == old.head {
            return Ok(());
        }
        tx.allow_full_time();
        let now = self.now();
        let entries = if head.epoch == old.head.epoch { tx.feed_from(old.head.seq).await? } else { Vec::new() };
        let (next, new_entries) = if let Some(new_entries) = entries_since(&old.head, &head, &entries) {
            (apply(&mut tx, &old, head, new_entries, &self.sealing, now).await?, new_entries)
        } else {
            drop(tx);
            return self.reload(&old, now).await;
        };
        let mut watchers = self.broadcast.lock();
        let epoch = next.head.epoch.clone();
        self.snapshot.store(Arc::new(next));
        watchers.send_entries(&epoch, new_entries);
        Ok(())
    }

    /// The feed does not continue from the state of this process: the database was restored, or lost its last
    /// commits. A new epoch makes every process discard its state and reload it.
    async fn reload(&self, old: &Snapshot, now: Timestamp) -> Result<()> {
        let mut tx = self.store.write().await?;
        let known = &old.head.epoch;
        if read_head(&mut tx).await?.0.epoch == *known && tx.feed_new_epoch(known).await? {
            tracing::warn!(seq = old.head.seq, "the database has lost changes; starting a new epoch");
            let settings = tx.settings_hold().await?;
            tx.settings_set(&Settings { commits_lost_at: Some(now), ..settings }).await?;
        }
        tx.commit().await?;
        let mut tx = self.store.follow().await?;
        tx.allow_full_time();
        let (head, _) = read_head(&mut tx).await?;
        let entries = tx.feed_live(now).await?;
        let next = load(&mut tx, head, &entries, &self.sealing).await?;
        if next.issuer != old.issuer {
            // From now on, nothing is signed for the old issuer.
            self.confirmed.store(i64::MIN / 2, Ordering::SeqCst);
            return Err(Error::Unavailable("the issuer was changed; restart this process".into()));
        }
        let mut watchers = self.broadcast.lock();
        let head = next.head.clone();
        self.snapshot.store(Arc::new(next));
        watchers.reset(&head, &entries);
        Ok(())
    }
}

async fn read_head(tx: &mut Tx) -> Result<(Head, Option<Timestamp>)> {
    tx.feed_head().await?.ok_or_else(|| Error::Internal("the database has no feed".into()))
}

/// The entries after `old`, if the feed still contains `old` itself.
fn entries_since<'a>(old: &Head, new: &Head, entries: &'a [Entry]) -> Option<&'a [Entry]> {
    if old.epoch != new.epoch || new.seq < old.seq {
        return None;
    }
    if old.seq == 0 {
        // Sequence number 0 has no entry. Its tag is stored beside the counter until the first entry exists.
        return (new.seq > 0).then_some(entries);
    }
    let (first, new_entries) = entries.split_first()?;
    (first.seq == old.seq && first.tag == old.tag).then_some(new_entries)
}
