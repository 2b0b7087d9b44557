//! The machine, and the resource use of processes.

use std::{fs, process::Command};

use serde::Serialize;

/// A description of the machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    commit: Option<String>,
}

impl Machine {
    /// Describes this machine as far as possible.
    pub(crate) fn current() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown");
        let cores = info.lines().filter(|l| l.starts_with("processor")).count();
        Self {
            processor: processor.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores,
            memory_mib: field_kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:") / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            commit: commit(),
        }
    }

    /// A one-line summary.
    pub(crate) fn line(&self) -> String {
        let commit = self.commit.as_deref().unwrap_or("unknown");
        format!(
            "{}, {} cores, {} MiB, Linux {}, commit {commit}",
            self.processor, self.cores, self.memory_mib, self.kernel
        )
    }
}

/// The commit of the source tree in the current directory, if there is one.
fn commit() -> Option<String> {
    let out = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    (out.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The number of cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The resource use of a process so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// Processor time of all its threads, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// Resident memory now.
    pub(crate) rss_kib: u64,
    /// Peak resident memory.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// The use of the process with this id; zero if it has exited.
    pub(crate) fn of(id: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        Self {
            cpu_ms: parse_cpu_ms(&stat),
            rss_kib: field_kib(&status, "VmRSS:"),
            peak_kib: field_kib(&status, "VmHWM:"),
        }
    }
}

/// Processor time that the whole machine has used, in milliseconds, including time stolen by the host.
pub(crate) fn busy_ms() -> u64 {
    parse_busy_ms(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// Parses the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn parse_busy_ms(stat: &str) -> u64 {
    let line = stat.lines().find_map(|l| l.strip_prefix("cpu ")).unwrap_or_default();
    let ticks = line.split_whitespace().take(8).enumerate();
    ticks.filter(|(place, _)| ![3, 4].contains(place)).filter_map(|(_, f)| f.parse::<u64>().ok()).sum::<u64>() * 10
}

/// Parses the processor time: fields 14 and 15 of proc(5), in ticks of 10 ms.
fn parse_cpu_ms(stat: &str) -> u64 {
    // The second field, the name, may contain spaces; it ends at the last bracket.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum::<u64>() * 10
}

/// Parses a line such as `VmRSS:   1234 kB`; zero if it is missing.
fn field_kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_and_memory_are_parsed() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 900 0 0 0 12 30 0 0 20 0 5 0 100 200 300";
        assert_eq!(parse_cpu_ms(stat), 420);
        assert_eq!(field_kib("Name:\tx\nVmRSS:\t   2048 kB\n", "VmRSS:"), 2048);
        assert_eq!(field_kib("", "VmRSS:"), 0);
        assert_eq!(parse_busy_ms("cpu  10 1 5 900 50 1 2 3 0 0\ncpu0 1 1 1\n"), 220);
        assert!(Usage::of(std::process::id()).rss_kib > 0);
    }
}
