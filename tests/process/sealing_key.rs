//! The sealing key: how one is made, in which forms it is taken, and what is refused.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::{
    place::Place,
    refused::Refused,
    server::{FREE_PORTS, Server, command, run},
};

/// Bytes whose base64 and base64url differ.
const KEY: [u8; 32] = [0xfb; 32];

fn is_sqlite_only() -> bool {
    std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite")
}

async fn assert_refused(dir: &Path, flags: &str, variables: &[(&str, &str)], says: &[&str], hides: &[&str]) {
    for line in [format!("serve {} {flags}", FREE_PORTS.join(" ")), format!("config check {flags}")] {
        Refused { line: &line, variables, says, hides, ..Refused::default() }.check(dir).await;
    }
}

#[tokio::test]
async fn a_sealing_key_is_never_made_in_passing_on_postgresql() {
    if is_sqlite_only() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    let flags = place.flags().join(" ");
    let says = &["no sealing key at", "data/sealing.key", "chancery sealing-key generate", "--create-sealing-key"];
    assert_refused(dir.path(), &flags, &[], says, &[]).await;
    assert_refused(dir.path(), &format!("--dev {flags}"), &[], says, &[]).await;
    let tables = "SELECT CAST(count(*) AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(place.texts(tables).await, ["0"]);
    assert!(!place.dir.exists(), "a refused start left a data directory behind");
    // Asked for, it is made where the data are; a second server with another directory does not make its own.
    drop(Server::on(&place, &[]));
    assert!(place.dir.join("sealing.key").exists());
    drop(Server::on(&place, &[]));
    let other = dir.path().join("other");
    let flags = format!("--data-dir {} --database {}", other.display(), place.database.as_ref().unwrap());
    assert_refused(dir.path(), &flags, &[], &["no sealing key at", "other/sealing.key"], &[]).await;
    let line = format!("serve {} --log warn --create-sealing-key {flags}", FREE_PORTS.join(" "));
    let says = &["there is no sealing key at", "that this database was created with", "another server"];
    Refused { line: &line, says, ..Refused::default() }.check(dir.path()).await;
    let says = &["there is no sealing key at", "that this database was created with"];
    assert!(!other.join("sealing.key").exists());
    // Nor does a command.
    let line = format!("user list {flags}");
    Refused { line: &line, says, ..Refused::default() }.check(dir.path()).await;
}

#[test]
fn a_key_is_made_for_its_owner_only_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new.key");
    let generate = || run(command(&["sealing-key", "generate", "--out"]).arg(&file), b"");
    let out = generate();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let key = fs::read(&file).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(&key).unwrap().len(), 32);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!String::from_utf8_lossy(&out.stdout).contains(std::str::from_utf8(&key).unwrap()));
    let out = generate();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("exists already, and is never overwritten"));
    assert_eq!(fs::read(&file).unwrap(), key);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(Server::start(&dir.path().join("data"), &["--sealing-key-file", file.to_str().unwrap()]));
    // Without a file, it is printed, and is another each time.
    let printed = || String::from_utf8(run(&mut command(&["sealing-key", "generate"]), b"").stdout).unwrap();
    let (one, two) = (printed(), printed());
    assert_ne!(one, two);
    let place = Place::sqlite(&dir.path().join("printed"));
    drop(Server::with_variables(&place, &[("CHANCERY_SEALING_KEY".to_owned(), one)], &[]));
    assert!(!place.dir.join("sealing.key").exists());
}

#[test]
fn one_key_is_taken_as_raw_bytes_base64_and_base64url() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let file = dir.path().join("a.key");
    let texts = [STANDARD.encode(KEY), URL_SAFE_NO_PAD.encode(KEY)];
    for contents in [KEY.to_vec(), texts[0].clone().into(), format!("{}\n", texts[1]).into()] {
        fs::write(&file, contents).unwrap();
        drop(Server::on(&place, &["--sealing-key-file", file.to_str().unwrap()]));
    }
    for text in texts {
        drop(Server::with_variables(&place, &[("CHANCERY_SEALING_KEY".to_owned(), text)], &[]));
    }
}

