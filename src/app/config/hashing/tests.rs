use super::*;
use crate::app::config::tests::draft_from_variables;

fn machine(cores: usize, limit_mib: Option<u64>) -> Machine {
    Machine { cores, memory: limit_mib.map(|l| l * MIB), open_files: None }
}

fn set(threads: Option<u32>, memory_mib: Option<u32>) -> HashingDraft {
    let given = [("HASHING_THREADS", threads), ("HASHING_MEMORY_MIB", memory_mib)];
    let given: Vec<_> = given.into_iter().filter_map(|(name, n)| Some((name, n?.to_string()))).collect();
    draft_from_variables(&given.iter().map(|(name, n)| (*name, n.as_str())).collect::<Vec<_>>()).hashing
}

fn planned(mut draft: HashingDraft, machine: Machine) -> Hashing {
    let mut problems = Vec::new();
    let hashing = draft.check(machine, &mut problems);
    assert_eq!(problems, [""; 0]);
    hashing
}

/// Number of threads and MiB of memory.
fn size(draft: HashingDraft, machine: Machine) -> (u32, u32) {
    let hashing = planned(draft, machine);
    (hashing.threads, hashing.memory_mib)
}

#[test]
fn p09_defaults_are_one_thread_per_core_and_the_memory_these_threads_and_one_foreign_hash_need() {
    assert_eq!(size(set(None, None), machine(2, None)), (2, 65));
    assert_eq!(size(set(Some(3), None), machine(2, None)), (3, 65));
    assert_eq!(size(set(Some(4), None), machine(2, None)), (4, 76));
    assert_eq!(size(set(None, Some(1024)), machine(2, None)), (2, 1024));
    assert_eq!(size(set(None, Some(60)), machine(8, None)), (3, 60));
    assert_eq!(planned(HashingDraft::default(), machine(2, None)).queue, 80);
    assert_eq!(planned(draft_from_variables(&[("HASHING_QUEUE", "7")]).hashing, machine(2, None)).queue, 7);
}

#[test]
fn p09_a_small_container_hashes_with_fewer_threads() {
    assert_eq!(size(set(None, None), machine(8, Some(256))), (6, 114));
    assert_eq!(size(set(None, None), machine(8, Some(38))), (1, 19));
    assert_eq!(size(set(None, None), machine(1, Some(100))), (1, 50));
    assert_eq!(size(set(None, None), machine(8, Some(4096))), (8, 152));
}

#[test]
fn p09_settings_that_exceed_memory_are_refused_with_a_remedy() {
    let cases = [
        (
            set(None, None),
            37,
            "--hashing-threads (hashing_threads): even one thread takes 19 MiB",
            "raise the limit to 38 MiB",
        ),
        (set(Some(8), None), 256, "HASHING_THREADS: 8 threads with 19 MiB each take 152", "set at most 6"),
        (set(Some(2), None), 30, "HASHING_THREADS: 2 threads", "raise the limit to 76 MiB"),
        (set(None, Some(200)), 256, "HASHING_MEMORY_MIB: 200 MiB is more than half of the 256", "set at most 128"),
        (set(Some(4), Some(60)), 4096, "HASHING_MEMORY_MIB: 60 MiB is less than 4", "set at least 76"),
        (set(None, Some(18)), 4096, "HASHING_MEMORY_MIB: 18 MiB is less than 1", "set at least 19"),
    ];
    for (mut draft, limit, problem, remedy) in cases {
        let mut problems = Vec::new();
        draft.check(machine(4, Some(limit)), &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(problem) && problems[0].contains(remedy), "{problems:?}");
    }
}
