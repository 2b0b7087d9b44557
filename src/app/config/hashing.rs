//! How much of the machine the hashing of passwords may take.

use super::setting::section;
use crate::app::machine::Machine;
use crate::passwords::Params;

/// Most threads and places: far beyond any use, and what the queue was measured with.
const MOST_THREADS: u32 = 256;
const MOST_PLACES: u32 = 4096;
const MOST_MIB: u32 = 1 << 20;
/// A hash takes about 45 ms: so many for each thread wait for two seconds at most. Longer is not worth
/// it: who has waited so long for a sign-in tries again.
const PLACES_A_THREAD: u32 = 40;
/// One part in this many of a container's memory may go to hashing; the rest serves everything else.
const PART_OF_LIMIT: u64 = 2;
const MIB: u64 = 1 << 20;

section! {
    /// Hashing of passwords
    #[expect(clippy::struct_field_names, reason = "fields are named as the file's keys")]
    HashingDraft;
    /// Passwords that are hashed at once
    hashing_threads: u32 as "N" = "the number of cores";
    /// Sign-ins that may wait for hashing
    hashing_queue: u32 as "N" = format_args!("{PLACES_A_THREAD} for each thread");
    /// Memory that hashing may use, in MiB
    hashing_memory_mib: u32 as "MIB" = format_args!("{} for each thread", mib_a_thread());
}

/// How much of the machine hashing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// Threads that hash.
    pub threads: u32,
    /// Most sign-ins that wait.
    pub queue: u32,
    /// Most memory that all threads use together; never less than they need for new hashes.
    pub memory_mib: u32,
}

/// What one thread needs for a new hash.
fn mib_a_thread() -> u32 {
    Params::default().memory_kib.div_ceil(1024)
}

impl HashingDraft {
    /// Fills in what is not set and compares it with the machine; notes every problem.
    pub(super) fn check(&mut self, machine: Machine, problems: &mut Vec<String>) -> Hashing {
        for (setting, most) in [
            (&self.hashing_threads, MOST_THREADS),
            (&self.hashing_queue, MOST_PLACES),
            (&self.hashing_memory_mib, MOST_MIB),
        ] {
            if let Some(value) = setting.get().filter(|v| !(1..=most).contains(*v)) {
                problems.push(setting.problem(format_args!("{value} is not between 1 and {most}")));
            }
        }
        let limit_mib = machine.memory.map(|bytes| bytes / MIB);
        let threads = self.threads(machine.cores, limit_mib);
        let needs_mib = threads * u64::from(mib_a_thread());
        let memory_mib = self.hashing_memory_mib.get().map_or(needs_mib, |given| u64::from(*given));
        if memory_mib < needs_mib {
            problems.push(self.hashing_memory_mib.problem(format_args!(
                "{memory_mib} MiB is less than {threads} hashing_threads need with {} MiB each; set at least \
                 {needs_mib}, or fewer hashing_threads",
                mib_a_thread()
            )));
        } else if let Some(limit) = limit_mib.filter(|limit| memory_mib > limit / PART_OF_LIMIT) {
            problems.push(self.beyond_limit(threads, memory_mib, limit));
        }
        let threads = u32::try_from(threads).unwrap_or(MOST_THREADS);
        Hashing {
            threads: self.hashing_threads.or(threads),
            queue: self.hashing_queue.or(threads.saturating_mul(PLACES_A_THREAD).min(MOST_PLACES)),
            memory_mib: self.hashing_memory_mib.or(u32::try_from(memory_mib).unwrap_or(MOST_MIB)),
        }
    }

    /// The threads that are set, or as many as there are cores and room for.
    fn threads(&self, cores: usize, limit_mib: Option<u64>) -> u64 {
        if let Some(threads) = self.hashing_threads.get() {
            return u64::from(*threads).max(1);
        }
        let given_mib = self.hashing_memory_mib.get().map(|given| u64::from(*given));
        let room_mib = [given_mib, limit_mib.map(|limit| limit / PART_OF_LIMIT)].into_iter().flatten().min();
        let cores = u64::try_from(cores).unwrap_or(1).clamp(1, u64::from(MOST_THREADS));
        // Fewer than there are cores rather than none.
        room_mib.map_or(cores, |room| cores.min(room / u64::from(mib_a_thread()))).max(1)
    }

    /// Says which setting asks for more than the container has to spare, and the way out.
    fn beyond_limit(&self, threads: u64, memory_mib: u64, limit_mib: u64) -> String {
        let (half, hash_mib) = (limit_mib / PART_OF_LIMIT, u64::from(mib_a_thread()));
        let least = memory_mib * PART_OF_LIMIT;
        let too_much = format!("is more than half of the {limit_mib} MiB that the control group allows this process");
        let raise = format!("raise the limit to {least} MiB");
        if self.hashing_memory_mib.get().is_some() {
            let what = format_args!("{memory_mib} MiB {too_much}; set at most {half}, or {raise}");
            return self.hashing_memory_mib.problem(what);
        }
        if self.hashing_threads.get().is_none() {
            let what = format_args!("even one thread takes {hash_mib} MiB, which {too_much}; {raise}");
            return self.hashing_threads.problem(what);
        }
        let fewer = match half / hash_mib {
            0 => String::new(),
            n => format!("set at most {n}, or "),
        };
        self.hashing_threads.problem(format_args!(
            "{threads} threads with {hash_mib} MiB each take {memory_mib} MiB, which {too_much}; {fewer}{raise}"
        ))
    }
}

#[cfg(test)]
mod tests;
