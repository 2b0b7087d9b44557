//! Restores an SQLite database from a backup, where there is none.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};

use super::{
    backup::{Bounds, fingerprints_missing, fingerprints_needed, parameters_left_out},
    config::{Config, Database},
    data_dir,
    database::{explain, open_store},
    first_start::refuse_a_lone_log,
    hashing,
    output::quoted,
    sealing_file, serving,
    workplace::Workplace,
};
use crate::{
    entropy::{Entropy, OsEntropy},
    keys::{SealingKey, fingerprint},
    service::{Admin, Service, StartOptions},
    store::{BINARY_VERSION, Contents, DatabaseFile, DatabaseUrl, Examined, GoOn, Location},
    time::{Clock, SystemClock, Timestamp},
};

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The database.
    pub database: PathBuf,
    /// What was in the backup.
    pub contents: Contents,
    /// The fingerprints of the sealing keys that it needs, the one in use first.
    pub fingerprints: Vec<String>,
    /// Those of them that were not given.
    pub missing: Vec<String>,
    /// How many sessions were ended.
    pub ended: usize,
    /// Whether the file was copied by other means than `chancery backup`.
    pub raw: bool,
}

/// Copies `file` to where the database is to be, checks it and its key, prepares it, and only then gives it its name.
///
/// # Errors
/// A sentence for the operator. There is no database then.
pub async fn restore(config: &Config, file: &Path, end_sessions: bool, bounds: &Bounds) -> anyhow::Result<Restored> {
    let path = match &config.database.location {
        Location::Sqlite(path) => path,
        Location::Postgres(url) => bail!("{}", pg_restore(url, file)),
    };
    let raw = check_source(file)?;
    refuse_taken(path)?;
    let new_dir = !config.database.data_dir.exists();
    data_dir::prepare(&config.database.data_dir, &OsEntropy)?;
    // Boxed to keep the callers' futures small.
    let restored = Box::pin(restore_into(config, path, file, (end_sessions, raw), bounds)).await;
    if restored.is_err() && new_dir {
        // Only what this call has made.
        let _ = fs::remove_file(serving::name(path));
        let _ = fs::remove_dir(&config.database.data_dir);
    }
    let (mut contents, ended, missing) = restored?;
    if raw {
        // What it records is the last backup of the database that it is a copy of.
        contents.copied_at = None;
    }
    let fingerprints = fingerprints_needed(&contents);
    Ok(Restored { database: path.clone(), contents, fingerprints, missing, ended, raw })
}

async fn restore_into(
    config: &Config,
    path: &Path,
    file: &Path,
    (end_sessions, raw): (bool, bool),
    bounds: &Bounds,
) -> anyhow::Result<(Contents, usize, Vec<String>)> {
    let _alone = serving::exclude(path)?;
    // Nobody can have made one since, now that servers are kept out.
    refuse_taken(path)?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let go_on = bounds.go_on();
    let place = Workplace::beside(path, "restoring", &*entropy)?;
    let (copy, into) = place.file("copy.db").with_context(|| format!("cannot write {}", path.display()))?;
    copy_file(file.to_owned(), into, go_on.clone()).await.with_context(|| format!("cannot copy {}", file.display()))?;
    let contents = examine(&copy, file, go_on.clone()).await?;
    let sealing = matching_key(&config.database, &contents.check_value)?;
    let missing = fingerprints_missing(&contents, &sealing);
    let end = end_sessions.then_some(&go_on);
    let settling = settle(config, &copy, sealing, contents.copied_at.filter(|_| !raw), end, &entropy);
    let settled = Box::pin(settling).await;
    let ended = settled.with_context(|| format!("cannot restore {}", file.display()))?;
    // Where it is of length 0, as `refuse_taken` saw.
    let _ = fs::remove_file(path);
    place.publish("copy.db", path)?;
    Ok((contents, ended, missing))
}

/// Refuses a file that cannot be a backup. Returns whether it was copied by other means.
fn check_source(file: &Path) -> anyhow::Result<bool> {
    // Opening a pipe waits for its writer.
    if !fs::metadata(file).with_context(|| format!("cannot read the backup {}", file.display()))?.is_file() {
        bail!("the backup {} is not a file", file.display());
    }
    let header = || -> std::io::Result<Vec<u8>> {
        use std::io::Read;
        let mut start = Vec::new();
        fs::File::open(file)?.take(20).read_to_end(&mut start)?;
        Ok(start)
    };
    let header = header().with_context(|| format!("cannot read the backup {}", file.display()))?;
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(&log).is_ok_and(|m| m.len() > 0) {
        bail!(
            "{} is a database file with its log beside it, not a backup: put both where the database is to be, under \
             its name, and start the server; or make a backup of it with `chancery backup`",
            file.display()
        );
    }
    // A database in WAL mode. `chancery backup` writes files that are not.
    Ok(header.get(18) == Some(&2))
}

