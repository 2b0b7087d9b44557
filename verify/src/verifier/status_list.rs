//! Token status lists (draft-ietf-oauth-status-list): fetched, checked, kept for their `ttl`.

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Decompress, FlushDecompress, Status};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::{Claims, Freshness, KeySet, VerifyError, clock::Moment, jws, keys::Algorithm};

/// Longest time a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes, and largest list when inflated.
const MAX_BODY: usize = 4 * 1024 * 1024;
const MAX_LIST: usize = 16 * 1024 * 1024;
/// Most lists kept.
const MAX_LISTS: usize = 1024;
/// Bounds of a `ttl` that is believed.
const TTL_MS: (i64, i64) = (1_000, 3_600_000);
/// Least time between two attempts at a list that could not be had.
const RETRY_MS: i64 = 1_000;

/// A list as it was at one moment.
#[derive(Debug)]
struct List {
    bits: usize,
    bytes: Vec<u8>,
    read_at: Moment,
    ttl_ms: i64,
    /// By the wall clock.
    ends_ms: i64,
}

/// A list, and how the last attempt to read it went.
#[derive(Clone, Debug, Default)]
struct Entry {
    list: Option<Arc<List>>,
    tried_ms: Option<i64>,
    failed: bool,
}

/// The lists of one issuer.
#[derive(Debug)]
pub(super) struct Lists {
    client: reqwest::Client,
    prefix: String,
    held: RwLock<HashMap<String, Entry>>,
    fetching: Mutex<()>,
}

impl Lists {
    pub(super) fn new(issuer: &str) -> Self {
        // A redirect could lead to lists of somebody else.
        let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Self {
            client: client.build().unwrap_or_default(),
            prefix: format!("{}/statuslists/", issuer.trim_end_matches('/')),
            held: RwLock::default(),
            fetching: Mutex::new(()),
        }
    }

    /// Whether the token's bit is set. Waits for the list if it is not at hand.
    pub(super) async fn check(
        self: &Arc<Self>,
        claims: &Claims,
        keys: &Arc<KeySet>,
        at: Moment,
        fail_open_ms: i64,
    ) -> Result<(), VerifyError> {
        let (index, uri) = self.place(claims)?;
        if let Some(list) = self.usable(uri, keys, at, fail_open_ms) {
            return list.verdict(index);
        }
        let _turn = self.fetching.lock().await;
        let entry = self.entry(uri);
        if !entry.fresh(at) && !entry.tried_within(RETRY_MS, at) {
            self.fetch(uri, keys, at).await;
        }
        let list = self.entry(uri).bearable(at, fail_open_ms).ok_or(VerifyError::RevocationsUnknown)?;
        list.verdict(index)
    }

    /// The same by what is at hand.
    pub(super) fn check_now(
        self: &Arc<Self>,
        claims: &Claims,
        keys: &Arc<KeySet>,
        at: Moment,
        fail_open_ms: i64,
    ) -> Result<(), VerifyError> {
        let (index, uri) = self.place(claims)?;
        if let Some(list) = self.usable(uri, keys, at, fail_open_ms) {
            return list.verdict(index);
        }
        self.fetch_beside(uri, keys, at);
        Err(VerifyError::RevocationsUnknown)
    }

    /// The list, if nobody needs to wait for it: it is fresh, or it is bearable and cannot be had anew.
    /// One that is used is read again, beside, before its time is over.
    fn usable(self: &Arc<Self>, uri: &str, keys: &Arc<KeySet>, at: Moment, fail_open_ms: i64) -> Option<Arc<List>> {
        let entry = self.entry(uri);
        let list = entry.bearable(at, fail_open_ms).filter(|_| entry.fresh(at) || entry.failed)?;
        if list.age(at) >= list.ttl_ms / 2 && !entry.tried_within(RETRY_MS, at) {
            self.fetch_beside(uri, keys, at);
        }
        Some(list)
    }

    fn entry(&self, uri: &str) -> Entry {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(uri).cloned().unwrap_or_default()
    }

    fn note(&self, uri: &str, change: impl FnOnce(&mut Entry)) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX_LISTS && !held.contains_key(uri) {
            held.clear();
        }
        change(held.entry(uri.to_owned()).or_default());
    }

    fn fetch_beside(self: &Arc<Self>, uri: &str, keys: &Arc<KeySet>, at: Moment) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (lists, uri, keys) = (self.clone(), uri.to_owned(), keys.clone());
        runtime.spawn(async move {
            // Whoever reads has the turn; a second reader has nothing to add.
            if let Ok(_turn) = lists.fetching.try_lock() {
                lists.fetch(&uri, &keys, at).await;
            }
        });
    }

    /// Reads a list. What was true when the question was sent is true of the answer: its age counts from then.
    async fn fetch(&self, uri: &str, keys: &KeySet, at: Moment) {
        self.note(uri, |e| e.tried_ms = Some(at.elapsed_ms));
        let list = self.download(uri).await.and_then(|token| read(&token, uri, keys, at));
        self.note(uri, |e| {
            e.failed = list.is_none();
            if let Some(list) = list {
                e.list = Some(Arc::new(list));
            }
        });
    }

    async fn download(&self, uri: &str) -> Option<String> {
        let request = self.client.get(uri).header("accept", "application/statuslist+jwt");
        let mut response = request.send().await.ok().filter(|r| r.status() == reqwest::StatusCode::OK)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return None;
            }
        }
        String::from_utf8(body).ok()
    }

    /// Where the token says its bit is: only in the issuer's own lists, wherever it points (SSRF, substitution).
    fn place<'a>(&self, claims: &'a Claims) -> Result<(usize, &'a str), VerifyError> {
        place(claims).filter(|(_, uri)| uri.starts_with(&self.prefix)).ok_or(VerifyError::Claim("status"))
    }

    /// Of the list that was heard of longest ago; what is not at hand yet is not counted.
    pub(super) fn freshness(&self, at: Moment) -> Freshness {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.values().any(|e| e.list.is_none() && e.failed) {
            return Freshness::NotReady;
        }
        let failing = held.values().filter(|e| e.failed && !e.fresh(at)).filter_map(|e| e.list.as_ref());
        failing.map(|list| list.age(at)).max().map_or(Freshness::Fresh, Freshness::Stale)
    }
}

