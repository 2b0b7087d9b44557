//! The sign-ins at one account take turns: one has its password checked, a few wait until it is done. So parallel
//! sign-ins of one person all succeed, and none is judged by a count that another one is about to change.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

use super::Account;

/// Maximum number that wait for one account. More are a program's mistake, or an attack.
pub(super) const MAX_WAITING: usize = 4;
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
pub(super) struct Turns(Arc<Mutex<HashMap<Account, Line>>>);

/// The sign-ins at one account.
#[derive(Default)]
struct Line {
    present: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The turn of a sign-in at its account. Dropping it lets the next one have its turn.
pub struct Turn {
    // Fields are dropped in this order: whoever comes next finds the turn free.
    _turn: OwnedMutexGuard<()>,
    _present: Present,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

/// Counts one sign-in until dropped.
struct Present(Turns, Account);

impl Drop for Present {
    fn drop(&mut self) {
        let mut lines = self.0.lines();
        if let Some(line) = lines.get_mut(&self.1) {
            line.present -= 1;
            if line.present == 0 {
                lines.remove(&self.1);
            }
        }
    }
}

impl Turns {
    fn lines(&self) -> MutexGuard<'_, HashMap<Account, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a sign-in. The order is that of arrival.
    pub(super) async fn take(&self, account: Account, deadline: Option<Instant>) -> Result<Turn, NoTurn> {
        let (present, turn) = self.enter(account).ok_or(NoTurn::Busy)?;
        let longest = Instant::now() + LONGEST_WAIT;
        let limit = deadline.map_or(longest, |deadline| deadline.min(longest));
        match timeout_at(limit, turn.lock_owned()).await {
            Ok(turn) => Ok(Turn { _turn: turn, _present: present }),
            Err(_) if limit == longest => Err(NoTurn::Busy),
            Err(_) => Err(NoTurn::Gone),
        }
    }

    fn enter(&self, account: Account) -> Option<(Present, Arc<tokio::sync::Mutex<()>>)> {
        let mut lines = self.lines();
        let line = lines.entry(account).or_default();
        if line.present > MAX_WAITING {
            return None;
        }
        line.present += 1;
        Some((Present(self.clone(), account), line.turn.clone()))
    }

    /// How many accounts have sign-ins.
    #[cfg(test)]
    fn accounts(&self) -> usize {
        self.lines().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Account = Account::named([1; 32]);
    const HER_LAPTOP: Account = Account::named([2; 32]);

    #[tokio::test]
    async fn the_sign_ins_of_one_account_wait_in_the_order_of_arrival_and_few_do() {
        let turns = Turns::default();
        let first = turns.take(ADA, None).await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(turns.take(ADA, None))).collect();
        for wait in &mut waiting {
            assert!(futures_util::poll!(wait).is_pending());
        }
        assert_eq!(turns.take(ADA, None).await.unwrap_err(), NoTurn::Busy);
        assert!(turns.take(HER_LAPTOP, None).await.is_ok(), "another account, or a known device of the same");
        drop(first);
        let second = waiting.remove(0).await.unwrap();
        assert!(futures_util::poll!(&mut waiting[0]).is_pending());
        drop(second);
        assert!(waiting.remove(0).await.is_ok());
        drop(waiting);
        assert_eq!(turns.accounts(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_deadline_or_for_ever() {
        let turns = Turns::default();
        let _held = turns.take(ADA, None).await.unwrap();
        let soon = Instant::now() + Duration::from_secs(1);
        assert_eq!(turns.take(ADA, Some(soon)).await.unwrap_err(), NoTurn::Gone);
        assert_eq!(turns.take(ADA, None).await.unwrap_err(), NoTurn::Busy);
        assert_eq!(turns.take(ADA, Some(soon + LONGEST_WAIT * 9)).await.unwrap_err(), NoTurn::Busy);
    }

    #[tokio::test]
    async fn one_that_stops_waiting_leaves_its_place() {
        let turns = Turns::default();
        let held = turns.take(ADA, None).await.unwrap();
        for _ in 0..3 * MAX_WAITING {
            let mut wait = Box::pin(turns.take(ADA, None));
            assert!(futures_util::poll!(&mut wait).is_pending());
        }
        drop(held);
        assert!(turns.take(ADA, None).await.is_ok());
        assert_eq!(turns.accounts(), 0);
    }
}
