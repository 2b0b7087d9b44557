//! Threads, queue and memory for password hashing.

use super::setting::section;
use crate::app::machine::Machine;
use crate::passwords::Params;

/// Upper bounds, far beyond any practical use. The queue was benchmarked up to these.
const MAX_THREADS: u32 = 256;
const MAX_QUEUE: u32 = 4096;
const MAX_MIB: u32 = 1 << 20;
/// Default queue length per thread. A hash takes about 45 ms, so the wait is at most two seconds. A longer queue is
/// not worth it: after that long, people try again.
const QUEUE_PER_THREAD: u32 = 40;
/// Hashing may use at most the container's memory limit divided by this; the rest is for everything else.
const LIMIT_DIVISOR: u64 = 2;
const MIB: u64 = 1 << 20;
/// By default there is memory for the hashes that other systems make by default, so that their users can be imported:
/// 64 MiB of Argon2 (PHP, argon2-cffi), and a little more of scrypt (passlib). It is used only while one is checked.
const FOREIGN_MIB: u64 = 65;

section! {
    /// Hashing of passwords
    #[expect(clippy::struct_field_names, reason = "fields are named as the file's keys")]
    HashingDraft;
    /// Passwords that are hashed at once
    hashing_threads: u32 as "N" = "the number of cores";
    /// Sign-ins that may wait for hashing
    hashing_queue: u32 as "N" = format_args!("{QUEUE_PER_THREAD} for each thread");
    /// Memory that hashing may use, in MiB
    hashing_memory_mib: u32 as "MIB" = format_args!("{} for each thread, but {FOREIGN_MIB} where half of the memory limit allows it", mib_per_thread());
}

/// Resources for password hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// Number of hashing threads.
    pub threads: u32,
    /// Maximum number of waiting sign-ins.
    pub queue: u32,
    /// Maximum memory for all threads together; never less than they need for new hashes.
    pub memory_mib: u32,
}

/// The memory that one thread needs for a new hash, in MiB.
fn mib_per_thread() -> u32 {
    Params::default().memory_kib.div_ceil(1024)
}

impl HashingDraft {
    /// Fills in defaults, compares the result with the machine and collects all problems.
    pub(super) fn check(&mut self, machine: Machine, problems: &mut Vec<String>) -> Hashing {
        for (setting, most) in [
            (&self.hashing_threads, MAX_THREADS),
            (&self.hashing_queue, MAX_QUEUE),
            (&self.hashing_memory_mib, MAX_MIB),
        ] {
            if let Some(value) = setting.get().filter(|v| !(1..=most).contains(*v)) {
                problems.push(setting.problem(format_args!("{value} is not between 1 and {most}")));
            }
        }
        let limit_mib = machine.memory.map(|bytes| bytes / MIB);
        let threads = self.threads(machine.cores, limit_mib);
        let needed_mib = threads * u64::from(mib_per_thread());
        let foreign_mib = limit_mib.map_or(FOREIGN_MIB, |limit| FOREIGN_MIB.min(limit / LIMIT_DIVISOR));
        let usual_mib = needed_mib.max(foreign_mib);
        let memory_mib = self.hashing_memory_mib.get().map_or(usual_mib, |given| u64::from(*given));
        if memory_mib < needed_mib {
            problems.push(self.hashing_memory_mib.problem(format_args!(
                "{memory_mib} MiB is less than {threads} hashing_threads need with {} MiB each; set at least \
                 {needed_mib}, or fewer hashing_threads",
                mib_per_thread()
            )));
        } else if let Some(limit) = limit_mib.filter(|limit| memory_mib > limit / LIMIT_DIVISOR) {
            problems.push(self.over_limit_problem(threads, memory_mib, limit));
        }
        let threads = u32::try_from(threads).unwrap_or(MAX_THREADS);
        Hashing {
            threads: self.hashing_threads.or(threads),
            queue: self.hashing_queue.or(threads.saturating_mul(QUEUE_PER_THREAD).min(MAX_QUEUE)),
            memory_mib: self.hashing_memory_mib.or(u32::try_from(memory_mib).unwrap_or(MAX_MIB)),
        }
    }

    /// The configured number of threads, or one per core as far as memory allows.
    fn threads(&self, cores: usize, limit_mib: Option<u64>) -> u64 {
        if let Some(threads) = self.hashing_threads.get() {
            return u64::from(*threads).max(1);
        }
        let given_mib = self.hashing_memory_mib.get().map(|given| u64::from(*given));
        let available_mib = [given_mib, limit_mib.map(|limit| limit / LIMIT_DIVISOR)].into_iter().flatten().min();
        let cores = u64::try_from(cores).unwrap_or(1).clamp(1, u64::from(MAX_THREADS));
        // At least one, even if memory is short.
        available_mib.map_or(cores, |mib| cores.min(mib / u64::from(mib_per_thread()))).max(1)
    }

    /// The problem of using more than half of the memory limit: names the setting to blame and how to fix it.
    fn over_limit_problem(&self, threads: u64, memory_mib: u64, limit_mib: u64) -> String {
        let (half, hash_mib) = (limit_mib / LIMIT_DIVISOR, u64::from(mib_per_thread()));
        let least = memory_mib * LIMIT_DIVISOR;
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
