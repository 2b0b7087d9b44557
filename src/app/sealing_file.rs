//! Loads the versions of the sealing key from the configured files or from the variable, or the only one from `sealing.key`
//! in the data directory. Makes a new one.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use super::config::{Database, read_named_file, sealing_keys_in};
use crate::{
    entropy::{Entropy, OsEntropy},
    keys::SealingKey,
    store::{Location, open_to_others, private},
};

/// More than any form of a key takes. What is longer is none.
const MAX_BYTES: u64 = 4096;

/// Loads the versions of the sealing key, if there are any, each once. A configured file must exist.
pub(super) fn load(database: &Database) -> anyhow::Result<Option<Vec<SealingKey>>> {
    let mut keys: Vec<SealingKey> = Vec::new();
    let Some(all) = bytes(database)? else { return Ok(None) };
    for key in all.iter().map(SealingKey::new) {
        if !keys.iter().any(|known| known.answers(key.check_value())) {
            keys.push(key);
        }
    }
    Ok(Some(keys))
}

/// Reads the keys, if there are any, and keeps them for [`load`]: a pipe gives one only once.
pub(super) fn read_once(database: &mut Database) -> anyhow::Result<bool> {
    database.read_keys = bytes(database)?;
    Ok(database.read_keys.is_some())
}

fn bytes(database: &Database) -> anyhow::Result<Option<Vec<Zeroizing<[u8; 32]>>>> {
    if let Some(keys) = &database.read_keys {
        return Ok(Some(keys.clone()));
    }
    if !database.sealing_key_files.is_empty() {
        return database.sealing_key_files.iter().map(|path| read_bytes(path)).collect::<anyhow::Result<_>>().map(Some);
    }
    if let Some(texts) = &database.sealing_key {
        return sealing_keys_in(texts).map_err(anyhow::Error::msg).context("CHANCERY_SEALING_KEY").map(Some);
    }
    let path = default_path(database);
    if path.exists() { Ok(Some(vec![read_bytes(&path)?])) } else { Ok(None) }
}

/// Loads the sealing key from the data directory. If it is missing and `create` is set, creates it; only empty
/// databases may get a new key. `asked` is whether the operator wants one. Also returns the path of the file if this
/// call created it.
pub(super) fn load_default(
    database: &Database,
    create: bool,
    asked: bool,
    entropy: &dyn Entropy,
) -> anyhow::Result<(SealingKey, Option<PathBuf>)> {
    let path = default_path(database);
    if !create && !path.exists() {
        bail!(missing(database, asked));
    }
    let created =
        create && create_key_file(&path, entropy).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((read(&path)?, created.then_some(path)))
}

/// What to do where the key of a database that has been set up is not in the data directory.
pub(super) fn missing(database: &Database, asked: bool) -> String {
    let why = if asked {
        "; --create-sealing-key makes the key of an empty database only, and another server, or an earlier start with \
         another data directory, has set this one up and made its key"
    } else {
        ""
    };
    format!(
        "there is no sealing key at {}; pass the key that this database was created with as --sealing-key-file{why}",
        default_path(database).display()
    )
}

fn default_path(database: &Database) -> PathBuf {
    database.data_dir.join("sealing.key")
}

/// The path of the key in the data directory; nothing if another is configured.
pub(super) fn default_in_use(database: &Database) -> Option<PathBuf> {
    (!database.names_its_key()).then(|| default_path(database))
}

/// How to come by a key, where there is none and a start does not make one: several servers share a PostgreSQL database
/// and need the same key, and each would make its own in its own directory.
pub(super) fn needed(database: &Database) -> Option<String> {
    let Location::Postgres(_) = &database.location else { return None };
    Some(format!(
        "there is no sealing key at {}, and none is made in passing for PostgreSQL, because all servers on a database \
         need the same: pass the key of this database as --sealing-key-file or CHANCERY_SEALING_KEY; for a new \
         database, make one with `chancery sealing-key generate --out FILE`, or start the first server with \
         --create-sealing-key",
        default_path(database).display()
    ))
}

/// Says so if others may read the file with the key. A key that another user provides for a group, as Kubernetes does,
/// is fine.
pub(super) fn warn_if_others_may_read(database: &Database) {
    let default = default_in_use(database);
    // A pipe is not a file that others could read.
    for path in database.sealing_key_files.iter().chain(&default).filter(|path| path.is_file()) {
        warn_if_others_may_read_it(path);
    }
}

fn warn_if_others_may_read_it(path: &Path) {
    let Some(mode) = open_to_others(path).filter(|mode| mode & 0o007 != 0 || is_own(path)) else { return };
    let path = path.display();
    tracing::warn!(
        "others than its owner may read the sealing key {path} (mode {mode:04o}); mend it with `chmod 600 {path}`, or \
         in Kubernetes with `defaultMode: 0440` of the volume and an `fsGroup`"
    );
}

/// Whether a file belongs to the user of this process, who can then restrict it.
#[cfg(target_os = "linux")]
fn is_own(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).is_ok_and(|m| m.uid() == rustix::process::geteuid().as_raw())
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
const fn is_own(_: &Path) -> bool {
    true
}

/// Makes a new key. Returns it as text, or writes it into `file`, which must not exist, and returns its fingerprint.
///
/// # Errors
/// A sentence for the operator.
pub fn generate_sealing_key(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let Some(path) = file else { return Ok(SealingKey::generate(&OsEntropy)) };
    let created = create_key_file(path, &OsEntropy).with_context(|| format!("cannot write {}", path.display()))?;
    if !created {
        bail!("{} exists already, and is never overwritten; choose another name", path.display());
    }
    Ok(Zeroizing::new(read(path)?.fingerprint()))
}

/// The fingerprints of keys, for people.
pub(super) fn fingerprints(keys: &[SealingKey]) -> String {
    keys.iter().map(SealingKey::fingerprint).collect::<Vec<_>>().join(", ")
}

/// Where the key is taken from, for people.
pub(super) fn whereabouts(database: &Database) -> String {
    match (database.sealing_key_files.as_slice(), &database.sealing_key) {
        ([], Some(_)) => "the variable CHANCERY_SEALING_KEY".to_owned(),
        ([], None) => default_path(database).display().to_string(),
        (paths, _) => paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    }
}

fn read(path: &Path) -> anyhow::Result<SealingKey> {
    Ok(SealingKey::new(&read_bytes(path)?))
}

fn read_bytes(path: &Path) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let bytes = read_named_file(path, MAX_BYTES);
    let bytes = bytes.with_context(|| format!("cannot read the sealing key {}", path.display()))?;
    SealingKey::parse(&bytes).with_context(|| format!("{} is not a sealing key", path.display()))
}

/// Writes a new key: temporary file, fsync, hard link. A link never overwrites, so if two processes start at once, one
/// key wins and both read it. Returns whether this call created the file.
fn create_key_file(path: &Path, entropy: &dyn Entropy) -> std::io::Result<bool> {
    let text = SealingKey::generate(entropy);
    // Random instead of the process id: in a container the id is the same at every start, and a killed start leaves its
    // file behind.
    let suffix: String = entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect();
    let temporary = path.with_extension(format!("tmp-{suffix}"));
    let mut file = private().write(true).create_new(true).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(e),
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(dir)?.sync_all()?;
    Ok(true)
}

/// Removes a key file if it still contains the key with this check value.
pub(super) fn remove_if(path: &Path, check_value: &[u8]) {
    if read(path).is_ok_and(|key| key.answers(check_value)) {
        let _ = fs::remove_file(path);
    }
}