/// Refuses to restore where a database is, or its log.
fn refuse_taken(path: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|m| m.len() > 0 || !m.is_file()) {
        bail!("there is a database at {}; stop the server and move it away first", path.display());
    }
    refuse_a_lone_log(path, &["-wal", "-journal"])
}

/// Copies in pieces, so that it can be stopped.
async fn copy_file(from: PathBuf, mut into: fs::File, go_on: GoOn) -> anyhow::Result<()> {
    let copy = move || -> anyhow::Result<()> {
        use std::io::Read;
        let mut from = fs::File::open(from)?;
        while std::io::copy(&mut (&mut from).take(4 << 20), &mut into)? > 0 {
            if !go_on() {
                bail!("stopped before it was done");
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(copy).await?
}

/// Checks the copied file, which nobody else writes.
async fn examine(copy: &Path, file: &Path, go_on: GoOn) -> anyhow::Result<Contents> {
    let examined = DatabaseFile::new(copy, go_on).examine(SystemClock.now()).await;
    let file = file.display();
    match examined.map_err(|e| explain(&e)).with_context(|| format!("cannot check {file}"))? {
        Examined::Foreign => bail!("{file} is not an SQLite database"),
        Examined::Damaged(how) => bail!("{file} is damaged: {how}"),
        Examined::Empty => bail!(
            "{file} holds no database of Chancery's; a database file copied without its write-ahead log looks like \
             this: `chancery backup` copies both"
        ),
        Examined::Sound(contents) if contents.min_binary > BINARY_VERSION => {
            bail!("this binary is too old for {file} (schema {}); run a newer chancery", contents.schema)
        }
        Examined::Sound(contents) => Ok(contents),
    }
}

/// The configured sealing keys, if the one that was in use is among them.
fn matching_key(database: &Database, check_value: &[u8]) -> anyhow::Result<Vec<SealingKey>> {
    let (want, place) = (fingerprint(check_value), sealing_file::whereabouts(database));
    match sealing_file::load(database)? {
        Some(keys) if keys.iter().any(|key| key.answers(check_value)) => Ok(keys),
        Some(keys) => bail!(
            "the backup was made with the sealing key {want}, but the one in {place} is {}; pass the right one as \
             --sealing-key-file",
            sealing_file::fingerprints(&keys)
        ),
        None => bail!(
            "the backup needs its sealing key, {want}, and there is none in {place}; put it there, or pass it as \
             --sealing-key-file"
        ),
    }
}

/// Brings the copy's schema up to date and prepares it for servers. Returns how many sessions were ended.
async fn settle(
    config: &Config,
    copy: &Path,
    sealing: Vec<SealingKey>,
    copied_at: Option<Timestamp>,
    end_sessions: Option<&GoOn>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<usize> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(&Location::Sqlite(copy.to_owned()), false, entropy).await?;
    Box::pin(store.migrate(clock.now())).await.map_err(|e| explain(&e))?;
    let passwords = hashing::start(config.hashing, entropy.clone())?;
    let options = StartOptions { issuer: None, default_issuer: None, dev: None, claim: false };
    let started = Box::pin(Service::start(store.clone(), sealing, passwords, clock, entropy.clone(), &options));
    let service = started.await?;
    let settled = service.instance.settle_restored(&Admin::command(), copied_at, end_sessions).await;
    // The last connection moves the write-ahead log into the file.
    store.close_and_settle().await;
    let mut log = copy.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(&log).is_ok_and(|m| m.len() > 0) {
        bail!("the write-ahead log could not be written into the database");
    }
    settled.map_err(|e| explain(&e))
}

/// How PostgreSQL is restored.
fn pg_restore(url: &DatabaseUrl, file: &Path) -> String {
    format!(
        "PostgreSQL is restored with its own tools, into an empty database, while no server runs on it:\n  \
         pg_restore --exit-on-error --no-owner --dbname={} {}\n{}\
         Then, before any server is started, run `chancery restored` with the sealing key that the database was made \
         with, and --end-sessions if sessions that were ended since must not come back.",
        quoted(&url.without_password()),
        quoted(&file.display().to_string()),
        parameters_left_out(url)
    )
}
