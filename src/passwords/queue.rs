//! The queue in front of the hashing threads. It has no threads and no clock of its own.
//!
//! Sign-ins wait in one line per machine. The networks that contain them take turns, at each level. A place is taken before the user is read
//! from the database, and counts from then on. If its turn comes before its work is there, the turn goes to the
//! next one. Known devices have places and turns of their own, which a flood of strangers cannot take. New
//! passwords wait in a separate line.

mod lines;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

use tokio::time::Instant;

use self::lines::{Lines, QueuedSignIn};
use super::{Account, Applicant, Prefix, pace::Pace};

/// While new passwords are waiting, one in this many turns is theirs. So a flood of sign-ins slows administrators
/// down, but does not lock them out.
const STORED_ONE_IN: usize = 4;
/// Maximum number of new passwords in the queue.
const STORING: usize = 16;
/// For each of so many places there is one more for known devices.
const KNOWN_ONE_IN: usize = 4;

/// Identifies a place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaceId(u64);

/// Why a place was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// All places are taken, and none can be evicted.
    Full,
    /// The account has a place already.
    AccountWaits,
    /// Its turn would come after its deadline.
    TooLate,
    /// Its deadline has passed already.
    Expired,
}

/// A sign-in that lost its place to another one: its work, if that was attached already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Evicted<W>(pub(super) Option<W>);

/// What a thread gets from the queue.
#[derive(Debug)]
pub(super) struct NextWork<W> {
    /// The next work to do.
    pub(super) work: Option<W>,
    /// Work whose deadline has passed. The caller drops it, outside the lock.
    pub(super) expired: Vec<W>,
}

/// The two classes of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Places for anybody.
    All,
    /// Places for known devices.
    Known,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue<W> {
    all: Lines<W>,
    known: Lines<W>,
    /// Whether the last sign-in served was in the class of known devices, which gets every other turn.
    served_known: bool,
    accounts: HashSet<Account>,
    storing: VecDeque<(PlaceId, W)>,
    turns_since_stored: usize,
    last_place: u64,
}

