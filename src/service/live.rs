//! What every process holds in memory: keys, clients, settings and the live revocations, kept up to
//! date by following the feed.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use chancery_verify::Policy;
use tokio::sync::{Mutex, broadcast};

use super::{News, Told, broadcast::Broadcast};
use crate::{
    domain::{
        client::Client,
        feed::{ChangeKind, Cursor, Entry, Head},
        role::{Entitled, Role},
        settings::Settings,
        status_list::StatusIndex,
    },
    error::{Error, Result},
    id::RoleId,
    keys::{Keyring, SealingKey},
    store::{Store, Tx},
    time::{Clock, Timestamp, Ttl},
};

/// A heartbeat says that every change up to this long ago is known.
const BEAT_WITHIN: Ttl = Ttl::from_secs(1);
/// After this long without confirmation watchers' streams end.
const LOST_AFTER: Ttl = Ttl::from_secs(3);
/// No time of the database is known, or it does not count.
const OWN_CLOCK: i64 = i64::MIN;

/// One consistent state.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The issuer.
    pub issuer: Arc<str>,
    /// How far the feed was read.
    pub head: Head,
    /// The shared settings.
    pub settings: Settings,
    /// Clients by id.
    pub clients: Arc<HashMap<String, Arc<Client>>>,
    /// Roles by id.
    pub roles: Arc<HashMap<RoleId, Role>>,
    /// What tokens must meet that a client may ask about, by the client: those for the audiences it serves.
    pub serves: Arc<HashMap<String, Policy>>,
    /// The audiences that a client is itself, by the client, in order.
    pub served: Arc<HashMap<String, Vec<String>>>,
    /// Signing keys.
    pub ring: Arc<Keyring>,
    /// Revoked sessions, by id.
    pub revoked_sessions: Arc<HashMap<String, Revoked>>,
    /// Revoked signing keys, by `kid`.
    pub revoked_keys: Arc<HashMap<String, Revoked>>,
}

impl Snapshot {
    /// What these roles come to at an audience.
    pub(super) fn entitled(&self, roles: &[RoleId], audience: &str) -> Entitled {
        if roles.is_empty() {
            return Entitled::default();
        }
        Entitled::of(roles.iter().filter_map(|id| self.roles.get(id)), Vec::new(), audience, &self.issuer)
    }

    /// What a client's own permissions and roles come to at an audience.
    pub(super) fn entitled_client(&self, client: &Client, audience: &str) -> Entitled {
        let roles = client.config.roles.iter().filter_map(|id| self.roles.get(id));
        Entitled::of(roles, client.permissions_at(audience), audience, &self.issuer)
    }

    /// Whether a client has a permission at this server, by itself or by a role.
    pub(super) fn client_has(&self, client: &Client, permission: &str) -> bool {
        let own = client.config.permissions.iter();
        let mut roles = client.config.roles.iter().filter_map(|id| self.roles.get(id));
        own.filter(|p| p.audience.as_str() == &*self.issuer).any(|p| p.permission.as_str() == permission)
            || roles.any(|r| r.permissions_at(&self.issuer, &self.issuer).any(|p| p == permission))
    }
}

/// When something was revoked, and when that may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When it was revoked.
    pub at: Timestamp,
    /// When every token concerned is dead by itself.
    pub ends_at: Timestamp,
    /// Of a session: where its bit stands.
    pub status: Option<StatusIndex>,
}

/// Follows the feed.
pub struct Live {
    store: Store,
    sealing: Arc<SealingKey>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    broadcast: Broadcast,
    /// [`Clock::elapsed`] when the last successful round began.
    confirmed: AtomicI64,
    /// The database's time at the zero of [`Clock::elapsed`], or [`OWN_CLOCK`].
    database_zero: AtomicI64,
    rounds: AtomicU64,
    /// The number of the last round that succeeded; whoever holds the lock runs the next.
    turn: Mutex<u64>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("head", &self.snapshot.load().head).finish_non_exhaustive()
    }
}

