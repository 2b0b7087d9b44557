//! What is written to disk, and by whom it can be read.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    calls::{PASSWORD, log_in},
    place::Place,
    server::{BIN, Server, command, run},
};

/// Every file below a folder, with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            if metadata.is_dir() { folders.push(path) } else { all.push((path, metadata.mode() & 0o777)) }
        }
    }
    all.sort();
    all
}

fn assert_private(folder: &Path, names: &[&str]) {
    let all = modes(folder);
    for (path, mode) in &all {
        assert_eq!(*mode, 0o600, "{}: {mode:o}", path.display());
    }
    for name in names {
        assert!(all.iter().any(|(path, _)| path.to_string_lossy().contains(name)), "no {name} in {all:?}");
    }
}

/// Runs a program under a `umask` that lets everybody read.
fn permissive(args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 0 && exec \"$0\" \"$@\"", BIN]).args(args);
    shell
}

#[tokio::test]
async fn every_file_of_a_database_is_for_its_owner_only_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    // Outside the data directory, nothing else keeps others out.
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let database = format!("sqlite:{}", outside.join("chancery.db").display());
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 0 && exec \"$0\" \"$@\""]);
    let server = Server::under(shell, &place, &["--database", &database]);
    let flags = ["--data-dir", place.dir.to_str().unwrap(), "--database", &database];
    let create = [&["user", "create", "grace", "--password-stdin"], &flags[..]].concat();
    assert!(run(&mut permissive(&create), PASSWORD.as_bytes()).status.success());
    assert_private(&outside, &["chancery.db", "chancery.db-wal", "chancery.db-shm", "chancery.db.serving"]);
    let backup = outside.join("backup.db");
    let out = run(&mut permissive(&[&["backup", backup.to_str().unwrap()], &flags[..]].concat()), b"");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    drop(server);
    let restored = dir.path().join("restored");
    let flags = ["--data-dir", restored.to_str().unwrap()];
    let key = place.dir.join("sealing.key");
    let key = ["--sealing-key-file", key.to_str().unwrap()];
    let out = run(&mut permissive(&[&["restore", backup.to_str().unwrap()], &flags[..], &key].concat()), b"");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for (folder, names) in
        [(&outside, &["backup.db"][..]), (&place.dir, &["sealing.key"]), (&restored, &["chancery.db"])]
    {
        assert_private(folder, names);
    }
}

/// Makes the database of an older version.
async fn make_older_database(file: &Path) {
    let dump = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/schema/0009-sqlite.sql");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let sql = sqlx::AssertSqlSafe(fs::read_to_string(dump).unwrap());
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_copy_before_a_migration_is_for_its_owner_only_and_a_database_of_an_older_version_becomes_so() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    fs::create_dir(&place.dir).unwrap();
    let database = place.dir.join("chancery.db");
    make_older_database(&database).await;
    fs::set_permissions(&database, fs::Permissions::from_mode(0o644)).unwrap();
    let out = run(permissive(&["migrate"]).args(place.flags()), b"");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_private(&place.dir, &["chancery.db", ".schema-", "chancery.lock"]);
}

/// A program that may not change files of others, although it runs as root.
#[expect(clippy::print_stderr, reason = "whoever reads the results should know what was not tested")]
fn without_capability() -> Option<Command> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--bounding-set", "-fowner,-chown"]);
    let works = is_root
        && Command::new("setpriv").args(["--bounding-set", "-fowner", "true"]).status().is_ok_and(|s| s.success());
    if !works {
        eprintln!("not root, or no setpriv: a directory of another user cannot be made");
    }
    works.then_some(setpriv)
}

#[tokio::test]
async fn a_data_directory_that_is_writable_but_belongs_to_another_user_is_a_warning() {
    let Some(setpriv) = without_capability() else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    fs::create_dir(&place.dir).unwrap();
    std::os::unix::fs::chown(&place.dir, Some(65534), Some(0)).unwrap();
    fs::set_permissions(&place.dir, fs::Permissions::from_mode(0o2777)).unwrap();
    let server = Server::under(setpriv, &place, &[]);
    server.command(&["user", "create", "grace", "--password-stdin"], PASSWORD);
    server.command(&["client", "create", "app", "--public", "--first-party", "--audience", "api"], "");
    log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    let log = fs::read_to_string(&server.log).unwrap();
    assert!(log.contains("WARN") && log.contains("belongs to another user") && log.contains("mode 2777"), "{log}");
    for (path, mode) in modes(&place.dir) {
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn with_postgresql_and_a_given_key_nothing_is_written_anywhere() {
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // There can be no such directory, nobody can make files in the working directory, not even root, and there is no
    // home.
    let nothing = dir.path().join("nothing");
    fs::write(&nothing, "").unwrap();
    let place = Place::postgres(&nothing).await;
    let database = place.database.clone().unwrap();
    let key = dir.path().join("a.key");
    fs::write(&key, [9; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bare = Command::new("sh");
    bare.env_clear().current_dir("/proc/sys").args(["-c", "exec \"$0\" \"$@\""]);
    let server = Server::under(bare, &place, &["--sealing-key-file", key.to_str().unwrap()]);
    let flags = ["--database", &database, "--sealing-key-file", key.to_str().unwrap()];
    let in_proc = |args: &[&str], stdin: &str| {
        let mut command = command(args);
        let out = run(command.args(flags).env_clear().current_dir("/proc/sys"), stdin.as_bytes());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    in_proc(&["user", "create", "grace", "--password-stdin"], PASSWORD);
    in_proc(&["client", "create", "app", "--public", "--first-party", "--audience", "api"], "");
    in_proc(&["config", "check"], "");
    log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    assert!(fs::read(&nothing).unwrap().is_empty());
}
