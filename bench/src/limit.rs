//! A control group that bounds a process' memory, of either version of the kernel's interface.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::pin;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// The names of its files.
#[derive(Debug)]
struct Names {
    limit: &'static str,
    peak: &'static str,
    /// Holds a line `oom_kill N`.
    events: &'static str,
}

const FIRST: Names =
    Names { limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", events: "memory.oom_control" };
const SECOND: Names = Names { limit: "memory.max", peak: "memory.peak", events: "memory.events" };

/// A group of its own. It is removed when this is dropped, if its processes have ended.
#[derive(Debug)]
pub(crate) struct Limit {
    dir: PathBuf,
    names: Names,
}

impl Limit {
    /// A group whose processes may hold so many bytes together.
    pub(crate) fn new(bytes: u64) -> anyhow::Result<Self> {
        let (parent, names) = if Path::new(ROOT).join("memory").is_dir() {
            (Path::new(ROOT).join("memory"), FIRST)
        } else if Path::new(ROOT).join("cgroup.controllers").is_file() {
            (PathBuf::from(ROOT), SECOND)
        } else {
            bail!("there are no control groups for memory below {ROOT}");
        };
        let dir = parent.join(format!("chancery-bench-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot make the control group {}", dir.display()))?;
        let this = Self { dir, names };
        fs::write(this.dir.join(this.names.limit), bytes.to_string()).context("cannot set a limit on memory")?;
        // Swap would hide that the limit was met; where there is none there is no such file.
        let _ = fs::write(this.dir.join("memory.swap.max"), "0");
        Ok(this)
    }

    /// A command that runs a program in the group, from its first byte on.
    pub(crate) fn command(&self, pin: bool, program: &Path) -> Command {
        let mut command = pin::server_side(pin, "sh");
        command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(self.dir.join("cgroup.procs")).arg(program);
        command
    }

    /// The most that was held, in bytes.
    pub(crate) fn peak(&self) -> anyhow::Result<u64> {
        Ok(fs::read_to_string(self.dir.join(self.names.peak))?.trim().parse()?)
    }

    /// Processes that the kernel ended because the limit was met.
    pub(crate) fn kills(&self) -> anyhow::Result<u64> {
        kills(&fs::read_to_string(self.dir.join(self.names.events))?)
    }
}

fn kills(events: &str) -> anyhow::Result<u64> {
    let line = events.lines().find_map(|l| l.strip_prefix("oom_kill "));
    Ok(line.context("the kernel does not count what it ends")?.trim().parse()?)
}

impl Drop for Limit {
    fn drop(&mut self) {
        // A group cannot be removed while a process that was just killed is still in it.
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
    fn what_the_kernel_ended_is_counted() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n").unwrap(), 2);
        assert_eq!(kills("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n").unwrap(), 1);
        assert!(kills("").is_err());
    }
}
