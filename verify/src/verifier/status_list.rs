//! Fetches, checks and caches token status lists (draft-ietf-oauth-status-list).

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Decompress, FlushDecompress, Status};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{
    http::{HttpClient, HttpError},
    shared_read::{ReadHandle, SharedRead},
};
use crate::{
    Claims, Clock, Freshness, KeySet, VerifyError, check::verify_signature, clock::Moment, jws, keys::Algorithm,
};

/// Maximum size in bytes of a response, and of an inflated list.
const MAX_BODY: usize = 4 * 1024 * 1024;
const MAX_LIST: usize = 16 * 1024 * 1024;
/// Maximum number of cached lists, and their total size in bytes.
const MAX_LISTS: usize = 1024;
const MAX_TOTAL: usize = 64 * 1024 * 1024;
/// Maximum number of lists that are fetched at the same time.
const MAX_FETCHES: usize = 4;
/// The range that a list's `ttl` is clamped to.
const TTL_MS: (i64, i64) = (1_000, 3_600_000);
/// Minimum time between two attempts to fetch a list.
const RETRY_MS: i64 = 1_000;
/// A list is dropped when no token has referred to it for this long.
const FORGET_AFTER_MS: i64 = 300_000;

/// The content of a list at one moment.
#[derive(Debug)]
struct List {
    bits: usize,
    bytes: Vec<u8>,
    requested_at: Moment,
    ttl_ms: i64,
    /// The list's `exp`, by the wall clock.
    expires_ms: i64,
}

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
    /// Whether a background task refreshes it.
    being_refreshed: bool,
}

/// The status lists of one issuer.
#[derive(Debug)]
pub(super) struct Lists {
    client: HttpClient,
    fetches: Semaphore,
    prefix: String,
    entries: RwLock<HashMap<String, Entry>>,
}

/// The inputs that all steps of one check share.
#[derive(Clone, Copy)]
pub(super) struct CheckContext<'a> {
    pub(super) at: Moment,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) fail_open_ms: i64,
}

impl Lists {
    pub(super) fn new(issuer: &str) -> Self {
        Self {
            client: HttpClient::new(),
            fetches: Semaphore::new(MAX_FETCHES),
            prefix: format!("{}/statuslists/", issuer.trim_end_matches('/')),
            entries: RwLock::default(),
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
        if entry.used_at.is_none_or(|used| at.elapsed_since(used) >= RETRY_MS) {
            self.update_entry(uri, |e| {
                e.used_at = Some(at);
                e.keys = Some(keys.clone());
            });
        }
        let old = entry.list.as_ref().is_none_or(|list| list.age(at) >= list.ttl_ms / 2);
        let handle =
            (old && !entry.attempted_within(RETRY_MS, at)).then(|| self.start_read(uri, keys, context)).flatten();
        let list = entry.usable(context).filter(|_| entry.fresh(at) || entry.failed);
        list.ok_or_else(|| handle.or_else(|| entry.reading.in_progress()))
    }

    fn entry(&self, uri: &str) -> Entry {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(uri).cloned().unwrap_or_default()
    }

    fn update_entry<T>(&self, uri: &str, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_LISTS && !entries.contains_key(uri) {
            entries.clear();
        }
        change(entries.entry(uri.to_owned()).or_default())
    }

    /// Starts a fetch, or joins the one in progress. Also starts the background task that refreshes the list.
    fn start_read(self: &Arc<Self>, uri: &str, keys: &Arc<KeySet>, context: CheckContext<'_>) -> Option<ReadHandle> {
        let (reading, first) =
            self.update_entry(uri, |e| (e.reading.clone(), !std::mem::replace(&mut e.being_refreshed, true)));
        let (uri, keys, clock) = (uri.to_owned(), keys.clone(), context.clock.clone());
        if first && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let weak = Arc::downgrade(self);
            runtime.spawn(keep_fresh(weak, uri.clone(), clock.clone()));
        }
        let lists = self.clone();
        reading.join_or_start(|| async move { lists.fetch(&uri, &keys, &*clock).await })
    }

    /// Fetches a list. Its age counts from the request, because the answer is only as current as that.
    async fn fetch(&self, uri: &str, keys: &KeySet, clock: &dyn Clock) {
        let requested_at = Moment::now(clock);
        let list = match self.download(uri).await {
            Ok(token) => parse_list(&token, uri, keys, requested_at).ok_or("the list is not valid".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = &list {
            tracing::warn!(uri, reason, "cannot read a status list");
        }
        self.update_entry(uri, |e| {
            e.attempted_at = Some(Moment::now(clock));
            e.failed = list.is_err();
            if let Ok(list) = list {
                e.list = Some(Arc::new(list));
            }
        });
        self.drop_least_used(uri);
    }

    /// Drops the lists that were used longest ago until all fit into the memory for them, but never `uri`.
    fn drop_least_used(&self, uri: &str) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = |entry: &Entry| entry.list.as_ref().map_or(0, |list| list.bytes.capacity());
        let mut total: usize = entries.values().map(bytes).sum();
        while total > MAX_TOTAL {
            let others = entries.iter().filter(|(name, entry)| *name != uri && entry.list.is_some());
            let oldest = others.min_by_key(|(_, entry)| entry.used_at.map_or(i64::MIN, |at| at.elapsed_ms));
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return };
            total -= entries.remove(&oldest).as_ref().map_or(0, bytes);
        }
    }

