//! What is refused about versions of the sealing key, and what to do about it.

use crate::{
    domain::{
        process::{ALIVE_FOR, Process, named},
        sealing::{Dependents, SealingState, SealingVersion, Switched},
    },
    error::{Error, Result},
    keys::fingerprint,
};

/// Refuses where a version did not come into use.
pub(super) fn brought(switched: Switched, version: i64) -> Result<()> {
    match switched {
        Switched::Done => Ok(()),
        Switched::Lost => Err(Error::Conflict),
        Switched::OtherKey => Err(Error::Precondition(format!(
            "version {version} of the sealing key has another key now: it was dropped meanwhile, and its number given to another \
             key; look at `chancery sealing-key list`, and run it again"
        ))),
    }
}

pub(super) fn in_use(versions: &[SealingVersion]) -> Result<&SealingVersion> {
    let found = versions.iter().find(|v| v.state() == SealingState::InUse);
    found.ok_or_else(|| Error::Internal("no version of the sealing key is in use".into()))
}

/// What to do about a version that came from a key that was given by mistake. After a restore, a key may be older than the database
/// knows.
pub(super) fn unless_wanted(version: i64) -> String {
    format!(
        "if nobody wants that version, forget it with `chancery sealing-key drop {version}`; after a restore, only if that key was \
         never in use, for what was made with it since the backup would be refused"
    )
}

/// A version that is there, and not in use.
pub(super) fn droppable(versions: &[SealingVersion], version: i64) -> Result<SealingVersion> {
    let found = versions.iter().find(|v| v.version == version);
    let found = found.ok_or_else(|| Error::NotFound("version of the sealing key", version.to_string()))?;
    match found.state() {
        SealingState::InUse => {
            Err(Error::Precondition(format!("version {version} of the sealing key is in use; rotate first")))
        }
        SealingState::Dropped => {
            Err(Error::Precondition(format!("version {version} of the sealing key was dropped at {}", found.since())))
        }
        SealingState::Loaded | SealingState::VerifyOnly => Ok(found.clone()),
    }
}

/// Refuses while processes of this kind run: the version is in this state by them, and the remedy is theirs.
pub(super) fn refuse_while_running(
    running: &[Process],
    is_in_the_way: impl Fn(&Process) -> bool,
    version: &SealingVersion,
    state: &str,
    remedy: &str,
) -> Result<()> {
    let names: Vec<String> = running.iter().filter(|process| is_in_the_way(process)).map(Process::name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::Precondition(format!(
        "version {} of the sealing key, {}, {state} by {}: {remedy}; one that was killed is forgotten after {} s; {}",
        version.version,
        fingerprint(&version.check_value),
        named(&names),
        ALIVE_FOR.seconds(),
        unless_wanted(version.version)
    )))
}

/// Refuses while rows are sealed under a version: they could never be read again.
pub(super) fn refuse_sealed(version: &SealingVersion, needed: &Dependents) -> Result<()> {
    if needed.rows.total() == 0 {
        return Ok(());
    }
    Err(Error::Precondition(format!(
        "rows are still sealed under version {} of the sealing key, {} ({}); run the command with that key, so that it can \
         seal them again: nothing else opens them",
        version.version,
        fingerprint(&version.check_value),
        needed.rows
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_to_another_key_meanwhile_is_refused_in_words() {
        assert!(brought(Switched::Done, 2).is_ok());
        assert!(matches!(brought(Switched::Lost, 2), Err(Error::Conflict)));
        let refused = brought(Switched::OtherKey, 2).unwrap_err().to_string();
        assert!(refused.contains("version 2 of the sealing key has another key now"), "{refused}");
    }
}
