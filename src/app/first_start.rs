//! Tells a first start from a database that is lost.
//!
//! A new database is set up only where there is nothing to lose. The file `first-start` in the data directory is
//! written before a database or a key is created, and removed once the database is claimed; so it is there exactly
//! while both are new, also after a start that was killed. Without it, `sealing.key` is the key of a database, and a
//! database file without tables is a copy that lacks its write-ahead log.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::{
    config::Database,
    database::{explain, foreign_tables},
    sealing_file, serving,
};
use crate::store::{Location, Schema, Store, private};

const MARK: &str = "first-start";
const TEXT: &str = "A first start of chancery is under way: the database and the sealing key here are new.\n";

/// What was found before anything was created.
#[derive(Debug)]
pub(super) struct Found {
    /// The mark; none where nothing is kept in the data directory.
    mark: Option<PathBuf>,
    marked: bool,
    /// The key in the data directory, if it is the one in use and was there.
    key: Option<PathBuf>,
    /// Whether the SQLite file was there and not empty.
    had_file: bool,
    /// Whether a server has run on the SQLite file.
    was_served: bool,
}

impl Found {
    /// Looks, and refuses where a database is missing beside the key of one, or beside its log.
    ///
    /// Another process may be setting up the same database. What it makes is looked at before its mark, and what it
    /// makes without a mark is looked at once more.
    pub(super) fn look(database: &Database) -> anyhow::Result<Self> {
        let sqlite = match &database.location {
            Location::Sqlite(path) => Some(path.as_path()),
            Location::Postgres(_) => None,
        };
        let served = sqlite.map(serving::name).filter(|name| length(name) > 0);
        let key = sealing_file::default_in_use(database).filter(|path| path.exists());
        let had_file = sqlite.is_some_and(|path| length(path) > 0);
        let mark = database.needs_directory().then(|| database.data_dir.join(MARK));
        let (marked, was_served) = (mark.as_ref().is_some_and(|mark| mark.exists()), served.is_some());
        let found = Self { mark, marked, key, had_file, was_served };
        if let Some(path) = sqlite.filter(|path| length(path) == 0) {
            if !found.marked {
                // A rollback journal holds nothing new: only a first start that was killed leaves one.
                refuse_a_lone_log(path, &["-wal"])?;
            }
            found.refuse_a_used_key(&format!("there is no database at {}", path.display()))?;
            found.refuse_a_served_place(path, served.as_deref())?;
        }
        Ok(found)
    }

    /// Whether a server has run on the database, whose key is not where it is looked for.
    pub(super) const fn lacks_key(&self, database: &Database) -> bool {
        self.had_file && self.was_served && !self.marked && self.key.is_none() && !database.names_its_key()
    }

    /// Refuses to give tables to a database that has lost its own.
    pub(super) async fn allow_tables(&self, location: &Location, store: &Store) -> anyhow::Result<()> {
        if store.schema().await.map_err(|e| explain(&e))? != Schema::Missing {
            return Ok(());
        }
        if self.had_file && !self.marked {
            if let Some(foreign) = foreign_tables(store).await? {
                bail!("{location} has {foreign}, and none of Chancery's: name another file");
            }
            bail!(
                "the database {location} has no tables: it looks like a copy of a database file without its \
                 write-ahead log ({location}-wal), in which the data are; put the log beside it, or restore a backup \
                 with `chancery restore`; to set up a new database, move the file away"
            );
        }
        self.allow_claim(location)
    }

    /// Refuses to claim an empty database beside the key of another.
    pub(super) fn allow_claim(&self, location: &Location) -> anyhow::Result<()> {
        self.refuse_a_used_key(&format!("the database {location} is empty"))
    }

    /// Refuses where a server has run: its lock file is left of the database. A key that is named explicitly at each
    /// start is no sign that a new database is wanted.
    fn refuse_a_served_place(&self, path: &Path, served: Option<&Path>) -> anyhow::Result<()> {
        let Some(served) = served.filter(|_| !self.marked) else { return Ok(()) };
        bail!(
            "there is no database at {}, but a server ran on one there before: is the directory right, or has the \
             database been lost? Restore a backup with `chancery restore`; to set up a new database, remove {}",
            path.display(),
            served.display()
        )
    }

    fn refuse_a_used_key(&self, what: &str) -> anyhow::Result<()> {
        let Some(key) = self.key.as_ref().filter(|_| !self.marked) else { return Ok(()) };
        let key = key.display();
        bail!(
            "{what}, but {key} is the key of a database that was set up before: is the directory right, or has the \
             database been lost? Restore a backup with `chancery restore`; to set up a new database with this key, \
             remove what else is left of the old one and pass --sealing-key-file {key}"
        )
    }

    /// Writes the mark where opening the database creates its file.
    pub(super) fn begin_file(&self, location: &Location) -> anyhow::Result<()> {
        match location {
            Location::Sqlite(_) if !self.had_file => self.begin(),
            _ => Ok(()),
        }
    }

    /// Writes the mark, before a key is created.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        let Some(mark) = &self.mark else { return Ok(()) };
        write_mark(mark).with_context(|| format!("cannot write {}", mark.display()))
    }

    /// Removes the mark: the database is claimed.
    pub(super) fn done(&self) {
        let Some(mark) = &self.mark else { return };
        match fs::remove_file(mark) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                tracing::warn!(file = %mark.display(), "cannot remove the mark of the first start: {e}");
            }
            _ => {}
        }
    }
}

/// Whether a first start has begun, and not claimed the database yet.
pub(super) fn is_under_way(database: &Database) -> bool {
    database.needs_directory() && database.data_dir.join(MARK).exists()
}

fn write_mark(mark: &Path) -> std::io::Result<()> {
    let mut file = match private().write(true).create_new(true).open(mark) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    };
    file.write_all(TEXT.as_bytes())?;
    file.sync_all()?;
    mark.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// The length of a file; 0 if there is none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Refuses logs with these suffixes. SQLite would delete the log of a database that is missing or empty, and with it
/// what can still be saved; and it would apply one to whatever database is put beside it.
pub(super) fn refuse_a_lone_log(path: &Path, suffixes: &[&str]) -> anyhow::Result<()> {
    for suffix in suffixes {
        let mut log = path.as_os_str().to_owned();
        log.push(suffix);
        let log = PathBuf::from(log);
        if length(&log) > 0 {
            bail!(
                "there is no database at {}, but its log {} is there and holds changes: put the database file back \
                 beside it, or move the log away",
                path.display(),
                log.display()
            );
        }
    }
    Ok(())
}
