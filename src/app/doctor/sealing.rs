//! The versions of the sealing key: what a start would demand, who lacks one, and a rotation that is not finished.

use super::{super::database::explain, Finding};
use crate::{
    domain::sealing::SealingState,
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
        let rows = if older { service.sealing.dependents(&admin, version.version).await?.rows } else { 0 };
        versions.push((version, rows));
    }
    Ok(of(&versions))
}

/// What is to be said of versions, each with the number of rows that are still sealed under it though it is not in use.
fn of(versions: &[(VersionListed, i64)]) -> Vec<Finding> {
    let name = |v: &VersionListed| format!("version {}, {}", v.version, v.fingerprint);
    let mut findings = Vec::new();
    for (version, rows) in versions.iter().filter(|(v, _)| v.state != SealingState::Dropped) {
        let (name, number) = (name(version), version.version);
        if version.state == SealingState::VerifyOnly && !version.held {
            let what = format!(
                "{name}, is still needed, and is not among the keys here: a server refuses to start with these; add that key, \
                 or drop it for good with `chancery sealing-key drop {number}`"
            );
            findings.push(Finding::problem(ABOUT, what));
        }
        if !version.lacked_by.is_empty() {
            let or = if version.state == SealingState::Loaded {
                format!("; if nobody wants this version, forget it with `chancery sealing-key drop {number}`")
            } else {
                String::new()
            };
            let what = format!("{name}, is not held by {}: restart it with that key{or}", version.lacking());
            findings.push(Finding::warning(ABOUT, what));
        }
        if *rows > 0 {
            let what = format!(
                "{rows} rows are still sealed under {name}: run `chancery sealing-key rotate` again, or leave it to the servers"
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
        let found = of(&[(dropped, 0), (old, 0), (new, 0), (next, 0)]);
        let want = "version 2, f2 is verify only; version 3, f3 is in use; version 4, f4 is loaded";
        assert_eq!(found, [Finding::good(ABOUT, want)]);
    }

    #[test]
    fn a_key_that_a_start_demands_or_a_server_lacks_and_rows_that_are_left_are_found() {
        let old = VersionListed { held: false, ..version(1, SealingState::VerifyOnly) };
        let new = VersionListed { lacked_by: vec!["prc_1 on one".into()], ..version(2, SealingState::InUse) };
        let next = VersionListed { held: false, ..version(3, SealingState::Loaded) };
        let found = of(&[(old, 6), (new, 0), (next, 0)]);
        let said: Vec<_> = found.iter().map(|f| (f.level, f.what.as_str())).collect();
        let [(Level::Problem, missing), (Level::Warning, rows), (Level::Warning, lacks)] = said[..] else {
            panic!("{said:?}")
        };
        assert!(missing.contains("version 1, f1") && missing.contains("refuses to start"), "{missing}");
        assert!(rows.starts_with("6 rows") && rows.contains("rotate"), "{rows}");
        assert!(lacks.contains("version 2, f2") && lacks.contains("prc_1 on one"), "{lacks}");
    }
}
