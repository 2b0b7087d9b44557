//! Databases that are lost, in whole or in part, beside what is left of them: none is set up anew in silence.

use std::{fs, path::Path};

use crate::{
    calls::{PASSWORD, log_in, start},
    place::Place,
    refused::Refused,
    server::{FREE_PORTS, Server, command, run},
};

/// A data directory of a server that was killed, with its write-ahead log.
fn killed(dir: &Path) {
    let mut server = start(&Place::sqlite(dir));
    server.kill();
}

async fn assert_refused(dir: &Path, flags: &str, says: &[&str]) {
    for line in [format!("serve {} {flags}", FREE_PORTS.join(" ")), format!("migrate {flags}")] {
        Refused { line: &line, says, ..Refused::default() }.check(dir).await;
    }
}

#[tokio::test]
async fn a_missing_or_empty_database_beside_its_key_is_not_set_up_anew() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    killed(&dir.join("data"));
    let database = dir.join("data/chancery.db");
    for name in ["chancery.db", "chancery.db-wal", "chancery.db-shm"] {
        fs::remove_file(dir.join("data").join(name)).unwrap();
    }
    let says =
        ["no database at data/chancery.db", "data/sealing.key is the key", "chancery restore", "--sealing-key-file"];
    assert_refused(dir, "--data-dir data", &says).await;
    assert!(!database.exists());
    fs::write(&database, "").unwrap();
    assert_refused(dir, "--data-dir data", &says).await;
    assert_eq!(fs::metadata(&database).unwrap().len(), 0);
    // Who keeps the key apart names it at every start, so that alone does not mean that a new database is wanted.
    let named = format!("--data-dir data --sealing-key-file {}", dir.join("data/sealing.key").display());
    assert_refused(dir, &named, &["no database at", "a server ran on one", "remove data/chancery.db.serving"]).await;
    fs::remove_file(dir.join("data/chancery.db.serving")).unwrap();
    drop(Server::start(&dir.join("data"), &["--sealing-key-file", dir.join("data/sealing.key").to_str().unwrap()]));
    drop(Server::start(&dir.join("data"), &[]));
}

#[tokio::test]
async fn a_database_file_that_was_copied_without_its_log_is_not_set_up_anew() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    killed(&dir.join("data"));
    for new in ["with-key", "key-elsewhere"] {
        fs::create_dir(dir.join(new)).unwrap();
        fs::copy(dir.join("data/chancery.db"), dir.join(new).join("chancery.db")).unwrap();
    }
    fs::copy(dir.join("data/sealing.key"), dir.join("with-key/sealing.key")).unwrap();
    for flags in [
        "--data-dir with-key",
        "--data-dir key-elsewhere --sealing-key-file data/sealing.key",
        "--data-dir key-elsewhere",
    ] {
        assert_refused(dir, flags, &["chancery.db has no tables", "write-ahead log", "chancery restore"]).await;
    }
    assert!(!dir.join("key-elsewhere/sealing.key").exists());
    // The log makes it whole.
    fs::copy(dir.join("data/chancery.db-wal"), dir.join("with-key/chancery.db-wal")).unwrap();
    let server = Server::start(&dir.join("with-key"), &[]);
    log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_log_without_its_database_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    killed(&dir.join("data"));
    let (database, aside) = (dir.join("data/chancery.db"), dir.join("aside"));
    fs::rename(&database, &aside).unwrap();
    let log = fs::read(dir.join("data/chancery.db-wal")).unwrap();
    assert!(!log.is_empty());
    for empty in [false, true] {
        if empty {
            fs::write(&database, "").unwrap();
        }
        let says = ["no database at data/chancery.db", "data/chancery.db-wal", "put the database file back"];
        assert_refused(dir, "--data-dir data", &says).await;
        assert_refused(dir, "--data-dir data --sealing-key-file data/sealing.key", &says).await;
        assert_eq!(fs::read(dir.join("data/chancery.db-wal")).unwrap(), log);
    }
    fs::rename(&aside, &database).unwrap();
    let server = Server::start(&dir.join("data"), &[]);
    log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_empty_postgresql_database_beside_a_used_key_is_not_set_up_anew() {
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let first = Place::postgres(&dir.path().join("data")).await;
    drop(start(&first));
    let other = Place::postgres(&first.dir).await;
    let flags = format!("--data-dir data --database {}", other.database.as_ref().unwrap());
    assert_refused(dir.path(), &flags, &["is empty", "data/sealing.key is the key", "--sealing-key-file"]).await;
    let tables = "SELECT CAST(count(*) AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(other.texts(tables).await, ["0"]);
    drop(Server::on(&first, &[]));
}

#[tokio::test]
async fn a_first_start_with_a_key_of_ones_own_needs_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("own.key"), [9; 32]).unwrap();
    let key = dir.path().join("own.key");
    let flags = ["--sealing-key-file", key.to_str().unwrap()];
    drop(Server::start(&dir.path().join("data"), &flags));
    drop(Server::start(&dir.path().join("data"), &flags));
    // A schema that was set up beforehand is no lost database.
    let migrated = dir.path().join("migrated");
    assert!(run(command(&["migrate", "--data-dir"]).arg(&migrated), b"").status.success());
    drop(Server::start(&migrated, &[]));
    let left: Vec<_> = fs::read_dir(&migrated).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "first-start"), "{left:?}");
}