impl<W> Queue<W> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            all: Lines::new(capacity),
            known: Lines::new(capacity.div_ceil(KNOWN_ONE_IN)),
            served_known: false,
            accounts: HashSet::new(),
            storing: VecDeque::new(),
            turns_since_stored: 0,
            last_place: 0,
        }
    }

    fn lines(&self, class: Class) -> &Lines<W> {
        match class {
            Class::All => &self.all,
            Class::Known => &self.known,
        }
    }

    fn lines_mut(&mut self, class: Class) -> &mut Lines<W> {
        match class {
            Class::All => &mut self.all,
            Class::Known => &mut self.known,
        }
    }

    /// The length of the queue.
    pub(super) fn waiting(&self) -> usize {
        self.all.waiting() + self.known.waiting() + self.storing.len()
    }

    fn next_place(&mut self) -> PlaceId {
        self.last_place += 1;
        PlaceId(self.last_place)
    }

    /// Takes a place for a sign-in; its work is attached later. If the queue is full, a sign-in in the longest line is
    /// evicted, provided the new one's line is still not longer afterwards.
    pub(super) fn admit(
        &mut self,
        applicant: &Applicant,
        now: Instant,
        pace: &Pace,
    ) -> Result<(PlaceId, Option<Evicted<W>>), Refused> {
        let Applicant { account, prefix, deadline, .. } = *applicant;
        if deadline.is_some_and(|at| at <= now) {
            return Err(Refused::Expired);
        }
        if self.accounts.contains(&account) {
            return Err(Refused::AccountWaits);
        }
        let class = self.class_for(applicant);
        let estimate = pace.estimated_wait(self.ahead(class.unwrap_or(Class::All), prefix));
        if let (Some(deadline), Some(estimate)) = (deadline, estimate)
            && now + estimate > deadline
        {
            return Err(Refused::TooLate);
        }
        let class = class.ok_or(Refused::Full)?;
        let evicted = if self.lines(class).is_full() { Some(self.evict(class, prefix)?) } else { None };
        let id = self.next_place();
        self.accounts.insert(account);
        self.lines_mut(class).push(prefix, QueuedSignIn { place: id, account, deadline, work: None });
        Ok((id, evicted))
    }

    /// The class with a place for a sign-in. A known device takes a free place of its own class first, then one for
    /// anybody, and only then one from which another sign-in must be evicted.
    fn class_for(&self, applicant: &Applicant) -> Option<Class> {
        const ORDER: [Class; 2] = [Class::Known, Class::All];
        let own = if applicant.known_device { &ORDER[..] } else { &ORDER[1..] };
        let free = own.iter().find(|class| !self.lines(**class).is_full());
        free.or_else(|| own.iter().find(|class| self.lines(**class).can_evict_for(applicant.prefix))).copied()
    }

    /// How many are served before a new sign-in from this prefix.
    fn ahead(&self, class: Class, prefix: Prefix) -> usize {
        let (own, others) = match class {
            Class::All => (self.all.ahead(prefix), self.known.waiting()),
            Class::Known => (self.known.ahead(prefix), self.all.waiting()),
        };
        // The classes take turns.
        let ahead = own + others.min(own + 1);
        ahead + self.storing.len().min((ahead + 1) / (STORED_ONE_IN - 1))
    }

    /// Evicts a sign-in in favour of a new one from this prefix.
    fn evict(&mut self, class: Class, prefix: Prefix) -> Result<Evicted<W>, Refused> {
        let entry = self.lines_mut(class).evict(prefix).ok_or(Refused::Full)?;
        self.accounts.remove(&entry.account);
        Ok(Evicted(entry.work))
    }

    /// Takes a place for a new password.
    pub(super) fn admit_storing(&mut self, work: W) -> Result<PlaceId, Refused> {
        if self.storing.len() >= STORING {
            return Err(Refused::Full);
        }
        let place = self.next_place();
        self.storing.push_back((place, work));
        Ok(place)
    }

    /// Attaches the work to the place of a sign-in. Returns the work if the place was lost.
    pub(super) fn attach(&mut self, place: PlaceId, work: W) -> Result<(), W> {
        let entry = match self.known.find(place) {
            Some(entry) => Some(entry),
            None => self.all.find(place),
        };
        match entry {
            Some(entry) => {
                entry.work = Some(work);
                Ok(())
            }
            None => Err(work),
        }
    }

    /// Frees a place. Returns its work, which the caller drops outside the lock.
    pub(super) fn withdraw(&mut self, place: PlaceId) -> Option<W> {
        if let Some(at) = self.storing.iter().position(|(t, _)| *t == place) {
            return self.storing.remove(at).map(|(_, work)| work);
        }
        let entry = self.known.withdraw(place).or_else(|| self.all.withdraw(place))?;
        self.accounts.remove(&entry.account);
        entry.work
    }

    /// The next work to do.
    pub(super) fn next(&mut self, now: Instant) -> NextWork<W> {
        let mut expired = Vec::new();
        if self.turns_since_stored + 1 >= STORED_ONE_IN
            && let Some(work) = self.next_storing()
        {
            return NextWork { work: Some(work), expired };
        }
        while let Some(entry) = self.next_sign_in() {
            if entry.deadline.is_some_and(|at| at <= now) {
                // A hash after the deadline is of no use to anybody.
                expired.extend(entry.work);
            } else {
                self.turns_since_stored += 1;
                return NextWork { work: entry.work, expired };
            }
        }
        NextWork { work: self.next_storing(), expired }
    }

    fn next_storing(&mut self) -> Option<W> {
        let (_, work) = self.storing.pop_front()?;
        self.turns_since_stored = 0;
        Some(work)
    }

    /// The next sign-in. The classes take turns while both have work.
    fn next_sign_in(&mut self) -> Option<QueuedSignIn<W>> {
        let first = if self.served_known { Class::All } else { Class::Known };
        let second = if self.served_known { Class::Known } else { Class::All };
        let served = [first, second].into_iter().find_map(|class| Some((class, self.lines_mut(class).next()?)));
        let (class, entry) = served?;
        self.served_known = class == Class::Known;
        self.accounts.remove(&entry.account);
        Some(entry)
    }
}
