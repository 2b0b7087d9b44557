//! The versions of the sealing key: what a start would demand, who lacks one, and a rotation that is not finished.

use super::{super::database::explain, Finding};
use crate::{
    domain::sealing::{SealedRows, SealingState},
    error::Result,
    service::{Admin, Service, VersionListed},
};

pub(super) const ABOUT: &str = "sealing key";

pub(super) async fn examine(service: &Service) -> Vec<Finding> {
    read(service).await.unwrap_or_else(|error| vec![Finding::problem(ABOUT, explain(&error).to_string())])
}

async fn read(service: &Service) -> Result<Vec<Finding>> {
    let admin = Admin::command();
    let mut versions = Vec::new();
    for version in service.sealing.list(&admin).await? {
        let older = version.state == SealingState::VerifyOnly;
        let rows =
            if older { service.sealing.dependents(&admin, version.version).await?.rows } else { SealedRows::default() };
        versions.push((version, rows));
    }
    Ok(of(&versions))
}

/// What is to be said of versions, each with the rows that are still sealed under it though it is not in use.
fn of(versions: &[(VersionListed, SealedRows)]) -> Vec<Finding> {
    let name = |v: &VersionListed| format!("version {}, {}", v.version, v.fingerprint);
    let mut findings = Vec::new();
    for (version, rows) in versions.iter().filter(|(v, _)| v.state != SealingState::Dropped) {
        let (name, number) = (name(version), version.version);
        if version.state == SealingState::VerifyOnly && !version.held {
            let or = if rows.total() > 0 {
                ": it cannot be dropped, because only that key opens what is still sealed under it".to_owned()
            } else {
                format!(", or drop it for good with `chancery sealing-key drop {number}`")
            };
            let what = format!(
                "{name}, is still needed, and is not among the keys here: a server refuses to start with these; add that key{or}"
            );
            findings.push(Finding::problem(ABOUT, what));
        }
        if !version.lacked_by.is_empty() {
            let or = if version.state == SealingState::Loaded {
                format!("; {}", version.unless_wanted())
            } else {
                String::new()
            };
            let what = format!("{name}, is not held by {}: restart it with that key{or}", version.lacking());
            findings.push(Finding::warning(ABOUT, what));
        }
        if rows.total() > 0 {
            let what = format!(
                "rows are still sealed under {name} ({rows}): run `chancery sealing-key rotate` again with that key, or leave it \
                 to the servers that hold it"
            );
            findings.push(Finding::warning(ABOUT, what));
        }
    }
    if findings.is_empty() {
        let said = versions.iter().filter(|(v, _)| v.state != SealingState::Dropped);
        let said: Vec<_> = said.map(|(v, _)| format!("{} is {}", name(v), v.state.as_str())).collect();
        findings.push(Finding::good(ABOUT, said.join("; ")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};
    use crate::time::Timestamp;

    fn version(version: i64, state: SealingState) -> VersionListed {
        VersionListed {
            version,
            fingerprint: format!("f{version}"),
            state,
            since: Timestamp::from_millis(0),
            held: true,
            lacked_by: Vec::new(),
        }
    }

    #[test]
    fn versions_that_all_hold_are_named() {
        let (dropped, old) = (version(1, SealingState::Dropped), version(2, SealingState::VerifyOnly));
        let (new, next) = (version(3, SealingState::InUse), version(4, SealingState::Loaded));
        let found = of(&[dropped, old, new, next].map(|version| (version, SealedRows::default())));
        let want = "version 2, f2 is verify only; version 3, f3 is in use; version 4, f4 is loaded";
        assert_eq!(found, [Finding::good(ABOUT, want)]);
    }

    #[test]
    fn a_key_that_a_start_demands_or_a_server_lacks_and_rows_that_are_left_are_found() {
        let old = VersionListed { held: false, ..version(1, SealingState::VerifyOnly) };
        let new = VersionListed { lacked_by: vec!["prc_1 on one".into()], ..version(2, SealingState::InUse) };
        let next = VersionListed { held: false, ..version(3, SealingState::Loaded) };
        let rows = SealedRows { signing_keys: 4, apps: 0, mails: 2 };
        let found = of(&[(old.clone(), rows), (new, SealedRows::default()), (next, SealedRows::default())]);
        let said: Vec<_> = found.iter().map(|f| (f.level, f.what.as_str())).collect();
        let [(Level::Problem, missing), (Level::Warning, rows), (Level::Warning, lacks)] = said[..] else {
            panic!("{said:?}")
        };
        assert!(missing.contains("version 1, f1") && missing.contains("refuses to start"), "{missing}");
        assert!(missing.contains("cannot be dropped") && !missing.contains("sealing-key drop"), "{missing}");
        assert!(rows.contains("(signing keys: 4, mails: 2)") && rows.contains("rotate"), "{rows}");
        assert!(lacks.contains("version 2, f2") && lacks.contains("prc_1 on one"), "{lacks}");
        let found = of(&[(old, SealedRows::default())]);
        assert!(found[0].what.contains("add that key, or drop it for good with"), "{found:?}");
    }

    #[test]
    fn a_version_that_is_only_loaded_may_be_forgotten_but_not_after_a_restore_if_its_key_was_in_use() {
        let next = VersionListed { lacked_by: vec!["prc_1 on one".into()], ..version(3, SealingState::Loaded) };
        let found = of(&[(next, SealedRows::default())]);
        for part in ["sealing-key drop 3", "after a restore, only if that key was never in use"] {
            assert!(found[0].what.contains(part), "{part}: {found:?}");
        }
    }
}
