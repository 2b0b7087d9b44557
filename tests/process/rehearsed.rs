//! What docs/backups.md says about a restore of PostgreSQL to a point in time is what happens.

use std::process::Command;

use crate::server::BIN;

const DOCS: &str = include_str!("../../docs/backups.md");

/// Programs of a PostgreSQL server are where `scripts/postgres` looks for them.
const SERVER_PROGRAMS: &str = "ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null";

#[test]
fn a_restore_to_a_point_in_time_costs_what_the_page_says() {
    let sqlite_only = std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite");
    if sqlite_only || !Command::new("sh").args(["-c", SERVER_PROGRAMS]).status().unwrap().success() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rehearse-restore");
    let out = Command::new(script).env("CHANCERY_BIN", BIN).output().unwrap();
    let (seen, said) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8_lossy(&out.stderr).into_owned());
    assert!(out.status.success(), "{seen}{said}");
    let seen = seen.split_once("rehearse-restore: ").unwrap().0;
    assert!(DOCS.contains(&format!("```text\n{seen}```\n")), "docs/backups.md does not have this:\n{seen}");
}
