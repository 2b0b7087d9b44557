//! How current a verifier's knowledge of revocations is.

use crate::VerifyError;

/// A verifier is stale after this long without a heartbeat.
pub(crate) const STALE_AFTER_MS: i64 = 3_000;

/// How current a verifier's knowledge of revocations is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// Revocations are not followed: a revoked token is accepted until it expires.
    NotFollowed,
    /// The issuer has not been heard from yet, so no token is accepted.
    NotReady,
    /// The verifier knows what is revoked.
    Fresh,
    /// The issuer has not been heard from for this many milliseconds.
    Stale(i64),
}

/// Whether tokens may still be accepted. A stale verifier accepts them for another `fail_open_ms`.
pub(crate) fn check_freshness(freshness: Freshness, fail_open_ms: i64) -> Result<(), VerifyError> {
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
    fn a_stale_verifier_refuses_once_fail_open_has_passed() {
        for (age, fail_open, good) in
            [(3_001, 0, false), (3_001, 300_000, true), (303_000, 300_000, true), (303_001, 300_000, false)]
        {
            assert_eq!(check_freshness(Freshness::Stale(age), fail_open).is_ok(), good, "{age} {fail_open}");
        }
        assert!(check_freshness(Freshness::NotReady, 300_000).is_err());
    }
}
