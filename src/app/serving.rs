//! The lock that tells `chancery restore` whether a server runs on an SQLite database. It ends with its process.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use anyhow::{Context, bail};

use crate::store::Location;

/// Takes a server's part of the lock; several servers may share a database. Nothing on PostgreSQL.
pub(super) fn share(location: &Location) -> anyhow::Result<Option<File>> {
    let Location::Sqlite(path) = location else { return Ok(None) };
    let file = open(path)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            bail!("`chancery restore` is writing the database {location}; start again when it is done")
        }
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock the database {location}")),
    }
}

/// Keeps servers out. Refuses if one runs.
pub(super) fn exclude(path: &Path) -> anyhow::Result<File> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("a server runs on the database {}; stop it first", path.display()),
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock the database {}", path.display())),
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let name = path.with_extension("serving");
    File::create(name).with_context(|| format!("cannot open the database {}", path.display()))
}
