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

use super::buckets::{Buckets, Name, of_address};
use crate::{
    domain::client::ClientId,
    error::{Error, Result},
    service::runtime::Live,
    store::Store,
    time::{Timestamp, Ttl},
};

/// How errors name the limits by address, from the narrowest level.
const BY_ADDRESS: [Name; 4] = ["guests_address", "guests_network", "guests_site", "guests_provider"];
/// How errors name the limit of a client.
const OF_CLIENT: Name = "guests";
/// When to try again where a client has too many guests: sessions end all the time.
const CLIENT_FULL: Ttl = Ttl::from_secs(60);
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
    counts: Mutex<Buckets>,
    rooms: Rooms,
    started: AtomicU64,
    joined: AtomicU64,
    refused: [AtomicU64; BY_ADDRESS.len() + 1],
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
            rooms: Rooms::default(),
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
        let buckets = of_address(address, BY_ADDRESS, |level| limits.guest_rule(level));
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).count(buckets, now).inspect_err(|error| {
            if let Error::TooManyAttempts { by, .. } = error {
                self.note_refusal(by);
            }
        })?;
        let most = limits.guests_per_client;
        // One more than the most is as good as any number beyond.
        let count = async { self.0.store.read().await?.guests_stored(client, most.saturating_add(1)).await };
        if !self.0.rooms.take(client, (most, now), count).await? {
            self.note_refusal(OF_CLIENT);
            return Err(Error::TooManyAttempts { after: CLIENT_FULL, by: OF_CLIENT, closed: false });
        }
        self.0.started.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn note_refusal(&self, by: &str) {
        let at = BY_ADDRESS.iter().position(|name| *name == by).unwrap_or(BY_ADDRESS.len());
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
        let names = BY_ADDRESS.into_iter().chain([OF_CLIENT]);
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GuestFigures {
            started: of(&self.0.started),
            joined: of(&self.0.joined),
            refused: names.zip(self.0.refused.iter().map(of)).collect(),
            counts: self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
        }
    }
}

/// How many sessions of a client's guests are stored.
struct Stored {
    counted: i64,
    /// The most that there may be, when they were counted: no more were counted than that.
    most: i64,
    counted_at: Timestamp,
    /// Those opened by this process since.
    since: i64,
}

impl Stored {
    fn is_fresh(&self, most: i64, now: Timestamp) -> bool {
        let in_time = (self.counted_at..self.counted_at.plus(COUNT_AGAIN)).contains(&now);
        in_time && self.most == most && self.since <= most / COUNT_AGAIN_SHARE
    }
}

/// The count of one client. Whoever counts the rows holds it, so that those who come meanwhile do not count them too.
type Room = Arc<tokio::sync::Mutex<Option<Stored>>>;

/// The counts of all clients that have guests. None of them waits for the database because of another.
#[derive(Default)]
struct Rooms(Mutex<HashMap<ClientId, Room>>);

impl Rooms {
    /// Counts one more guest of a client, if there may be one. So several processes together exceed the most by a
    /// hundredth each.
    async fn take(
        &self,
        client: &ClientId,
        (most, now): (i64, Timestamp),
        count: impl Future<Output = Result<i64>>,
    ) -> Result<bool> {
        let room = self.of(client);
        let mut stored = room.lock().await;
        let counted = match stored.take() {
            Some(fresh) if fresh.is_fresh(most, now) => fresh,
            _ => Stored { counted: count.await?, most, counted_at: now, since: 0 },
        };
        let stored = stored.insert(counted);
        let has_room = stored.counted + stored.since < most;
        if has_room {
            stored.since += 1;
        }
        Ok(has_room)
    }

