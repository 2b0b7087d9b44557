//! Lines of sign-ins, one per address prefix, that take turns.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Account, PlaceId, Prefix};

/// A sign-in at its place in the queue.
#[derive(Debug)]
pub(super) struct QueuedSignIn<W> {
    pub(super) place: PlaceId,
    pub(super) account: Account,
    pub(super) deadline: Option<Instant>,
    pub(super) work: Option<W>,
}

/// The sign-ins of one prefix, in order of arrival.
#[derive(Debug)]
struct Line<W> {
    prefix: Prefix,
    entries: VecDeque<QueuedSignIn<W>>,
}

/// Lines that share a limited number of places.
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

    /// The number of sign-ins in all lines.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting >= self.capacity
    }

    fn line_of(&self, prefix: Prefix) -> Option<usize> {
        self.in_turn.iter().position(|l| l.prefix == prefix)
    }

    /// How many are served before a new sign-in from this prefix: as many from each line as the new one's line has
    /// entries, and one more from each line whose turn comes earlier.
    pub(super) fn ahead(&self, prefix: Prefix) -> usize {
        let (place, turns) = match self.line_of(prefix) {
            Some(place) => (place, self.in_turn.get(place).map_or(0, |l| l.entries.len())),
            None => (self.in_turn.len(), 0),
        };
        let before = |(at, line): (usize, &Line<W>)| line.entries.len().min(turns + usize::from(at < place));
        self.in_turn.iter().enumerate().map(before).sum()
    }

    /// The newest entry in the longest line, unless the line of a new sign-in from this prefix would be as long.
    fn eviction_candidate(&self, prefix: Prefix) -> Option<(usize, usize)> {
        let mine = self.line_of(prefix).and_then(|at| self.in_turn.get(at)).map_or(0, |l| l.entries.len());
        // Of several equally long lines, the last one: its turn comes last.
        let (at, longest) = self.in_turn.iter().enumerate().max_by_key(|(_, l)| l.entries.len())?;
        (mine + 1 < longest.entries.len()).then(|| (at, longest.entries.len() - 1))
    }

    /// Whether a sign-in could be evicted in favour of a new one from this prefix.
    pub(super) fn can_evict_for(&self, prefix: Prefix) -> bool {
        self.eviction_candidate(prefix).is_some()
    }

    /// Evicts a sign-in in favour of a new one from this prefix.
    pub(super) fn evict(&mut self, prefix: Prefix) -> Option<QueuedSignIn<W>> {
        let (line, at) = self.eviction_candidate(prefix)?;
        self.remove(line, at)
    }

    pub(super) fn push(&mut self, prefix: Prefix, entry: QueuedSignIn<W>) {
        self.waiting += 1;
        match self.in_turn.iter_mut().find(|l| l.prefix == prefix) {
            Some(line) => line.entries.push_back(entry),
            None => self.in_turn.push_back(Line { prefix, entries: VecDeque::from([entry]) }),
        }
    }

    pub(super) fn find(&mut self, place: PlaceId) -> Option<&mut QueuedSignIn<W>> {
        self.in_turn.iter_mut().flat_map(|l| l.entries.iter_mut()).find(|e| e.place == place)
    }

    pub(super) fn withdraw(&mut self, place: PlaceId) -> Option<QueuedSignIn<W>> {
        let (line, at) = self.position_where(|e| e.place == place)?;
        self.remove(line, at)
    }

    fn position_where(&self, is: impl Fn(&QueuedSignIn<W>) -> bool) -> Option<(usize, usize)> {
        let find = |l: &Line<W>| l.entries.iter().position(&is);
        self.in_turn.iter().enumerate().find_map(|(n, l)| Some((n, find(l)?)))
    }

    /// Removes an entry, and its line if that is empty then.
    fn remove(&mut self, line: usize, at: usize) -> Option<QueuedSignIn<W>> {
        let entries = &mut self.in_turn.get_mut(line)?.entries;
        let entry = entries.remove(at)?;
        if entries.is_empty() {
            self.in_turn.remove(line);
        }
        self.waiting -= 1;
        Some(entry)
    }

    /// Removes the oldest entry with work from the first line that has one, and moves that line to the end.
    pub(super) fn next(&mut self) -> Option<QueuedSignIn<W>> {
        let (line, at) = self.position_where(|e| e.work.is_some())?;
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
