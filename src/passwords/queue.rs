//! Who waits to be hashed, and whose turn it is. Knows neither threads nor time of its own.
//!
//! Sign-ins wait in one line for each address prefix; the lines take turns. A place is taken before the
//! database is asked for the user and counts from then on, though its turn passes while there is no
//! work for it yet. Passwords to be stored wait in a line of their own.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

use tokio::time::Instant;

use super::{Account, Applicant, Prefix, pace::Pace};

/// Of this many passwords, one is to be stored, while such wait: a storm of sign-ins slows an
/// administrator down and does not shut him out.
const STORED_ONE_IN: usize = 4;
/// Most passwords that wait to be stored.
const STORING: usize = 16;

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

/// A place for a sign-in.
#[derive(Debug)]
struct Entry<W> {
    ticket: Ticket,
    account: Account,
    deadline: Option<Instant>,
    work: Option<W>,
}

/// The sign-ins of one prefix, in the order of their arrival.
#[derive(Debug)]
struct Line<W> {
    prefix: Prefix,
    entries: VecDeque<Entry<W>>,
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

/// The queue.
#[derive(Debug)]
pub(super) struct Queue<W> {
    capacity: usize,
    /// The line at the front is served next.
    lines: VecDeque<Line<W>>,
    /// In all lines.
    signing_in: usize,
    accounts: HashSet<Account>,
    storing: VecDeque<(Ticket, W)>,
    turns_since_stored: usize,
    tickets: u64,
}

impl<W> Queue<W> {
    pub(super) fn new(capacity: usize) -> Self {
        let (lines, storing) = (VecDeque::new(), VecDeque::new());
        Self { capacity, lines, signing_in: 0, accounts: HashSet::new(), storing, turns_since_stored: 0, tickets: 0 }
    }

    /// All that wait.
    pub(super) fn waiting(&self) -> usize {
        self.signing_in + self.storing.len()
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
        if applicant.deadline.is_some_and(|at| at <= now) {
            return Err(Refused::Expired);
        }
        if self.accounts.contains(&applicant.account) {
            return Err(Refused::AccountWaits);
        }
        let own = self.lines.iter().position(|l| l.prefix == applicant.prefix);
        let estimate = pace.until_done(self.ahead(own));
        if let (Some(deadline), Some(estimate)) = (applicant.deadline, estimate)
            && now + estimate > deadline
        {
            return Err(Refused::TooLate);
        }
        let evicted = if self.signing_in < self.capacity { None } else { Some(self.evict(own)?) };
        let ticket = self.ticket();
        let Applicant { account, prefix, deadline } = *applicant;
        let entry = Entry { ticket, account, deadline, work: None };
        match self.lines.iter_mut().find(|l| l.prefix == prefix) {
            Some(line) => line.entries.push_back(entry),
            None => self.lines.push_back(Line { prefix, entries: VecDeque::from([entry]) }),
        }
        self.accounts.insert(account);
        self.signing_in += 1;
        Ok((ticket, evicted))
    }

    /// How many are served before somebody who comes now into the line `own`: of each line that is
    /// before it, one more than of those behind.
    fn ahead(&self, own: Option<usize>) -> usize {
        let (place, turns) = match own {
            Some(place) => (place, self.lines.get(place).map_or(0, |l| l.entries.len())),
            None => (self.lines.len(), 0),
        };
        let before = |(at, line): (usize, &Line<W>)| line.entries.len().min(turns + usize::from(at < place));
        let ahead: usize = self.lines.iter().enumerate().map(before).sum();
        ahead + self.storing.len().min((ahead + 1) / (STORED_ONE_IN - 1))
    }

    /// Sends the newest of the longest line away, unless the newcomer's line is about as long.
    fn evict(&mut self, own: Option<usize>) -> Result<Evicted<W>, Refused> {
        let mine = own.and_then(|place| self.lines.get(place)).map_or(0, |l| l.entries.len());
        // The last of several that are as long: its turn comes last.
        let longest = self.lines.iter().enumerate().max_by_key(|(_, l)| l.entries.len());
        match longest.map(|(at, l)| (at, l.entries.len())) {
            Some((at, length)) if mine + 1 < length => {
                self.remove(at, length - 1).map(|entry| Evicted(entry.work)).ok_or(Refused::Full)
            }
            _ => Err(Refused::Full),
        }
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
        let entry = self.lines.iter_mut().flat_map(|l| l.entries.iter_mut()).find(|e| e.ticket == ticket);
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
        let find = |l: &Line<W>| l.entries.iter().position(|e| e.ticket == ticket);
        let (line, at) = self.lines.iter().enumerate().find_map(|(n, l)| Some((n, find(l)?)))?;
        self.remove(line, at)?.work
    }

    /// Takes an entry out, and its line if it was the last of it.
    fn remove(&mut self, line: usize, at: usize) -> Option<Entry<W>> {
        let entries = &mut self.lines.get_mut(line)?.entries;
        let entry = entries.remove(at)?;
        if entries.is_empty() {
            self.lines.remove(line);
        }
        self.accounts.remove(&entry.account);
        self.signing_in -= 1;
        Some(entry)
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

    /// The oldest of the first line that has work; that line goes to the end.
    fn next_signing_in(&mut self) -> Option<Entry<W>> {
        let find = |l: &Line<W>| l.entries.iter().position(|e| e.work.is_some());
        let (line, at) = self.lines.iter().enumerate().find_map(|(n, l)| Some((n, find(l)?)))?;
        let lines = self.lines.len();
        let entry = self.remove(line, at)?;
        if self.lines.len() == lines {
            let served = self.lines.remove(line)?;
            self.lines.push_back(served);
        }
        Some(entry)
    }
}
