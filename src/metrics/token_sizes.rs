//! Sizes of access tokens, collected whenever `/metrics` is read.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

/// The access tokens of one algorithm.
#[derive(Clone, Debug)]
pub struct TokenSizes {
    /// The algorithm.
    pub algorithm: &'static str,
    /// How many there were.
    pub count: u64,
    /// Their sizes together, in bytes.
    pub sum: f64,
    /// The bounds of the buckets in bytes, and how many tokens are in each.
    pub buckets: Vec<(f64, u64)>,
}

/// Reads the figures whenever `/metrics` is read: the tokens issued, and how many were refused for their size.
pub(super) struct TokenSizesCollector(Box<dyn Fn() -> (Vec<TokenSizes>, u64) + Send + Sync>);

impl TokenSizesCollector {
    pub(super) fn new(read: impl Fn() -> (Vec<TokenSizes>, u64) + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for TokenSizesCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSizesCollector")
    }
}

impl Collector for TokenSizesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (sizes, refused) = (self.0)();
        let help = "Sizes of the access tokens issued, in bytes, by algorithm";
        let mut all = encoder.encode_descriptor("access_token_bytes", help, None, MetricType::Histogram)?;
        for of in sizes {
            let label = [("alg", of.algorithm)];
            let mut one = all.encode_family(&label)?;
            // The last bucket, without a bound, must be there too.
            let buckets: Vec<_> = of.buckets.into_iter().chain([(f64::INFINITY, 0)]).collect();
            one.encode_histogram::<[(&str, &str); 0]>(of.sum, of.count, &buckets, None)?;
        }
        let help = "Access tokens that were not issued because they would have been too large";
        let refused_tokens = encoder.encode_descriptor("access_tokens_too_large", help, None, MetricType::Counter)?;
        ConstCounter::new(refused).encode(refused_tokens)
    }
}
