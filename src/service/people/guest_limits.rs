//! Limits on guests. Anybody gets a session of a guest for nothing, so new ones are limited by address and network before
//! anything is written, in the memory of each process; and all that are stored are limited by client.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    domain::{
        client::ClientId,
        limit::{LimitKind, LimitSettings, LimitVerdict, Tally, UnderWay},
    },
    error::{Error, Result},
    passwords::{Level, Prefix},
    service::runtime::Live,
    store::Store,
    time::{Timestamp, Ttl},
};

/// The levels at which new guests are counted, and how errors name them.
const LEVELS: [(Level, LimitKind, &str); 4] = [
    (Level::Machine, LimitKind::Address, "guests_address"),
    (Level::Network, LimitKind::Network, "guests_network"),
    (Level::Site, LimitKind::Site, "guests_site"),
    (Level::Provider, LimitKind::Provider, "guests_provider"),
];
/// How errors name the limit of a client.
const OF_CLIENT: &str = "guests";
/// When to try again where a client has too many guests: sessions end all the time.
const CLIENT_FULL: Ttl = Ttl::from_secs(60);
/// Maximum number of counts in memory. One takes about 150 bytes.
const MAX_COUNTS: usize = 100_000;
/// The least time between two searches for counts that have drained.
const TIDY_EVERY: Ttl = Ttl::from_secs(1);
/// After so long, or so many new guests (a share of the most), the stored ones are counted again.
const COUNT_AGAIN: Ttl = Ttl::from_secs(10);
const COUNT_AGAIN_SHARE: i64 = 100;

/// Statistics of guests in this process, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFigures {
    /// Sessions of guests opened.
    pub started: u64,
    /// Guests who have signed in.
    pub joined: u64,
    /// New guests refused, by the limit that refused them.
    pub refused: Vec<(&'static str, u64)>,
    /// Counts in memory.
    pub counts: u64,
}

/// Limits guests. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct GuestLimits(Arc<Inner>);

struct Inner {
    store: Store,
    live: Arc<Live>,
    counts: Mutex<Counts>,
    /// Held while the sessions of a client are counted, so that those who come meanwhile do not count them too.
    stored: tokio::sync::Mutex<HashMap<ClientId, Stored>>,
    started: AtomicU64,
    joined: AtomicU64,
    refused: [AtomicU64; LEVELS.len() + 1],
}

/// New guests by address and network.
#[derive(Default)]
struct Counts {
    of: HashMap<(usize, String), Tally>,
    tidied_at: Option<Timestamp>,
}

/// How many sessions of a client's guests are stored.
struct Stored {
    counted: i64,
    counted_at: Timestamp,
    /// Those opened by this process since.
    since: i64,
}

impl fmt::Debug for GuestLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestLimits")
    }
}

impl GuestLimits {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>) -> Self {
        Self(Arc::new(Inner {
            store,
            live,
            counts: Mutex::default(),
            stored: tokio::sync::Mutex::default(),
            started: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            refused: Default::default(),
        }))
    }

    /// Counts a new guest from an address, unless there are too many.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`]; [`Error::Throttled`] if guests come from too many addresses; the database is
    /// unreachable.
    pub(in crate::service) async fn admit(&self, client: &ClientId, address: &str) -> Result<()> {
        let snapshot = self.0.live.snapshot();
        let limits = &snapshot.settings.limits;
        let now = self.0.live.now();
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).count(limits, address, now).inspect_err(
            |error| {
                if let Error::TooManyAttempts { by, .. } = error {
                    self.note_refusal(by);
                }
            },
        )?;
        if !self.has_room(client, limits.guests_per_client, now).await? {
            self.note_refusal(OF_CLIENT);
            return Err(Error::TooManyAttempts { after: CLIENT_FULL, by: OF_CLIENT, closed: false });
        }
        self.0.started.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Counts one more guest of a client, if there may be one. So several processes together exceed the most by a
    /// hundredth each.
    async fn has_room(&self, client: &ClientId, most: i64, now: Timestamp) -> Result<bool> {
        let mut all = self.0.stored.lock().await;
        let fresh = all.get(client).is_some_and(|stored| {
            let again = stored.counted_at.plus(COUNT_AGAIN);
            (stored.counted_at..again).contains(&now) && stored.since <= most / COUNT_AGAIN_SHARE
        });
        if !fresh {
            let counted = self.0.store.read().await?.guests_stored(client, most.saturating_add(1)).await?;
            all.insert(client.clone(), Stored { counted, counted_at: now, since: 0 });
        }
        let Some(stored) = all.get_mut(client) else { return Ok(false) };
        let room = stored.counted + stored.since < most;
        if room {
            stored.since += 1;
        }
        Ok(room)
    }

    fn note_refusal(&self, by: &str) {
        let at = LEVELS.iter().position(|(_, _, name)| *name == by).unwrap_or(LEVELS.len());
        if let Some(refused) = self.0.refused.get(at) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a guest who has signed in.
    pub(super) fn note_joined(&self) {
        self.0.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// Statistics so far.
    pub(super) fn figures(&self) -> GuestFigures {
        let names = LEVELS.iter().map(|(_, _, name)| *name).chain([OF_CLIENT]);
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GuestFigures {
            started: of(&self.0.started),
            joined: of(&self.0.joined),
            refused: names.zip(self.0.refused.iter().map(of)).collect(),
            counts: self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).of.len() as u64,
        }
    }
}

