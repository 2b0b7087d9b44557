//! Settings that all processes on one database share, and the constants for waiting times.

use serde::{Deserialize, Serialize};

use super::{
    feed::{Change, ChangeKind},
    later::Later,
    limit::LimitSettings,
};
pub use crate::time::SKEW;
use crate::time::{Timestamp, Ttl};

/// How long verifiers may cache a JWKS.
pub const JWKS_MAX_AGE: Ttl = Ttl::from_secs(300);
/// How much longer they may use it while the issuer is unreachable (RFC 5861 §4).
pub const JWKS_STALE_IF_ERROR: Ttl = Ttl::from_secs(300);
/// How long after a raise tokens may be issued with the new ceiling: by then, no process knows only the old one.
pub const CEILING_RAISE_DELAY: Ttl = Ttl::from_secs(60);

/// The settings stored in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
// A value that an older release did not write gets its default.
#[serde(default)]
pub struct Settings {
    /// The longest lifetime of an access token.
    pub access_token_lifetime_ceiling: Ttl,
    /// The ceiling before the last change, and the time of that change.
    pub previous_ceiling: Option<(Ttl, Timestamp)>,
    /// Grace period in which an exchanged refresh token still yields the same successor.
    pub refresh_grace: Ttl,
    /// How often signing keys are rotated automatically.
    pub rotation_period: Ttl,
    /// Maximum number of live sessions of a user that no other session has opened. Beyond it, the oldest is revoked.
    pub sessions_per_user: i64,
    /// How long a process keeps signing without confirmation that it has seen every change.
    pub confirm_within: Ttl,
    /// The size of new RSA keys, in bits.
    pub rsa_bits: i64,
    /// The limits on failed attempts.
    pub limits: LimitSettings,
    /// Days for which audit events are kept; 0 for ever.
    pub audit_retention_days: i64,
    /// The audit events before this time have been deleted.
    pub audit_deleted_before: Option<Timestamp>,
    /// The longest time that checking an imported hash has ever taken, as a multiple of that for one of Chancery's own.
    pub costliest_import: u64,
    /// When it was last found that the database had lost its newest commits: a restore, or a failover.
    pub commits_lost_at: Option<Timestamp>,
    /// Settings of later releases.
    #[serde(flatten)]
    pub later: Later,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_token_lifetime_ceiling: Ttl::from_secs(3600),
            previous_ceiling: None,
            refresh_grace: Ttl::from_secs(10),
            rotation_period: Ttl::from_days(30),
            sessions_per_user: 100,
            confirm_within: Ttl::from_secs(10),
            rsa_bits: 2048,
            limits: LimitSettings::default(),
            audit_retention_days: 0,
            audit_deleted_before: None,
            costliest_import: 0,
            commits_lost_at: None,
            later: Later::default(),
        }
    }
}

impl Settings {
    /// The ceiling for tokens issued at `now`. A raise takes effect once every process knows it.
    #[must_use]
    pub fn issuing_ceiling(&self, now: Timestamp) -> Ttl {
        match self.previous_ceiling {
            Some((old, at)) if now < at.plus(CEILING_RAISE_DELAY) => old.min(self.access_token_lifetime_ceiling),
            _ => self.access_token_lifetime_ceiling,
        }
    }

    /// The ceiling for everything that waits until all tokens have expired. A raise takes effect at once, a lower
    /// value only when tokens issued under the old ceiling have expired.
    #[must_use]
    pub fn waiting_ceiling(&self, now: Timestamp) -> Ttl {
        match self.previous_ceiling {
            Some((old, at)) if now < at.plus(old).plus(SKEW) => old.max(self.access_token_lifetime_ceiling),
            _ => self.access_token_lifetime_ceiling,
        }
    }

    /// How long a revocation committed at `now` must be remembered.
    #[must_use]
    pub fn revocation_ttl(&self, now: Timestamp) -> Ttl {
        self.waiting_ceiling(now).plus(self.confirm_within).plus(SKEW)
    }

    /// The audit events before this time are to be deleted; none if they are kept for ever. It is the beginning of a
    /// day, so that one deletion a day is recorded, and the newest day is always kept.
    #[must_use]
    pub fn audit_kept_since(&self, now: Timestamp) -> Option<Timestamp> {
        let day = Ttl::from_days(1).millis();
        let since = now.minus(Ttl::from_days(self.audit_retention_days)).millis();
        (self.audit_retention_days > 0).then(|| Timestamp::from_millis(since - since.rem_euclid(day)))
    }

    /// A change made at `now`, to be kept in the feed until no token and no process depends on it any longer.
    #[must_use]
    pub fn feed_entry(&self, kind: ChangeKind, subject: impl Into<String>, now: Timestamp) -> Change {
        Change { kind, subject: subject.into(), at: now, ends_at: now.plus(self.revocation_ttl(now)), status: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_ceiling_takes_effect_at_different_times_for_waiting_and_issuing() {
        let at = Timestamp::from_millis(1_000_000);
        let raised = Settings {
            access_token_lifetime_ceiling: Ttl::from_secs(7200),
            previous_ceiling: Some((Ttl::from_secs(3600), at)),
            ..Settings::default()
        };
        assert_eq!(raised.issuing_ceiling(at), Ttl::from_secs(3600));
        assert_eq!(raised.waiting_ceiling(at), Ttl::from_secs(7200));
        assert_eq!(raised.issuing_ceiling(at.plus(CEILING_RAISE_DELAY)), Ttl::from_secs(7200));
        let lowered = Settings {
            access_token_lifetime_ceiling: Ttl::from_secs(600),
            previous_ceiling: Some((Ttl::from_secs(3600), at)),
            ..Settings::default()
        };
        assert_eq!(lowered.issuing_ceiling(at), Ttl::from_secs(600));
        assert_eq!(lowered.waiting_ceiling(at.plus(Ttl::from_secs(3599))), Ttl::from_secs(3600));
        assert_eq!(lowered.waiting_ceiling(at.plus(Ttl::from_secs(3661))), Ttl::from_secs(600));
    }

    #[test]
    fn audit_events_are_kept_for_whole_days_or_for_ever() {
        let now: Timestamp = "2030-01-31T12:34:56.789Z".parse().unwrap();
        let since = |audit_retention_days| {
            let settings = Settings { audit_retention_days, ..Settings::default() };
            settings.audit_kept_since(now).map(|at| at.to_string())
        };
        assert_eq!(since(0), None);
        assert_eq!(since(1).as_deref(), Some("2030-01-30T00:00:00.000Z"));
        assert_eq!(since(30).as_deref(), Some("2030-01-01T00:00:00.000Z"));
        let early = Settings { audit_retention_days: 36_500, ..Settings::default() }.audit_kept_since(now).unwrap();
        assert!(early.millis() < 0 && early.millis() % 86_400_000 == 0);
    }

    #[test]
    fn a_feed_entry_outlives_every_token_issued_before_it() {
        let now = Timestamp::from_millis(1_000_000);
        let settings = Settings {
            access_token_lifetime_ceiling: Ttl::from_secs(600),
            previous_ceiling: Some((Ttl::from_secs(3600), now)),
            confirm_within: Ttl::from_secs(7),
            ..Settings::default()
        };
        let entry = settings.feed_entry(ChangeKind::ClientDisabled, "app", now);
        assert_eq!((entry.kind, entry.subject.as_str(), entry.at), (ChangeKind::ClientDisabled, "app", now));
        // The ceiling before it was lowered, the time to confirm, and the clock skew.
        assert_eq!((entry.ends_at, entry.status), (now.plus(Ttl::from_secs(3600 + 7 + 60)), None));
    }
}
