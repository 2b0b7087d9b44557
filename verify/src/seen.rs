//! Tokens that were checked before: their signature need not be checked again.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    Claims, KeySet, Policy, VerifyError,
    check::{accept, genuine},
    jws::MAX_TOKEN,
};

/// Among so many locks, so that a writer is in the way of few readers.
const SHARDS: usize = 16;

/// A token whose signature was good.
#[derive(Clone, Debug)]
pub(crate) struct SeenToken {
    pub(crate) claims: Arc<Claims>,
    pub(crate) not_before_ms: Option<i64>,
    /// The set that had its key.
    pub(crate) set: Arc<KeySet>,
}

/// The hash of a token: nobody finds another token of the same one, and no token lies in memory.
pub(crate) type Name = [u8; 32];

/// A bounded memory in two halves: when the newer is full, the older is forgotten.
#[derive(Debug, Default)]
struct Shard {
    newer: HashMap<Name, SeenToken>,
    older: HashMap<Name, SeenToken>,
}

/// Checks tokens as [`check`](crate::check) does, and remembers those whose signature was good, at about
/// 2 KiB each.
#[derive(Debug)]
pub struct CheckedTokens {
    shards: Vec<RwLock<Shard>>,
    half: usize,
}

impl CheckedTokens {
    /// Remembers at most about `capacity` tokens; none if it is 0.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), half: capacity.div_ceil(2 * SHARDS) }
    }

    /// Checks an access token at the instant `now_ms`, in milliseconds since the Unix epoch. A token that is
    /// remembered from this very set of keys has its policy and time checked, its signature not again; it
    /// must have been remembered under the same allowed algorithms.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        policy: &Policy,
        now_ms: i64,
    ) -> Result<Arc<Claims>, VerifyError> {
        // What is too large for a token is refused unread.
        let name = (token.len() <= MAX_TOKEN).then(|| self.name(token)).flatten();
        let known = name.and_then(|name| self.get(&name)).filter(|known| Arc::ptr_eq(&known.set, keys));
        if let Some(known) = known {
            accept(&known.claims, known.not_before_ms, policy, now_ms)?;
            return Ok(known.claims);
        }
        let token = genuine(token, keys, policy)?;
        accept(&token.claims, token.not_before_ms, policy, now_ms)?;
        let claims = Arc::new(token.claims);
        if let Some(name) = name {
            self.insert(name, &claims, token.not_before_ms, keys);
        }
        Ok(claims)
    }

    /// The token's name, if tokens are remembered.
    pub(crate) fn name(&self, token: &str) -> Option<Name> {
        (self.half > 0).then(|| digest(&SHA256, token.as_bytes()).as_ref().try_into().ok())?
    }

    fn shard(&self, name: &Name) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(name[0]) % SHARDS)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<SeenToken> {
        let shard = self.shard(name)?;
        let read = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = read.newer.get(name) {
            return Some(found.clone());
        }
        let found = read.older.get(name)?.clone();
        drop(read);
        // Used again, so kept among the newer.
        shard.write().unwrap_or_else(PoisonError::into_inner).keep(*name, found.clone(), self.half);
        Some(found)
    }

    pub(crate) fn insert(&self, name: Name, claims: &Arc<Claims>, not_before_ms: Option<i64>, set: &Arc<KeySet>) {
        let token = SeenToken { claims: claims.clone(), not_before_ms, set: set.clone() };
        if let Some(shard) = self.shard(&name) {
            shard.write().unwrap_or_else(PoisonError::into_inner).keep(name, token, self.half);
        }
    }

    #[cfg(test)]
    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().unwrap()).map(|s| s.newer.len() + s.older.len()).sum()
    }
}

impl Shard {
    fn keep(&mut self, name: Name, token: SeenToken, half: usize) {
        self.older.remove(&name);
        if self.newer.len() >= half {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(name, token);
    }
}
