//! Token status lists (draft-ietf-oauth-status-list): fetched, checked, kept for their `ttl`.

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Decompress, FlushDecompress, Status};
use serde_json::{Map, Value};

use super::flight::{Flight, Landing};
use crate::{Claims, Clock, Freshness, KeySet, VerifyError, check::signed_by, clock::Moment, jws, keys::Algorithm};

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
/// A list that no token has named for so long is forgotten.
const UNUSED_MS: i64 = 300_000;

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
    /// When a token last asked for it.
    used_at: Option<Moment>,
    /// When the last attempt ended.
    tried_at: Option<Moment>,
    failed: bool,
    reading: Arc<Flight>,
    /// The keys that tokens were last checked with.
    keys: Option<Arc<KeySet>>,
    /// Whether it is being kept fresh.
    kept: bool,
}

/// The lists of one issuer.
#[derive(Debug)]
pub(super) struct Lists {
    client: reqwest::Client,
    prefix: String,
    held: RwLock<HashMap<String, Entry>>,
}

/// The terms of one check.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) at: Moment,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) fail_open_ms: i64,
}

impl Lists {
    pub(super) fn new(issuer: &str) -> Self {
        // A redirect could lead to lists of somebody else.
        let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Self {
            client: client.build().unwrap_or_default(),
            prefix: format!("{}/statuslists/", issuer.trim_end_matches('/')),
            held: RwLock::default(),
        }
    }

    /// Whether the token's bit is set. Waits for a list that was not in use lately.
    pub(super) async fn check(
        self: &Arc<Self>,
        claims: &Claims,
        keys: &Arc<KeySet>,
        asking: Asking<'_>,
    ) -> Result<(), VerifyError> {
        let (index, uri) = self.place(claims)?;
        match self.at_hand(uri, keys, asking) {
            Ok(list) => list.verdict(index),
            Err(landing) => {
                if let Some(landing) = landing {
                    landing.wait().await;
                }
                let list = self.entry(uri).bearable(asking).ok_or(VerifyError::RevocationsUnknown)?;
                list.verdict(index)
            }
        }
    }

    /// The same by what is at hand.
    pub(super) fn check_now(
        self: &Arc<Self>,
        claims: &Claims,
        keys: &Arc<KeySet>,
        asking: Asking<'_>,
    ) -> Result<(), VerifyError> {
        let (index, uri) = self.place(claims)?;
        self.at_hand(uri, keys, asking).map_err(|_| VerifyError::RevocationsUnknown)?.verdict(index)
    }

    /// The list, if nobody needs to wait for it: it is fresh, or it is bearable and cannot be had anew. Else
    /// the end of the read for it.
    fn at_hand(
        self: &Arc<Self>,
        uri: &str,
        keys: &Arc<KeySet>,
        asking: Asking<'_>,
    ) -> Result<Arc<List>, Option<Landing>> {
        let at = asking.at;
        let entry = self.entry(uri);
        if entry.used_at.is_none_or(|used| at.since(used) >= RETRY_MS) {
            self.note(uri, |e| {
                e.used_at = Some(at);
                e.keys = Some(keys.clone());
            });
        }
        let old = entry.list.as_ref().is_none_or(|list| list.age(at) >= list.ttl_ms / 2);
        let landing = (old && !entry.tried_within(RETRY_MS, at)).then(|| self.begin(uri, keys, asking)).flatten();
        let list = entry.bearable(asking).filter(|_| entry.fresh(at) || entry.failed);
        list.ok_or_else(|| landing.or_else(|| entry.reading.under_way()))
    }

    fn entry(&self, uri: &str) -> Entry {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(uri).cloned().unwrap_or_default()
    }

    fn note<T>(&self, uri: &str, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX_LISTS && !held.contains_key(uri) {
            held.clear();
        }
        change(held.entry(uri.to_owned()).or_default())
    }