/// Things that belong to one moment.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The present state.
    pub(super) snapshot: Arc<Snapshot>,
    /// What was told since the cursor, if the history leads on from there.
    pub(super) missed: Option<Vec<Arc<Told>>>,
    /// That all of it is known, if it is: who has just connected need not wait for the next sign.
    pub(super) sign_of_life: Option<Arc<Told>>,
    /// All that follows.
    pub(super) told: broadcast::Receiver<Arc<Told>>,
}

impl Live {
    /// Reads everything once.
    ///
    /// # Errors
    /// If the database cannot be reached, or holds keys that do not open.
    pub async fn read(store: Store, sealing: Arc<SealingKey>, clock: Arc<dyn Clock>) -> Result<Self> {
        let began = clock.elapsed();
        let mut tx = store.read().await?;
        let (head, time) = head(&mut tx).await?;
        let now = time.unwrap_or_else(|| clock.now());
        let entries = tx.feed_live(now).await?;
        let broadcast = Broadcast::new(&head, &entries);
        let snapshot = load(&mut tx, head, &entries, &sealing).await?;
        let live = Self {
            broadcast,
            store,
            sealing,
            clock,
            snapshot: ArcSwap::from_pointee(snapshot),
            confirmed: AtomicI64::new(began.millis()),
            database_zero: AtomicI64::new(OWN_CLOCK),
            rounds: AtomicU64::new(0),
            turn: Mutex::new(0),
        };
        live.follow_clock(time, began);
        Ok(live)
    }

