//! Lines of sign-ins, one per machine, in groups by the networks that contain them. At each level the groups take
//! turns: a network gets one turn at a time, however many smaller networks it is divided into.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{
    super::applicant::{Group, Path},
    Account, PlaceId, Prefix,
};

/// A sign-in at its place in the queue.
#[derive(Debug)]
pub(super) struct QueuedSignIn<W> {
    pub(super) place: PlaceId,
    pub(super) account: Account,
    pub(super) deadline: Option<Instant>,
    pub(super) work: Option<W>,
}

/// A network with its parts, or a machine with its sign-ins in order of arrival.
#[derive(Debug)]
struct Node<W> {
    group: Group,
    /// How many sign-ins it has. A node without any is removed.
    waiting: usize,
    /// The part at the front is served next.
    parts: VecDeque<Node<W>>,
    entries: VecDeque<QueuedSignIn<W>>,
}

/// Lines that share a limited number of places.
#[derive(Debug)]
pub(super) struct Lines<W> {
    capacity: usize,
    root: Node<W>,
}

impl<W> Lines<W> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, root: Node::new(Group::ALL) }
    }

    /// The number of sign-ins in all lines.
    pub(super) fn waiting(&self) -> usize {
        self.root.waiting
    }

    pub(super) fn is_full(&self) -> bool {
        self.root.waiting >= self.capacity
    }

    /// How many are served before a new sign-in from this prefix.
    pub(super) fn ahead(&self, prefix: Prefix) -> usize {
        self.root.ahead(Path::of(prefix).groups())
    }

    /// Whether a sign-in could be evicted in favour of a new one from this prefix.
    pub(super) fn can_evict_for(&self, prefix: Prefix) -> bool {
        self.root.can_evict_for(Path::of(prefix).groups())
    }

    /// Evicts a sign-in in favour of a new one from this prefix.
    pub(super) fn evict(&mut self, prefix: Prefix) -> Option<QueuedSignIn<W>> {
        self.root.evict_for(Path::of(prefix).groups())
    }

    pub(super) fn push(&mut self, prefix: Prefix, entry: QueuedSignIn<W>) {
        self.root.push(Path::of(prefix).groups(), entry);
    }

    pub(super) fn find(&mut self, place: PlaceId) -> Option<&mut QueuedSignIn<W>> {
        self.root.find(place)
    }

    pub(super) fn withdraw(&mut self, place: PlaceId) -> Option<QueuedSignIn<W>> {
        self.root.withdraw(place)
    }

    /// Removes the oldest entry with work of the first line that has one. Each network around it goes behind the others
    /// of its level.
    pub(super) fn next(&mut self) -> Option<QueuedSignIn<W>> {
        self.root.next()
    }

    /// The number of the widest networks.
    #[cfg(test)]
    pub(super) fn networks(&self) -> usize {
        self.root.parts.len()
    }
}

impl<W> Node<W> {
    fn new(group: Group) -> Self {
        Self { group, waiting: 0, parts: VecDeque::new(), entries: VecDeque::new() }
    }

    fn position_of(&self, group: Group) -> Option<usize> {
        self.parts.iter().position(|part| part.group == group)
    }

    fn push(&mut self, path: &[Group], entry: QueuedSignIn<W>) {
        self.waiting += 1;
        let Some((group, rest)) = path.split_first() else { return self.entries.push_back(entry) };
        if let Some(part) = self.parts.iter_mut().find(|part| part.group == *group) {
            return part.push(rest, entry);
        }
        let mut part = Self::new(*group);
        part.push(rest, entry);
        self.parts.push_back(part);
    }

    /// How many are served before a new sign-in: those of its own part, as many from each other part, and one more from
    /// each part whose turn comes earlier.
    fn ahead(&self, path: &[Group]) -> usize {
        let Some((group, rest)) = path.split_first() else { return self.entries.len() };
        let own = self.position_of(*group).and_then(|at| Some((at, self.parts.get(at)?.ahead(rest))));
        let (place, turns) = own.unwrap_or((self.parts.len(), 0));
        let others = self.parts.iter().enumerate().filter(|(at, _)| *at != place);
        turns + others.map(|(at, part)| part.waiting.min(turns + usize::from(at < place))).sum::<usize>()
    }

    /// The part with the most sign-ins, if one from this part may take the place of one of them. Of several with as
    /// many, the last one: its turn comes last.
    fn largest_beside(&self, group: Group) -> Option<usize> {
        let mine = self.parts.iter().find(|part| part.group == group).map_or(0, |part| part.waiting);
        let (at, largest) = self.parts.iter().enumerate().max_by_key(|(_, part)| part.waiting)?;
        (mine + 1 < largest.waiting).then_some(at)
    }

    fn can_evict_for(&self, path: &[Group]) -> bool {
        let Some((group, rest)) = path.split_first() else { return false };
        let own = || self.parts.iter().find(|part| part.group == *group);
        self.largest_beside(*group).is_some() || own().is_some_and(|own| own.can_evict_for(rest))
    }

    /// Evicts from the largest part, unless the part of the new sign-in would be as large; then from within that.
    fn evict_for(&mut self, path: &[Group]) -> Option<QueuedSignIn<W>> {
        let (group, rest) = path.split_first()?;
        match self.largest_beside(*group) {
            Some(at) => self.remove_from(at, Self::remove_newest_of_largest),
            None => self.remove_from(self.position_of(*group)?, |own| own.evict_for(rest)),
        }
    }

    fn remove_newest_of_largest(&mut self) -> Option<QueuedSignIn<W>> {
        match self.parts.iter().enumerate().max_by_key(|(_, part)| part.waiting) {
            Some((at, _)) => self.remove_from(at, Self::remove_newest_of_largest),
            None => self.remove_entry(self.entries.len().checked_sub(1)?),
        }
    }

    fn remove_entry(&mut self, at: usize) -> Option<QueuedSignIn<W>> {
        let entry = self.entries.remove(at)?;
        self.waiting -= 1;
        Some(entry)
    }

    /// Removes an entry from a part, and the part if that is empty then.
    fn remove_from(
        &mut self,
        at: usize,
        remove: impl FnOnce(&mut Self) -> Option<QueuedSignIn<W>>,
    ) -> Option<QueuedSignIn<W>> {
        let part = self.parts.get_mut(at)?;
        let entry = remove(part)?;
        if part.waiting == 0 {
            self.parts.remove(at);
        }
        self.waiting -= 1;
        Some(entry)
    }

    fn find(&mut self, place: PlaceId) -> Option<&mut QueuedSignIn<W>> {
        let here = self.entries.iter_mut().find(|e| e.place == place);
        here.or_else(|| self.parts.iter_mut().find_map(|part| part.find(place)))
    }

    fn withdraw(&mut self, place: PlaceId) -> Option<QueuedSignIn<W>> {
        if let Some(at) = self.entries.iter().position(|e| e.place == place) {
            return self.remove_entry(at);
        }
        (0..self.parts.len()).find_map(|at| self.remove_from(at, |part| part.withdraw(place)))
    }

    fn next(&mut self) -> Option<QueuedSignIn<W>> {
        if let Some(at) = self.entries.iter().position(|e| e.work.is_some()) {
            return self.remove_entry(at);
        }
        let parts = self.parts.len();
        let (at, entry) = (0..parts).find_map(|at| Some((at, self.remove_from(at, Self::next)?)))?;
        if self.parts.len() == parts {
            let served = self.parts.remove(at)?;
            self.parts.push_back(served);
        }
        Some(entry)
    }
}
