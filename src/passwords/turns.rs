//! The sign-ins at one account take turns: one has its password checked, a few wait until it is done. So parallel
//! sign-ins of one person all succeed, and none is judged by a count that another one is about to change.
//!
//! The places are shared out by network, so that strangers cannot take them all from the account's owner.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Account, Prefix,
    applicant::{Group, Path},
};

/// Maximum number from one network that wait for one account. More are a program's mistake, or an attack.
pub(super) const MAX_WAITING: usize = 4;
/// Maximum number from all networks that wait for one account.
const MAX_LINE: usize = 16;
/// The longest wait. Even in a storm, those ahead are done by then.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Why a sign-in gets no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// Enough are waiting already, or they take too long.
    Busy,
    /// The caller's deadline passed.
    Gone,
}

/// The accounts with sign-ins in this process. One without any takes no memory.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    /// Those that wait, the first that came first, at each account whose turn is taken.
    waiting: HashMap<Account, Vec<Waiting>>,
    next_id: u64,
}

/// One that waits. Dropping it says that it has lost its place.
struct Waiting {
    id: u64,
    path: Path,
    call: oneshot::Sender<Turn>,
}

/// The turn of a sign-in at its account. Dropping it lets the next one have its turn.
pub struct Turn(Turns, Account);

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.next(self.1);
        if let Some(next) = next {
            // If it is gone, dropping the turn again lets the one after it have it.
            drop(next.call.send(Self(self.0.clone(), self.1)));
        }
    }
}

/// A place in the line until dropped.
struct Place(Turns, Account, u64);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(line) = self.0.lines().waiting.get_mut(&self.1) {
            line.retain(|waiting| waiting.id != self.2);
        }
    }
}

impl Turns {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a sign-in. The order is that of arrival.
    pub(super) async fn take(&self, account: Account, from: Prefix, deadline: Option<Instant>) -> Result<Turn, NoTurn> {
        let (_place, called) = match self.enter(account, Path::of(from))? {
            Entered::First(turn) => return Ok(turn),
            Entered::Waits(place, called) => (place, called),
        };
        let longest = Instant::now() + LONGEST_WAIT;
        let limit = deadline.map_or(longest, |deadline| deadline.min(longest));
        match timeout_at(limit, called).await {
            Ok(called) => called.map_err(|_| NoTurn::Busy),
            Err(_) if limit == longest => Err(NoTurn::Busy),
            Err(_) => Err(NoTurn::Gone),
        }
    }

    fn enter(&self, account: Account, path: Path) -> Result<Entered, NoTurn> {
        let mut lines = self.lines();
        let id = lines.next_id;
        lines.next_id += 1;
        let Some(line) = lines.waiting.get_mut(&account) else {
            lines.waiting.insert(account, Vec::new());
            return Ok(Entered::First(Turn(self.clone(), account)));
        };
        if let Some(level) = full_at(line, &path) {
            let loses = loser(line, &path, level).ok_or(NoTurn::Busy)?;
            line.retain(|waiting| waiting.id != loses);
        }
        let (call, called) = oneshot::channel();
        line.push(Waiting { id, path, call });
        Ok(Entered::Waits(Place(self.clone(), account, id), called))
    }

    /// Who is next; if nobody is, the account's turn is free.
    fn next(&self, account: Account) -> Option<Waiting> {
        let mut lines = self.lines();
        let line = lines.waiting.get_mut(&account).filter(|line| !line.is_empty());
        if let Some(line) = line {
            return Some(line.remove(0));
        }
        lines.waiting.remove(&account);
        None
    }

    /// How many accounts have sign-ins.
    #[cfg(test)]
    fn accounts(&self) -> usize {
        self.lines().waiting.len()
    }
}

/// How a sign-in comes to its turn.
enum Entered {
    /// It has it.
    First(Turn),
    /// It is called.
    Waits(Place, oneshot::Receiver<Turn>),
}

/// The level, from the widest networks on, at which there is no free place for one more from here.
fn full_at(line: &[Waiting], path: &Path) -> Option<usize> {
    let network = path.groups().first();
    let neighbours = line.iter().filter(|waiting| waiting.path.groups().first() == network).count();
    if neighbours >= MAX_WAITING {
        return Some(1);
    }
    (line.len() >= MAX_LINE).then_some(0)
}

