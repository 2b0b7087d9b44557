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
    // Whatever refuses the start comes first, so that one that is refused leaves no new version behind.
    if serves {
        refuse_without_needed(store, &given, &known).await?;
    }
    if let Some(unreadable) = unreadable(store, &given, &known).await? {
        return Err(unreadable);
    }
    if serves && given.iter().any(|key| version_of(key, &known).is_none()) {
        known = register(store, &given, now).await?;
    }
    let held: Vec<SealingKey> = given.into_iter().filter_map(|key| with_version(key, &known)).collect();
    let keys = SealingKeys::new(held, in_use);
    keys.ok_or_else(|| Error::Internal("the version of the sealing key in use has no number".into()).into())
}

/// Refuses where a version that was not dropped is not among the keys.
async fn refuse_without_needed(
    store: &Store,
    given: &[SealingKey],
    known: &[SealingVersion],
) -> Result<(), StartError> {
    let is_given = |v: &SealingVersion| given.iter().any(|key| key.answers(&v.check_value));
    let needed = known.iter().find(|v| v.state() == SealingState::VerifyOnly && !is_given(v));
    let Some(needed) = needed else { return Ok(()) };
    let rows = store.read().await?.sealed_rows(needed.version).await?;
    Err(StartError::SealingKeyNeeded { version: needed.version, want: fingerprint(&needed.check_value), rows })
}

/// Why the signing keys do not open with these keys: a rotation that was interrupted has left one under another.
async fn unreadable(store: &Store, given: &[SealingKey], known: &[SealingVersion]) -> Result<Option<StartError>> {
    let is_valid = |v: &&SealingVersion| v.dropped_at.is_none();
    let held = given.iter().filter_map(|key| Some((key, version_of(key, known).filter(is_valid)?.version)));
    let held: Vec<(&SealingKey, i64)> = held.collect();
    let sealed = store.read().await?.keys_all().await?;
    let Some(key) = sealed.iter().find(|key| held.iter().all(|(_, number)| *number != key.sealing_version)) else {
        return Ok(None);
    };
    let have: Vec<String> = held.iter().map(|(key, number)| of_version(&key.fingerprint(), *number)).collect();
    let want = known.iter().find(|v| v.version == key.sealing_version);
    Ok(Some(StartError::SealedUnderAnother {
        have: have.join(", "),
        version: key.sealing_version,
        want: want.map(|v| fingerprint(&v.check_value)).unwrap_or_default(),
        known: described(known),
    }))
}

fn of_version(fingerprint: &str, version: i64) -> String {
    format!("{fingerprint} (version {version})")
}

/// The versions that were not dropped, for people.
fn described(known: &[SealingVersion]) -> String {
    let valid = known.iter().filter(|v| v.dropped_at.is_none());
    let said = valid.map(|v| format!("{}, {}, {}", v.version, fingerprint(&v.check_value), v.state().as_str()));
    said.collect::<Vec<_>>().join("; ")
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

/// Makes each key that is none yet the next version: all of them, or none. Another process may do the same at this moment.
/// Returns every version.
async fn register(store: &Store, given: &[SealingKey], now: Timestamp) -> Result<Vec<SealingVersion>, StartError> {
    for _ in 0..TRIES {
        let mut tx = store.write().await?;
        if let Some((known, added)) = add_unknown(&mut tx, given, now).await? {
            tx.commit().await?;
            for (version, fingerprint) in added {
                tracing::info!(version, fingerprint, "the database knows a new sealing key");
            }
            return Ok(known);
        }
    }
    Err(Error::Conflict.into())
}

/// Every version, and those that this call added, with their fingerprints. Nothing if another process came first.
async fn add_unknown(
    tx: &mut Tx,
    given: &[SealingKey],
    now: Timestamp,
) -> Result<Option<(Vec<SealingVersion>, Vec<(i64, String)>)>> {
    let (mut known, in_use) = read(tx).await?;
    let mut added = Vec::new();
    for key in given {
        if version_of(key, &known).is_some() {
            continue;
        }
        let Some(next) = next_number(&known, in_use) else {
            return Err(Error::Precondition(format!(
                "there are {LAST_SEALING_VERSION} versions of the sealing key already, and no number is left for {}; \
                 `chancery sealing-key drop` gives back the numbers of versions that were never used",
                key.fingerprint()
            )));
        };
        if !tx.sealing_key_add(next, key.check_value(), now).await? {
            return Ok(None);
        }
        let details = json!({ "fingerprint": key.fingerprint() });
        tx.audit(now, AuditKind::SealingKeyAdded, &Actor::system(), &next.to_string(), details).await?;
        added.push((next, key.fingerprint()));
        known = tx.sealing_keys().await?;
    }
    Ok(Some((known, added)))
}

/// The number of a new version: after all others, or else one that was given back. It is above the one in use, because rows of
/// lower ones are sealed again.
fn next_number(known: &[SealingVersion], in_use: i64) -> Option<i64> {
    let last = known.last().map_or(0, |last| last.version);
    let mut numbers = (last + 1..=LAST_SEALING_VERSION).chain(in_use + 1..=LAST_SEALING_VERSION);
    numbers.find(|number| known.iter().all(|v| v.version != *number))
}

/// Why none of these keys will do.
fn refusal(given: &[SealingKey], known: &[SealingVersion], (in_use, want): (i64, &[u8])) -> StartError {
    let want = fingerprint(want);
    let of_database = |key: &SealingKey| Some(of_version(&key.fingerprint(), version_of(key, known)?.version));
    let older: Vec<String> = given.iter().filter_map(of_database).collect();
    if older.is_empty() {
        let have: Vec<String> = given.iter().map(SealingKey::fingerprint).collect();
        return StartError::WrongSealingKey { have: have.join(", "), want };
    }
    StartError::SealingKeyNotInUse { have: older.join(", "), version: in_use, want }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(numbers: impl IntoIterator<Item = i64>) -> Vec<SealingVersion> {
        let at = Timestamp::from_millis(0);
        let version = |version| SealingVersion {
            version,
            check_value: Vec::new(),
            created_at: at,
            used_from: None,
            used_until: None,
            dropped_at: None,
        };
        numbers.into_iter().map(version).collect()
    }

    #[test]
    fn a_new_version_has_the_next_number_or_one_above_the_one_in_use_that_was_given_back() {
        assert_eq!(next_number(&known([1]), 1), Some(2));
        assert_eq!(next_number(&known([1, 4]), 1), Some(5), "in the order in which they came");
        assert_eq!(next_number(&known([1, 2, 7, 255]), 2), Some(3));
        assert_eq!(next_number(&known((1..=255).filter(|n| *n != 9)), 10), None, "rows of lower ones are sealed again");
        assert_eq!(next_number(&known(1..=255), 1), None);
        assert_eq!(next_number(&known(1..=255), 255), None);
    }
}
