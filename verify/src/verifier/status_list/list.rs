//! One list: how it is parsed, verified and looked up.

use std::io::Read;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Decompress, FlushDecompress, Status};
use serde_json::{Map, Value};

use crate::{KeySet, VerifyError, check::verify_signature, clock::Moment, jws, keys::Algorithm};

/// Maximum size of an inflated list, in bytes.
const MAX_LIST: usize = 16 * 1024 * 1024;
/// The range that a list's `ttl` is clamped to.
const TTL_MS: (i64, i64) = (1_000, 3_600_000);

/// The content of a list at one moment.
#[derive(Debug)]
pub(super) struct List {
    bits: usize,
    bytes: Vec<u8>,
    /// When it was sent: before the request by the time that it spent in caches.
    sent_at: Moment,
    pub(super) ttl_ms: i64,
    /// The list's `iat`, in seconds; without one it is older than any other.
    issued_at: i64,
    /// The list's `exp`, by the wall clock.
    expires_ms: i64,
}

impl List {
    pub(super) fn check_index(&self, index: usize) -> Result<(), VerifyError> {
        match self.status(index) {
            Some(0) => Ok(()),
            Some(_) => Err(VerifyError::Revoked),
            None => Err(VerifyError::Claim("status")),
        }
    }

    /// Milliseconds since it was sent.
    pub(super) fn age(&self, at: Moment) -> i64 {
        at.elapsed_since(self.sent_at)
    }

    /// Whether it may be used without asking for a newer one.
    pub(super) fn fresh(&self, at: Moment) -> bool {
        self.age(at) < self.ttl_ms && at.now_ms < self.expires_ms
    }

    /// Whether it must not be replaced by `other`, which the issuer signed earlier: revocations could be lost. An
    /// expired list is replaced by any.
    pub(super) fn is_newer_than(&self, other: &Self, at: Moment) -> bool {
        self.issued_at > other.issued_at && at.now_ms < self.expires_ms
    }

    /// The memory for its bits.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
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
///
/// It was sent at `sent_at`.
pub(super) fn parse_list(token: &str, uri: &str, keys: &KeySet, at: Moment, sent_at: Moment) -> Option<List> {
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
    let issued_at = seconds("iat").unwrap_or(i64::MIN);
    Some(List { bits, bytes, sent_at, ttl_ms, issued_at, expires_ms })
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
    let Some(list) = parse_list(token, uri, keys, at, at) else { return false };
    let places = list.bytes.len() * 8 / list.bits;
    assert!(list.bytes.len() <= MAX_LIST && (TTL_MS.0..=TTL_MS.1).contains(&list.ttl_ms), "within the bounds");
    assert!((0..places.min(1024)).all(|index| list.status(index).is_some()), "each place has a status");
    assert!([places, usize::MAX].iter().all(|index| list.status(*index).is_none()), "no place beyond the end");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(bits: usize, bytes: Vec<u8>) -> List {
        List { bits, bytes, sent_at: Moment { now_ms: 0, elapsed_ms: 0 }, ttl_ms: 0, issued_at: 0, expires_ms: 0 }
    }

    #[test]
    fn r03_the_examples_of_the_draft_are_parsed() {
        for (text, bits, want) in
            [("eNrbuRgAAhcBXQ", 1, [1, 0, 0, 1, 1, 1, 0, 1]), ("eNo76fITAAPfAgc", 2, [1, 2, 0, 3, 0, 1, 0, 1])]
        {
            let bytes = inflate(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
            let list = list_of(bits, bytes);
            let read: Vec<u8> = (0..8).map(|n| list.status(n).unwrap()).collect();
            assert_eq!(read, want, "{text}");
        }
    }

    #[test]
    fn r06_an_index_beyond_the_end_has_no_status() {
        let list = list_of(1, vec![0; 2]);
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
