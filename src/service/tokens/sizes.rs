//! Counts the tokens issued by their size, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::keys::Algorithm;

/// Upper bounds of the buckets, in bytes; the last is the limit.
pub const TOKEN_SIZES: [u64; 7] = [512, 768, 1024, 1536, 2048, 3072, 4096];

/// The tokens of one algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeFigures {
    /// How many tokens there were.
    pub count: u64,
    /// Their sizes together, in bytes.
    pub sum: u64,
    /// How many were at most as large as each bound and larger than the one before.
    pub buckets: [u64; TOKEN_SIZES.len()],
}

/// The sizes of the tokens of one algorithm.
#[derive(Debug, Default)]
struct Sizes {
    sum: AtomicU64,
    buckets: [AtomicU64; TOKEN_SIZES.len()],
}

/// The sizes of all tokens issued by this process.
#[derive(Debug, Default)]
pub(super) struct SizeCounts {
    rs256: Sizes,
    es256: Sizes,
    eddsa: Sizes,
    refused: AtomicU64,
}

impl SizeCounts {
    const fn of(&self, algorithm: Algorithm) -> &Sizes {
        match algorithm {
            Algorithm::Rs256 => &self.rs256,
            Algorithm::Es256 => &self.es256,
            Algorithm::EdDsa => &self.eddsa,
        }
    }

    /// Counts a token.
    pub(super) fn issued(&self, algorithm: Algorithm, bytes: usize) {
        let (sizes, bytes) = (self.of(algorithm), bytes as u64);
        sizes.sum.fetch_add(bytes, Ordering::Relaxed);
        if let Some((_, bucket)) = TOKEN_SIZES.iter().zip(&sizes.buckets).find(|(bound, _)| bytes <= **bound) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a token that was not issued because it would have been too large.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The figures of each algorithm, and how many tokens were refused.
    pub(super) fn figures(&self) -> ([(Algorithm, SizeFigures); 3], u64) {
        let of = |algorithm| {
            let sizes = self.of(algorithm);
            let buckets = sizes.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
            let figures = SizeFigures { count: buckets.iter().sum(), sum: sizes.sum.load(Ordering::Relaxed), buckets };
            (algorithm, figures)
        };
        ([of(Algorithm::Rs256), of(Algorithm::Es256), of(Algorithm::EdDsa)], self.refused.load(Ordering::Relaxed))
    }
}
