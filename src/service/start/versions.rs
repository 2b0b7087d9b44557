//! Which versions of the sealing key a process holds: the database knows each by its check value.

use serde_json::json;

use super::StartError;
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        sealing::{SealingState, SealingVersion},
    },
    error::{Error, Result},
    keys::{LAST_SEALING_VERSION, SealingKey, SealingKeys, fingerprint},
    store::{Store, Tx},
    time::Timestamp,
};

/// How often another process may register a key while this one does.
const TRIES: usize = 8;

/// Finds the version of each key. Where it `serves`, a key that the database does not know becomes the next version, and
/// every version must be there that was not dropped. A key that was dropped is left aside, and so is an unknown one where
/// it does not serve.
pub(super) async fn find(
    store: &Store,
    given: Vec<SealingKey>,
    serves: bool,
    now: Timestamp,
) -> Result<SealingKeys, StartError> {
    let mut tx = store.read().await?;
    let (mut known, in_use) = read(&mut tx).await?;
    drop(tx);
    let current = known.iter().find(|v| v.version == in_use);
    let want = current.map(|v| v.check_value.clone()).unwrap_or_default();
    if !given.iter().any(|key| key.answers(&want)) {
        return Err(refusal(&given, &known, (in_use, &want)));
    }
    if serves {
        for key in &given {
            if version_of(key, &known).is_none() {
                known = register(store, key, now).await?;
            }
        }
    }
    let held: Vec<SealingKey> = given.into_iter().filter_map(|key| with_version(key, &known)).collect();
    let lacks = |v: &&SealingVersion| {
        v.state() == SealingState::VerifyOnly && !held.iter().any(|key| key.answers(&v.check_value))
    };
    if let Some(needed) = known.iter().find(lacks).filter(|_| serves) {
        let want = fingerprint(&needed.check_value);
        return Err(StartError::SealingKeyNeeded { version: needed.version, want });
    }
    SealingKeys::new(held, in_use).map_err(|lacks| Error::Unavailable(Box::new(lacks)).into())
}

async fn read(tx: &mut Tx) -> Result<(Vec<SealingVersion>, i64)> {
    let instance = tx.instance().await?.ok_or_else(|| Error::Internal("the database is not claimed".into()))?;
    Ok((tx.sealing_keys().await?, instance.sealing_version))
}

fn version_of<'a>(key: &SealingKey, known: &'a [SealingVersion]) -> Option<&'a SealingVersion> {
    known.iter().find(|v| key.answers(&v.check_value))
}

/// The key as the version that it is; nothing if it is none, or was dropped.
fn with_version(key: SealingKey, known: &[SealingVersion]) -> Option<SealingKey> {
    let found = version_of(&key, known).filter(|v| v.dropped_at.is_none())?;
    let version = u8::try_from(found.version).ok()?;
    Some(key.with_version(version))
}

/// Makes a key the next version. Another process may do the same at this moment. Returns every version.
async fn register(store: &Store, key: &SealingKey, now: Timestamp) -> Result<Vec<SealingVersion>, StartError> {
    for _ in 0..TRIES {
        let mut tx = store.write().await?;
        let known = tx.sealing_keys().await?;
        if version_of(key, &known).is_some() {
            return Ok(known);
        }
        let next = known.last().map_or(1, |last| last.version + 1);
        if next > LAST_SEALING_VERSION {
            return Err(Error::Precondition(format!("there are {LAST_SEALING_VERSION} sealing keys already")).into());
        }
        if tx.sealing_key_add(next, key.check_value(), now).await? {
            let details = json!({ "fingerprint": key.fingerprint() });
            tx.audit(now, AuditKind::SealingKeyAdded, &Actor::system(), &next.to_string(), details).await?;
            let known = tx.sealing_keys().await?;
            tx.commit().await?;
            tracing::info!(version = next, fingerprint = key.fingerprint(), "the database knows a new sealing key");
            return Ok(known);
        }
    }
    Err(Error::Conflict.into())
}

/// Why none of these keys will do.
fn refusal(given: &[SealingKey], known: &[SealingVersion], (in_use, want): (i64, &[u8])) -> StartError {
    let want = fingerprint(want);
    let of_database = |key: &SealingKey| {
        let version = version_of(key, known)?.version;
        Some(format!("{} (version {version})", key.fingerprint()))
    };
    let older: Vec<String> = given.iter().filter_map(of_database).collect();
    if older.is_empty() {
        let have: Vec<String> = given.iter().map(SealingKey::fingerprint).collect();
        return StartError::WrongSealingKey { have: have.join(", "), want };
    }
    StartError::SealingKeyNotInUse { have: older.join(", "), version: in_use, want }
}
