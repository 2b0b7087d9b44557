//! Status lists: allocating indices and publishing the lists.

mod builds;
mod published;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use self::{builds::Builds, published::PublishedLists};
use crate::{
    domain::{
        client::ClientId,
        keys::Algorithm,
        status_list::{Bits, LIST_LIFETIME, LIST_TTL, REPUBLISH, StatusIndex},
    },
    entropy::Entropy,
    error::{Error, Result},
    keys::{EncodedList, ListClaims, encode_list, status_place},
    secret::sha256,
    service::runtime::{Live, Snapshot, TRIES},
    store::{Lease, Store},
    time::{Timestamp, Ttl},
};

/// How many indices a process leases at a time. Indices unused when it stops are never used.
const LEASE_SIZE: u32 = 1024;
/// How long whoever could have the last list waits for a newer one. Verifiers give up after 5 seconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// A published list.
#[derive(Clone, Debug)]
pub struct PublishedList {
    /// The signed token.
    pub token: Bytes,
    /// A strong entity tag, quotes included.
    pub etag: String,
    /// The key that signed it.
    kid: String,
    seq: i64,
    built_at: Timestamp,
}

/// A list to serve.
#[derive(Clone, Debug)]
pub struct ServedList {
    /// The list.
    pub list: Arc<PublishedList>,
    /// For a list that may be out of date: how long ago it was built.
    pub age: Option<Ttl>,
}

/// Allocates indices and publishes the lists. Cheap to clone.
#[derive(Clone)]
pub struct StatusLists {
    store: Store,
    live: Arc<Live>,
    entropy: Arc<dyn Entropy>,
    lists: Arc<Lists>,
}

/// A process's leased indices and cached lists.
#[derive(Default)]
struct Lists {
    lease: tokio::sync::Mutex<Option<Lease>>,
    published: Mutex<PublishedLists>,
    numbers: Mutex<(Vec<i64>, Option<Timestamp>)>,
    builds: Builds,
}

impl fmt::Debug for StatusLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusLists")
    }
}

/// The URI of a list.
pub(super) fn list_uri(issuer: &str, list: i64) -> String {
    format!("{}/statuslists/{list}", issuer.trim_end_matches('/'))
}

