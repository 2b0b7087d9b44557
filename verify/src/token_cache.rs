//! A cache of tokens whose signature has been verified.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    Claims, KeySet, Policy, VerifyError,
    check::{check_claims, read_signed},
    jws::MAX_TOKEN,
};

/// The number of locks, so that a writer blocks few readers.
const SHARDS: usize = 16;

/// A token with a valid signature.
#[derive(Clone, Debug)]
pub(crate) struct CachedToken {
    pub(crate) claims: Arc<Claims>,
    pub(crate) not_before_ms: Option<i64>,
    /// The key set it was verified with.
    pub(crate) set: Arc<KeySet>,
}

/// SHA-256 of a token: it cannot collide in practice, and keeps the token itself out of memory.
pub(crate) type TokenHash = [u8; 32];

/// A bounded map in two halves. When the newer half is full, it becomes the older one, and the previous older
/// half is dropped.
#[derive(Debug, Default)]
struct Shard {
    newer: HashMap<TokenHash, CachedToken>,
    older: HashMap<TokenHash, CachedToken>,
}

/// Checks tokens like [`check`](crate::check), and caches those with a valid signature, at about 2 KiB each.
#[derive(Debug)]
pub struct TokenCache {
    shards: Vec<RwLock<Shard>>,
    half_capacity: usize,
}

impl TokenCache {
    /// Caches at most about `capacity` tokens; 0 turns caching off.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), half_capacity: capacity.div_ceil(2 * SHARDS) }
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
        // Do not hash a text that is too large to be a token.
        let hash = (token.len() <= MAX_TOKEN).then(|| self.hash(token)).flatten();
        let cached = hash.and_then(|hash| self.get(&hash)).filter(|cached| Arc::ptr_eq(&cached.set, keys));
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

    /// The token's hash, or `None` if caching is off.
    pub(crate) fn hash(&self, token: &str) -> Option<TokenHash> {
        (self.half_capacity > 0).then(|| digest(&SHA256, token.as_bytes()).as_ref().try_into().ok())?
    }

    fn shard(&self, hash: &TokenHash) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(hash[0]) % SHARDS)
    }

    pub(crate) fn get(&self, hash: &TokenHash) -> Option<CachedToken> {
        let shard = self.shard(hash)?;
        let read = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = read.newer.get(hash) {
            return Some(found.clone());
        }
        let found = read.older.get(hash)?.clone();
        drop(read);
        // It is in use, so move it to the newer half.
        shard.write().unwrap_or_else(PoisonError::into_inner).insert(*hash, found.clone(), self.half_capacity);
        Some(found)
    }

    pub(crate) fn insert(&self, hash: TokenHash, claims: &Arc<Claims>, not_before_ms: Option<i64>, set: &Arc<KeySet>) {
        let token = CachedToken { claims: claims.clone(), not_before_ms, set: set.clone() };
        if let Some(shard) = self.shard(&hash) {
            shard.write().unwrap_or_else(PoisonError::into_inner).insert(hash, token, self.half_capacity);
        }
    }

    #[cfg(test)]
    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().unwrap()).map(|s| s.newer.len() + s.older.len()).sum()
    }
}

impl Shard {
    fn insert(&mut self, hash: TokenHash, token: CachedToken, half_capacity: usize) {
        self.older.remove(&hash);
        if self.newer.len() >= half_capacity {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash, token);
    }
}
