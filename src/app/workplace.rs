//! A folder beside a file that is being made. The file appears only when it is complete, and never replaces another.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{entropy::Entropy, store::private};

/// The file in a workplace that its process keeps locked.
const LOCK: &str = "lock";

/// A folder for the parts of an unfinished file. It is removed with what is in it when this value is dropped, and by
/// the next process that makes the same file if this one is killed.
#[derive(Debug)]
pub(super) struct Workplace {
    dir: PathBuf,
    _lock: File,
}

impl Workplace {
    /// Makes a folder beside `target`, which only its owner can enter, and removes those of killed processes.
    pub(super) fn beside(target: &Path, doing: &str, entropy: &dyn Entropy) -> anyhow::Result<Self> {
        let prefix = format!("{}.{doing}-", file_name(target)?);
        let suffix: String = entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect();
        let parent = parent(target);
        let dir = parent.join(format!("{prefix}{suffix}"));
        let made = make(&dir).with_context(|| format!("cannot write to {}", parent.display()))?;
        let place = Self { dir, _lock: made };
        place.remove_abandoned(parent, &prefix);
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// A new empty file in it, accessible only to its owner.
    pub(super) fn file(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let path = self.dir.join(name);
        let file = private().write(true).create_new(true).open(&path)?;
        Ok((path, file))
    }

    /// Gives the finished file of this name in it the name `target`, durably. Refuses if there is a file already.
    pub(super) fn publish(self, name: &str, target: &Path) -> anyhow::Result<()> {
        let path = &self.dir.join(name);
        let failed = || format!("cannot write {}", target.display());
        File::open(path).and_then(|file| file.sync_all()).with_context(failed)?;
        match fs::hard_link(path, target) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => refuse_existing(target)?,
            // Some file systems have no links: there, the name is taken first and then replaced.
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                private().write(true).create_new(true).open(target).with_context(failed)?;
                fs::rename(path, target).with_context(failed)?;
            }
            Err(e) => return Err(e).with_context(failed),
        }
        File::open(parent(target)).and_then(|dir| dir.sync_all()).with_context(failed)
    }

    /// Removes workplaces of the same name whose processes are gone.
    fn remove_abandoned(&self, parent: &Path, prefix: &str) {
        let Ok(entries) = fs::read_dir(parent) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
            if ours && path != self.dir && same_owner(&path, &self.dir) && is_abandoned(&path) {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Makes the folder and its locked file.
fn make(dir: &Path) -> io::Result<File> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    let file = private().write(true).create_new(true).open(dir.join(LOCK))?;
    file.lock()?;
    Ok(file)
}

/// Whether nobody holds the lock of a workplace. A process that has just made the folder may have no lock yet: a
/// folder without one is left alone.
fn is_abandoned(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|file| file.try_lock().is_ok())
}

/// Whether `path` is a folder of the same user, not a link.
fn same_owner(path: &Path, own: &Path) -> bool {
    let (Ok(theirs), Ok(ours)) = (fs::symlink_metadata(path), fs::symlink_metadata(own)) else { return false };
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&theirs) != std::os::unix::fs::MetadataExt::uid(&ours) {
        return false;
    }
    theirs.is_dir() && ours.is_dir()
}

/// Refuses to write to a path that is taken, even by a dangling link.
pub(super) fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot write {}", path.display())),
        Ok(_) => bail!("{} exists already, and is never overwritten; choose another name", path.display()),
    }
}

/// The name of a path without its folder.
fn file_name(path: &Path) -> anyhow::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{} is not the name of a file", path.display()))
}

/// The folder of a path.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