/// The one that loses its place to one more from here: the last of the network with most places, if it still has as
/// many afterwards as the newcomer's network. So each has one before any has two, at each level from this one on.
fn loser(line: &[Waiting], path: &Path, level: usize) -> Option<u64> {
    for (level, own) in path.groups().iter().enumerate().skip(level) {
        let inside = |waiting: &&Waiting| waiting.path.groups().get(..level) == path.groups().get(..level);
        let group = |waiting: &Waiting| waiting.path.groups().get(level).copied();
        let count = |of: Option<Group>| line.iter().filter(inside).filter(|waiting| group(waiting) == of).count();
        let most = line.iter().filter(inside).max_by_key(|waiting| (count(group(waiting)), waiting.id))?;
        if count(group(most)) > count(Some(*own)) + 1 {
            return line.iter().rfind(|waiting| inside(waiting) && group(waiting) == group(most)).map(|w| w.id);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin};

    use super::*;

    const ADA: Account = Account::named([1; 32]);
    const HER_LAPTOP: Account = Account::named([2; 32]);

    type Wait<'a> = Pin<Box<dyn Future<Output = Result<Turn, NoTurn>> + 'a>>;

    /// One more that waits for the account, from an address.
    async fn wait<'a>(turns: &'a Turns, address: &str) -> Wait<'a> {
        let mut wait: Wait<'a> = Box::pin(turns.take(ADA, Prefix::of(address), None));
        assert!(futures_util::poll!(&mut wait).is_pending(), "{address}");
        wait
    }

    async fn refused(turns: &Turns, address: &str) {
        let refused = turns.take(ADA, Prefix::of(address), None);
        assert_eq!(refused.await.unwrap_err(), NoTurn::Busy, "{address}");
    }

    #[tokio::test]
    async fn the_sign_ins_of_one_account_wait_in_the_order_of_arrival_and_few_do() {
        let turns = Turns::default();
        let first = turns.take(ADA, Prefix::Unknown, None).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..MAX_WAITING {
            waiting.push(wait(&turns, "").await);
        }
        refused(&turns, "").await;
        assert!(turns.take(HER_LAPTOP, Prefix::Unknown, None).await.is_ok(), "another account, or a known device");
        drop(first);
        let second = waiting.remove(0).await.unwrap();
        assert!(futures_util::poll!(&mut waiting[0]).is_pending());
        drop(second);
        assert!(waiting.remove(0).await.is_ok());
        drop(waiting);
        assert_eq!(turns.accounts(), 0);
    }

    #[tokio::test]
    async fn strangers_cannot_take_every_place_from_somebody_in_another_network() {
        let turns = Turns::default();
        let held = turns.take(ADA, Prefix::of("192.0.2.1"), None).await.unwrap();
        let mut strangers = Vec::new();
        for network in 0..MAX_LINE / MAX_WAITING {
            for machine in 0..MAX_WAITING {
                strangers.push(wait(&turns, &format!("10.0.{network}.{machine}")).await);
            }
        }
        refused(&turns, "10.0.0.99").await;
        let owner = wait(&turns, "198.51.100.7").await;
        let lost: Vec<usize> = {
            let mut lost = Vec::new();
            for (n, stranger) in strangers.iter_mut().enumerate() {
                if let std::task::Poll::Ready(done) = futures_util::poll!(stranger) {
                    assert_eq!(done.unwrap_err(), NoTurn::Busy);
                    lost.push(n);
                }
            }
            lost
        };
        assert_eq!(lost, [MAX_LINE - 1], "the last one");
        strangers.pop();
        drop(strangers);
        drop(held);
        assert!(owner.await.is_ok());
        assert_eq!(turns.accounts(), 0);
    }

    #[tokio::test]
    async fn neighbours_share_the_places_of_their_network() {
        let turns = Turns::default();
        let _held = turns.take(ADA, Prefix::of("2001:db8::1"), None).await.unwrap();
        let mut one_machine = Vec::new();
        for _ in 0..MAX_WAITING {
            one_machine.push(wait(&turns, "2001:db8:0:1::1").await);
        }
        refused(&turns, "2001:db8:0:1::2").await;
        let _in_the_same_provider = wait(&turns, "2001:db8:9::1").await;
        assert!(matches!(futures_util::poll!(&mut one_machine[3]), std::task::Poll::Ready(Err(NoTurn::Busy))));
        let _next_door = wait(&turns, "2001:db8:0:2::1").await;
        assert!(matches!(futures_util::poll!(&mut one_machine[2]), std::task::Poll::Ready(Err(NoTurn::Busy))));
        refused(&turns, "2001:db8:0:1::1").await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_deadline_or_for_ever() {
        let turns = Turns::default();
        let take = |deadline| turns.take(ADA, Prefix::Unknown, deadline);
        let _held = take(None).await.unwrap();
        let soon = Instant::now() + Duration::from_secs(1);
        assert_eq!(take(Some(soon)).await.unwrap_err(), NoTurn::Gone);
        assert_eq!(take(None).await.unwrap_err(), NoTurn::Busy);
        assert_eq!(take(Some(soon + LONGEST_WAIT * 9)).await.unwrap_err(), NoTurn::Busy);
    }

    #[tokio::test]
    async fn one_that_stops_waiting_leaves_its_place_and_one_that_misses_its_call_passes_it_on() {
        let turns = Turns::default();
        let held = turns.take(ADA, Prefix::Unknown, None).await.unwrap();
        for _ in 0..3 * MAX_WAITING {
            drop(wait(&turns, "").await);
        }
        let (missing, next) = (wait(&turns, "").await, wait(&turns, "").await);
        drop(held);
        drop(missing);
        assert!(next.await.is_ok());
        assert!(turns.take(ADA, Prefix::Unknown, None).await.is_ok());
        assert_eq!(turns.accounts(), 0);
    }
}
