//! Loads the sealing key from the configured file, from the variable, or from `sealing.key` in the data directory.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::config::Database;
use crate::{entropy::Entropy, keys::SealingKey};

/// Loads the sealing key, if there is one. A configured file must exist.
pub(super) fn load(database: &Database) -> anyhow::Result<Option<SealingKey>> {
    if let Some(path) = &database.sealing_key_file {
        return read(path).map(Some);
    }
    if let Some(text) = &database.sealing_key {
        let bytes =
            SealingKey::parse(text.expose_secret().as_bytes()).context("CHANCERY_SEALING_KEY is not a sealing key")?;
        return Ok(Some(SealingKey::new(&bytes)));
    }
    let path = default_path(database);
    if path.exists() { read(&path).map(Some) } else { Ok(None) }
}

/// Loads the sealing key from the data directory. If it is missing and `create` is set, creates it; only empty
/// databases may get a new key. Also returns the path of the file if this call created it.
pub(super) fn load_default(
    database: &Database,
    create: bool,
    entropy: &dyn Entropy,
) -> anyhow::Result<(SealingKey, Option<PathBuf>)> {
    let path = default_path(database);
    if !create && !path.exists() {
        bail!(
            "there is no sealing key at {}; pass the key that this database was created with as --sealing-key-file",
            path.display()
        );
    }
    let created =
        create && create_key_file(&path, entropy).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((read(&path)?, created.then_some(path)))
}

fn default_path(database: &Database) -> PathBuf {
    database.data_dir.join("sealing.key")
}

/// The path of the key in the data directory; nothing if another is configured.
pub(super) fn default_in_use(database: &Database) -> Option<PathBuf> {
    let configured = database.sealing_key_file.is_some() || database.sealing_key.is_some();
    (!configured).then(|| default_path(database))
}

/// Where the key is taken from, for people.
pub(super) fn whereabouts(database: &Database) -> String {
    match (&database.sealing_key_file, &database.sealing_key) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(_)) => "the variable CHANCERY_SEALING_KEY".to_owned(),
        (None, None) => default_path(database).display().to_string(),
    }
}

fn read(path: &Path) -> anyhow::Result<SealingKey> {
    let bytes =
        Zeroizing::new(fs::read(path).with_context(|| format!("cannot read the sealing key {}", path.display()))?);
    let key = SealingKey::parse(&bytes).with_context(|| format!("{} is not a sealing key", path.display()))?;
    Ok(SealingKey::new(&key))
}

/// Writes a new key: temporary file, fsync, hard link. A link never overwrites, so if two processes start at once, one
/// key wins and both read it. Returns whether this call created the file.
fn create_key_file(path: &Path, entropy: &dyn Entropy) -> std::io::Result<bool> {
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(entropy.bytes32())));
    // Random instead of the process id: in a container the id is the same at every start, and a killed start leaves its
    // file behind.
    let suffix: String = entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect();
    let temporary = path.with_extension(format!("tmp-{suffix}"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(e),
    }
    if let Some(dir) = path.parent() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(true)
}

/// Removes a key file if it still contains the key with this check value.
pub(super) fn remove_if(path: &Path, check_value: &[u8]) {
    if read(path).is_ok_and(|key| key.answers(check_value)) {
        let _ = fs::remove_file(path);
    }
}
