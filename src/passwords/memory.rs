//! The memory that all threads share for hashing. It is granted in the order of requests.

use std::collections::VecDeque;

use super::UnusableHash;

/// The memory budget, in KiB. A thread keeps memory from one password to the next, up to its share.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    total: u64,
    free: u64,
    /// How much each thread may keep.
    part: u64,
    threads: u64,
    /// Threads that wait, and how much each requested.
    requests: VecDeque<(usize, u64)>,
}

impl MemoryBudget {
    pub(super) fn new(total: u64, part: u64, threads: usize) -> Self {
        Self { total, free: total, part, threads: threads as u64, requests: VecDeque::new() }
    }

    /// How much is granted.
    pub(super) fn used(&self) -> u64 {
        self.total - self.free
    }

    /// Requests memory. The thread must hold none, and must not request more than the total.
    pub(super) fn request(&mut self, thread: usize, kib: u64) {
        self.requests.push_back((thread, kib));
    }

    /// Grants what this thread requested, if it is the thread's turn and enough is free. Returns whether it did.
    pub(super) fn try_take(&mut self, thread: usize) -> bool {
        match self.requests.front() {
            Some((first, kib)) if *first == thread && *kib <= self.free => {
                self.free -= kib;
                self.requests.pop_front();
                true
            }
            _ => false,
        }
    }

    pub(super) fn give_back(&mut self, kib: u64) {
        self.free = (self.free + kib).min(self.total);
    }

    /// Whether the first request can be granted only if other threads give up their shares.
    pub(super) fn is_short(&self) -> bool {
        let others = self.part * self.threads.saturating_sub(1);
        self.requests.front().is_some_and(|(_, kib)| *kib > self.free && kib + others > self.total)
    }
}

/// Fails if a hash that needs so much memory does not fit into what there is.
pub(super) fn fits(needs_kib: u64, has_kib: u64) -> Result<(), UnusableHash> {
    if needs_kib <= has_kib {
        return Ok(());
    }
    Err(UnusableHash::Memory { needs_mib: needs_kib.div_ceil(1024), has_mib: has_kib / 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a43_two_big_hashes_never_share_a_small_budget() {
        let mut memory = MemoryBudget::new(100, 20, 2);
        memory.request(0, 70);
        memory.request(1, 60);
        assert!(!memory.try_take(1), "not its turn");
        assert!(memory.try_take(0));
        assert!(!memory.try_take(1), "no room");
        assert_eq!(memory.used(), 70);
        assert!(!memory.is_short(), "it fits beside the other's part");
        memory.give_back(70);
        assert!(memory.try_take(1));
        assert_eq!(memory.used(), 60);
    }

    #[test]
    fn a_large_request_is_not_overtaken_by_small_ones() {
        let mut memory = MemoryBudget::new(100, 20, 3);
        for thread in 1..3 {
            memory.request(thread, 20);
            assert!(memory.try_take(thread));
        }
        memory.request(0, 90);
        assert!(!memory.try_take(0) && memory.is_short());
        memory.give_back(20);
        memory.request(1, 20);
        assert!(!memory.try_take(1), "the first request is granted first");
        memory.give_back(20);
        assert!(memory.try_take(0));
        assert!(!memory.try_take(1));
        memory.give_back(90);
        assert!(memory.try_take(1));
    }
}
