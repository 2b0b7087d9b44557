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
    sealing_key_file: Vec<PathBuf> as "FILE" = "sealing*.key among systemd's credentials, or sealing.key in the data directory";
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
            && let Err(problem) = sealing_keys_in(key)
        {
            problems.push(self.sealing_key.problem(problem));
        }
        let sealing_key_files = match self.sealing_key_file.get() {
            Some(files) => files.clone(),
            None if sealing_key.is_none() && !dev => {
                let among = credentials.map_or(Ok(Vec::new()), sealing_keys_among);
                among.unwrap_or_else(|problem| {
                    problems.push(problem);
                    Vec::new()
                })
            }
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

/// The keys in the variable. A comma may follow the last. What is wrong is said without the key, and of which.
pub fn sealing_keys_in(keys: &SecretString) -> Result<Vec<Zeroizing<[u8; 32]>>, String> {
    let mut texts: Vec<&str> = keys.expose_secret().split(',').map(str::trim).collect();
    if let [_, .., ""] = texts[..] {
        texts.pop();
    }
    let count = texts.len();
    let key = |(at, text): (usize, &&str)| {
        let which = if count > 1 { format!("key {} of {count} ", at + 1) } else { String::new() };
        SealingKey::parse_text(text).map_err(|problem| format!("{which}{problem}"))
    };
    texts.iter().enumerate().map(key).collect()
}

/// The name of the only key.
const KEY_FILE: &str = "sealing.key";

/// The sealing keys among the credentials of a service of systemd (systemd.exec(5), `LoadCredential=`): every file whose name begins
/// with `sealing` and ends with `.key`. One that cannot be seen must not be taken for none: a key would be made in its place.
fn sealing_keys_among(credentials: &Path) -> Result<Vec<PathBuf>, String> {
    let is_key = |name: &str| name.starts_with("sealing") && name.strip_suffix(".key").is_some();
    let names = std::fs::read_dir(credentials)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>());
    let names = match names {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            return Err(format!(
                "cannot look for sealing keys among the credentials in {}: {e}",
                credentials.display()
            ));
        }
        Ok(names) => names,
    };
    let mut names: Vec<_> = names.into_iter().filter(|name| name.to_str().is_some_and(is_key)).collect();
    // An empty database is set up with the first.
    names.sort_by_key(|name| (name != KEY_FILE, name.clone()));
    Ok(names.into_iter().map(|name| credentials.join(name)).collect())
}
