//! The memory that all threads hash in together, handed out in the order of asking.

use std::collections::VecDeque;

/// Memory in KiB. Threads keep what they hold from one password to the next, up to their part of it.
#[derive(Debug)]
pub(super) struct Memory {
    total: u64,
    free: u64,
    /// What each thread may keep.
    part: u64,
    threads: u64,
    /// Threads that wait, and for how much.
    line: VecDeque<(usize, u64)>,
}

impl Memory {
    pub(super) fn new(total: u64, part: u64, threads: usize) -> Self {
        Self { total, free: total, part, threads: threads as u64, line: VecDeque::new() }
    }

    /// How much is handed out.
    pub(super) fn used(&self) -> u64 {
        self.total - self.free
    }

    /// Lines up for memory; no more than there is, by a thread that holds none.
    pub(super) fn ask(&mut self, thread: usize, kib: u64) {
        self.line.push_back((thread, kib));
    }

    /// Hands the memory out that was asked for, if it is this thread's turn and there is room.
    pub(super) fn take(&mut self, thread: usize) -> bool {
        match self.line.front() {
            Some((first, kib)) if *first == thread && *kib <= self.free => {
                self.free -= kib;
                self.line.pop_front();
                true
            }
            _ => false,
        }
    }

    pub(super) fn give_back(&mut self, kib: u64) {
        self.free = (self.free + kib).min(self.total);
    }

    /// Whether who is first in line gets its memory only if the others give up their parts, too.
    pub(super) fn is_short(&self) -> bool {
        let others = self.part * self.threads.saturating_sub(1);
        self.line.front().is_some_and(|(_, kib)| *kib > self.free && kib + others > self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a43_two_big_hashes_never_share_a_small_budget() {
        let mut memory = Memory::new(100, 20, 2);
        memory.ask(0, 70);
        memory.ask(1, 60);
        assert!(!memory.take(1), "not its turn");
        assert!(memory.take(0));
        assert!(!memory.take(1), "no room");
        assert_eq!(memory.used(), 70);
        assert!(!memory.is_short(), "it fits beside the other's part");
        memory.give_back(70);
        assert!(memory.take(1));
        assert_eq!(memory.used(), 60);
    }

    #[test]
    fn who_asks_for_nearly_all_is_not_passed_by_those_who_ask_for_little() {
        let mut memory = Memory::new(100, 20, 3);
        for thread in 1..3 {
            memory.ask(thread, 20);
            assert!(memory.take(thread));
        }
        memory.ask(0, 90);
        assert!(!memory.take(0) && memory.is_short());
        memory.give_back(20);
        memory.ask(1, 20);
        assert!(!memory.take(1), "the first in line is first");
        memory.give_back(20);
        assert!(memory.take(0));
        assert!(!memory.take(1));
        memory.give_back(90);
        assert!(memory.take(1));
    }
}
