//! The in-memory state of a process: keys, clients, settings and live revocations. Following the feed keeps it up to
//! date.

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

use super::{
    broadcast::{Broadcast, Notice, NoticeKind},
    copy_error,
    origins::Origins,
    sites::Sites,
};
use crate::{
    domain::{
        assurance::acr_suffices,
        client::Client,
        feed::{Change, ChangeKind, Cursor, Entry, Head},
        role::{Entitled, Role},
        session::Session,
        settings::Settings,
        site::Site,
        status_list::StatusIndex,
        token::last_token_end,
    },
    error::{Error, Result},
    id::RoleId,
    keys::{Keyring, SealingKey},
    store::{Store, Tx},
    time::{Clock, Timestamp, Ttl},
};

/// A heartbeat is sent only if the last confirmation is at most this old.
const HEARTBEAT_MAX_AGE: Ttl = Ttl::from_secs(1);
/// Watchers' streams end after this long without a confirmation.
const DISCONNECT_AFTER: Ttl = Ttl::from_secs(3);
/// No database time is known, or the local clock takes precedence.
const NO_DATABASE_TIME: i64 = i64::MIN;

/// A consistent view of the state.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The issuer.
    pub issuer: Arc<str>,
    /// The last feed entry that was applied.
    pub head: Head,
    /// The shared settings.
    pub settings: Settings,
    /// Clients by id.
    pub clients: Arc<HashMap<String, Arc<Client>>>,
    /// The enabled clients that have a site, by its origin.
    pub(in crate::service) sites: Arc<Sites>,
    /// The origins that enabled clients have declared.
    pub(in crate::service) origins: Arc<Origins>,
    /// Roles by id.
    pub roles: Arc<HashMap<RoleId, Role>>,
    /// Introspection policies by client: a client may introspect tokens for the audiences it serves.
    pub introspection_policies: Arc<HashMap<String, Policy>>,
    /// The audiences each client serves, by client id, sorted.
    pub served_audiences: Arc<HashMap<String, Vec<String>>>,
    /// Signing keys.
    pub ring: Arc<Keyring>,
    /// Revoked sessions, by id.
    pub revoked_sessions: Arc<HashMap<String, Revoked>>,
    /// Revoked signing keys, by `kid`.
    pub revoked_keys: Arc<HashMap<String, Revoked>>,
}

impl Snapshot {
    /// The site at exactly this scheme and host, and the enabled client whose it is.
    #[must_use]
    pub fn site_of(&self, scheme: &str, authority: &str) -> Option<(Arc<Client>, Site)> {
        self.sites.at(scheme, authority)
    }

