//! The cores, memory and open files available to this process, on the machine or in a container.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Cores, memory limit and limit on open files.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Cores that the process may use.
    pub(super) cores: usize,
    /// The memory limit in bytes, if there is one.
    pub(super) memory: Option<u64>,
    /// How many files and connections may be open at once, if there is a limit.
    pub(super) open_files: Option<u64>,
}

impl Machine {
    /// Detects what this process may use of this machine.
    #[must_use]
    pub fn detect() -> Self {
        // Respects CPU affinity and the CPU quota of the control group.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { cores, memory: memory_limit(Path::new("/")), open_files: open_files() }
    }

    /// Enough for a command, which hashes at most one password and may run on another machine than the server.
    #[must_use]
    pub const fn for_command() -> Self {
        Self { cores: 1, memory: None, open_files: None }
    }
}

/// The name of this machine, or of its container; empty if it is not known.
#[must_use]
pub fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// How many files this process may open at once, after it has raised its own limit.
#[cfg(target_os = "linux")]
#[must_use]
pub fn open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).maximum
}

/// The usual limit of systems that limit it.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub const fn open_files() -> Option<u64> {
    Some(256)
}

/// Raises the limit on open files as far as the process may. The lower limit that most systems begin with protects
/// programs that use `select`, which cannot watch more.
pub fn raise_open_files() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limits = getrlimit(Resource::Nofile);
        limits.current = limits.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limits) {
            tracing::warn!(%error, "cannot raise the limit on open files");
        }
    }
}

/// Control groups without a limit report `max`, or a number this large.
const NO_LIMIT: u64 = 1 << 60;

/// A control group hierarchy that can limit memory.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Where it is mounted.
    mount: PathBuf,
    /// Our group, relative to the mount.
    group: PathBuf,
    /// Name of the file with the limit.
    file: &'static str,
}

/// The lowest limit of our control groups and their ancestors. `root` is `/`, except in tests.
fn memory_limit(root: &Path) -> Option<u64> {
    let proc = root.join("proc/self");
    let groups = fs::read_to_string(proc.join("cgroup")).ok()?;
    let mounts = fs::read_to_string(proc.join("mountinfo")).ok()?;
    let limits = hierarchies(&groups, &mounts).into_iter().flat_map(|hierarchy| {
        let mount = root.join(hierarchy.mount.strip_prefix("/").unwrap_or(&hierarchy.mount));
        let above: Vec<PathBuf> = hierarchy.group.ancestors().map(|a| mount.join(a).join(hierarchy.file)).collect();
        above.into_iter().filter_map(|file| parse_limit(&fs::read_to_string(file).ok()?))
    });
    limits.min()
}

/// Parses the contents of a limit file.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}

/// The hierarchies in `/proc/self/cgroup` that can limit memory, with their mounts from `/proc/self/mountinfo`
/// (cgroups(7), proc(5)).
fn hierarchies(groups: &str, mounts: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (kind, option, file) = match controllers {
            "" => ("cgroup2", None, "memory.max"),
            named if named.split(',').any(|c| c == "memory") => ("cgroup", Some("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let mount = mounts.lines().find_map(|line| parse_mount(line, kind, option));
        let Some((top, mount)) = mount else { continue };
        // A container may have its own group mounted as the root, but read the path that the host sees.
        let group = Path::new(path).strip_prefix(&top).unwrap_or(Path::new("")).to_owned();
        found.push(Hierarchy { mount, group, file });
    }
    found
}

/// The mounted group and its mount point, if the line has this file system type and this option.
fn parse_mount(line: &str, kind: &str, option: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (top, at) = (fields.next()?, fields.next()?);
    let mut fields = filesystem.split(' ');
    let right = fields.next()? == kind
        && option.is_none_or(|o| fields.nth(1).is_some_and(|options| options.split(',').any(|x| x == o)));
    right.then(|| (top.into(), at.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";

    /// A directory with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn limit_of(groups: &str, mounts: &str, limits: &[(&str, &str)]) -> Option<u64> {
        let own = [("proc/self/cgroup", groups), ("proc/self/mountinfo", mounts)];
        let files: Vec<_> = own.into_iter().chain(limits.iter().copied()).collect();
        memory_limit(root(&files).path())
    }

    #[test]
    fn p09_the_lowest_limit_of_a_group_and_its_ancestors_applies() {
        let own = ("sys/fs/cgroup/system.slice/chancery.service/memory.max", "1073741824\n");
        let above = ("sys/fs/cgroup/system.slice/memory.max", "536870912\n");
        let groups = "0::/system.slice/chancery.service\n";
        assert_eq!(limit_of(groups, V2, &[own]), Some(1 << 30));
        assert_eq!(limit_of(groups, V2, &[own, above]), Some(1 << 29));
        assert_eq!(limit_of(groups, V2, &[(own.0, "max\n"), above]), Some(1 << 29));
        assert_eq!(limit_of(groups, V2, &[(own.0, "max\n"), (above.0, "max\n")]), None);
        assert_eq!(limit_of(groups, V2, &[]), None);
    }

    #[test]
    fn p09_control_groups_v1_are_supported() {
        let file = "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes";
        let groups = "9:name=systemd:/\n4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n";
        assert_eq!(limit_of(groups, V1, &[(file, "268435456\n")]), Some(1 << 28));
        assert_eq!(limit_of(groups, V1, &[(file, "9223372036854771712\n")]), None);
        let both = format!("{V1}{V2}");
        let second = ("sys/fs/cgroup/memory.max", "134217728");
        assert_eq!(limit_of(groups, &both, &[(file, "268435456\n"), second]), Some(1 << 27));
    }

    #[test]
    fn p09_a_container_that_reads_its_hosts_path_finds_its_own_group() {
        let v1 = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n";
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit_of("4:memory:/docker/abc\n", v1, &[limit]), Some(1 << 28));
        assert_eq!(limit_of("4:memory:/elsewhere\n", v1, &[limit]), Some(1 << 28));
        assert_eq!(limit_of("0::/\n", V2, &[("sys/fs/cgroup/memory.max", "268435456\n")]), Some(1 << 28));
    }

    #[test]
    fn unreadable_control_groups_impose_no_limit() {
        for (groups, mounts) in [("", ""), ("nonsense\n:\n::", "x - y\n"), ("0::/a\n", V1), ("4:memory:/a\n", V2)] {
            assert_eq!(hierarchies(groups, mounts), [], "{groups:?}");
        }
        assert_eq!(memory_limit(root(&[]).path()), None);
        assert_eq!(parse_limit("12 apples"), None);
    }
}
