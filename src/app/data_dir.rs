//! The data directory: what is in it is for its owner only.

use std::{fs, io, path::Path};

use anyhow::Context;

use super::config::Database;
use crate::{
    entropy::{Entropy, OsEntropy},
    store::{open_to_others, private},
};

/// Creates the data directory where anything is kept in it. Nothing is, with PostgreSQL and a key that is named.
pub(super) fn prepare_for(database: &Database) -> anyhow::Result<()> {
    if database.needs_directory() { prepare(&database.data_dir, &OsEntropy) } else { Ok(()) }
}

/// Creates the data directory, and makes sure that it can be written.
pub(super) fn prepare(dir: &Path, entropy: &dyn Entropy) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create the data directory {}", dir.display()))?;
    protect(dir).with_context(|| format!("cannot protect the data directory {}", dir.display()))?;
    let suffix: String = entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect();
    let probe = dir.join(format!(".write-test-{suffix}"));
    let tried = private().write(true).create_new(true).open(&probe).and_then(|_| fs::remove_file(&probe));
    tried.with_context(|| format!("cannot write to the data directory {}", dir.display()))
}

/// Takes the access of others away. A directory that belongs to another user, as a volume of Kubernetes with an
/// `fsGroup` does, is used as it is: the files in it are private all the same.
fn protect(dir: &Path) -> io::Result<()> {
    let Some(mode) = open_to_others(dir) else { return Ok(()) };
    match restrict(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(
                "the data directory {} belongs to another user, so others cannot be kept out of it (mode {mode:04o}); \
                 the files in it are for their owner only",
                dir.display()
            );
            Ok(())
        }
        other => other,
    }
}

#[cfg(unix)]
fn restrict(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> io::Result<()> {
    Ok(())
}

/// What [`prepare`] would report, as far as it can be told without a change.
pub(super) fn problem(dir: &Path) -> Option<String> {
    let name = dir.display();
    match fs::metadata(dir) {
        Ok(found) if !found.is_dir() => Some(format!("cannot use the data directory {name}: it is not a directory")),
        Ok(_) => may_write(dir).err().map(|e| format!("cannot write to the data directory {name}: {e}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = dir.ancestors().skip(1).find(|above| above.as_os_str().is_empty() || above.exists());
            let above = above.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            may_write(above).err().map(|e| format!("cannot create the data directory {name}: {}: {e}", above.display()))
        }
        Err(error) => Some(format!("cannot use the data directory {name}: {error}")),
    }
}

/// Whether this process may make files in a directory.
pub(super) fn may_write(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    #[cfg(target_os = "linux")]
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    Ok(())
}
