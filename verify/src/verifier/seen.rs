//! Tokens that were checked before: their signature need not be checked again.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{Claims, KeySet};

/// Among so many locks, so that a writer is in the way of few readers.
const SHARDS: usize = 16;

/// A token whose signature was good.
#[derive(Clone, Debug)]
pub(super) struct SeenToken {
    pub(super) claims: Arc<Claims>,
    pub(super) not_before_ms: Option<i64>,
    /// The set that had its key.
    pub(super) set: Arc<KeySet>,
}

/// The hash of a token: nobody finds another token of the same one, and no token lies in memory.
pub(super) type Name = [u8; 32];

/// A bounded memory in two halves: when the newer is full, the older is forgotten.
#[derive(Debug, Default)]
struct Shard {
    newer: HashMap<Name, SeenToken>,
    older: HashMap<Name, SeenToken>,
}

#[derive(Debug)]
pub(super) struct Seen {
    shards: Vec<RwLock<Shard>>,
    half: usize,
}

impl Seen {
    /// Remembers at most about `capacity` tokens; none if it is 0.
    pub(super) fn new(capacity: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), half: capacity.div_ceil(2 * SHARDS) }
    }

    /// The token's name, if tokens are remembered.
    pub(super) fn name(&self, token: &str) -> Option<Name> {
        (self.half > 0).then(|| digest(&SHA256, token.as_bytes()).as_ref().try_into().ok())?
    }

    fn shard(&self, name: &Name) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(name[0]) % SHARDS)
    }

    pub(super) fn get(&self, name: &Name) -> Option<SeenToken> {
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

    pub(super) fn insert(&self, name: Name, claims: &Arc<Claims>, not_before_ms: Option<i64>, set: &Arc<KeySet>) {
        let token = SeenToken { claims: claims.clone(), not_before_ms, set: set.clone() };
        if let Some(shard) = self.shard(&name) {
            shard.write().unwrap_or_else(PoisonError::into_inner).keep(name, token, self.half);
        }
    }

    #[cfg(test)]
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
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
