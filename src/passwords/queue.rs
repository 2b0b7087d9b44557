//! Who waits to be hashed, and whose turn it is. Knows neither threads nor time of its own.
//!
//! Sign-ins wait in one line for each address prefix; the lines take turns. A place is taken before the
//! database is asked for the user and counts from then on, though its turn passes while there is no
//! work for it yet. Known devices have places and turns of their own, which no flood of strangers takes
//! from them. Passwords to be stored wait in a line of their own.

mod lines;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

use tokio::time::Instant;

use self::lines::{Entry, Lines};
use super::{Account, Applicant, Prefix, pace::Pace};

/// Of this many passwords, one is to be stored, while such wait: a storm of sign-ins slows an
/// administrator down and does not shut him out.
const STORED_ONE_IN: usize = 4;
/// Most passwords that wait to be stored.
const STORING: usize = 16;
/// Beside the queue's places there is one for known devices for each of so many.
const KNOWN_ONE_IN: usize = 4;

/// Names a place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// All places are taken, and nobody has to give way.
    Full,
    /// The account has one waiting.
    AccountWaits,
    /// Its turn would come too late.
    TooLate,
    /// Its deadline is over already.
    Expired,
}

/// Somebody who had a place and lost it to another: what was to be done, if that was known yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Evicted<W>(pub(super) Option<W>);

/// What a thread finds.
#[derive(Debug)]
pub(super) struct Turn<W> {
    /// To be hashed.
    pub(super) work: Option<W>,
    /// Came too late; to be dropped by who took the turn.
    pub(super) expired: Vec<W>,
}

/// Where a sign-in waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Anybody's places.
    All,
    /// Places of known devices.
    Known,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue<W> {
    all: Lines<W>,
    known: Lines<W>,
    /// Whether the last sign-in that was served waited among known devices: they take every other turn.
    served_known: bool,
    accounts: HashSet<Account>,
    storing: VecDeque<(Ticket, W)>,
    turns_since_stored: usize,
    tickets: u64,
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
            tickets: 0,
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

    /// All that wait.
    pub(super) fn waiting(&self) -> usize {
        self.all.waiting() + self.known.waiting() + self.storing.len()
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Takes a place for a sign-in, whose work comes later. In a full queue somebody of the longest line
    /// gives way to one whose own line would still not be longer.
    pub(super) fn admit(
        &mut self,
        applicant: &Applicant,
        now: Instant,
        pace: &Pace,
    ) -> Result<(Ticket, Option<Evicted<W>>), Refused> {
        let Applicant { account, prefix, deadline, .. } = *applicant;
        if deadline.is_some_and(|at| at <= now) {
            return Err(Refused::Expired);
        }
        if self.accounts.contains(&account) {
            return Err(Refused::AccountWaits);
        }
        let class = self.class_for(applicant);
        let estimate = pace.until_done(self.ahead(class.unwrap_or(Class::All), prefix));
        if let (Some(deadline), Some(estimate)) = (deadline, estimate)
            && now + estimate > deadline
        {
            return Err(Refused::TooLate);
        }
        let class = class.ok_or(Refused::Full)?;
        let evicted = if self.lines(class).is_full() { Some(self.evict(class, prefix)?) } else { None };
        let ticket = self.ticket();
        self.accounts.insert(account);
        self.lines_mut(class).push(prefix, Entry { ticket, account, deadline, work: None });
        Ok((ticket, evicted))
    }

    /// Where there is a place for a sign-in: known devices take their own first, then anybody's, and only then
    /// is somebody sent away.
    fn class_for(&self, applicant: &Applicant) -> Option<Class> {
        const ORDER: [Class; 2] = [Class::Known, Class::All];
        let own = if applicant.known_device { &ORDER[..] } else { &ORDER[1..] };
        let free = own.iter().find(|class| !self.lines(**class).is_full());
        free.or_else(|| own.iter().find(|class| self.lines(**class).has_to_give_way(applicant.prefix))).copied()
    }

    /// How many are served before somebody of this prefix who comes now.
    fn ahead(&self, class: Class, prefix: Prefix) -> usize {
        let (own, others) = match class {
            Class::All => (self.all.ahead(prefix), self.known.waiting()),
            Class::Known => (self.known.ahead(prefix), self.all.waiting()),
        };
        // Both take turns.
        let ahead = own + others.min(own + 1);
        ahead + self.storing.len().min((ahead + 1) / (STORED_ONE_IN - 1))
    }

    /// Sends somebody away for a newcomer of this prefix.
    fn evict(&mut self, class: Class, prefix: Prefix) -> Result<Evicted<W>, Refused> {
        let entry = self.lines_mut(class).evict(prefix).ok_or(Refused::Full)?;
        self.accounts.remove(&entry.account);
        Ok(Evicted(entry.work))
    }

    /// Takes a place for a password to be stored.
    pub(super) fn admit_storing(&mut self, work: W) -> Result<Ticket, Refused> {
        if self.storing.len() >= STORING {
            return Err(Refused::Full);
        }
        let ticket = self.ticket();
        self.storing.push_back((ticket, work));
        Ok(ticket)
    }

    /// Adds the work to a sign-in's place; gives it back if the place is lost.
    pub(super) fn ready(&mut self, ticket: Ticket, work: W) -> Result<(), W> {
        let entry = match self.known.find(ticket) {
            Some(entry) => Some(entry),
            None => self.all.find(ticket),
        };
        match entry {
            Some(entry) => {
                entry.work = Some(work);
                Ok(())
            }
            None => Err(work),
        }
    }

    /// Frees a place whose owner went away; gives its work to be dropped.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<W> {
        if let Some(at) = self.storing.iter().position(|(t, _)| *t == ticket) {
            return self.storing.remove(at).map(|(_, work)| work);
        }
        let entry = self.known.withdraw(ticket).or_else(|| self.all.withdraw(ticket))?;
        self.accounts.remove(&entry.account);
        entry.work
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self, now: Instant) -> Turn<W> {
        let mut expired = Vec::new();
        if self.turns_since_stored + 1 >= STORED_ONE_IN
            && let Some(work) = self.next_storing()
        {
            return Turn { work: Some(work), expired };
        }
        while let Some(entry) = self.next_signing_in() {
            if entry.deadline.is_some_and(|at| at <= now) {
                // Nobody gains from a hash that comes too late.
                expired.extend(entry.work);
            } else {
                self.turns_since_stored += 1;
                return Turn { work: entry.work, expired };
            }
        }
        Turn { work: self.next_storing(), expired }
    }

    fn next_storing(&mut self) -> Option<W> {
        let (_, work) = self.storing.pop_front()?;
        self.turns_since_stored = 0;
        Some(work)
    }

    /// Of known devices and of all others in turn, while both have work.
    fn next_signing_in(&mut self) -> Option<Entry<W>> {
        let first = if self.served_known { Class::All } else { Class::Known };
        let second = if self.served_known { Class::Known } else { Class::All };
        let served = [first, second].into_iter().find_map(|class| Some((class, self.lines_mut(class).next()?)));
        let (class, entry) = served?;
        self.served_known = class == Class::Known;
        self.accounts.remove(&entry.account);
        Some(entry)
    }
}
