//! Fetches, checks and caches token status lists (draft-ietf-oauth-status-list).

mod list;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use reqwest::Url;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::list::accepts_list;
use self::list::{List, parse_list};
use super::{
    http::{HttpClient, HttpError},
    shared_read::{ReadHandle, SharedRead},
};
use crate::{Claims, Clock, Freshness, KeySet, VerifyError, clock::Moment};

/// Maximum size of a response, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Maximum number of cached lists, and their total size in bytes.
pub(super) const MAX_LISTS: usize = 1024;
const MAX_TOTAL: usize = 64 * 1024 * 1024;
/// Maximum number of lists that are fetched at the same time.
const MAX_FETCHES: usize = 4;
/// Minimum time between two attempts to fetch a list.
const RETRY_MS: i64 = 1_000;
/// A list is dropped when no token has referred to it for this long.
const FORGET_AFTER_MS: i64 = 300_000;
/// How often the lists in use are looked through for those that are due: half of the shortest `ttl`.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A list and the result of the last attempt to fetch it.
#[derive(Clone, Debug, Default)]
struct Entry {
    list: Option<Arc<List>>,
    /// When a token last referred to it.
    used_at: Option<Moment>,
    /// When the last attempt to fetch it ended.
    attempted_at: Option<Moment>,
    failed: bool,
    reading: Arc<SharedRead>,
    /// The key set that tokens were last verified with.
    keys: Option<Arc<KeySet>>,
    /// When the background task may fetch it again.
    refresh_at: Option<Instant>,
}

/// The cached lists.
#[derive(Debug, Default)]
struct Cache {
    entries: HashMap<String, Entry>,
    /// Whether the task that refreshes them runs.
    being_refreshed: bool,
}

/// The status lists of one issuer.
#[derive(Debug)]
pub(super) struct Lists {
    client: HttpClient,
    /// A few at a time: each takes memory for its body and for the list.
    fetches: Arc<Semaphore>,
    prefix: String,
    cache: RwLock<Cache>,
}

/// The inputs that all steps of one check share.
#[derive(Clone, Copy)]
pub(super) struct CheckContext<'a> {
    pub(super) at: Moment,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) fail_open_ms: i64,
}

impl Lists {
    pub(super) fn new(issuer: &str, client: HttpClient) -> Self {
        Self {
            client,
            fetches: Arc::new(Semaphore::new(MAX_FETCHES)),
            prefix: format!("{}/statuslists/", issuer.trim_end_matches('/')),
            cache: RwLock::default(),
        }
    }

    /// Fails if the token's status is not 0. Waits for a list that was not in use lately.
    pub(super) async fn check(
        self: &Arc<Self>,
        claims: &Claims,
        keys: &Arc<KeySet>,
        context: CheckContext<'_>,
    ) -> Result<(), VerifyError> {
        let (index, uri) = self.list_position(claims)?;
        match self.cached(uri, keys, context) {
            Ok(list) => list.check_index(index),
            Err(handle) => {
                if let Some(handle) = handle {
                    handle.wait().await;
                }
                let list = self.entry(uri).usable(context).ok_or(VerifyError::RevocationsUnknown)?;
                list.check_index(index)
            }
        }
    }

    /// Like [`check`](Self::check), with what is cached, without waiting.
    pub(super) fn check_now(
        self: &Arc<Self>,
        claims: &Claims,
        keys: &Arc<KeySet>,
        context: CheckContext<'_>,
    ) -> Result<(), VerifyError> {
        let (index, uri) = self.list_position(claims)?;
        self.cached(uri, keys, context).map_err(|_| VerifyError::RevocationsUnknown)?.check_index(index)
    }

    /// The list, if there is no need to wait for it: it is fresh, or it is still usable and the last fetch
    /// failed. Otherwise a handle to wait for the fetch in progress.
    fn cached(
        self: &Arc<Self>,
        uri: &str,
        keys: &Arc<KeySet>,
        context: CheckContext<'_>,
    ) -> Result<Arc<List>, Option<ReadHandle>> {
        let at = context.at;
        let entry = self.entry(uri);
        if entry.used_at.is_none_or(|used| at.elapsed_since(used) >= RETRY_MS) && !self.mark_used(uri, keys, at) {
            return Err(None);
        }
        let handle = entry.is_due(at).then(|| self.start_read(uri, keys, context.clock)).flatten();
        let list = entry.usable(context).filter(|_| entry.fresh(at) || entry.failed);
        list.ok_or_else(|| handle.or_else(|| entry.reading.in_progress()))
    }

