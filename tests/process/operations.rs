//! Every command of docs/operations.md runs as it stands there.

use std::process::Command;

use crate::{calls::start, place::Place, server::BIN};

const PAGE: &str = include_str!("../../docs/operations.md");

/// The blocks of commands.
fn commands() -> Vec<&'static str> {
    let blocks = PAGE.split("\n```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.flat_map(str::lines).collect()
}

#[test]
fn every_command_of_the_page_runs() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let all = commands();
    assert!(all.len() >= 5, "{all:?}");
    for line in all {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[0], "chancery", "{line}");
        let output = Command::new(BIN).args(&words[1..]).args(server.place.flags()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // A test may run in a folder in memory, which the doctor calls a problem.
        let is_well = output.status.success() || (words[1] == "doctor" && said.contains("tmpfs"));
        assert!(is_well && !said.is_empty(), "{line}: {said}");
    }
}

#[test]
fn the_page_names_nothing_that_does_not_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for link in PAGE.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0) {
        let file = link.split('#').next().unwrap();
        assert!(file.is_empty() || root.join(file).is_file(), "{link}");
    }
    for command in ["user revoke-sessions", "client rotate-secret", "keys revoke", "sealing-key drop"] {
        assert!(PAGE.contains(command));
        let output = Command::new(BIN).args(command.split(' ')).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}");
    }
}
