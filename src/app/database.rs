//! Opening a database: its directory, and what to tell an operator when it fails.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};

use crate::{
    entropy::Entropy,
    store::{Location, Store},
};

/// What a command may do with the database that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Serve it, and set it up if it is empty.
    Serve,
    /// Work on it; it must exist.
    Command,
    /// Bring its schema up to date.
    Migrate,
}

pub(super) async fn open_store(location: &Location, create: bool, entropy: &Arc<dyn Entropy>) -> anyhow::Result<Store> {
    let store = Store::open(location, create, entropy.clone()).await;
    store.map_err(|e| explain(&e)).with_context(|| format!("cannot open the database {location}"))
}

/// A failure with its cause: who runs the process may see it.
pub(super) fn explain(error: &crate::error::Error) -> anyhow::Error {
    match std::error::Error::source(error) {
        Some(source) => anyhow::anyhow!("{source}"),
        None => anyhow::anyhow!("{error}"),
    }
}

pub(super) fn hint() -> &'static str {
    if Path::new("chancery-dev").is_dir() {
        "; for the database of `serve --dev`, add --data-dir chancery-dev"
    } else {
        ""
    }
}

pub(super) fn refuse_missing(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    bail!("there is no database at {}; `chancery serve` sets one up{}", path.display(), hint());
}

/// Makes the data directory, readable by its owner alone.
pub(super) fn prepare_data_dir(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create the data directory {}", dir.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(dir, mode)
            .with_context(|| format!("cannot protect the data directory {}", dir.display()))?;
    }
    let probe = dir.join(format!(".write-test-{}", std::process::id()));
    std::fs::write(&probe, b"").with_context(|| format!("cannot write to the data directory {}", dir.display()))?;
    std::fs::remove_file(&probe).with_context(|| format!("cannot write to the data directory {}", dir.display()))
}