    /// The sites of all enabled clients, in no order.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.all()
    }

    /// The permissions and role names that these roles grant at an audience.
    pub(in crate::service) fn entitlements(&self, roles: &[RoleId], audience: &str) -> Entitled {
        if roles.is_empty() {
            return Entitled::default();
        }
        Entitled::of(roles.iter().filter_map(|id| self.roles.get(id)), Vec::new(), audience, &self.issuer)
    }

    /// The permissions and role names that a client has at an audience, from its own permissions and its roles.
    pub(in crate::service) fn client_entitlements(&self, client: &Client, audience: &str) -> Entitled {
        let roles = client.config.roles.iter().filter_map(|id| self.roles.get(id));
        Entitled::of(roles, client.permissions_at(audience), audience, &self.issuer)
    }

    /// When the last access token of a session expires.
    pub(in crate::service) fn token_end(&self, session: &Session, now: Timestamp) -> Timestamp {
        let client = self.clients.get(session.client.as_str()).map(|c| &c.config);
        last_token_end(session, client, &self.settings, now)
    }

    /// Whether any of these roles demands two factors.
    pub(in crate::service) fn roles_require_mfa(&self, roles: &[RoleId]) -> bool {
        roles.iter().filter_map(|id| self.roles.get(id)).any(|role| role.require_mfa)
    }

    /// The permissions and role names that a session with these roles and of this level has at an audience.
    pub(in crate::service) fn session_entitlements(&self, roles: &[RoleId], acr: &str, audience: &str) -> Entitled {
        // Few deployments have such a role.
        if self.roles_require_mfa(roles) {
            return self.entitlements(&self.roles_at_level(roles, acr), audience);
        }
        self.entitlements(roles, audience)
    }

    /// The roles that count in a session of this level: those that demand two factors only if it has two.
    pub(in crate::service) fn roles_at_level(&self, roles: &[RoleId], acr: &str) -> Vec<RoleId> {
        let counts = |id: &&RoleId| self.roles.get(id).is_none_or(|role| !role.require_mfa);
        if acr_suffices(acr, "2") { roles.to_vec() } else { roles.iter().filter(counts).cloned().collect() }
    }

    /// Whether any of these roles grants a permission at this server.
    pub(in crate::service) fn roles_have(&self, roles: &[RoleId], permission: &str) -> bool {
        let mut roles = roles.iter().filter_map(|id| self.roles.get(id));
        roles.any(|r| r.permissions_at(&self.issuer, &self.issuer).any(|p| p == permission))
    }

    /// Whether a client has a permission at this server, directly or through a role.
    pub(in crate::service) fn client_has(&self, client: &Client, permission: &str) -> bool {
        let own = client.config.permissions.iter();
        own.filter(|p| p.audience.as_str() == &*self.issuer).any(|p| p.permission.as_str() == permission)
            || self.roles_have(&client.config.roles, permission)
    }
}

/// When something was revoked, and when the revocation may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When it was revoked.
    pub at: Timestamp,
    /// When all affected tokens have expired on their own.
    pub ends_at: Timestamp,
    /// For a session: its index in the status lists.
    pub status: Option<StatusIndex>,
}

/// The in-memory state and the feed follower that updates it.
pub struct Live {
    store: Store,
    issuer: Arc<str>,
    sealing: Arc<SealingKey>,
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
    pub async fn read(store: Store, sealing: Arc<SealingKey>, clock: Arc<dyn Clock>) -> Result<Self> {
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

    /// Whether this process confirmed recently enough to be sure that it has seen every change.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let age = self.clock.elapsed().millis() - self.confirmed.load(Ordering::SeqCst);
        age <= self.snapshot.load().settings.confirm_within.millis()
    }