impl Entry {
    fn fresh(&self, at: Moment) -> bool {
        self.list.as_ref().is_some_and(|list| list.age(at) < list.ttl_ms && at.now_ms < list.ends_ms)
    }

    /// The list, if it may still be used while it cannot be had anew.
    fn bearable(&self, at: Moment, fail_open_ms: i64) -> Option<Arc<List>> {
        self.list.clone().filter(|list| self.fresh(at) || list.age(at) < list.ttl_ms.saturating_add(fail_open_ms))
    }

    fn tried_within(&self, ms: i64, at: Moment) -> bool {
        self.tried_ms.is_some_and(|tried| at.elapsed_ms.saturating_sub(tried) < ms)
    }
}

/// What the token says of its place.
fn place(claims: &Claims) -> Option<(usize, &str)> {
    let list = claims.extra.get("status")?.get("status_list")?;
    Some((usize::try_from(list.get("idx")?.as_u64()?).ok()?, list.get("uri")?.as_str()?))
}

impl List {
    fn verdict(&self, index: usize) -> Result<(), VerifyError> {
        match self.status(index) {
            Some(0) => Ok(()),
            Some(_) => Err(VerifyError::Revoked),
            None => Err(VerifyError::Claim("status")),
        }
    }

    fn age(&self, at: Moment) -> i64 {
        at.since(self.read_at)
    }

    /// The entry at an index; nothing beyond the end.
    fn status(&self, index: usize) -> Option<u8> {
        let per_byte = 8 / self.bits;
        let byte = self.bytes.get(index / per_byte)?;
        let mask = u8::try_from((1_u16 << self.bits) - 1).unwrap_or(u8::MAX);
        Some(byte >> (index % per_byte * self.bits) & mask)
    }
}

/// Reads a list that must be this issuer's, for this address, and still good (§8.3).
fn read(token: &str, uri: &str, keys: &KeySet, at: Moment) -> Option<List> {
    let parsed = jws::parse_any(token).ok()?;
    let typ = parsed.typ.as_deref()?.to_ascii_lowercase();
    if typ.strip_prefix("application/").unwrap_or(&typ) != "statuslist+jwt" {
        return None;
    }
    let key = keys.get(&parsed.kid).filter(|key| Algorithm::from_name(&parsed.alg) == Some(key.algorithm))?;
    if !key.verifies(parsed.signed, &parsed.signature) {
        return None;
    }
    let claims: Map<String, Value> = parsed.claims().ok()?;
    if claims.get("sub")?.as_str()? != uri {
        return None;
    }
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let ends_ms = seconds("exp")?.checked_mul(1000).filter(|ends| at.now_ms < *ends)?;
    let ttl_ms = seconds("ttl").map_or(TTL_MS.0, |s| s.saturating_mul(1000)).clamp(TTL_MS.0, TTL_MS.1);
    let list = claims.get("status_list")?;
    let bits = usize::try_from(list.get("bits")?.as_u64()?).ok().filter(|b| [1, 2, 4, 8].contains(b))?;
    let bytes = inflated(&URL_SAFE_NO_PAD.decode(list.get("lst")?.as_str()?).ok()?)?;
    Some(List { bits, bytes, read_at: at, ttl_ms, ends_ms })
}

/// Inflates a ZLIB stream (RFC 1950), no further than the bound, with its checksum and without anything after it.
fn inflated(zlib: &[u8]) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_the_drafts_examples_are_read() {
        for (text, bits, want) in
            [("eNrbuRgAAhcBXQ", 1, [1, 0, 0, 1, 1, 1, 0, 1]), ("eNo76fITAAPfAgc", 2, [1, 2, 0, 3, 0, 1, 0, 1])]
        {
            let bytes = inflated(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
            let list = List { bits, bytes, read_at: Moment { now_ms: 0, elapsed_ms: 0 }, ttl_ms: 0, ends_ms: 0 };
            let read: Vec<u8> = (0..8).map(|n| list.status(n).unwrap()).collect();
            assert_eq!(read, want, "{text}");
        }
    }

    #[test]
    fn r06_an_index_beyond_the_end_has_no_status() {
        let list =
            List { bits: 1, bytes: vec![0; 2], read_at: Moment { now_ms: 0, elapsed_ms: 0 }, ttl_ms: 0, ends_ms: 0 };
        assert_eq!((list.status(15), list.status(16)), (Some(0), None));
    }

    #[test]
    fn r07_bombs_and_broken_streams_are_refused() {
        let good = URL_SAFE_NO_PAD.decode("eNrbuRgAAhcBXQ").unwrap();
        assert!(inflated(&[&good[..], b"x"].concat()).is_none(), "something after the end");
        assert!(inflated(&good[..good.len() - 1]).is_none(), "cut short");
        let mut wrong = good.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert!(inflated(&wrong).is_none(), "wrong checksum");
        let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut bomb, &vec![0; MAX_LIST + 1]).unwrap();
        assert!(inflated(&bomb.finish().unwrap()).is_none(), "too large");
    }
}
