//! Backs up an SQLite database into one file, beside running servers.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, bail};
use serde_json::json;

use super::{
    config::{Config, Database},
    database::{explain, open_store, refuse_missing},
    output::quoted,
    sealing_file,
    workplace::{Workplace, refuse_existing},
};
use crate::{
    domain::audit::{Actor, AuditKind},
    entropy::{Entropy, OsEntropy},
    keys::{SealingKey, fingerprint},
    store::{Contents, DatabaseFile, DatabaseUrl, Examined, GoOn, Location, Schema},
    time::{Clock, SystemClock, Ttl},
};

/// When to stop: at a signal, or after some time.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Set at a signal.
    pub stop: Arc<AtomicBool>,
    /// How long the work may take.
    pub within: Ttl,
}

impl Bounds {
    /// Whether to go on, from now.
    pub(super) fn go_on(&self) -> GoOn {
        let (stop, until) = (self.stop.clone(), SystemClock.elapsed().plus(self.within));
        Arc::new(move || !stop.load(Ordering::Relaxed) && SystemClock.elapsed() < until)
    }
}

/// What was backed up.
#[derive(Debug)]
pub struct BackedUp {
    /// The database.
    pub database: PathBuf,
    /// The size of the file.
    pub bytes: u64,
    /// What is in it.
    pub contents: Contents,
    /// The fingerprints of the sealing keys that it needs, the one in use first.
    pub fingerprints: Vec<String>,
    /// Where those keys are, or that one is not where it should be.
    pub key: String,
    /// Why the audit log does not mention this backup, if it does not.
    pub unrecorded: Option<String>,
}

/// Copies the database into `file`, checks the copy, and only then gives it its name.
///
/// # Errors
/// A sentence for the operator. There is no file then.
pub async fn back_up(config: &Config, file: &Path, bounds: &Bounds) -> anyhow::Result<BackedUp> {
    let path = match &config.database.location {
        Location::Sqlite(path) => path,
        Location::Postgres(url) => bail!("{}", pg_dump(url, file)),
    };
    refuse_missing(path)?;
    refuse_existing(file)?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let go_on = bounds.go_on();
    let unrecorded = record(config, file, &entropy).await?;
    let place = Workplace::beside(file, "partial", &*entropy)?;
    let (copy, empty) = place.file("copy.db").with_context(|| format!("cannot write {}", file.display()))?;
    drop(empty);
    let copied = DatabaseFile::new(path, go_on.clone()).copy_to(&copy).await;
    copied.map_err(|e| explain(&e)).with_context(|| format!("cannot copy {} to {}", path.display(), file.display()))?;
    let examined = DatabaseFile::new(&copy, go_on).examine(SystemClock.now()).await;
    let contents = match examined.map_err(|e| explain(&e)).context("cannot check the copy")? {
        Examined::Sound(contents) => contents,
        Examined::Damaged(how) => bail!("the database {} is damaged: {how}", path.display()),
        Examined::Empty | Examined::Foreign => bail!("the database {} is empty", path.display()),
    };
    let bytes = std::fs::metadata(&copy).map_or(0, |m| m.len());
    place.publish("copy.db", file)?;
    let key = keys_found(&config.database, &contents);
    let fingerprints = fingerprints_needed(&contents);
    Ok(BackedUp { database: path.clone(), bytes, contents, fingerprints, key, unrecorded })
}

/// Writes the audit event, which the copy then contains: it tells later when the copy was made. A full disk must not
/// prevent a backup to another one. Returns why there is no event.
async fn record(config: &Config, file: &Path, entropy: &Arc<dyn Entropy>) -> anyhow::Result<Option<String>> {
    let location = &config.database.location;
    let store = open_store(location, false, entropy).await?;
    let schema = store.schema().await.map_err(|e| explain(&e))?;
    let recorded = match schema {
        Schema::Missing => bail!("the database {location} is empty; there is nothing to back up"),
        Schema::Older { .. } => Err(anyhow::anyhow!("its schema is older than this binary's")),
        Schema::Current(_) => {
            let event = async {
                let mut tx = store.write().await?;
                let details = json!({ "file": file.display().to_string() });
                tx.audit(SystemClock.now(), AuditKind::BackupStarted, &Actor::command(), "", details).await?;
                tx.commit().await
            };
            event.await.map(drop).map_err(|e| explain(&e))
        }
    };
    store.close().await;
    Ok(recorded.err().map(|e| e.to_string()))
}

/// The check values of the keys that a database needs, the one in use first.
pub(super) fn needed(contents: &Contents) -> impl Iterator<Item = &Vec<u8>> {
    std::iter::once(&contents.check_value).chain(&contents.older_check_values)
}

/// The fingerprints of the keys that a database needs, the one in use first.
pub(super) fn fingerprints_needed(contents: &Contents) -> Vec<String> {
    needed(contents).map(|check_value| fingerprint(check_value)).collect()
}

/// The fingerprints of those that are not among some keys.
pub(super) fn fingerprints_missing(contents: &Contents, keys: &[SealingKey]) -> Vec<String> {
    let missing = needed(contents).filter(|check_value| !keys.iter().any(|key| key.answers(check_value)));
    missing.map(|check_value| fingerprint(check_value)).collect()
}

/// Where the keys of a database are.
fn keys_found(database: &Database, contents: &Contents) -> String {
    let place = sealing_file::whereabouts(database);
    match sealing_file::load(database) {
        Ok(Some(keys)) => {
            let missing = fingerprints_missing(contents, &keys);
            match (missing.len(), contents.older_check_values.len()) {
                (0, 0) => format!("it is in {place}"),
                (0, _) => format!("they are in {place}"),
                (_, 0) => format!("the key in {place} is another one, {}", sealing_file::fingerprints(&keys)),
                _ => format!("{} is not in {place}", missing.join(", ")),
            }
        }
        Ok(None) => format!("it is not in {place}"),
        Err(error) => format!("it could not be read: {error:#}"),
    }
}

/// How PostgreSQL is backed up.
fn pg_dump(url: &DatabaseUrl, file: &Path) -> String {
    format!(
        "PostgreSQL is backed up with its own tools:\n  pg_dump --format=custom --file={} --dbname={}\n{}\
         The sealing key is not in the database; keep a copy of it elsewhere.",
        quoted(&file.display().to_string()),
        quoted(&url.without_password()),
        parameters_left_out(url)
    )
}

/// A sentence about what a printed URL lacks, if anything.
pub(super) fn parameters_left_out(url: &DatabaseUrl) -> &'static str {
    if url.has_parameters() {
        "Add what follows the `?` in your URL to it; it may be secret and is not printed.\n"
    } else {
        ""
    }
}