#[test]
fn a_key_is_taken_from_a_pipe_which_gives_it_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(run(std::process::Command::new("mkfifo").arg(&pipe), b"").status.success());
    let to = pipe.clone();
    let writer = std::thread::spawn(move || fs::write(to, STANDARD.encode(KEY)).unwrap());
    let place = Place::sqlite(&dir.path().join("data"));
    drop(Server::on(&place, &["--sealing-key-file", pipe.to_str().unwrap()]));
    writer.join().unwrap();
    assert!(!place.dir.join("sealing.key").exists());
    // It was that key.
    fs::write(dir.path().join("a.key"), KEY).unwrap();
    drop(Server::on(&place, &["--sealing-key-file", dir.path().join("a.key").to_str().unwrap()]));
}

#[tokio::test]
async fn other_text_in_the_variable_is_refused_with_what_was_seen_and_the_way_out() {
    const OLD: &str = "correct horse battery staple 123";
    let dir = tempfile::tempdir().unwrap();
    let variables = |text| [("CHANCERY_SEALING_KEY", text)];
    let way_out = &["32 characters", "used as the key before", "--sealing-key-file", "base64", ">sealing.key"];
    assert_refused(dir.path(), "", &variables(OLD), way_out, &[OLD, "horse"]).await;
    let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    assert_refused(dir.path(), "", &variables(hex), &["64 hexadecimal digits", "base64"], &["00112233"]).await;
    assert_refused(dir.path(), "", &variables("not a key"), &["9 characters of other text"], &["not a key"]).await;
    assert!(!dir.path().join("chancery-data").exists());
    // The way out leads to the database that such a key was used for.
    let place = Place::sqlite(&dir.path().join("data"));
    let file = dir.path().join("old.key");
    fs::write(&file, OLD).unwrap();
    drop(Server::on(&place, &["--sealing-key-file", file.to_str().unwrap()]));
    let encoded = STANDARD.encode(OLD);
    drop(Server::with_variables(&place, &[("CHANCERY_SEALING_KEY".to_owned(), encoded)], &[]));
}

#[tokio::test]
async fn a_key_that_is_named_is_not_made_as_well() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.key"), KEY).unwrap();
    let says = &["--create-sealing-key", "no effect", "a.key"];
    assert_refused(
        dir.path(),
        "--database postgres://127.0.0.1:1/x --create-sealing-key --sealing-key-file a.key",
        &[],
        says,
        &[],
    )
    .await;
    let encoded = STANDARD.encode(KEY);
    let says = &["--create-sealing-key", "no effect", "CHANCERY_SEALING_KEY"];
    let variables = &[("CHANCERY_SEALING_KEY", encoded.as_str())];
    let flags = "--database postgres://127.0.0.1:1/x --create-sealing-key";
    assert_refused(dir.path(), flags, variables, says, &[&encoded]).await;
    // On SQLite the key is made anyway.
    let says = &["--create-sealing-key has no effect on SQLite"];
    assert_refused(dir.path(), "--create-sealing-key --data-dir data", &[], says, &[]).await;
}

#[tokio::test]
async fn a_database_that_was_empty_is_named_in_the_log_of_postgresql() {
    if is_sqlite_only() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    let file = dir.path().join("a.key");
    fs::write(&file, KEY).unwrap();
    let flags = ["--sealing-key-file", file.to_str().unwrap()];
    let warned = |server: &Server| fs::read_to_string(&server.log).unwrap().contains("was empty and is set up now");
    assert!(warned(&Server::on(&place, &flags)));
    assert!(!warned(&Server::on(&place, &flags)));
}

#[test]
fn a_key_file_that_others_may_read_is_named_with_the_way_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(Server::on(&place, &[]));
    let key = place.dir.join("sealing.key");
    for (mode, warns) in [(0o600, false), (0o400, false), (0o640, true), (0o644, true), (0o604, true)] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let server = Server::on(&place, &[]);
        let log = fs::read_to_string(&server.log).unwrap();
        let says = format!("(mode 0{mode:o}); mend it with `chmod 600 {}`", key.display());
        assert_eq!(log.contains(&says), warns, "{mode:o}: {log}");
        let out = run(command(&["user", "list"]).args(place.flags()), b"");
        assert!(out.status.success());
        assert_eq!(String::from_utf8_lossy(&out.stderr).contains(&says), warns, "{mode:o}");
    }
}