    /// Begins to read a list, or joins who does; and sees to it that it stays fresh while it is in use.
    fn begin(self: &Arc<Self>, uri: &str, keys: &Arc<KeySet>, asking: Asking<'_>) -> Option<Landing> {
        let (reading, first) = self.note(uri, |e| (e.reading.clone(), !std::mem::replace(&mut e.kept, true)));
        let (uri, keys, clock) = (uri.to_owned(), keys.clone(), asking.clock.clone());
        if first && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let lists = Arc::downgrade(self);
            runtime.spawn(keep_fresh(lists, uri.clone(), keys.clone(), clock.clone()));
        }
        let lists = self.clone();
        reading.join(|| async move { lists.fetch(&uri, &keys, &*clock).await })
    }

    /// Reads a list. What was true when the question was sent is true of the answer: its age counts from then.
    async fn fetch(&self, uri: &str, keys: &KeySet, clock: &dyn Clock) {
        let asked_at = Moment::of(clock);
        let list = self.download(uri).await.and_then(|token| read(&token, uri, keys, asked_at));
        if list.is_none() {
            tracing::warn!(uri, "a status list could not be read");
        }
        self.note(uri, |e| {
            e.tried_at = Some(Moment::of(clock));
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

    /// Of the list that was heard of longest ago. One that was never there makes nobody unready, unless there
    /// is no other.
    pub(super) fn freshness(&self, at: Moment) -> Freshness {
        freshness(&self.held.read().unwrap_or_else(PoisonError::into_inner), at)
    }

    /// Whether tokens of the lists at hand are accepted.
    pub(super) fn usable(&self, asking: Asking<'_>) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let usable = |e: &Entry| e.list.is_none() || !e.failed || e.bearable(asking).is_some();
        freshness(&held, asking.at) != Freshness::NotReady && held.values().all(usable)
    }

    /// Forgets a list that no token has asked for in a while; says whether it did.
    fn forget_unused(&self, uri: &str, at: Moment) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let unused = held.get(uri).is_none_or(|e| e.used_at.is_none_or(|used| at.since(used) >= UNUSED_MS));
        if unused {
            held.remove(uri);
        }
        unused
    }
}

/// Reads a list again at half of its time, so that no request waits for it, until it is not used any more.
#[expect(clippy::disallowed_methods, reason = "a job that waits between reads")]
async fn keep_fresh(lists: Weak<Lists>, uri: String, keys: Arc<KeySet>, clock: Arc<dyn Clock>) {
    loop {
        let Some(held) = lists.upgrade() else { return };
        let ttl_ms = held.entry(&uri).list.map_or(2 * RETRY_MS, |list| list.ttl_ms);
        drop(held);
        tokio::time::sleep(Duration::from_millis(u64::try_from(ttl_ms / 2).unwrap_or_default())).await;
        let Some(held) = lists.upgrade() else { return };
        let at = Moment::of(&*clock);
        if held.forget_unused(&uri, at) {
            return;
        }
        let entry = held.entry(&uri);
        if entry.list.is_none_or(|list| list.age(at) >= list.ttl_ms / 2 - RETRY_MS) {
            let (reader, set, time, place) =
                (held.clone(), entry.keys.unwrap_or_else(|| keys.clone()), clock.clone(), uri.clone());
            let landing = entry.reading.join(|| async move { reader.fetch(&place, &set, &*time).await });
            drop(held);
            if let Some(landing) = landing {
                landing.wait().await;
            }
        }
    }
}

fn freshness(held: &HashMap<String, Entry>, at: Moment) -> Freshness {
    if held.values().any(|e| e.failed) && held.values().all(|e| e.list.is_none()) {
        return Freshness::NotReady;
    }
    let failing = held.values().filter(|e| e.failed && !e.fresh(at)).filter_map(|e| e.list.as_ref());
    failing.map(|list| list.age(at)).max().map_or(Freshness::Fresh, Freshness::Stale)
}

impl Entry {
    fn fresh(&self, at: Moment) -> bool {
        self.list.as_ref().is_some_and(|list| list.age(at) < list.ttl_ms && at.now_ms < list.ends_ms)
    }

    /// The list, if it may still be used while it cannot be had anew.
    fn bearable(&self, asking: Asking<'_>) -> Option<Arc<List>> {
        let late = |list: &Arc<List>| {
            asking.fail_open_ms > 0 && list.age(asking.at) < list.ttl_ms.saturating_add(asking.fail_open_ms)
        };
        self.list.clone().filter(|list| self.fresh(asking.at) || late(list))
    }

    fn tried_within(&self, ms: i64, at: Moment) -> bool {
        self.tried_at.is_some_and(|tried| at.elapsed_ms.saturating_sub(tried.elapsed_ms) < ms)
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
    signed_by(keys, &parsed, &Algorithm::ALL).ok()?;
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