    /// The present instant: by the database's clock where several machines share one, so that they
    /// agree and a step of one machine's clock changes nothing.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.database_zero.load(Ordering::Relaxed) {
            OWN_CLOCK => self.clock.now(),
            zero => Timestamp::from_millis(zero).plus(self.clock.elapsed()),
        }
    }

    /// Takes over the database's time, which was read at some moment since `began`. A difference that
    /// the time of the question itself explains is none.
    fn follow_clock(&self, time: Option<Timestamp>, began: Ttl) {
        let Some(time) = time.filter(|_| self.clock.yields_to_database()) else { return };
        let ended = self.clock.elapsed();
        let zero = time.millis() - i64::midpoint(began.millis(), ended.millis());
        let known = self.database_zero.load(Ordering::Relaxed);
        let tolerance = ended.millis() - began.millis() + 1;
        if known == OWN_CLOCK || known.abs_diff(zero) > tolerance.unsigned_abs() {
            self.database_zero.store(zero, Ordering::Relaxed);
        }
    }

    /// The newest state that was read.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Whether this process has confirmed recently enough that it has seen every change.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let age = self.clock.elapsed().millis() - self.confirmed.load(Ordering::SeqCst);
        age <= self.snapshot.load().settings.confirm_within.millis()
    }

    /// How long ago it was confirmed that every change is known.
    fn confirmed_ago(&self) -> Ttl {
        Ttl::from_millis(self.clock.elapsed().millis().saturating_sub(self.confirmed.load(Ordering::SeqCst)))
    }

    /// Whether watchers may be told that they know everything.
    #[must_use]
    pub fn knows_everything(&self) -> bool {
        self.confirmed_ago() <= LOST_AFTER
    }

    /// Gives watchers a sign of life, or ends their streams; once a second.
    pub fn beat(&self) {
        let telling = self.broadcast.telling();
        let head = &self.snapshot.load().head;
        if self.confirmed_ago() <= BEAT_WITHIN {
            telling.tell(head, News::Heartbeat(self.now()));
        } else if !self.knows_everything() {
            telling.tell(head, News::Lost);
        }
    }

    /// Ends all watchers' streams.
    pub fn end_watchers(&self) {
        self.broadcast.telling().tell(&self.snapshot.load().head, News::Lost);
    }

    /// What somebody needs who begins to watch after `cursor`.
    pub(super) fn subscribe(&self, cursor: Option<&Cursor>) -> Subscription {
        let telling = self.broadcast.telling();
        let snapshot = self.snapshot();
        let missed = cursor.and_then(|cursor| telling.since(cursor, &snapshot.head));
        let alive = self.confirmed_ago() <= BEAT_WITHIN;
        let sign_of_life = alive.then(|| Told::heartbeat(&snapshot.head, self.now()));
        Subscription { snapshot, missed, sign_of_life, told: telling.subscribe() }
    }

    /// The state to sign by: refused if changes may have been missed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] after too long without confirmation.
    pub fn for_signing(&self) -> Result<Arc<Snapshot>> {
        if self.is_fresh() {
            return Ok(self.snapshot());
        }
        Err(Error::Unavailable("the change feed has not been confirmed recently; this process does not sign".into()))
    }

    /// Makes sure that every change committed before this call is applied. One round serves all who wait.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn confirm(&self) -> Result<()> {
        let begun_before = self.rounds.load(Ordering::SeqCst);
        let mut succeeded = self.turn.lock().await;
        if *succeeded > begun_before {
            return Ok(());
        }
        let round = self.rounds.fetch_add(1, Ordering::SeqCst) + 1;
        let began = self.clock.elapsed();
        self.follow(began).await?;
        self.confirmed.store(began.millis(), Ordering::SeqCst);
        *succeeded = round;
        Ok(())
    }

    async fn follow(&self, began: Ttl) -> Result<()> {
        let old = self.snapshot();
        let mut tx = self.store.read().await?;
        let (head, time) = head(&mut tx).await?;
        self.follow_clock(time, began);
        if head == old.head {
            return Ok(());
        }
        let now = self.now();
        let entries = if head.epoch == old.head.epoch { tx.feed_from(old.head.seq).await? } else { Vec::new() };
        let (next, news) = if let Some(news) = continuation(&old.head, &head, &entries) {
            (apply(&mut tx, &old, head, news, &self.sealing, now).await?, news)
        } else {
            drop(tx);
            return self.start_over(&old, now).await;
        };
        let mut telling = self.broadcast.telling();
        let epoch = next.head.epoch.clone();
        self.snapshot.store(Arc::new(next));
        telling.entries(&epoch, news);
        Ok(())
    }

    /// The database is not a continuation of what this process knows: it was restored, or lost its last
    /// commits. A new epoch tells every process to forget and read again.
    async fn start_over(&self, old: &Snapshot, now: Timestamp) -> Result<()> {
        let mut tx = self.store.write().await?;
        let known = &old.head.epoch;
        if head(&mut tx).await?.0.epoch == *known && tx.feed_new_epoch(known).await? {
            tracing::warn!(seq = old.head.seq, "the database has lost changes; starting a new epoch");
        }
        tx.commit().await?;
        let mut tx = self.store.read().await?;
        let (head, _) = head(&mut tx).await?;
        let entries = tx.feed_live(now).await?;
        let next = load(&mut tx, head, &entries, &self.sealing).await?;
        if next.issuer != old.issuer {
            // Nothing is signed for the old issuer any more, from this moment on.
            self.confirmed.store(i64::MIN / 2, Ordering::SeqCst);
            return Err(Error::Unavailable("the issuer was changed; restart this process".into()));
        }
        let mut telling = self.broadcast.telling();
        let head = next.head.clone();
        self.snapshot.store(Arc::new(next));
        telling.start_over(&head, &entries);
        Ok(())
    }
}

async fn head(tx: &mut Tx) -> Result<(Head, Option<Timestamp>)> {
    tx.feed_head().await?.ok_or_else(|| Error::Internal("the database has no feed".into()))
}

/// The entries after `old`, if the feed still contains `old` itself.
fn continuation<'a>(old: &Head, new: &Head, entries: &'a [Entry]) -> Option<&'a [Entry]> {
    if old.epoch != new.epoch || new.seq < old.seq {
        return None;
    }
    if old.seq == 0 {
        // The first number has no entry; its tag stands beside the counter until there is a second.
        return (new.seq > 0).then_some(entries);
    }
    let (first, news) = entries.split_first()?;
    (first.seq == old.seq && first.tag == old.tag).then_some(news)
}

async fn load(tx: &mut Tx, head: Head, entries: &[Entry], sealing: &SealingKey) -> Result<Snapshot> {
    let instance = tx.instance().await?.ok_or_else(|| Error::Internal("the database is not claimed".into()))?;
    let (policies, served) = serves(tx, &instance.issuer).await?;
    Ok(Snapshot {
        serves: policies,
        served,
        issuer: instance.issuer.into(),
        head,
        settings: instance.settings,
        clients: clients(tx).await?,
        roles: roles(tx).await?,
        ring: ring(tx, sealing).await?,
        revoked_sessions: Arc::new(revoked(ChangeKind::SessionRevoked, entries).collect()),
        revoked_keys: Arc::new(revoked(ChangeKind::KeyRevoked, entries).collect()),
    })
}