    fn of(&self, client: &ClientId) -> Room {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = all.get(client) {
            return room.clone();
        }
        all.entry(client.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::atomic::AtomicI64};

    use futures_util::{future::join_all, poll};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::domain::limit::LimitSettings;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    fn count(counts: &mut Buckets, settings: &LimitSettings, address: &str, now: Timestamp) -> Result<()> {
        counts.count(of_address(address, BY_ADDRESS, |level| settings.guest_rule(level)), now)
    }

    /// How many guests, from one address each, are admitted at `now`.
    fn admitted(counts: &mut Buckets, addresses: impl Iterator<Item = String>, now: Timestamp) -> usize {
        addresses.filter(|address| count(counts, &LimitSettings::default(), address, now).is_ok()).count()
    }

    fn same(address: &str, tries: usize) -> impl Iterator<Item = String> {
        std::iter::repeat_n(address.to_owned(), tries)
    }

    #[test]
    fn an_address_has_a_burst_and_then_one_guest_at_a_time() {
        let mut counts = Buckets::default();
        assert_eq!(admitted(&mut counts, same("192.0.2.1", 10_000), NOW), 60);
        let refused = count(&mut counts, &LimitSettings::default(), "192.0.2.1", NOW).unwrap_err();
        assert!(matches!(refused, Error::TooManyAttempts { after, by: "guests_address", .. } if after.millis() > 0));
        assert_eq!(admitted(&mut counts, same("192.0.2.1", 100), NOW.plus(Ttl::from_secs(60))), 12);
        assert_eq!(admitted(&mut counts, same("192.0.2.2", 1), NOW), 1, "a neighbour");
    }

    #[test]
    fn who_has_many_addresses_is_limited_by_network_site_and_provider() {
        let mut counts = Buckets::default();
        let v4 = (0..2_560).map(|n| format!("198.51.100.{}", n % 256));
        assert_eq!(admitted(&mut counts, v4, NOW), 600);
        let site = (0..10_000).map(|n| format!("2001:db8:1:{n:x}::1"));
        assert_eq!(admitted(&mut counts, site, NOW), 1_200);
        let provider = (0..60_000).map(|n| format!("2001:db9:{n:x}:1::1"));
        assert_eq!(admitted(&mut counts, provider, NOW), 9_600);
    }

    #[test]
    fn no_limit_means_none() {
        let none = LimitSettings { address_guests: 0, network_guests: 0, ..LimitSettings::default() };
        let mut counts = Buckets::default();
        assert!((0..10_000).all(|_| count(&mut counts, &none, "192.0.2.1", NOW).is_ok()));
        assert_eq!(counts.len(), 0);
    }

    fn client(id: &str) -> ClientId {
        id.parse().unwrap()
    }

    #[tokio::test]
    async fn a_client_whose_guests_are_being_counted_holds_up_no_other() {
        let (rooms, gate, counts) = (Rooms::default(), Semaphore::new(0), AtomicI64::new(0));
        let slow = || async {
            counts.fetch_add(1, Ordering::Relaxed);
            gate.acquire().await.unwrap().forget();
            Ok(0)
        };
        let of_slow = client("slow");
        let mut waiting = pin!(join_all((0..20).map(|_| rooms.take(&of_slow, (2000, NOW), slow()))));
        assert!(poll!(&mut waiting).is_pending());
        for _ in 0..5 {
            assert!(rooms.take(&client("quick"), (2000, NOW), async { Ok(0) }).await.unwrap());
        }
        gate.add_permits(1);
        assert!(waiting.await.into_iter().all(|taken| taken.unwrap()));
        assert_eq!(counts.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn many_who_come_at_once_are_counted_once_and_again_when_the_most_has_changed() {
        let (rooms, reads) = (Rooms::default(), AtomicI64::new(0));
        let shop = client("shop");
        // As the store counts: no more than asked for.
        let take = async |most: i64| {
            let count = async {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok(500.min(most + 1))
            };
            rooms.take(&shop, (most, NOW), count).await.unwrap()
        };
        let all = join_all((0..100).map(|_| take(100_000))).await;
        assert!(all.into_iter().all(|taken| taken));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert!(!take(3).await && !take(3).await);
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        assert!(!take(400).await, "there are 500");
        assert!(take(1000).await, "at once");
    }

    #[tokio::test]
    async fn a_count_that_fails_is_made_again() {
        let (rooms, shop) = (Rooms::default(), client("shop"));
        let failed = rooms.take(&shop, (10, NOW), async { Err(Error::Conflict) }).await;
        assert!(failed.is_err());
        assert!(rooms.take(&shop, (10, NOW), async { Ok(9) }).await.unwrap());
        assert!(!rooms.take(&shop, (1, NOW), async { Ok(1) }).await.unwrap());
    }
}
