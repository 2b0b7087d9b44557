//! Randomness. Imports nothing from the crate.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    rand, rsa,
};
use zeroize::Zeroizing;

/// A source of random bytes.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// 32 random bytes.
    fn bytes32(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        bytes
    }

    /// 16 random bytes.
    fn bytes16(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes
    }

    /// A new RSA private key as PKCS#8. The library draws its randomness itself, whatever [`Entropy::fill`] gives. This
    /// takes up to a second, so do not call it on an async thread.
    ///
    /// # Errors
    /// If the library fails.
    fn rsa_private_key(&self, size: rsa::KeySize) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let pair = rsa::KeyPair::generate(size)?;
        Ok(Zeroizing::new(AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?.as_ref().to_vec()))
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::expect_used, reason = "a process without randomness must stop rather than guess")]
    fn fill(&self, buffer: &mut [u8]) {
        rand::fill(buffer).expect("the operating system gives no randomness");
    }
}

/// A stream of bytes determined by its seed; for tests. SHA-256 in counter mode.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    counter: AtomicU64,
}

impl SeededEntropy {
    /// The stream of this seed, from the beginning.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, counter: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let n = self.counter.fetch_add(1, Ordering::SeqCst);
            let block = digest::digest(&digest::SHA256, &[self.seed.to_le_bytes(), n.to_le_bytes()].concat());
            for (to, from) in chunk.iter_mut().zip(block.as_ref()) {
                *to = *from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_stream_and_the_system_does_not_repeat() {
        assert_eq!(SeededEntropy::new(7).bytes32(), SeededEntropy::new(7).bytes32());
        let stream = SeededEntropy::new(7);
        assert_ne!(stream.bytes32(), stream.bytes32());
        assert_ne!(OsEntropy.bytes32(), OsEntropy.bytes32());
    }
}
