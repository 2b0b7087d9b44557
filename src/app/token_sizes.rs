//! Metrics of the sizes of access tokens.

use std::sync::Arc;

use crate::{
    metrics::{Metrics, TokenSizes},
    service::{TOKEN_SIZES, Tokens},
};

/// Registers the metrics of token sizes.
pub(super) fn observe(metrics: &mut Metrics, tokens: &Arc<Tokens>) {
    let tokens = tokens.clone();
    metrics.observe_token_sizes(move || {
        let (all, refused) = tokens.sizes();
        let sizes = all.map(|(algorithm, figures)| TokenSizes {
            algorithm: algorithm.as_str(),
            count: figures.count,
            sum: precise(figures.sum),
            buckets: TOKEN_SIZES.into_iter().map(precise).zip(figures.buckets).collect(),
        });
        (sizes.to_vec(), refused)
    });
}

#[expect(clippy::cast_precision_loss, reason = "a sum this large needs no last digit")]
const fn precise(n: u64) -> f64 {
    n as f64
}
