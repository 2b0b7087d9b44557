//! Where the sealing key comes from: a file named by flag, a variable, or `sealing.key` in the data
//! directory.

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

/// Loads the sealing key, if there is one. One that is named must be there.
pub(super) fn load(database: &Database) -> anyhow::Result<Option<SealingKey>> {
    if let Some(path) = &database.sealing_key_file {
        return read(path).map(Some);
    }
    if let Some(text) = &database.sealing_key {
        let bytes =
            SealingKey::parse(text.expose_secret().as_bytes()).context("CHANCERY_SEALING_KEY is not a sealing key")?;
        return Ok(Some(SealingKey::new(&bytes)));
    }
    let path = own(database);
    if path.exists() { read(&path).map(Some) } else { Ok(None) }
}

/// Loads the sealing key of the data directory. A missing one is created only if `create` says so, for
/// an empty database. Gives the path of a file that this call made.
pub(super) fn load_own(
    database: &Database,
    create: bool,
    entropy: &dyn Entropy,
) -> anyhow::Result<(SealingKey, Option<PathBuf>)> {
    let path = own(database);
    if !create && !path.exists() {
        bail!(
            "there is no sealing key at {}; pass the key that this database was created with as --sealing-key-file",
            path.display()
        );
    }
    let made = create && make(&path, entropy).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((read(&path)?, made.then_some(path)))
}

fn own(database: &Database) -> PathBuf {
    database.data_dir.join("sealing.key")
}

fn read(path: &Path) -> anyhow::Result<SealingKey> {
    let bytes =
        Zeroizing::new(fs::read(path).with_context(|| format!("cannot read the sealing key {}", path.display()))?);
    let key = SealingKey::parse(&bytes).with_context(|| format!("{} is not a sealing key", path.display()))?;
    Ok(SealingKey::new(&key))
}

/// Writes a new key: temporary file, fsync, link. A link never overwrites, so of two processes that
/// start at once one key wins and both read it. Says whether it was this one.
fn make(path: &Path, entropy: &dyn Entropy) -> std::io::Result<bool> {
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(entropy.bytes32())));
    // Not by the process' id: in a container that is the same at every start, and a start may be killed.
    let mark: String = entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect();
    let temporary = path.with_extension(format!("tmp-{mark}"));
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

/// Removes a key file, if it still holds the key with this check value.
pub(super) fn remove_if(path: &Path, check_value: &[u8]) {
    if read(path).is_ok_and(|key| key.answers(check_value)) {
        let _ = fs::remove_file(path);
    }
}