impl Counts {
    /// Counts a new guest at every level, or at none.
    fn count(&mut self, limits: &LimitSettings, address: &str, now: Timestamp) -> Result<()> {
        let prefix = Prefix::of(address);
        let mut counted = Vec::with_capacity(LEVELS.len());
        for (n, (level, kind, by)) in LEVELS.into_iter().enumerate() {
            let (Some(name), Some(rule)) = (prefix.name(level), limits.guest_rule(kind)) else { continue };
            let key = (n, name);
            let tally = self.of.get(&key);
            if let LimitVerdict::Wait(after) = rule.verdict(tally, UnderWay::NONE, now) {
                return Err(Error::TooManyAttempts { after, by, closed: false });
            }
            let tally = rule.failed(tally, now);
            counted.push((key, tally));
        }
        if self.of.len() + counted.len() > MAX_COUNTS && !self.tidy(now) {
            return Err(Error::Throttled { after: TIDY_EVERY });
        }
        self.of.extend(counted);
        Ok(())
    }

    /// Forgets the counts that have drained. Returns whether there is room now.
    fn tidy(&mut self, now: Timestamp) -> bool {
        if self.tidied_at.is_none_or(|at| now >= at.plus(TIDY_EVERY) || now < at) {
            self.tidied_at = Some(now);
            self.of.retain(|_, tally| now < tally.failed_at.plus(tally.level));
        }
        self.of.len() + LEVELS.len() <= MAX_COUNTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    /// How many of `tries` guests from one address each are admitted at `now`.
    fn admitted(counts: &mut Counts, addresses: impl Iterator<Item = String>, now: Timestamp) -> usize {
        addresses.filter(|address| counts.count(&LimitSettings::default(), address, now).is_ok()).count()
    }

    fn same(address: &str, tries: usize) -> impl Iterator<Item = String> {
        std::iter::repeat_n(address.to_owned(), tries)
    }

    #[test]
    fn an_address_has_a_burst_and_then_one_guest_at_a_time() {
        let mut counts = Counts::default();
        assert_eq!(admitted(&mut counts, same("192.0.2.1", 10_000), NOW), 60);
        let refused = counts.count(&LimitSettings::default(), "192.0.2.1", NOW).unwrap_err();
        assert!(matches!(refused, Error::TooManyAttempts { after, by: "guests_address", .. } if after.millis() > 0));
        assert_eq!(admitted(&mut counts, same("192.0.2.1", 100), NOW.plus(Ttl::from_secs(60))), 12);
        assert_eq!(admitted(&mut counts, same("192.0.2.2", 1), NOW), 1, "a neighbour");
    }

    #[test]
    fn who_has_many_addresses_is_limited_by_network_site_and_provider() {
        let mut counts = Counts::default();
        let v4 = (0..2_560).map(|n| format!("198.51.100.{}", n % 256));
        assert_eq!(admitted(&mut counts, v4, NOW), 600);
        let site = (0..10_000).map(|n| format!("2001:db8:1:{n:x}::1"));
        assert_eq!(admitted(&mut counts, site, NOW), 1_200);
        let provider = (0..60_000).map(|n| format!("2001:db9:{n:x}:1::1"));
        assert_eq!(admitted(&mut counts, provider, NOW), 9_600);
    }

    #[test]
    fn the_memory_has_an_end_and_frees_what_has_drained() {
        let mut counts = Counts::default();
        // Each from another provider.
        let many = |from: usize| (from..from + 40_000).map(|n| format!("2{:03x}:{:x}::1", n % 4096, n / 4096));
        assert!(admitted(&mut counts, many(0), NOW) < 40_000);
        assert!(counts.of.len() <= MAX_COUNTS);
        let refused = counts.count(&LimitSettings::default(), "3001::1", NOW).unwrap_err();
        assert!(matches!(refused, Error::Throttled { .. }), "{refused:?}");
        assert_eq!(admitted(&mut counts, same("3001::1", 1), NOW.plus(Ttl::from_secs(60))), 1);
    }

    #[test]
    fn no_limit_means_none() {
        let none = LimitSettings { address_guests: 0, network_guests: 0, ..LimitSettings::default() };
        let mut counts = Counts::default();
        assert!((0..10_000).all(|_| counts.count(&none, "192.0.2.1", NOW).is_ok()));
        assert!(counts.of.is_empty());
    }
}