    fn entry(&self, uri: &str) -> Entry {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).entries.get(uri).cloned().unwrap_or_default()
    }

    fn update<T>(&self, change: impl FnOnce(&mut Cache) -> T) -> T {
        change(&mut self.cache.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a token refers to a list. Returns whether there is room for it.
    fn mark_used(&self, uri: &str, keys: &Arc<KeySet>, at: Moment) -> bool {
        self.update(|cache| {
            let room = cache.make_room_for(uri);
            if room {
                let entry = cache.entries.entry(uri.to_owned()).or_default();
                entry.used_at = Some(at);
                entry.keys = Some(keys.clone());
            }
            room
        })
    }

    /// Starts a fetch, or joins the one in progress. Also starts the one background task that refreshes all lists.
    fn start_read(self: &Arc<Self>, uri: &str, keys: &Arc<KeySet>, clock: &Arc<dyn Clock>) -> Option<ReadHandle> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (reading, first) = self.update(|cache| {
            let reading = cache.entries.get(uri)?.reading.clone();
            Some((reading, !std::mem::replace(&mut cache.being_refreshed, true)))
        })?;
        if first {
            runtime.spawn(keep_fresh(Arc::downgrade(self), self.fetches.clone(), clock.clone()));
        }
        let (lists, uri, keys, clock) = (self.clone(), uri.to_owned(), keys.clone(), clock.clone());
        reading.join_or_start(|| async move {
            let Ok(permit) = lists.fetches.clone().acquire_owned().await else { return };
            lists.fetch(&uri, &keys, &*clock, permit).await;
        })
    }

    /// Fetches a list. Its age counts from the request, because the answer is only as current as that.
    async fn fetch(&self, uri: &str, keys: &KeySet, clock: &dyn Clock, permit: OwnedSemaphorePermit) {
        let requested_at = Moment::now(clock);
        let list = match self.download(uri).await {
            Ok((token, age_ms)) => {
                let list = parse_list(&token, uri, keys, requested_at, requested_at.before(age_ms));
                list.ok_or("the list is not valid".to_owned())
            }
            Err(error) => Err(error.to_string()),
        };
        drop(permit);
        let now = Moment::now(clock);
        let accepted = self.update(|cache| {
            let Some(entry) = cache.entries.get_mut(uri) else { return Ok(()) };
            entry.attempted_at = Some(now);
            let accepted = list.and_then(|list| entry.accept(list, now));
            entry.failed = accepted.is_err();
            cache.drop_least_used(uri);
            accepted
        });
        if let Err(reason) = accepted {
            tracing::warn!(uri, reason, "cannot read a status list");
        }
    }

    /// The list as text, and how long it was in caches, in milliseconds.
    async fn download(&self, uri: &str) -> Result<(String, i64), HttpError> {
        let url = Url::parse(uri).map_err(|error| HttpError::Failed(error.to_string()))?;
        let response = self.client.get(&url, "application/statuslist+jwt", MAX_BODY).await?;
        let token = String::from_utf8(response.body).map_err(|_| HttpError::NotText)?;
        Ok((token, response.age_ms))
    }

    /// The position that the token refers to. Only the issuer's own lists are allowed, wherever the token
    /// points (SSRF, substitution).
    fn list_position<'a>(&self, claims: &'a Claims) -> Result<(usize, &'a str), VerifyError> {
        status_claim(claims).filter(|(_, uri)| uri.starts_with(&self.prefix)).ok_or(VerifyError::Claim("status"))
    }

    /// The freshness of the most outdated list that failed. A list that was never fetched does not count,
    /// unless there is no other.
    pub(super) fn freshness(&self, at: Moment) -> Freshness {
        freshness(&self.cache.read().unwrap_or_else(PoisonError::into_inner).entries, at)
    }

    /// Whether tokens that refer to the cached lists are accepted.
    pub(super) fn all_usable(&self, context: CheckContext<'_>) -> bool {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let entry_usable = |e: &Entry| e.list.is_none() || !e.failed || e.usable(context).is_some();
        freshness(&cache.entries, context.at) != Freshness::NotReady && cache.entries.values().all(entry_usable)
    }

    /// Drops the lists that are no longer in use, and returns those that are due; `None` if none is in use, so that
    /// the background task ends.
    fn due(&self, at: Moment) -> Option<Vec<String>> {
        let now = Instant::now();
        self.update(|cache| {
            cache.entries.retain(|_, entry| entry.used_within(FORGET_AFTER_MS, at));
            cache.being_refreshed = !cache.entries.is_empty();
            let due = cache.entries.iter_mut();
            let due = due.filter_map(|(uri, entry)| entry.take_refresh(at, now).then(|| uri.clone())).collect();
            cache.being_refreshed.then_some(due)
        })
    }

    /// Fetches a list that has not been fetched meanwhile.
    fn refresh(self: Arc<Self>, uri: String, clock: Arc<dyn Clock>, permit: OwnedSemaphorePermit) {
        let entry = self.entry(&uri);
        let Some(keys) = entry.keys.clone().filter(|_| entry.is_half_over(Moment::now(&*clock))) else { return };
        drop(entry.reading.join_or_start(|| async move { self.fetch(&uri, &keys, &*clock, permit).await }));
    }
}