/// What entries of a kind revoke.
fn revoked(kind: ChangeKind, entries: &[Entry]) -> impl Iterator<Item = (String, Revoked)> {
    let of_kind = entries.iter().map(|e| &e.change).filter(move |c| c.kind == kind);
    of_kind.map(|c| (c.subject.clone(), Revoked { at: c.at, ends_at: c.ends_at, status: c.status }))
}

/// What was revoked and still counts, with what entries of a kind add.
fn with_news(
    old: &Arc<HashMap<String, Revoked>>,
    kind: ChangeKind,
    news: &[Entry],
    now: Timestamp,
) -> Arc<HashMap<String, Revoked>> {
    let mut new = revoked(kind, news).peekable();
    if new.peek().is_none() {
        return old.clone();
    }
    let kept = old.iter().filter(|(_, r)| r.ends_at > now).map(|(id, r)| (id.clone(), *r));
    Arc::new(kept.chain(new).collect())
}

async fn ring(tx: &mut Tx, sealing: &SealingKey) -> Result<Arc<Keyring>> {
    Ok(Arc::new(Keyring::open(tx.keys_all().await?, tx.foreign_keys_all().await?, sealing)?))
}

async fn clients(tx: &mut Tx) -> Result<Arc<HashMap<String, Arc<Client>>>> {
    let all = tx.clients_all().await?.into_iter();
    Ok(Arc::new(all.map(|c| (c.id.as_str().to_owned(), Arc::new(c))).collect()))
}

async fn roles(tx: &mut Tx) -> Result<Arc<HashMap<RoleId, Role>>> {
    let all = tx.roles_all().await?.into_iter();
    Ok(Arc::new(all.map(|r| (r.id.clone(), r)).collect()))
}

/// What clients serve, as policies and by name.
type Served = (Arc<HashMap<String, Policy>>, Arc<HashMap<String, Vec<String>>>);

async fn serves(tx: &mut Tx, issuer: &str) -> Result<Served> {
    let mut policies: HashMap<String, Policy> = HashMap::new();
    let mut served: HashMap<String, Vec<String>> = HashMap::new();
    for (audience, owner) in tx.audiences_all().await? {
        let Some(owner) = owner else { continue };
        served.entry(owner.clone()).or_default().push(audience.clone());
        let policy = match policies.remove(&owner) {
            Some(policy) => policy.audience(audience),
            None => Policy::new(issuer, audience),
        };
        policies.insert(owner, policy);
    }
    Ok((Arc::new(policies), Arc::new(served)))
}

async fn apply(
    tx: &mut Tx,
    old: &Snapshot,
    head: Head,
    news: &[Entry],
    sealing: &SealingKey,
    now: Timestamp,
) -> Result<Snapshot> {
    let mut next = Snapshot { head, ..old.clone() };
    let any = |kinds: &[ChangeKind]| news.iter().any(|e| kinds.contains(&e.change.kind));
    if any(&[ChangeKind::Client, ChangeKind::ClientDisabled, ChangeKind::ClientEnabled]) {
        next.clients = clients(tx).await?;
        (next.serves, next.served) = serves(tx, &old.issuer).await?;
    }
    if any(&[ChangeKind::Role]) {
        next.roles = roles(tx).await?;
    }
    if any(&[ChangeKind::Keys, ChangeKind::KeyRevoked]) {
        next.ring = ring(tx, sealing).await?;
    }
    if any(&[ChangeKind::Settings]) {
        let instance = tx.instance().await?;
        next.settings = instance.map_or_else(|| old.settings.clone(), |i| i.settings);
    }
    next.revoked_sessions = with_news(&old.revoked_sessions, ChangeKind::SessionRevoked, news, now);
    next.revoked_keys = with_news(&old.revoked_keys, ChangeKind::KeyRevoked, news, now);
    Ok(next)
}
