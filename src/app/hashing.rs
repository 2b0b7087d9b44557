//! How much of the machine the hashing of passwords may take.

use super::{config::Settings, machine::Machine};
use crate::{
    metrics::{Hashing, Metrics},
    passwords::{self, Params, Passwords},
};

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

/// Fills in what is not set and compares it with the machine; notes every problem.
pub(super) fn plan(settings: &Settings, machine: Machine, problems: &mut Vec<String>) -> passwords::Settings {
    check_range("hashing_threads", settings.hashing_threads, MOST_THREADS, problems);
    check_range("hashing_queue", settings.hashing_queue, MOST_PLACES, problems);
    check_range("hashing_memory_mib", settings.hashing_memory_mib, MOST_MIB, problems);
    let params = Params::default();
    let hash_mib = u64::from(params.memory_kib).div_ceil(1024);
    let given_mib = settings.hashing_memory_mib.map(u64::from);
    let limit_mib = machine.memory.map(|bytes| bytes / MIB);
    let room_mib = [given_mib, limit_mib.map(|l| l / PART_OF_LIMIT)].into_iter().flatten().min();
    let threads = settings.hashing_threads.map_or_else(
        || {
            let cores = u64::try_from(machine.cores).unwrap_or(1).clamp(1, u64::from(MOST_THREADS));
            // Fewer than there are cores rather than none.
            room_mib.map_or(cores, |room| cores.min(room / hash_mib)).max(1)
        },
        |threads| u64::from(threads.max(1)),
    );
    let needs_mib = threads * hash_mib;
    let memory_mib = given_mib.unwrap_or(needs_mib);
    if let Some(given) = given_mib.filter(|given| *given < needs_mib) {
        problems.push(format!(
            "hashing_memory_mib: {given} MiB is too little for {threads} hashing_threads at {hash_mib} MiB each; \
             set at least {needs_mib}, or fewer hashing_threads"
        ));
    } else if let Some(limit) = limit_mib.filter(|limit| memory_mib > limit / PART_OF_LIMIT) {
        problems.push(beyond_limit(settings, threads, memory_mib, limit, hash_mib));
    }
    let default_queue = u32::try_from(threads).unwrap_or(1).saturating_mul(PLACES_A_THREAD).min(MOST_PLACES);
    passwords::Settings {
        params,
        threads: usize::try_from(threads).unwrap_or(1),
        queue: settings.hashing_queue.unwrap_or(default_queue) as usize,
        memory_kib: memory_mib * 1024,
    }
}

fn check_range(name: &str, value: Option<u32>, most: u32, problems: &mut Vec<String>) {
    if let Some(value) = value.filter(|v| !(1..=most).contains(v)) {
        problems.push(format!("{name}: must be 1 to {most}, not {value}"));
    }
}

/// Says which setting asks for more than the container has to spare, and the way out.
fn beyond_limit(settings: &Settings, threads: u64, memory_mib: u64, limit_mib: u64, hash_mib: u64) -> String {
    let half = limit_mib / PART_OF_LIMIT;
    let (what, way_out) = if settings.hashing_memory_mib.is_some() {
        (format!("hashing_memory_mib: {memory_mib} MiB"), format!("set at most {half}, or "))
    } else if settings.hashing_threads.is_some() {
        let fewer = match half / hash_mib {
            0 => String::new(),
            n => format!("set at most {n}, or "),
        };
        (format!("hashing_threads: {threads} threads at {hash_mib} MiB each take {memory_mib} MiB, which"), fewer)
    } else {
        (format!("hashing_threads: even one thread takes {hash_mib} MiB, which"), String::new())
    };
    let least = memory_mib * PART_OF_LIMIT;
    format!(
        "{what} is more than half of the {limit_mib} MiB that the control group allows this process; {way_out}\
         raise the limit to {least} MiB"
    )
}

/// Shows what becomes of passwords.
pub(super) fn observe(metrics: &mut Metrics, passwords: &Passwords) {
    let passwords = passwords.clone();
    metrics.observe_hashing(move || {
        let figures = passwords.figures();
        Hashing {
            waiting: figures.waiting as u64,
            memory_bytes: figures.memory_kib * 1024,
            hashed: figures.hashed,
            seconds: figures.took.as_secs_f64(),
            refused: [
                ("queue_full", figures.queue_full),
                ("account_waiting", figures.account_waiting),
                ("deadline", figures.deadline),
                ("evicted", figures.evicted),
            ],
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cores: usize, limit_mib: Option<u64>) -> Machine {
        Machine { cores, memory: limit_mib.map(|l| l * MIB) }
    }

    fn set(threads: Option<u32>, memory_mib: Option<u32>) -> Settings {
        Settings { hashing_threads: threads, hashing_memory_mib: memory_mib, ..Settings::default() }
    }

    /// Threads and MiB.
    fn planned(settings: &Settings, machine: Machine) -> (usize, u64) {
        let mut problems = Vec::new();
        let plan = plan(settings, machine, &mut problems);
        assert_eq!(problems, [""; 0]);
        (plan.threads, plan.memory_kib / 1024)
    }

    fn refused(settings: &Settings, machine: Machine) -> String {
        let mut problems = Vec::new();
        plan(settings, machine, &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }

    #[test]
    fn p09_threads_are_cores_and_memory_is_what_they_need() {
        assert_eq!(planned(&set(None, None), machine(2, None)), (2, 38));
        assert_eq!(planned(&set(Some(3), None), machine(2, None)), (3, 57));
        assert_eq!(planned(&set(None, Some(1024)), machine(2, None)), (2, 1024));
        assert_eq!(planned(&set(None, Some(60)), machine(8, None)), (3, 60));
        let queue = |settings| plan(&settings, machine(2, None), &mut Vec::new()).queue;
        assert_eq!(queue(Settings::default()), 80);
        assert_eq!(queue(Settings { hashing_queue: Some(7), ..Settings::default() }), 7);
    }

    #[test]
    fn p09_a_small_container_hashes_with_fewer_threads() {
        assert_eq!(planned(&set(None, None), machine(8, Some(256))), (6, 114));
        assert_eq!(planned(&set(None, None), machine(8, Some(38))), (1, 19));
        assert_eq!(planned(&set(None, None), machine(8, Some(4096))), (8, 152));
    }

    #[test]
    fn p09_what_would_not_fit_is_refused_with_the_way_out() {
        let cases = [
            (set(None, None), 37, "hashing_threads: even one thread takes 19 MiB", "raise the limit to 38 MiB"),
            (set(Some(8), None), 256, "hashing_threads: 8 threads at 19 MiB each take 152", "set at most 6"),
            (set(Some(2), None), 30, "hashing_threads: 2 threads", "raise the limit to 76 MiB"),
            (set(None, Some(200)), 256, "hashing_memory_mib: 200 MiB is more than half of the 256", "set at most 128"),
            (set(Some(4), Some(60)), 4096, "hashing_memory_mib: 60 MiB is too little for 4", "set at least 76"),
            (set(None, Some(18)), 4096, "hashing_memory_mib: 18 MiB is too little for 1", "set at least 19"),
        ];
        for (settings, limit, problem, way_out) in cases {
            let told = refused(&settings, machine(4, Some(limit)));
            assert!(told.contains(problem) && told.contains(way_out), "{told}");
        }
    }
}