    /// How long ago this process last confirmed that it has seen every change.
    pub(in crate::service) fn confirmation_age(&self) -> Ttl {
        Ttl::from_millis(self.clock.elapsed().millis().saturating_sub(self.confirmed.load(Ordering::SeqCst)))
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

async fn load(tx: &mut Tx, head: Head, entries: &[Entry], sealing: &SealingKey) -> Result<Snapshot> {
    let instance = tx.instance().await?.ok_or_else(|| Error::Internal("the database is not claimed".into()))?;
    let (policies, served_audiences) = load_audiences(tx, &instance.issuer).await?;
    let clients = load_clients(tx).await?;
    Ok(Snapshot {
        introspection_policies: policies,
        served_audiences,
        issuer: instance.issuer.into(),
        head,
        settings: instance.settings,
        sites: Sites::of(&clients),
        origins: Origins::of(&clients),
        clients,
        roles: load_roles(tx).await?,
        ring: load_keyring(tx, sealing).await?,
        revoked_sessions: Arc::new(revocations(ChangeKind::SessionRevoked, entries).collect()),
        revoked_keys: Arc::new(revocations(ChangeKind::KeyRevoked, entries).collect()),
    })
}

/// The revocations in the feed entries of one kind.
fn revocations(kind: ChangeKind, entries: &[Entry]) -> impl Iterator<Item = (String, Revoked)> {
    let of_kind = entries.iter().map(|e| &e.change).filter(move |c| c.kind == kind);
    of_kind.map(|c| (c.subject.clone(), Revoked { at: c.at, ends_at: c.ends_at, status: c.status }))
}

/// The unexpired old revocations plus those in the new entries of one kind.
fn merge_revocations(
    old: &Arc<HashMap<String, Revoked>>,
    kind: ChangeKind,
    new_entries: &[Entry],
    now: Timestamp,
) -> Arc<HashMap<String, Revoked>> {
    let mut new = revocations(kind, new_entries).peekable();
    if new.peek().is_none() {
        return old.clone();
    }
    let kept = old.iter().filter(|(_, r)| r.ends_at > now).map(|(id, r)| (id.clone(), *r));
    Arc::new(kept.chain(new).collect())
}

async fn load_keyring(tx: &mut Tx, sealing: &SealingKey) -> Result<Arc<Keyring>> {
    Ok(Arc::new(Keyring::open(tx.keys_all().await?, tx.foreign_keys_all().await?, sealing)?))
}

async fn load_clients(tx: &mut Tx) -> Result<Arc<HashMap<String, Arc<Client>>>> {
    let all = tx.clients_all().await?.into_iter();
    Ok(Arc::new(all.map(|c| (c.id.as_str().to_owned(), Arc::new(c))).collect()))
}

async fn load_roles(tx: &mut Tx) -> Result<Arc<HashMap<RoleId, Role>>> {
    let all = tx.roles_all().await?.into_iter();
    Ok(Arc::new(all.map(|r| (r.id.clone(), r)).collect()))
}

/// The audiences that clients serve: as introspection policies, and by name.
type Audiences = (Arc<HashMap<String, Policy>>, Arc<HashMap<String, Vec<String>>>);

async fn load_audiences(tx: &mut Tx, issuer: &str) -> Result<Audiences> {
    let mut policies: HashMap<String, Policy> = HashMap::new();
    let mut served_audiences: HashMap<String, Vec<String>> = HashMap::new();
    for (audience, owner) in tx.audiences_all().await? {
        let Some(owner) = owner else { continue };
        served_audiences.entry(owner.clone()).or_default().push(audience.clone());
        let policy = match policies.remove(&owner) {
            Some(policy) => policy.audience(audience),
            // What a token says of a guest is for the caller to judge.
            None => Policy::new(issuer, audience).allow_guests(true),
        };
        policies.insert(owner, policy);
    }
    Ok((Arc::new(policies), Arc::new(served_audiences)))
}

async fn apply(
    tx: &mut Tx,
    old: &Snapshot,
    head: Head,
    new_entries: &[Entry],
    sealing: &SealingKey,
    now: Timestamp,
) -> Result<Snapshot> {
    let mut next = Snapshot { head, ..old.clone() };
    let any = |kinds: &[ChangeKind]| new_entries.iter().any(|e| kinds.contains(&e.change.kind));
    if any(&[ChangeKind::Client, ChangeKind::ClientDisabled, ChangeKind::ClientEnabled]) {
        next.clients = load_clients(tx).await?;
        next.sites = Sites::of(&next.clients);
        next.origins = Origins::of(&next.clients);
        (next.introspection_policies, next.served_audiences) = load_audiences(tx, &old.issuer).await?;
    }
    if any(&[ChangeKind::Role]) {
        next.roles = load_roles(tx).await?;
    }
    if any(&[ChangeKind::Keys, ChangeKind::KeyRevoked]) {
        next.ring = load_keyring(tx, sealing).await?;
    }
    if any(&[ChangeKind::Settings]) {
        let instance = tx.instance().await?;
        next.settings = instance.map_or_else(|| old.settings.clone(), |i| i.settings);
    }
    next.revoked_sessions = merge_revocations(&old.revoked_sessions, ChangeKind::SessionRevoked, new_entries, now);
    next.revoked_keys = merge_revocations(&old.revoked_keys, ChangeKind::KeyRevoked, new_entries, now);
    Ok(next)
}
