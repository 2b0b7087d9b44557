//! How sure a verifier is of what is revoked.

use crate::VerifyError;

/// Without a sign of life for this long a verifier no longer knows what is revoked.
pub(crate) const STALE_AFTER_MS: i64 = 3_000;

/// How sure a verifier is of what is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// It follows no revocations: a revoked token passes until it expires.
    NotFollowed,
    /// It has not heard from the issuer yet, and accepts nothing.
    NotReady,
    /// It knows.
    Fresh,
    /// It has not heard from the issuer for so many milliseconds.
    Stale(i64),
}

/// Whether to go on while unsure: for `fail_open_ms` after the verifier has become stale.
pub(crate) fn tolerate(freshness: Freshness, fail_open_ms: i64) -> Result<(), VerifyError> {
    match freshness {
        Freshness::Fresh | Freshness::NotFollowed => Ok(()),
        Freshness::Stale(age) if age <= STALE_AFTER_MS.saturating_add(fail_open_ms) => Ok(()),
        Freshness::NotReady | Freshness::Stale(_) => Err(VerifyError::RevocationsUnknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_verifiers_refuse_when_stale_and_lenient_ones_five_minutes_later() {
        for (age, fail_open, good) in
            [(3_001, 0, false), (3_001, 300_000, true), (303_000, 300_000, true), (303_001, 300_000, false)]
        {
            assert_eq!(tolerate(Freshness::Stale(age), fail_open).is_ok(), good, "{age} {fail_open}");
        }
        assert!(tolerate(Freshness::NotReady, 300_000).is_err());
    }
}
