//! Randomness of the operating system, but RSA keys that other databases have too: making them took a third of the time
//! of all tests.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{error::Unspecified, rsa::KeySize};
use chancery::entropy::{Entropy, OsEntropy};
use zeroize::Zeroizing;

/// Each is made once, when it is first needed.
static LENT: [OnceLock<Zeroizing<Vec<u8>>>; 64] = [const { OnceLock::new() }; 64];
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// The keys of one database, which never has one twice.
#[derive(Debug)]
pub(crate) struct LentKeys {
    /// Databases that are made one after the other differ in their first keys.
    first: usize,
    given: AtomicUsize,
}

impl LentKeys {
    pub(crate) fn new() -> Self {
        Self { first: 2 * DATABASES.fetch_add(1, Ordering::Relaxed), given: AtomicUsize::new(0) }
    }
}

impl Entropy for LentKeys {
    fn fill(&self, buffer: &mut [u8]) {
        OsEntropy.fill(buffer);
    }

    fn rsa_private_key(&self, size: KeySize) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        if given >= LENT.len() || size != KeySize::Rsa2048 {
            return OsEntropy.rsa_private_key(size);
        }
        let key = LENT[(self.first + given) % LENT.len()].get_or_init(|| OsEntropy.rsa_private_key(size).unwrap());
        Ok(key.clone())
    }
}
