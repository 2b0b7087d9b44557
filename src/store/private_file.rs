//! Files that only their owner may read and write: the database, its logs, copies of it, and keys.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// What is kept beside a database, after its name: SQLite's files, made with the access of the database, and the lock
/// of servers.
const COMPANIONS: [&str; 4] = ["-wal", "-shm", "-journal", ".serving"];

/// Options under which a new file is accessible to its owner only.
#[must_use]
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes an empty private file, unless there is a file already. SQLite would make one that others may read.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match private().write(true).create_new(true).open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// Takes the access of others away from a database and from what belongs to it: older versions left it to the `umask`.
/// Where this process may not, it says so.
pub(super) fn tighten(database: &Path) {
    for path in [vec![database.to_owned()], companions(database), earlier_copies(database)].into_iter().flatten() {
        if let Some(mode) = open_to_others(&path)
            && let Err(error) = restrict(&path, mode)
        {
            let file = path.display();
            tracing::warn!(
                %error, "others may access the database file {file} (mode {mode:04o}); mend it with `chmod 600 {file}`"
            );
        }
    }
}

/// The files beside a database that every process which opens it opens too.
fn companions(database: &Path) -> Vec<PathBuf> {
    let named = COMPANIONS.iter().map(|suffix| {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    });
    named.chain([database.with_extension("lock")]).collect()
}

/// The copies that were made before its schema was migrated.
fn earlier_copies(database: &Path) -> Vec<PathBuf> {
    let dir = database.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Some(stem), Ok(entries)) = (database.file_stem(), fs::read_dir(dir)) else { return Vec::new() };
    let start = format!("{}.schema-", stem.to_string_lossy());
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let copies = names.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with(&start) && name.ends_with(".db")
    });
    copies.map(|name| dir.join(name)).collect()
}

/// The first file beside a database that is there and cannot be written, and why: SQLite does not say which one it
/// means.
#[must_use]
pub fn unusable_companion(database: &Path) -> Option<(PathBuf, io::Error)> {
    let mut there = companions(database).into_iter().filter(|path| fs::symlink_metadata(path).is_ok());
    there.find_map(|path| File::options().read(true).write(true).open(&path).err().map(|e| (path, e)))
}

/// The mode of a file that others than its owner may access.
#[cfg(unix)]
#[must_use]
pub fn open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Not known on this system.
#[cfg(not(unix))]
#[must_use]
pub const fn open_to_others(_: &Path) -> Option<u32> {
    None
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Opens or makes a private file that is locked.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    private().write(true).create(true).truncate(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    use super::*;
    use crate::{
        entropy::SeededEntropy,
        store::{DatabaseFile, Location, Store},
    };

    fn modes(dir: &Path) -> Vec<(String, u32)> {
        let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
        let mode = |entry: &fs::DirEntry| entry.metadata().unwrap().permissions().mode() & 0o777;
        let mut all: Vec<_> = entries.map(|e| (e.file_name().into_string().unwrap(), mode(&e))).collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn a_database_its_logs_and_its_copies_are_private_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let location = Location::Sqlite(path.clone());
        let store = Store::open(&location, true, Arc::new(SeededEntropy::new(1))).await.unwrap();
        store.migrate(crate::time::Timestamp::from_millis(1)).await.unwrap();
        DatabaseFile::new(&path, Arc::new(|| true)).copy_to(&dir.path().join("copy.db")).await.unwrap();
        let want = ["a.db", "a.db-shm", "a.db-wal", "a.lock", "copy.db"].map(|name| (name.to_owned(), 0o600));
        assert_eq!(modes(dir.path()), want);
        store.close().await;
        // What an older version left: the database, its locks and the copies before its migrations.
        let old = ["a.db.serving", "a.schema-9.17.db"].map(|name| dir.path().join(name));
        for path in &old {
            fs::write(path, "").unwrap();
        }
        for path in old.iter().chain([&path, &dir.path().join("a.lock")]) {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let others = dir.path().join("b.schema-9.17.db");
        fs::write(&others, "").unwrap();
        fs::set_permissions(&others, fs::Permissions::from_mode(0o644)).unwrap();
        let store = Store::open(&location, false, Arc::new(SeededEntropy::new(1))).await.unwrap();
        let open: Vec<_> = modes(dir.path()).into_iter().filter(|(_, mode)| *mode != 0o600).collect();
        assert_eq!(open, [("b.schema-9.17.db".to_owned(), 0o644)]);
        assert_eq!(modes(dir.path()).len(), want.len() + old.len() + 1);
        store.close().await;
    }

    #[test]
    fn the_file_beside_a_database_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        assert!(unusable_companion(&path).is_none());
        for name in ["a.lock", "a.db.serving", "a.db-shm", "a.db-wal"] {
            // A directory, because the superuser may write every file.
            fs::create_dir(dir.path().join(name)).unwrap();
            let (file, error) = unusable_companion(&path).unwrap();
            assert_eq!((file, error.kind()), (dir.path().join(name), ErrorKind::IsADirectory));
        }
    }
}
