//! Limits on changes of what is kept with sessions: how often one session may write, and how often the guests behind one
//! address. Counted in the memory of each process, before anything is queued.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::buckets::{Bucket, Buckets, Name, of_address};
use crate::{domain::limit::LimitSettings, error::Result, id::SessionId, time::Timestamp};

/// How errors name the limit of a session.
const OF_SESSION: Name = "data_session";
/// How errors name the limits by address, from the narrowest level.
const BY_ADDRESS: [Name; 4] = ["data_address", "data_network", "data_site", "data_provider"];

/// Limits changes. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct DataLimits(Arc<Mutex<Buckets>>);

impl fmt::Debug for DataLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataLimits")
    }
}

impl DataLimits {
    /// Counts a change for a session, unless there were too many. A guest's, who can be many guests, counts at the
    /// address too.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`](crate::error::Error::TooManyAttempts);
    /// [`Error::Throttled`](crate::error::Error::Throttled) if too many sessions write at once.
    pub(super) fn admit(
        &self,
        limits: &LimitSettings,
        (session, guest_at): (&SessionId, Option<&str>),
        now: Timestamp,
    ) -> Result<()> {
        let of_session =
            limits.session_write_rule().map(|rule| Bucket { by: OF_SESSION, of: session.as_str().to_owned(), rule });
        let address = guest_at.map(|address| of_address(address, BY_ADDRESS, |level| limits.guest_write_rule(level)));
        let buckets = of_session.into_iter().chain(address.into_iter().flatten()).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count(buckets, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Error, time::Ttl};

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    fn session(n: usize) -> SessionId {
        format!("ses_01J0000000000000000000{n:04}").parse().unwrap()
    }

    /// How many of `tries` changes by these sessions in turn are admitted, and what refuses the rest.
    fn admitted(
        limits: &DataLimits,
        settings: &LimitSettings,
        sessions: usize,
        (address, now): (Option<&str>, Timestamp),
    ) -> (usize, Option<Name>) {
        let (mut let_in, mut refused) = (0, None);
        for n in 0..40_000 {
            match limits.admit(settings, (&session(n % sessions), address), now) {
                Ok(()) => let_in += 1,
                Err(Error::TooManyAttempts { by, after, .. }) if after.millis() > 0 => refused = Some(by),
                Err(other) => panic!("{other:?}"),
            }
        }
        (let_in, refused)
    }

    #[test]
    fn a_session_has_a_burst_and_then_five_changes_a_second() {
        let (limits, settings) = (DataLimits::default(), LimitSettings::default());
        assert_eq!(admitted(&limits, &settings, 1, (None, NOW)), (300, Some(OF_SESSION)));
        assert_eq!(admitted(&limits, &settings, 1, (None, NOW.plus(Ttl::from_secs(10)))), (50, Some(OF_SESSION)));
    }

    #[test]
    fn many_guests_of_one_address_share_a_count_and_users_do_not() {
        let (limits, settings) = (DataLimits::default(), LimitSettings::default());
        assert_eq!(admitted(&limits, &settings, 1000, (None, NOW)), (40_000, None));
        let address = Some("192.0.2.1");
        assert_eq!(admitted(&limits, &settings, 1000, (address, NOW)), (3000, Some("data_address")));
        assert_eq!(admitted(&limits, &settings, 1000, (Some("192.0.2.2"), NOW)), (3000, Some("data_address")));
    }

    #[test]
    fn no_limit_means_none() {
        let settings = LimitSettings { session_writes: 0, address_guest_writes: 0, ..LimitSettings::default() };
        let limits = DataLimits::default();
        assert_eq!(admitted(&limits, &settings, 1, (Some("192.0.2.1"), NOW)), (40_000, None));
        assert_eq!(limits.0.lock().unwrap().len(), 0);
    }
}