    async fn download(&self, uri: &str) -> Result<String, HttpError> {
        // A few at a time: each takes memory for its body and for the list.
        let _permit = self.fetches.acquire().await;
        let response = self.client.get(uri, "application/statuslist+jwt", MAX_BODY).await?;
        String::from_utf8(response.body).map_err(|_| HttpError::NotText)
    }

    /// The position that the token refers to. Only the issuer's own lists are allowed, wherever the token
    /// points (SSRF, substitution).
    fn list_position<'a>(&self, claims: &'a Claims) -> Result<(usize, &'a str), VerifyError> {
        status_claim(claims).filter(|(_, uri)| uri.starts_with(&self.prefix)).ok_or(VerifyError::Claim("status"))
    }

    /// The freshness of the most outdated list that failed. A list that was never fetched does not count,
    /// unless there is no other.
    pub(super) fn freshness(&self, at: Moment) -> Freshness {
        freshness(&self.entries.read().unwrap_or_else(PoisonError::into_inner), at)
    }

    /// Whether tokens that refer to the cached lists are accepted.
    pub(super) fn all_usable(&self, context: CheckContext<'_>) -> bool {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry_usable = |e: &Entry| e.list.is_none() || !e.failed || e.usable(context).is_some();
        freshness(&entries, context.at) != Freshness::NotReady && entries.values().all(entry_usable)
    }

    /// Drops a list that no token has referred to lately; returns whether it did.
    fn forget_unused(&self, uri: &str, at: Moment) -> bool {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let unused =
            entries.get(uri).is_none_or(|e| e.used_at.is_none_or(|used| at.elapsed_since(used) >= FORGET_AFTER_MS));
        if unused {
            entries.remove(uri);
        }
        unused
    }
}