/// Refreshes each list when half of its `ttl` has passed, so that no request waits for it. One task does it for all
/// lists. It ends when none is in use any longer.
#[expect(clippy::disallowed_methods, reason = "a job that waits between reads")]
async fn keep_fresh(weak: Weak<Lists>, fetches: Arc<Semaphore>, clock: Arc<dyn Clock>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(lists) = weak.upgrade() else { return };
        let Some(due) = lists.due(Moment::now(&*clock)) else { return };
        drop(lists);
        for uri in due {
            let Ok(permit) = fetches.clone().acquire_owned().await else { return };
            let Some(lists) = weak.upgrade() else { return };
            lists.refresh(uri, clock.clone(), permit);
        }
    }
}

fn freshness(entries: &HashMap<String, Entry>, at: Moment) -> Freshness {
    if entries.values().any(|e| e.failed) && entries.values().all(|e| e.list.is_none()) {
        return Freshness::NotReady;
    }
    let failing = entries.values().filter(|e| e.failed && !e.fresh(at)).filter_map(|e| e.list.as_ref());
    failing.map(|list| list.age(at)).max().map_or(Freshness::Fresh, Freshness::Stale)
}

impl Cache {
    /// Makes room for one more list: the one that was used longest ago goes, unless it is being fetched. Returns
    /// whether there is room.
    fn make_room_for(&mut self, uri: &str) -> bool {
        if self.entries.len() < MAX_LISTS || self.entries.contains_key(uri) {
            return true;
        }
        let oldest = self.least_used(|_, entry| entry.reading.in_progress().is_none());
        oldest.is_some_and(|oldest| self.entries.remove(&oldest).is_some())
    }

    /// Drops the lists that were used longest ago until all fit into the memory for them, but never `uri`.
    fn drop_least_used(&mut self, uri: &str) {
        let bytes = |entry: &Entry| entry.list.as_ref().map_or(0, |list| list.bytes());
        let mut total: usize = self.entries.values().map(bytes).sum();
        while total > MAX_TOTAL {
            let Some(oldest) = self.least_used(|name, entry| name != uri && entry.list.is_some()) else { return };
            total -= self.entries.remove(&oldest).as_ref().map_or(0, bytes);
        }
    }

    fn least_used(&self, may_go: impl Fn(&str, &Entry) -> bool) -> Option<String> {
        let candidates = self.entries.iter().filter(|(name, entry)| may_go(name, entry));
        let oldest = candidates.min_by_key(|(_, entry)| entry.used_at.map_or(i64::MIN, |at| at.elapsed_ms));
        oldest.map(|(name, _)| name.clone())
    }
}

impl Entry {
    fn fresh(&self, at: Moment) -> bool {
        self.list.as_ref().is_some_and(|list| list.fresh(at))
    }

    /// Whether it is time for a check to fetch it: it is not there or half over, and the last attempt is a while ago.
    fn is_due(&self, at: Moment) -> bool {
        let attempted = self.attempted_at.map(|attempted| at.elapsed_ms.saturating_sub(attempted.elapsed_ms));
        (self.list.is_none() || self.is_half_over(at)) && attempted.is_none_or(|ms| ms >= RETRY_MS)
    }

    /// Whether half of its `ttl` has passed.
    fn is_half_over(&self, at: Moment) -> bool {
        self.list.as_ref().is_some_and(|list| list.age(at) >= list.ttl_ms / 2)
    }

    /// Whether the background task is to fetch it now; not again before another half of its `ttl`. A list that never
    /// arrived is left to the checks that need it.
    fn take_refresh(&mut self, at: Moment, now: Instant) -> bool {
        let due = self.is_half_over(at) && self.refresh_at.is_none_or(|earliest| now >= earliest);
        if due {
            let half = self.list.as_ref().map_or(RETRY_MS, |list| list.ttl_ms / 2);
            self.refresh_at = Some(now + Duration::from_millis(u64::try_from(half).unwrap_or_default()));
        }
        due
    }

    fn used_within(&self, ms: i64, at: Moment) -> bool {
        self.used_at.is_some_and(|used| at.elapsed_since(used) < ms)
    }

    /// The list, if it may be used: it is fresh, or within `fail_open_ms` after it expired.
    fn usable(&self, context: CheckContext<'_>) -> Option<Arc<List>> {
        let within_fail_open = |list: &Arc<List>| {
            context.fail_open_ms > 0 && list.age(context.at) < list.ttl_ms.saturating_add(context.fail_open_ms)
        };
        self.list.clone().filter(|list| self.fresh(context.at) || within_fail_open(list))
    }

    /// Takes a list, unless the one at hand is newer.
    fn accept(&mut self, list: List, now: Moment) -> Result<(), String> {
        if self.list.as_ref().is_some_and(|current| current.is_newer_than(&list, now)) {
            return Err("the list is older than the one at hand".to_owned());
        }
        self.list = Some(Arc::new(list));
        Ok(())
    }
}

/// The index and URI in the token's `status` claim.
fn status_claim(claims: &Claims) -> Option<(usize, &str)> {
    let status = claims.status.as_ref()?;
    Some((usize::try_from(status.index).ok()?, &status.uri))
}
