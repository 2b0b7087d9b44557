//! The data directory, the database and the sealing key.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::setting::section;
use crate::{
    keys::SealingKey,
    store::{Location, USUAL_CONNECTIONS},
};

/// The default data directory, in the working directory, so that a first try needs no privileges and no flags.
const DATA_DIR: &str = "chancery-data";
/// The data directory of the demo, separate so that the demo never touches real data.
const DEV_DATA_DIR: &str = "chancery-dev";
/// More than any server of PostgreSQL has use for.
const MOST_CONNECTIONS: u32 = 1000;

section! {
    /// Database and sealing key
    DatabaseDraft;
    /// Directory of the database and the sealing key
    data_dir: PathBuf as "DIR" = DATA_DIR;
    /// Database, `postgres://…` or `sqlite:PATH`
    database: Location as "URL" = "chancery.db in the data directory";
    /// Connections to PostgreSQL that each process opens at most
    database_connections: u32 as "N" = USUAL_CONNECTIONS;
    /// File with the sealing key; several for a rotation, in any order
    sealing_key_file: Vec<PathBuf> as "FILE" = "sealing.key among systemd's credentials, or in the data directory";
    /// Sealing key itself: 32 bytes in base64 or base64url; several with commas between
    sealing_key: SecretString;
}

/// Directory of the database and the sealing key.
pub struct Database {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The database.
    pub location: Location,
    /// How many connections to PostgreSQL are opened at most.
    pub connections: u32,
    /// The files with the versions of the sealing key; none if it is in the data directory.
    pub sealing_key_files: Vec<PathBuf>,
    /// The versions of the sealing key themselves.
    pub sealing_key: Option<SecretString>,
    /// The keys that were read from files. A pipe gives one only once.
    pub read_keys: Option<Vec<Zeroizing<[u8; 32]>>>,
}

impl fmt::Debug for Database {
    /// Omits the key, and what is secret in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_dir, location, connections, sealing_key_files, sealing_key: _, read_keys: _ } = self;
        let mut shown = f.debug_struct("Database");
        shown.field("data_dir", data_dir).field("location", &location.to_string());
        shown.field("connections", connections);
        shown.field("sealing_key_files", sealing_key_files).finish_non_exhaustive()
    }
}

impl Database {
    /// Whether the sealing key is named, and not just looked for in the data directory.
    #[must_use]
    pub const fn names_its_key(&self) -> bool {
        !self.sealing_key_files.is_empty() || self.sealing_key.is_some()
    }

    /// Whether anything is kept in the data directory.
    #[must_use]
    pub const fn needs_directory(&self) -> bool {
        matches!(self.location, Location::Sqlite(_)) || !self.names_its_key()
    }
}

impl DatabaseDraft {
    /// Whether a value could not be read.
    pub(super) const fn has_unreadable(&self) -> bool {
        let Self { data_dir, database, database_connections: _, sealing_key_file, sealing_key } = self;
        data_dir.is_unreadable()
            || database.is_unreadable()
            || sealing_key_file.is_unreadable()
            || sealing_key.is_unreadable()
    }

    /// Fills in defaults and collects all problems.
    pub(super) fn check(&mut self, dev: bool, credentials: Option<&Path>, problems: &mut Vec<String>) -> Database {
        let data_dir = self.data_dir.or(if dev { DEV_DATA_DIR } else { DATA_DIR }.into());
        let location = self.database.or(Location::Sqlite(data_dir.join("chancery.db")));
        let sealing_key = self.sealing_key.get().map(|key| SecretString::from(key.expose_secret()));
        // A key that is not used need not be valid.
        if let (Some(key), false) = (&sealing_key, self.sealing_key_file.is_set())
            && let Some(problem) = sealing_key_texts(key).find_map(|text| SealingKey::parse_text(text).err())
        {
            problems.push(self.sealing_key.problem(problem));
        }
        let sealing_key_files = match self.sealing_key_file.get() {
            Some(files) => files.clone(),
            None if sealing_key.is_none() && !dev => credentials.map(sealing_keys_among).unwrap_or_default(),
            None => Vec::new(),
        };
        if let Some(given) = self.database_connections.get().filter(|n| !(1..=MOST_CONNECTIONS).contains(*n)) {
            problems.push(
                self.database_connections.problem(format_args!("{given} is not between 1 and {MOST_CONNECTIONS}")),
            );
        }
        if let Location::Postgres(url) = &location
            && let Err(problem) = url.check_files()
        {
            problems.push(self.database.problem(problem));
        }
        if let (Location::Sqlite(_), true, false) =
            (&location, self.database_connections.is_set(), self.database.is_unreadable())
        {
            problems.push(self.database_connections.problem("has no effect on SQLite; it is for PostgreSQL"));
        }
        let connections = self.database_connections.or(USUAL_CONNECTIONS);
        Database { data_dir, location, connections, sealing_key_files, sealing_key, read_keys: None }
    }
}

/// The keys in the variable, each as text. Without a comma there is one, even if it is empty.
pub fn sealing_key_texts(keys: &SecretString) -> impl Iterator<Item = &str> {
    keys.expose_secret().split(',').map(str::trim)
}

/// The sealing keys among the credentials of a service of systemd (systemd.exec(5), `LoadCredential=`): `sealing.key`, and
/// `sealing-….key` while there are several. None without the first.
fn sealing_keys_among(credentials: &Path) -> Vec<PathBuf> {
    let first = credentials.join("sealing.key");
    if !first.exists() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(credentials).into_iter().flatten().flatten();
    let is_key = |name: &str| name.strip_prefix("sealing-").is_some_and(|rest| rest.strip_suffix(".key").is_some());
    let names = entries.map(|entry| entry.file_name()).filter(|name| name.to_str().is_some_and(is_key));
    let mut more: Vec<PathBuf> = names.map(|name| credentials.join(name)).collect();
    more.sort();
    std::iter::once(first).chain(more).collect()
}