/// Refreshes a list when half of its `ttl` has passed, so that no request waits for it. Ends when the list is
/// no longer used.
#[expect(clippy::disallowed_methods, reason = "a job that waits between reads")]
async fn keep_fresh(weak: Weak<Lists>, uri: String, clock: Arc<dyn Clock>) {
    loop {
        let Some(lists) = weak.upgrade() else { return };
        let ttl_ms = lists.entry(&uri).list.map_or(2 * RETRY_MS, |list| list.ttl_ms);
        drop(lists);
        tokio::time::sleep(Duration::from_millis(u64::try_from(ttl_ms / 2).unwrap_or_default())).await;
        let Some(lists) = weak.upgrade() else { return };
        let at = Moment::now(&*clock);
        if lists.forget_unused(&uri, at) {
            return;
        }
        let entry = lists.entry(&uri);
        let Some(set) = entry.keys else { return };
        if entry.list.is_none_or(|list| list.age(at) >= list.ttl_ms / 2 - RETRY_MS) {
            let (reader, fetch_clock, list_uri) = (lists.clone(), clock.clone(), uri.clone());
            let handle =
                entry.reading.join_or_start(|| async move { reader.fetch(&list_uri, &set, &*fetch_clock).await });
            drop(lists);
            if let Some(handle) = handle {
                handle.wait().await;
            }
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

impl Entry {
    fn fresh(&self, at: Moment) -> bool {
        self.list.as_ref().is_some_and(|list| list.age(at) < list.ttl_ms && at.now_ms < list.expires_ms)
    }

    /// The list, if it may be used: it is fresh, or within `fail_open_ms` after it expired.
    fn usable(&self, context: CheckContext<'_>) -> Option<Arc<List>> {
        let within_fail_open = |list: &Arc<List>| {
            context.fail_open_ms > 0 && list.age(context.at) < list.ttl_ms.saturating_add(context.fail_open_ms)
        };
        self.list.clone().filter(|list| self.fresh(context.at) || within_fail_open(list))
    }

    fn attempted_within(&self, ms: i64, at: Moment) -> bool {
        self.attempted_at.is_some_and(|attempted| at.elapsed_ms.saturating_sub(attempted.elapsed_ms) < ms)
    }
}

/// The index and URI in the token's `status` claim.
fn status_claim(claims: &Claims) -> Option<(usize, &str)> {
    let status = claims.status.as_ref()?;
    Some((usize::try_from(status.index).ok()?, &status.uri))
}

impl List {
    fn check_index(&self, index: usize) -> Result<(), VerifyError> {
        match self.status(index) {
            Some(0) => Ok(()),
            Some(_) => Err(VerifyError::Revoked),
            None => Err(VerifyError::Claim("status")),
        }
    }

    fn age(&self, at: Moment) -> i64 {
        at.elapsed_since(self.requested_at)
    }

    /// The status at an index, or `None` beyond the end of the list.
    fn status(&self, index: usize) -> Option<u8> {
        let per_byte = 8 / self.bits;
        let byte = self.bytes.get(index / per_byte)?;
        let mask = u8::try_from((1_u16 << self.bits) - 1).unwrap_or(u8::MAX);
        Some(byte >> (index % per_byte * self.bits) & mask)
    }
}

/// Parses and verifies a list: the issuer must have signed it, for this URI, and it must not have expired
/// (§8.3).
fn parse_list(token: &str, uri: &str, keys: &KeySet, at: Moment) -> Option<List> {
    let parsed = jws::parse_unbounded(token).ok()?;
    let typ = parsed.typ.as_deref()?.to_ascii_lowercase();
    if typ.strip_prefix("application/").unwrap_or(&typ) != "statuslist+jwt" {
        return None;
    }
    verify_signature(keys, &parsed, &Algorithm::ALL).ok()?;
    let claims: Map<String, Value> = parsed.claims().ok()?;
    if claims.get("sub")?.as_str()? != uri {
        return None;
    }
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let expires_ms = seconds("exp")?.checked_mul(1000).filter(|expires| at.now_ms < *expires)?;
    let ttl_ms = seconds("ttl").map_or(TTL_MS.0, |s| s.saturating_mul(1000)).clamp(TTL_MS.0, TTL_MS.1);
    let list = claims.get("status_list")?;
    let bits = usize::try_from(list.get("bits")?.as_u64()?).ok().filter(|b| [1, 2, 4, 8].contains(b))?;
    let bytes = inflate(&URL_SAFE_NO_PAD.decode(list.get("lst")?.as_str()?).ok()?)?;
    Some(List { bits, bytes, requested_at: at, ttl_ms, expires_ms })
}

/// Inflates a ZLIB stream (RFC 1950) up to the size limit. The checksum must match, and nothing may follow the
/// stream.
fn inflate(zlib: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let limit = u64::try_from(MAX_LIST).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::ZlibDecoder::new(zlib).take(limit).read_to_end(&mut out).ok()?;
    if out.len() > MAX_LIST {
        return None;
    }
    let mut whole = Decompress::new(true);
    let mut again = vec![0; out.len().saturating_add(1)];
    let end = whole.decompress(zlib, &mut again, FlushDecompress::Finish).ok()?;
    let used = usize::try_from(whole.total_in()).ok()?;
    (end == Status::StreamEnd && used == zlib.len()).then_some(out)
}

/// Whether a list is accepted. Looks up every place of a small one, and some beyond the end.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn accepts_list(token: &str, uri: &str, keys: &KeySet, at: Moment) -> bool {
    let Some(list) = parse_list(token, uri, keys, at) else { return false };
    let places = list.bytes.len() * 8 / list.bits;
    assert!(list.bytes.len() <= MAX_LIST && (TTL_MS.0..=TTL_MS.1).contains(&list.ttl_ms), "within the bounds");
    assert!((0..places.min(1024)).all(|index| list.status(index).is_some()), "each place has a status");
    assert!([places, usize::MAX].iter().all(|index| list.status(*index).is_none()), "no place beyond the end");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_the_examples_of_the_draft_are_parsed() {
        for (text, bits, want) in
            [("eNrbuRgAAhcBXQ", 1, [1, 0, 0, 1, 1, 1, 0, 1]), ("eNo76fITAAPfAgc", 2, [1, 2, 0, 3, 0, 1, 0, 1])]
        {
            let bytes = inflate(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
            let list =
                List { bits, bytes, requested_at: Moment { now_ms: 0, elapsed_ms: 0 }, ttl_ms: 0, expires_ms: 0 };
            let read: Vec<u8> = (0..8).map(|n| list.status(n).unwrap()).collect();
            assert_eq!(read, want, "{text}");
        }
    }

    #[test]
    fn r06_an_index_beyond_the_end_has_no_status() {
        let list = List {
            bits: 1,
            bytes: vec![0; 2],
            requested_at: Moment { now_ms: 0, elapsed_ms: 0 },
            ttl_ms: 0,
            expires_ms: 0,
        };
        assert_eq!((list.status(15), list.status(16)), (Some(0), None));
    }

    #[test]
    fn r07_decompression_bombs_and_broken_streams_are_refused() {
        let good = URL_SAFE_NO_PAD.decode("eNrbuRgAAhcBXQ").unwrap();
        assert!(inflate(&[&good[..], b"x"].concat()).is_none(), "bytes after the end");
        assert!(inflate(&good[..good.len() - 1]).is_none(), "truncated");
        let mut wrong = good.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert!(inflate(&wrong).is_none(), "wrong checksum");
        let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut bomb, &vec![0; MAX_LIST + 1]).unwrap();
        assert!(inflate(&bomb.finish().unwrap()).is_none(), "too large");
    }
}
