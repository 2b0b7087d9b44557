//! One sealing key or several: files, the variable, the credentials of a service.

use super::*;
use crate::app::config::sealing_keys_in;

/// The files with sealing keys of a draft, and what `config show` prints of them.
fn key_files(draft: Draft) -> (Vec<String>, Json) {
    let config = draft.for_server(false, MACHINE).unwrap();
    let files = config.database.sealing_key_files.iter().map(|path| path.display().to_string()).collect();
    (files, config.shown["sealing_key_file"].clone())
}

#[test]
fn sealing_key_files_are_one_or_several() {
    let from_toml = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chancery.toml");
        std::fs::write(&path, text).unwrap();
        let mut draft = Draft::default();
        draft.read_file(&path);
        draft
    };
    let from_flags = |line: &[&str]| {
        let mut draft = Draft::default();
        read_line(&mut draft, line).unwrap();
        draft
    };
    let one = (vec!["a.key".to_owned()], Json::from("a.key"));
    assert_eq!(key_files(from_toml("sealing_key_file = \"a.key\"")), one);
    assert_eq!(key_files(from_toml("sealing_key_file = [\"a.key\"]")), one);
    assert_eq!(key_files(from_flags(&["--sealing-key-file", "a.key"])), one);
    let two = (vec!["a.key".to_owned(), "b.key".to_owned()], serde_json::json!(["a.key", "b.key"]));
    assert_eq!(key_files(from_toml("sealing_key_file = [\"a.key\", \"b.key\"]")), two);
    assert_eq!(key_files(from_flags(&["--sealing-key-file", "a.key", "--sealing-key-file", "b.key"])), two);
    assert_eq!(key_files(draft_from_variables(&[("SEALING_KEY_FILE", "a.key,b.key")])), two);
    for wrong in ["sealing_key_file = 7", "sealing_key_file = []", "sealing_key_file = \"\""] {
        assert_eq!(from_toml(wrong).for_server(false, MACHINE).unwrap_err().len(), 1, "{wrong}");
    }
}

#[test]
fn credentials_of_systemd_are_taken_where_nothing_names_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let with = |more: &[(&str, &str)]| {
        let mut draft = draft_from_variables(more);
        draft.read_variables([("CREDENTIALS_DIRECTORY".into(), dir.path().into())]);
        draft
    };
    assert!(key_files(with(&[])).0.is_empty(), "there is none");
    for name in ["sealing-3.key", "sealing-2.key", "other.key", "sealing.key"] {
        std::fs::write(dir.path().join(name), SEALING_KEY).unwrap();
    }
    let all: Vec<String> = ["sealing.key", "sealing-2.key", "sealing-3.key"]
        .map(|name| dir.path().join(name).display().to_string())
        .to_vec();
    assert_eq!(key_files(with(&[])), (all.clone(), Json::Null));
    assert_eq!(key_files(with(&[("SEALING_KEY_FILE", "a.key")])).0, ["a.key"]);
    assert!(key_files(with(&[("SEALING_KEY", SEALING_KEY)])).0.is_empty());
    // The old one goes after a rotation, whatever the others are called.
    std::fs::remove_file(dir.path().join("sealing.key")).unwrap();
    assert_eq!(key_files(with(&[])).0, all[1..]);
    std::fs::remove_file(dir.path().join("sealing-2.key")).unwrap();
    let config = with(&[]).for_server(false, MACHINE).unwrap();
    assert!(config.database.names_its_key(), "none is made in the data directory beside it");
    // What cannot be looked at is not taken for empty.
    let mut draft = draft_from_variables(&[]);
    draft.read_variables([("CREDENTIALS_DIRECTORY".into(), dir.path().join("other.key").into())]);
    let problems = draft.for_server(false, MACHINE).unwrap_err();
    assert!(problems.len() == 1 && problems[0].contains("among the credentials"), "{problems:?}");
}

#[test]
fn every_one_of_several_sealing_keys_in_the_variable_is_checked() {
    let two = format!("{SEALING_KEY},{SEALING_KEY}");
    for right in
        [two.clone(), format!("{SEALING_KEY},"), format!("{SEALING_KEY},\n{SEALING_KEY},\n"), format!("{two}\r\n")]
    {
        let config = draft_from_variables(&[("SEALING_KEY", &right)]).for_server(false, MACHINE).unwrap();
        let keys = sealing_keys_in(config.database.sealing_key.as_ref().unwrap()).unwrap();
        assert!(
            keys.iter().all(|key| *key == keys[0]) && keys.len() == right.matches(SEALING_KEY).count(),
            "{right:?}"
        );
    }
    for (wrong, says) in [
        (format!("{SEALING_KEY},short"), "key 2 of 2 must be 32 bytes"),
        (format!(",{SEALING_KEY}"), "key 1 of 2 must be"),
        (format!("{two},,{SEALING_KEY}"), "key 3 of 4 must be"),
        (format!("{SEALING_KEY}\n{SEALING_KEY},{SEALING_KEY},"), "key 1 of 2 must be"),
        (format!("{SEALING_KEY},,"), "key 2 of 2 must be"),
        (",".to_owned(), "CHANCERY_SEALING_KEY: must be"),
    ] {
        let problems = draft_from_variables(&[("SEALING_KEY", &wrong)]).for_server(false, MACHINE).unwrap_err();
        let said = problems.join("; ");
        assert!(problems.len() == 1 && said.contains(says) && !said.contains(SEALING_KEY), "{says}: {said}");
    }
}
