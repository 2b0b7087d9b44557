//! The lock of a SQLite file that is being opened or migrated.

use std::{fs::File, path::PathBuf};

use super::private_file::lock_file;
use crate::error::{Error, Result};

/// Waits for the lock for opening and migrating. It is held until the file is dropped.
pub(super) async fn setup_lock(database: PathBuf) -> Result<File> {
    let lock = move || {
        let file = lock_file(&database.with_extension("lock"))?;
        file.lock()?;
        Ok(file)
    };
    let locked: std::io::Result<File> =
        tokio::task::spawn_blocking(lock).await.map_err(|e| Error::Internal(Box::new(e)))?;
    locked.map_err(|e| Error::Unavailable(Box::new(e)))
}
