//! `chancery audit export`, beside a running server.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::{
    calls::{PASSWORD, log_in, start},
    place::Place,
    server::{command, run},
};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The files of a folder whose names begin like this one's.
fn beside(file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let all = fs::read_dir(file.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    all.filter(|n| n.starts_with(name)).collect()
}

#[tokio::test]
async fn the_audit_log_is_exported_whole_into_a_file_that_only_its_owner_can_read() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
        let file = dir.path().join(format!("{}-audit.jsonl", place.engine()));
        let export = |more: &[&str]| {
            let mut command = command(&["audit", "export"]);
            run(command.arg(&file).args(more).args(place.flags()), b"")
        };
        let said = export(&[]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let said = String::from_utf8(said.stdout).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let events = lines(&text);
        let listed = lines(&place.command(&["audit", "list", "--json", "--limit", "1000"], ""));
        assert!(events.iter().rev().eq(&listed), "oldest first, and otherwise the same");
        let last = events.last().unwrap();
        assert_eq!(last["kind"], "AUDIT_EVENT_KIND_SIGNED_IN");
        let (id, at) = (last["event_id"].as_str().unwrap(), last["event_time"].as_str().unwrap());
        let whole = format!("exported {} events to {}, up to {id} of {at}\n", events.len(), file.display());
        assert_eq!(said, whole);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(beside(&file), [file.file_name().unwrap().to_str().unwrap()], "nothing unfinished is left");

        let again = export(&[]);
        assert_eq!(again.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"), "{again:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);

        let printed = run(command(&["audit", "export", "-", "--before", at]).args(place.flags()), b"");
        let earlier = lines(std::str::from_utf8(&printed.stdout).unwrap());
        assert!(!earlier.is_empty() && earlier.len() < events.len(), "{} of {}", earlier.len(), events.len());
        assert!(String::from_utf8_lossy(&printed.stderr).starts_with(&format!("exported {} events", earlier.len())));
        let printed = run(command(&["audit", "export", "-", "--after", at]).args(place.flags()), b"");
        let rest = lines(std::str::from_utf8(&printed.stdout).unwrap());
        assert!([earlier, rest].concat().iter().eq(&events), "spans that follow each other are the whole");
    }
}

#[tokio::test]
async fn an_export_that_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(start(&place));
    let file = dir.path().join("audit.jsonl");
    let refused = |args: &[&str], says: &str| {
        let mut command = command(&["audit", "export"]);
        let out = run(command.arg(&file).args(args).args(place.flags()), b"");
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && errors.contains(says), "{errors}");
        assert!(beside(&file).is_empty(), "{:?}", beside(&file));
    };
    refused(&["--after", "2030-01-02T00:00:00Z", "--before", "2030-01-02T00:00:00Z"], "--before must be later");
    refused(&["--after", "yesterday"], "--after");
    // The newest event, which is read last.
    let spoil = "UPDATE audit_events SET kind = 'NONSENSE' WHERE id = (SELECT max(id) FROM audit_events) RETURNING id";
    assert_eq!(place.texts(spoil).await.len(), 1);
    refused(&[], "audit_events");
    let nowhere = dir.path().join("no/such/folder.jsonl");
    let out = run(command(&["audit", "export"]).arg(&nowhere).args(place.flags()), b"");
    assert!(!out.status.success() && !nowhere.exists());
}
