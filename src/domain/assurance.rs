//! Whether a sign-in is strong enough for what is asked.

use crate::time::{Timestamp, Ttl};

/// The level of a guest, who has proved nothing.
pub const GUEST: &str = "0";
/// The level of a sign-in with one factor.
pub const ONE_FACTOR: &str = "1";
/// The level of a sign-in with two factors, or with one that is as good. There is none above it.
pub const TWO_FACTORS: &str = "2";

/// What is asked of a sign-in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assurance {
    /// The level, as in the claim `acr`.
    pub acr: Option<String>,
    /// How long ago it may have been at most.
    pub max_age: Option<Ttl>,
}

impl Assurance {
    /// Whether a sign-in of this level, at this time, is enough at `now`.
    #[must_use]
    pub fn is_met(&self, acr: &str, auth_time: Timestamp, now: Timestamp) -> bool {
        let strong = self.acr.as_deref().is_none_or(|wanted| acr_suffices(acr, wanted));
        // However new a guest is, it has never signed in.
        let recent = |most: Ttl| acr != GUEST && now.since(auth_time).millis() <= most.millis();
        strong && self.max_age.is_none_or(recent)
    }
}

/// Whether one level is at least another. Levels are numbers; a name that is none is equal to itself alone.
#[must_use]
pub fn acr_suffices(has: &str, wanted: &str) -> bool {
    let level = |text: &str| text.parse::<u16>().ok();
    has == wanted || level(has).zip(level(wanted)).is_some_and(|(has, wanted)| has >= wanted)
}

/// Whether there is a sign-in that is enough for a level. Whoever asked for another would sign in for nothing.
#[must_use]
pub fn acr_is_reachable(wanted: &str) -> bool {
    acr_suffices(TWO_FACTORS, wanted)
}

/// Whether only a sign-in with two factors is enough for a level.
#[must_use]
pub fn acr_needs_two_factors(wanted: &str) -> bool {
    acr_suffices("2", wanted) && !acr_suffices("1", wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_can_be_reached_up_to_the_highest_that_there_is() {
        assert!([GUEST, ONE_FACTOR, TWO_FACTORS].iter().all(|level| acr_is_reachable(level)));
        assert!(["3", "10", "urn:x", "foo", ""].iter().all(|level| !acr_is_reachable(level)));
        assert!(acr_needs_two_factors("2") && !acr_needs_two_factors("1") && !acr_needs_two_factors("urn:x"));
    }

    #[test]
    fn a_higher_level_is_enough_and_a_name_only_for_itself() {
        for (has, wanted, enough) in [
            ("1", "1", true),
            ("2", "1", true),
            ("1", "2", false),
            ("10", "9", true),
            ("urn:x", "urn:x", true),
            ("2", "urn:x", false),
            ("urn:x", "1", false),
            ("", "1", false),
        ] {
            assert_eq!(acr_suffices(has, wanted), enough, "{has:?} for {wanted:?}");
        }
    }

    #[test]
    fn a_sign_in_of_exactly_the_age_asked_for_is_recent_enough() {
        let (at, most) = (Timestamp::from_millis(1_893_456_000_000), Ttl::from_secs(300));
        let asked = Assurance { acr: None, max_age: Some(most) };
        assert!(asked.is_met("1", at, at.plus(most)));
        assert!(!asked.is_met("1", at, at.plus(most).plus(Ttl::from_millis(1))));
        assert!(!asked.is_met(GUEST, at, at), "a guest has not signed in at all");
        assert!(Assurance::default().is_met("", at, at.plus(Ttl::from_days(400))));
    }
}
