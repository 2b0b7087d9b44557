//! A cache of tokens whose signature has been verified, bounded in bytes.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    Claims, KeySet, Policy, VerifyError,
    check::{check_claims, read_signed},
    weight,
};

/// The largest number of locks, so that a writer blocks few readers.
const MAX_SHARDS: usize = 16;
/// The smallest share of the memory that is worth a lock of its own.
const MIN_SHARD_BYTES: usize = 128 * 1024;
/// A larger token is checked anew each time: few are, and one would displace many others.
const MAX_CACHED_TOKEN: usize = 4 * 1024;
/// What an entry costs in the map, in bytes. A map has up to 16 slots for 7 entries, and half as many again while it
/// grows.
const SLOT_BYTES: usize = (size_of::<TokenHash>() + size_of::<CachedToken>() + 1) * 24 / 7;
/// How often expired tokens are dropped.
const SWEEP_EVERY_MS: u64 = 60_000;
/// The largest leeway a policy can have: until then an expired token may still be accepted.
const MAX_LEEWAY_MS: i64 = 60_000;
/// The memory of one token when the cache is sized in tokens.
const BYTES_PER_TOKEN: usize = 2 * 1024;

/// A token with a valid signature.
#[derive(Clone, Debug)]
pub(crate) struct CachedToken {
    claims: Arc<Claims>,
    not_before_ms: Option<i64>,
    /// The id of the key set it was verified with. The set itself is not kept.
    set: u64,
    bytes: usize,
}

/// SHA-256 of a token: it cannot collide in practice, and keeps the token itself out of memory.
pub(crate) type TokenHash = [u8; 32];

#[derive(Debug, Default)]
struct Half {
    tokens: HashMap<TokenHash, CachedToken>,
    bytes: usize,
}

/// A bounded map in two halves. When the newer half is full, it becomes the older one, and the previous older
/// half is dropped.
#[derive(Debug, Default)]
struct Shard {
    newer: Half,
    older: Half,
}

/// Checks tokens like [`check`](crate::check), and caches those with a valid signature: about 2 KiB for a usual one.
/// Tokens over 4 KiB are not cached.
#[derive(Debug)]
pub struct TokenCache {
    shards: Vec<RwLock<Shard>>,
    half_bytes: usize,
    swept_ms: AtomicI64,
}

impl TokenCache {
    /// Caches tokens in at most this many bytes of memory; 0 turns caching off.
    #[must_use]
    pub fn with_bytes(bytes: usize) -> Self {
        let shards = (bytes / MIN_SHARD_BYTES).clamp(1, MAX_SHARDS);
        Self {
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            half_bytes: bytes / shards / 2,
            swept_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Caches about `capacity` tokens of the usual size, in 2 KiB for each; 0 turns caching off.
    #[deprecated(note = "the cache is bounded in bytes; use `with_bytes`")]
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with_bytes(bytes_for(capacity))
    }

    /// Checks an access token at the instant `now_ms`, in milliseconds since the Unix epoch. If the token is
    /// cached for this very key set, its policy and time are checked, but not its signature. All calls must
    /// allow the same algorithms.
    ///
    /// # Errors
    /// The first problem found.
    pub fn check(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        policy: &Policy,
        now_ms: i64,
    ) -> Result<Arc<Claims>, VerifyError> {
        self.sweep_if_due(keys.id(), now_ms);
        let hash = self.hash(token);
        let cached = hash.and_then(|hash| self.get(&hash)).filter(|cached| cached.set == keys.id());
        if let Some(cached) = cached {
            check_claims(&cached.claims, cached.not_before_ms, policy, now_ms)?;
            return Ok(cached.claims);
        }
        let token = read_signed(token, keys, policy)?;
        check_claims(&token.claims, token.not_before_ms, policy, now_ms)?;
        let claims = Arc::new(token.claims);
        if let Some(hash) = hash {
            self.insert(hash, &claims, token.not_before_ms, keys);
        }
        Ok(claims)
    }

    /// How much memory the cached tokens occupy, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let read = self.shards.iter().map(|s| s.read().unwrap_or_else(PoisonError::into_inner));
        read.map(|shard| shard.newer.bytes + shard.older.bytes).sum()
    }

    /// The token's hash, or `None` if it is not to be cached.
    pub(crate) fn hash(&self, token: &str) -> Option<TokenHash> {
        let cacheable = self.half_bytes > 0 && token.len() <= MAX_CACHED_TOKEN;
        cacheable.then(|| digest(&SHA256, token.as_bytes()).as_ref().try_into().ok())?
    }

    fn shard(&self, hash: &TokenHash) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(hash[0]) % self.shards.len())
    }

    pub(crate) fn get(&self, hash: &TokenHash) -> Option<CachedToken> {
        let shard = self.shard(hash)?;
        let read = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = read.newer.tokens.get(hash) {
            return Some(found.clone());
        }
        let found = read.older.tokens.get(hash)?.clone();
        drop(read);
        // It is in use, so move it to the newer half.
        shard.write().unwrap_or_else(PoisonError::into_inner).insert(*hash, found.clone(), self.half_bytes);
        Some(found)
    }

    fn insert(&self, hash: TokenHash, claims: &Arc<Claims>, not_before_ms: Option<i64>, set: &KeySet) {
        let bytes = SLOT_BYTES + weight::block(2 * size_of::<usize>() + claims.bytes());
        let token = CachedToken { claims: claims.clone(), not_before_ms, set: set.id(), bytes };
        if let Some(shard) = self.shard(&hash) {
            shard.write().unwrap_or_else(PoisonError::into_inner).insert(hash, token, self.half_bytes);
        }
    }

    /// Drops, once a minute, the tokens that have expired and those of other key sets.
    fn sweep_if_due(&self, set: u64, now_ms: i64) {
        let swept_ms = self.swept_ms.load(Ordering::Relaxed);
        if now_ms.abs_diff(swept_ms) < SWEEP_EVERY_MS {
            return;
        }
        if self.swept_ms.compare_exchange(swept_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return; // Another thread does it.
        }
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let keep = |token: &CachedToken| {
                token.set == set && now_ms < token.claims.expires_at_ms.saturating_add(MAX_LEEWAY_MS)
            };
            shard.newer.retain(keep);
            shard.older.retain(keep);
        }
    }

    #[cfg(test)]
    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().unwrap()).map(|s| s.newer.tokens.len() + s.older.tokens.len()).sum()
    }
}

/// The memory for this many tokens of the usual size.
pub(crate) const fn bytes_for(tokens: usize) -> usize {
    tokens.saturating_mul(BYTES_PER_TOKEN)
}

impl Shard {
    fn insert(&mut self, hash: TokenHash, token: CachedToken, half_bytes: usize) {
        self.older.remove(&hash);
        self.newer.remove(&hash);
        if token.bytes > half_bytes {
            return;
        }
        if self.newer.bytes + token.bytes > half_bytes {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.bytes += token.bytes;
        self.newer.tokens.insert(hash, token);
    }
}

impl Half {
    fn remove(&mut self, hash: &TokenHash) {
        if let Some(token) = self.tokens.remove(hash) {
            self.bytes -= token.bytes;
        }
    }

    fn retain(&mut self, keep: impl Fn(&CachedToken) -> bool) {
        let before = self.tokens.len();
        self.tokens.retain(|_, token| keep(token));
        if self.tokens.len() < before {
            self.bytes = self.tokens.values().map(|token| token.bytes).sum();
            self.tokens.shrink_to_fit();
        }
    }
}
