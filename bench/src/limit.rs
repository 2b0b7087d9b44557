//! A control group that limits a process's memory, with version 1 or 2 of the kernel's interface.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::pin;

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// The file names in a control group.
#[derive(Debug)]
struct FileNames {
    limit: &'static str,
    peak: &'static str,
    /// The file with the line `oom_kill N`.
    events: &'static str,
}

const CGROUP_V1: FileNames =
    FileNames { limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", events: "memory.oom_control" };
const CGROUP_V2: FileNames = FileNames { limit: "memory.max", peak: "memory.peak", events: "memory.events" };

/// A control group, removed on drop if its processes have exited.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    dir: PathBuf,
    names: FileNames,
}

impl MemoryLimit {
    /// Creates a group whose processes may use this many bytes together.
    pub(crate) fn new(bytes: u64) -> anyhow::Result<Self> {
        let (parent, names) = if Path::new(ROOT).join("memory").is_dir() {
            (Path::new(ROOT).join("memory"), CGROUP_V1)
        } else if Path::new(ROOT).join("cgroup.controllers").is_file() {
            (PathBuf::from(ROOT), CGROUP_V2)
        } else {
            bail!("there are no control groups for memory below {ROOT}");
        };
        let dir = parent.join(format!("chancery-bench-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot create the control group {}", dir.display()))?;
        let this = Self { dir, names };
        fs::write(this.dir.join(this.names.limit), bytes.to_string()).context("cannot set a limit on memory")?;
        // Swap would hide that the limit was reached. The file is missing where there is no swap.
        let _ = fs::write(this.dir.join("memory.swap.max"), "0");
        Ok(this)
    }

    /// A command that runs a program inside the group from its start.
    pub(crate) fn command(&self, pin: bool, program: &Path) -> Command {
        let mut command = pin::server_side(pin, "sh");
        command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(self.dir.join("cgroup.procs")).arg(program);
        command
    }

    /// The peak memory use, in bytes.
    pub(crate) fn peak(&self) -> anyhow::Result<u64> {
        Ok(fs::read_to_string(self.dir.join(self.names.peak))?.trim().parse()?)
    }

    /// The number of processes the kernel killed because the limit was reached.
    pub(crate) fn oom_kills(&self) -> anyhow::Result<u64> {
        parse_oom_kills(&fs::read_to_string(self.dir.join(self.names.events))?)
    }
}

fn parse_oom_kills(events: &str) -> anyhow::Result<u64> {
    let line = events.lines().find_map(|l| l.strip_prefix("oom_kill "));
    Ok(line.context("the kernel does not report oom_kill")?.trim().parse()?)
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A group cannot be removed while a killed process is still in it.
        for _ in 0..100 {
            if fs::remove_dir(&self.dir).is_ok() || !self.dir.exists() {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_killed_by_the_kernel_are_counted() {
        assert_eq!(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n").unwrap(), 2);
        assert_eq!(parse_oom_kills("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n").unwrap(), 1);
        assert!(parse_oom_kills("").is_err());
    }
}
