//! The lock that tells `chancery restore` whether a server runs on an SQLite database. It ends with its process.

use std::{
    fs::{File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::store::{Location, private};

const TEXT: &str = "A server has run on the database beside this file.\n";

/// Notes that the database has been served, which tells a lost one from one that never was.
pub(super) fn note(lock: Option<&File>) {
    let Some(mut file) = lock.filter(|file| file.metadata().is_ok_and(|m| m.len() == 0)) else { return };
    if let Err(error) = file.write_all(TEXT.as_bytes()) {
        tracing::warn!("cannot note that the database is served: {error}");
    }
}

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

/// The file with the lock, beside the database and under its whole name: another one may differ only in its extension.
pub(super) fn name(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".serving");
    name.into()
}

fn open(path: &Path) -> anyhow::Result<File> {
    let lock = name(path);
    let opened = private().create(true).append(true).open(&lock);
    opened.with_context(|| format!("cannot open {}, the lock of the database {}", lock.display(), path.display()))
}