impl StatusLists {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, live, entropy, lists: Arc::default() }
    }

    /// The URI of a list.
    #[must_use]
    pub fn list_uri(&self, list: i64) -> String {
        list_uri(self.live.issuer(), list)
    }

    /// The URI that lists all status lists.
    #[must_use]
    pub fn lists_uri(&self) -> String {
        format!("{}/statuslists", self.live.issuer().trim_end_matches('/'))
    }

    /// Allocates an unused index.
    pub(in crate::service) async fn next_index(&self, now: Timestamp) -> Result<StatusIndex> {
        let mut current = self.lists.lease.lock().await;
        let mut lease = match current.take().filter(|lease| lease.from < lease.to) {
            Some(lease) => lease,
            None => self.lease_indices(now).await?,
        };
        let index = status_place(&lease.key, lease.from);
        lease.from += 1;
        let list = lease.list;
        *current = Some(lease);
        Ok(StatusIndex { list, index })
    }

    async fn lease_indices(&self, now: Timestamp) -> Result<Lease> {
        let key = self.entropy.bytes32();
        for _ in 0..TRIES {
            let mut tx = self.store.write().await?;
            match tx.status_list_lease(LEASE_SIZE, &key, now).await {
                Ok(lease) => {
                    tx.commit().await?;
                    return Ok(lease);
                }
                Err(Error::Conflict) => {}
                Err(other) => return Err(other),
            }
        }
        Err(Error::Conflict)
    }

    /// The numbers of all lists, read from the database at most once a second.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn all(&self) -> Result<Vec<i64>> {
        let now = self.live.now();
        let (numbers, asked_at) = self.known();
        if asked_at.is_some_and(|at| now >= at && now < at.plus(REPUBLISH)) {
            return Ok(numbers);
        }
        let all = self.store.read().await?.status_lists_all().await?;
        *self.lists.numbers.lock().unwrap_or_else(PoisonError::into_inner) = (all.clone(), Some(now));
        Ok(all)
    }

    /// The same, or while the database is away, the numbers that it returned last.
    ///
    /// # Errors
    /// If the database is unreachable and has not been asked before.
    pub async fn all_or_last(&self) -> Result<Vec<i64>> {
        let (numbers, asked_at) = self.known();
        if asked_at.is_none() {
            return self.all().await;
        }
        match tokio::time::timeout(PATIENCE, self.all()).await {
            Err(_) | Ok(Err(Error::Unavailable(_))) => Ok(numbers),
            Ok(outcome) => outcome,
        }
    }

    fn known(&self) -> (Vec<i64>, Option<Timestamp>) {
        self.lists.numbers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The list to serve: the current one, or while that cannot be known or takes long, the last one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no last one that may still be served.
    pub async fn serve(&self, list: i64) -> Result<Option<ServedList>> {
        let current = async { self.list(list).await.map(|found| found.map(|list| ServedList { list, age: None })) };
        if self.last(list).is_none() {
            return current.await;
        }
        match tokio::time::timeout(PATIENCE, current).await {
            Ok(Err(error @ Error::Unavailable(_))) => self.last(list).map(Some).ok_or(error),
            Ok(outcome) => outcome,
            Err(_) => self.last(list).map(Some).ok_or_else(|| Error::Unavailable("a status list takes long".into())),
        }
    }

    /// The list that was built last, unchanged, until it expires. It is worth as much as the copies of it that
    /// verifiers have. A list whose key was revoked is worth nothing, nor is one of an issuer that was changed, which
    /// ends all confirmations.
    fn last(&self, list: i64) -> Option<ServedList> {
        let built = self.published(list)?;
        let (now, snapshot) = (self.live.now(), self.live.snapshot());
        let expires = built.built_at.seconds() + LIST_LIFETIME.seconds();
        let age = now.since(built.built_at);
        let valid = age.millis() >= 0 && now.seconds() < expires && !snapshot.revoked_keys.contains_key(&built.kid);
        let confirmed = self.live.confirmation_age() < LIST_LIFETIME.plus(snapshot.settings.confirm_within);
        (valid && confirmed).then_some(ServedList { list: built, age: Some(age) })
    }

    /// The current state of a list; `None` if no list has that number.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while this process may have missed a revocation.
    pub async fn list(&self, list: i64) -> Result<Option<Arc<PublishedList>>> {
        let snapshot = self.live.for_signing()?;
        if let Some(cached) = self.cached(list, &snapshot, self.live.now()) {
            return Ok(Some(cached));
        }
        if self.published(list).is_none() && !self.all().await?.contains(&list) {
            return Ok(None);
        }
        let this = self.clone();
        self.lists.builds.join_or_start(list, || async move { this.rebuild(list).await }).await.map(Some)
    }

    /// Builds a list and publishes it, unless that was done meanwhile.
    async fn rebuild(&self, list: i64) -> Result<Arc<PublishedList>> {
        let snapshot = self.live.for_signing()?;
        let now = self.live.now();
        if let Some(cached) = self.cached(list, &snapshot, now) {
            return Ok(cached);
        }
        let built = Arc::new(self.build(list, &snapshot, now).await?);
        self.lists.published.lock().unwrap_or_else(PoisonError::into_inner).insert(list, built.clone());
        Ok(built)
    }

    fn published(&self, list: i64) -> Option<Arc<PublishedList>> {
        self.lists.published.lock().unwrap_or_else(PoisonError::into_inner).get(list)
    }

    /// The cached list, if it is unchanged or was built very recently.
    fn cached(&self, list: i64, snapshot: &Snapshot, now: Timestamp) -> Option<Arc<PublishedList>> {
        let cached = self.published(list)?;
        let age = now.since(cached.built_at);
        let unchanged = cached.seq == snapshot.head.seq && age < LIST_TTL && !recently_disabled(snapshot, now);
        // A list signed with a revoked key is useless to verifiers that have dropped the key.
        let signed = snapshot.ring.signing(Algorithm::Rs256).is_some_and(|key| key.kid == cached.kid);
        (signed && age.millis() >= 0 && (unchanged || age < REPUBLISH)).then_some(cached)
    }

    async fn build(&self, list: i64, snapshot: &Snapshot, now: Timestamp) -> Result<PublishedList> {
        let mut bits = Bits::default();
        let mut set = |status: Option<StatusIndex>| {
            if let Some(status) = status.filter(|s| s.list == list) {
                bits.set(status.index);
            }
        };
        for revoked in snapshot.revoked_sessions.values().filter(|r| r.ends_at > now) {
            set(revoked.status);
        }
        let disabled: Vec<_> = snapshot.clients.values().filter(|c| c.disabled_at.is_some()).collect();
        for client in &disabled {
            set(client.status);
        }
        if !disabled.is_empty() {
            let ids: Vec<ClientId> = disabled.iter().map(|c| c.id.clone()).collect();
            let sessions = self.store.report().await?.status_of_clients(&ids, list).await?;
            for status in sessions {
                set(Some(status));
            }
        }
        let key = snapshot.ring.signing(Algorithm::Rs256);
        let key = key.ok_or_else(|| Error::Unavailable("no RS256 key signs yet".into()))?;
        let (uri, all) = (self.list_uri(list), self.lists_uri());
        let iat = now.seconds();
        let token = key.sign_list(&ListClaims {
            sub: &uri,
            iss: self.live.issuer(),
            iat,
            exp: iat + LIST_LIFETIME.seconds(),
            ttl: LIST_TTL.seconds(),
            status_list: EncodedList { bits: 1, lst: encode_list(&bits)?, aggregation_uri: &all },
        })?;
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())));
        Ok(PublishedList { token: token.into(), etag, kid: key.kid.clone(), seq: snapshot.head.seq, built_at: now })
    }
}

/// Whether a client was disabled so recently that another process may still have opened a session for it.
fn recently_disabled(snapshot: &Snapshot, now: Timestamp) -> bool {
    let within = snapshot.settings.confirm_within.plus(LIST_TTL);
    snapshot.clients.values().filter_map(|c| c.disabled_at).any(|at| now < at.plus(within))
}
