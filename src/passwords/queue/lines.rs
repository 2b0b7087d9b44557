//! Lines of sign-ins, one for each address prefix, that take turns.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Account, Prefix, Ticket};

/// A place for a sign-in.
#[derive(Debug)]
pub(super) struct Entry<W> {
    pub(super) ticket: Ticket,
    pub(super) account: Account,
    pub(super) deadline: Option<Instant>,
    pub(super) work: Option<W>,
}

/// The sign-ins of one prefix, in the order of their arrival.
#[derive(Debug)]
struct Line<W> {
    prefix: Prefix,
    entries: VecDeque<Entry<W>>,
}

/// Lines that share a number of places.
#[derive(Debug)]
pub(super) struct Lines<W> {
    capacity: usize,
    /// The line at the front is served next.
    in_turn: VecDeque<Line<W>>,
    waiting: usize,
}

impl<W> Lines<W> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, in_turn: VecDeque::new(), waiting: 0 }
    }

    /// In all lines.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting >= self.capacity
    }

    fn line_of(&self, prefix: Prefix) -> Option<usize> {
        self.in_turn.iter().position(|l| l.prefix == prefix)
    }

    /// How many are served before somebody of this prefix who comes now: of each line that is before its own,
    /// one more than of those behind.
    pub(super) fn ahead(&self, prefix: Prefix) -> usize {
        let (place, turns) = match self.line_of(prefix) {
            Some(place) => (place, self.in_turn.get(place).map_or(0, |l| l.entries.len())),
            None => (self.in_turn.len(), 0),
        };
        let before = |(at, line): (usize, &Line<W>)| line.entries.len().min(turns + usize::from(at < place));
        self.in_turn.iter().enumerate().map(before).sum()
    }

    /// The newest of the longest line, unless the line of a newcomer of this prefix is about as long.
    fn gives_way_to(&self, prefix: Prefix) -> Option<(usize, usize)> {
        let mine = self.line_of(prefix).and_then(|at| self.in_turn.get(at)).map_or(0, |l| l.entries.len());
        // The last of several that are as long: its turn comes last.
        let (at, longest) = self.in_turn.iter().enumerate().max_by_key(|(_, l)| l.entries.len())?;
        (mine + 1 < longest.entries.len()).then(|| (at, longest.entries.len() - 1))
    }

    /// Whether somebody would give way to a newcomer of this prefix.
    pub(super) fn has_to_give_way(&self, prefix: Prefix) -> bool {
        self.gives_way_to(prefix).is_some()
    }

    /// Sends away who has to give way to a newcomer of this prefix.
    pub(super) fn evict(&mut self, prefix: Prefix) -> Option<Entry<W>> {
        let (line, at) = self.gives_way_to(prefix)?;
        self.remove(line, at)
    }

    pub(super) fn push(&mut self, prefix: Prefix, entry: Entry<W>) {
        self.waiting += 1;
        match self.in_turn.iter_mut().find(|l| l.prefix == prefix) {
            Some(line) => line.entries.push_back(entry),
            None => self.in_turn.push_back(Line { prefix, entries: VecDeque::from([entry]) }),
        }
    }

    pub(super) fn find(&mut self, ticket: Ticket) -> Option<&mut Entry<W>> {
        self.in_turn.iter_mut().flat_map(|l| l.entries.iter_mut()).find(|e| e.ticket == ticket)
    }

    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<Entry<W>> {
        let (line, at) = self.place_where(|e| e.ticket == ticket)?;
        self.remove(line, at)
    }

    fn place_where(&self, is: impl Fn(&Entry<W>) -> bool) -> Option<(usize, usize)> {
        let find = |l: &Line<W>| l.entries.iter().position(&is);
        self.in_turn.iter().enumerate().find_map(|(n, l)| Some((n, find(l)?)))
    }

    /// Takes an entry out, and its line if it was the last of it.
    fn remove(&mut self, line: usize, at: usize) -> Option<Entry<W>> {
        let entries = &mut self.in_turn.get_mut(line)?.entries;
        let entry = entries.remove(at)?;
        if entries.is_empty() {
            self.in_turn.remove(line);
        }
        self.waiting -= 1;
        Some(entry)
    }

    /// The oldest of the first line that has work; that line goes to the end.
    pub(super) fn next(&mut self) -> Option<Entry<W>> {
        let (line, at) = self.place_where(|e| e.work.is_some())?;
        let lines = self.in_turn.len();
        let entry = self.remove(line, at)?;
        if self.in_turn.len() == lines {
            let served = self.in_turn.remove(line)?;
            self.in_turn.push_back(served);
        }
        Some(entry)
    }

    /// The number of prefixes.
    #[cfg(test)]
    pub(super) fn prefixes(&self) -> usize {
        self.in_turn.len()
    }
}
