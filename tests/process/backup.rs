//! Backups beside a running server, and restores from them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chancery::grpc::pb::TokenPair;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    calls::{PASSWORD, log_in, may_be_retried, reason, refresh, start},
    place::Place,
    refused::Refused,
    relay::Relay,
    server::{BIN, FREE_PORTS, Server, command, run},
    watching::{REVOKED, log_out, sign_in, verifier, wait_for_verdict, watcher},
};

/// Runs a command of this binary on a data directory, beside whatever else this test does.
async fn administer(args: &[&str], data_dir: &Path) -> Output {
    let mut command = tokio::process::Command::from(command(args));
    command.arg("--data-dir").arg(data_dir).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The files in a folder, without the log files of servers.
fn names(dir: &Path) -> Vec<String> {
    let all = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = all.filter(|n| Path::new(n).extension().is_none_or(|e| e != "log")).collect();
    names.sort();
    names
}

/// A restored place: a new directory with the key of an old one and the database from a backup.
fn restored(file: &Path, old: &Path, new: &Path, flags: &[&str]) -> (Place, Output) {
    fs::create_dir(new).unwrap();
    fs::copy(old.join("sealing.key"), new.join("sealing.key")).unwrap();
    let out = run(command(&["restore", file.to_str().unwrap()]).args(flags).arg("--data-dir").arg(new), b"");
    assert!(out.status.success(), "{}", text(&out.stderr));
    (Place::sqlite(new), out)
}

/// Refreshes one session's tokens until told to stop; returns the newest.
async fn refresh_until(channel: Channel, first: TokenPair, stop: Arc<AtomicBool>) -> TokenPair {
    let mut newest = first;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) || count == 0 {
        let request_id = format!("{}-{count}", newest.session_id.replace('_', "-"));
        match refresh(channel.clone(), &newest.refresh_token, &request_id).await {
            Ok(pair) => (newest, count) = (pair, count + 1),
            Err(status) => assert!(may_be_retried(&status), "{status}"),
        }
    }
    newest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_server_that_was_backed_up_under_load_and_killed_work_after_a_restore() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("copy.backup"));
    let mut server = start(&Place::sqlite(&data));
    let stop = Arc::new(AtomicBool::new(false));
    let mut chains = JoinSet::new();
    for _ in 0..8 {
        chains.spawn(refresh_until(server.channel().await, sign_in(&server).await, stop.clone()));
    }
    let (idle, out) = (sign_in(&server).await, sign_in(&server).await);
    let made = administer(&["backup", file.to_str().unwrap()], &data).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let says = text(&made.stdout);
    for part in [&server.issuer, "users: 1", "sessions: 10", "sealing key", "is not in it", "sealing.key"] {
        assert!(says.contains(part), "no {part} in {says}");
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(dir.path()), ["copy.backup", "data"]);
    stop.store(true, Ordering::Relaxed);
    let chains = chains.join_all().await;
    log_out(&server, &out).await.unwrap();
    let late = sign_in(&server).await;
    server.kill();

    let (place, done) = restored(&file, &data, &dir.path().join("new"), &[]);
    let says = text(&done.stdout);
    for part in [&server.issuer, "made 20", "users: 1", "sessions: 10"] {
        assert!(says.contains(part), "no {part} in {says}");
    }
    assert!(text(&done.stderr).contains("--end-sessions"));
    assert_eq!(names(&place.dir), ["chancery.db", "chancery.db.serving", "sealing.key"]);
    let server = Server::on(&place, &[]);
    let channel = server.channel().await;
    for newest in chains.iter().chain([&idle, &out]) {
        // The newest tokens are ahead of the backup; those of a session that was signed out live again.
        let pair = refresh(channel.clone(), &newest.refresh_token, "after").await.unwrap();
        assert_eq!(pair.session_id, newest.session_id);
        refresh(channel.clone(), &pair.refresh_token, "later").await.unwrap();
    }
    let refused = refresh(channel.clone(), &late.refresh_token, "after").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused}");
    assert_ne!(place.count("audit_events", "kind = 'SESSION_FAST_FORWARDED'").await, 0);
    assert_eq!(place.count("audit_events", "kind = 'REFRESH_TOKEN_REUSED'").await, 0);
    for kind in ["BACKUP_STARTED", "DATABASE_RESTORED"] {
        assert_eq!(place.count("audit_events", &format!("kind = '{kind}' AND actor = 'command'")).await, 1);
    }
    // New sessions get bits in a new list.
    log_in(channel, "grace", PASSWORD).await.unwrap();
    let lists = "SELECT CAST(count(DISTINCT status_list) AS TEXT) FROM sessions";
    assert_eq!(place.texts(lists).await, ["2"]);
}

#[tokio::test]
async fn a_restore_that_ends_sessions_is_seen_by_verifiers_that_watched_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("copy.backup"));
    let mut server = start(&Place::sqlite(&data));
    let secret = watcher(&server);
    let relay = Relay::to(&server.grpc).await;
    let verifier = verifier(&server, &relay.address, &secret).await;
    let pair = sign_in(&server).await;
    wait_for_verdict(&verifier, &pair.access_token, &Ok(())).await;
    let made = administer(&["backup", file.to_str().unwrap()], &data).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    // The feed goes on after the backup, so that the verifier knows numbers that will be given out again.
    for _ in 0..3 {
        let other = sign_in(&server).await;
        log_out(&server, &other).await.unwrap();
        wait_for_verdict(&verifier, &other.access_token, &REVOKED).await;
    }
    let newest = refresh(server.channel().await, &pair.refresh_token, "before").await.unwrap();
    wait_for_verdict(&verifier, &newest.access_token, &Ok(())).await;
    server.kill();
    let (place, done) = restored(&file, &data, &dir.path().join("new"), &["--end-sessions"]);
    assert!(text(&done.stdout).contains("sessions ended: 1"), "{}", text(&done.stdout));
    let server = Server::on(&place, &[]);
    relay.redirect_to(&server.grpc);
    wait_for_verdict(&verifier, &newest.access_token, &REVOKED).await;
    for token in [&pair.refresh_token, &newest.refresh_token] {
        let refused = refresh(server.channel().await, token, "after").await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("SESSION_REVOKED"), "{refused}");
    }
    let fresh = sign_in(&server).await;
    wait_for_verdict(&verifier, &fresh.access_token, &Ok(())).await;
}

/// Fills a database, so that copying it takes long enough to be interrupted on a busy machine.
async fn fill(data: &Path) {
    let rows = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 640) \
                INSERT INTO audit_events (id, at, kind, actor, subject, details) \
                SELECT 'evt_' || i, 0, 'TEST', 'command', '', hex(zeroblob(32768)) FROM n \
                RETURNING ''";
    assert_eq!(Place::sqlite(data).texts(rows).await.len(), 640);
}

/// Starts a command, and kills it as soon as its workplace is in `dir`. Returns whether the kill left one.
fn kill_in_the_middle(args: &[&str], data: &Path, dir: &Path) -> bool {
    let mut started = command(args);
    started.arg("--data-dir").arg(data).stdout(Stdio::null()).stderr(Stdio::null());
    let mut started = started.spawn().unwrap();
    let begun = || names(dir).iter().any(|n| n.contains(".partial-") || n.contains(".restoring-"));
    while !begun() && started.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = started.kill();
    started.wait().unwrap();
    begun()
}

#[tokio::test]
async fn a_killed_backup_leaves_no_file_and_the_next_one_removes_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copies) = (dir.path().join("data"), dir.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let server = start(&Place::sqlite(&data));
    fill(&data).await;
    let file = copies.join("copy.backup");
    let mut left = false;
    for _ in 0..40 {
        left = kill_in_the_middle(&["backup", file.to_str().unwrap()], &data, &copies);
        if left && !file.exists() {
            break;
        }
        // It was quicker: then the file is complete.
        if file.exists() {
            let place = dir.path().join("complete");
            restored(&file, &data, &place, &[]);
            fs::remove_dir_all(place).unwrap();
            fs::remove_file(&file).unwrap();
        }
    }
    assert!(left && !file.exists(), "no kill met a backup under way: {:?}", names(&copies));
    let made = administer(&["backup", file.to_str().unwrap()], &data).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert_eq!(names(&copies), ["copy.backup"]);
    // A complete one is never overwritten.
    let before = fs::read(&file).unwrap();
    let line = format!("backup {} --data-dir {}", file.display(), data.display());
    Refused { line: &line, says: &["exists already", "copy.backup"], ..Refused::default() }.check(dir.path()).await;
    assert_eq!(fs::read(&file).unwrap(), before);
    drop(server);
}

#[tokio::test]
async fn a_killed_restore_leaves_no_database_and_the_next_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("copy.backup"));
    drop(start(&Place::sqlite(&data)));
    fill(&data).await;
    let made = administer(&["backup", file.to_str().unwrap()], &data).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let new = dir.path().join("new");
    let mut met = false;
    for _ in 0..40 {
        fs::create_dir(&new).unwrap();
        fs::copy(data.join("sealing.key"), new.join("sealing.key")).unwrap();
        met = kill_in_the_middle(&["restore", file.to_str().unwrap()], &new, &new) && !new.join("chancery.db").exists();
        if met {
            break;
        }
        fs::remove_dir_all(&new).unwrap();
    }
    assert!(met, "no kill met a restore under way");
    // A server does not take the place for a new one.
    let line = format!("serve {} --data-dir new", FREE_PORTS.join(" "));
    Refused { line: &line, says: &["no database at new/chancery.db"], ..Refused::default() }.check(dir.path()).await;
    assert!(run(command(&["restore"]).arg(&file).arg("--data-dir").arg(&new), b"").status.success());
    assert_eq!(names(&new), ["chancery.db", "chancery.db.serving", "sealing.key"]);
    let server = Server::on(&Place::sqlite(&new), &[]);
    sign_in(&server).await;
}

#[tokio::test]
async fn a_backup_that_has_no_room_leaves_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copies) = (dir.path().join("data"), dir.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let server = start(&Place::sqlite(&data));
    // Writes beyond 40 KiB fail, as on a full disk.
    let limited = r#"trap "" XFSZ; ulimit -f 40; exec "$0" "$@""#;
    let mut backup = Command::new("bash");
    backup.args(["-c", limited, BIN, "backup"]).arg(copies.join("copy.backup")).arg("--data-dir").arg(&data);
    let out = run(&mut backup, b"");
    let says = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{says}");
    assert!(says.contains("cannot copy") && says.contains("copy.backup"), "{says}");
    assert_eq!(names(&copies), Vec::<String>::new());
    // The server does not mind.
    sign_in(&server).await;
}

/// A data directory that is not served any more, and a backup of it.
async fn backed_up(dir: &Path) -> (PathBuf, PathBuf) {
    let (data, file) = (dir.join("data"), dir.join("copy.backup"));
    drop(start(&Place::sqlite(&data)));
    let made = administer(&["backup", file.to_str().unwrap()], &data).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    (data, file)
}

fn fingerprint(key: &[u8]) -> String {
    chancery::keys::SealingKey::new(&chancery::keys::SealingKey::parse(key).unwrap()).fingerprint()
}

#[tokio::test]
async fn a_file_that_is_no_sound_backup_is_refused_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = backed_up(dir.path()).await;
    let dir = dir.path();
    let key = data.join("sealing.key");
    let good = fs::read(&file).unwrap();
    fs::write(dir.join("noise"), "no database at all, ".repeat(99)).unwrap();
    fs::write(dir.join("nothing"), "").unwrap();
    fs::write(dir.join("short"), &good[..good.len() / 2]).unwrap();
    let mut flipped = good.clone();
    for byte in &mut flipped[8192..16384] {
        *byte ^= 0x55;
    }
    fs::write(dir.join("flipped"), flipped).unwrap();
    // As it is after the first start: everything is in the log, which was not copied.
    fs::write(dir.join("no-log"), first_page(dir)).unwrap();
    fs::write(dir.join("with-log"), &good).unwrap();
    fs::write(dir.join("with-log-wal"), "x").unwrap();
    fs::write(dir.join("newer"), &good).unwrap();
    let newer = Place { dir: dir.to_owned(), database: None };
    fs::rename(dir.join("newer"), dir.join("chancery.db")).unwrap();
    newer.texts("UPDATE instance SET min_binary = 99 RETURNING issuer").await;
    fs::rename(dir.join("chancery.db"), dir.join("newer")).unwrap();
    let before = names(dir);
    for (name, says) in [
        ("missing", &["missing", "No such file"][..]),
        ("noise", &["noise is not an SQLite database"]),
        ("nothing", &["nothing is not an SQLite database"]),
        ("short", &["short is damaged"]),
        ("flipped", &["flipped is damaged"]),
        ("no-log", &["no-log holds no database", "write-ahead log"]),
        ("with-log", &["with-log", "its log beside it", "not a backup"]),
        ("newer", &["too old for newer"]),
    ] {
        let line = format!("restore {name} --data-dir new --sealing-key-file {}", key.display());
        Refused { line: &line, says, ..Refused::default() }.check(dir).await;
        assert_eq!(names(dir), before, "{name} left something behind");
    }
}

/// The main file of a database whose tables are still in its write-ahead log.
fn first_page(dir: &Path) -> Vec<u8> {
    let made = dir.join("first");
    let mut server = Server::on(&Place::sqlite(&made), &[]);
    server.kill();
    let page = fs::read(made.join("chancery.db")).unwrap();
    fs::remove_dir_all(made).unwrap();
    page
}

#[tokio::test]
async fn a_restore_needs_the_key_of_the_backup_and_a_place_without_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = backed_up(dir.path()).await;
    let dir = dir.path();
    let key = fs::read(data.join("sealing.key")).unwrap();
    let (ours, theirs) = (fingerprint(&key), fingerprint(&[7; 32]));
    fs::write(dir.join("other.key"), [7; 32]).unwrap();
    let restore = |flags: &str| format!("restore {} {flags}", file.display());
    let refused = async |flags: &str, says: &[&str]| {
        Refused { line: &restore(flags), says, ..Refused::default() }.check(dir).await;
    };
    refused("--data-dir new --sealing-key-file other.key", &[&ours, &theirs, "--sealing-key-file"]).await;
    refused("--data-dir new", &[&ours, "new/sealing.key", "--sealing-key-file"]).await;
    assert!(!dir.join("new").exists());
    refused("--data-dir data", &["there is a database at data/chancery.db", "move it away"]).await;
    // A server still holds the database that was deleted.
    let server = Server::start(&data, &[]);
    for name in ["chancery.db", "chancery.db-wal", "chancery.db-shm"] {
        fs::remove_file(data.join(name)).unwrap();
    }
    refused("--data-dir data", &["a server runs on the database data/chancery.db", "stop it first"]).await;
    drop(server);
    assert!(run(command(&["restore"]).arg(&file).arg("--data-dir").arg(&data), b"").status.success());
    drop(Server::start(&data, &[]));
    // An empty file is no database.
    fs::create_dir(dir.join("empty")).unwrap();
    fs::write(dir.join("empty/chancery.db"), "").unwrap();
    fs::write(dir.join("empty/sealing.key"), &key).unwrap();
    assert!(run(command(&["restore"]).arg(&file).arg("--data-dir").arg(dir.join("empty")), b"").status.success());
    drop(Server::start(&dir.join("empty"), &[]));
}

#[tokio::test]
async fn for_postgresql_both_commands_name_its_own_tools_and_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let database = "--database postgres://ada:secretword@db.example/id?sslmode=require&application_name=secretword";
    for (name, says) in [
        ("backup", "pg_dump --format=custom --file='x' --dbname='postgres://ada@db.example/id'"),
        ("restore", "pg_restore --exit-on-error --no-owner --dbname='postgres://ada@db.example/id' 'x'"),
    ] {
        let line = format!("{name} x {database}");
        let says = [says, "Add what follows the `?` in your URL"];
        Refused { line: &line, says: &says, hides: &["secretword", "sslmode"], ..Refused::default() }
            .check(dir.path())
            .await;
    }
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn the_lines_for_postgresql_work_as_they_are_printed() {
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (old, file) = (Place::postgres(&dir.path().join("old")).await, dir.path().join("it's a copy"));
    let mut server = start(&old);
    let pair = sign_in(&server).await;
    for (name, place) in [("backup", old.clone()), ("restore", Place::postgres(&dir.path().join("new")).await)] {
        let out = run(command(&[name]).arg(&file).args(place.flags()), b"");
        let says = text(&out.stderr);
        let line = says.lines().find_map(|l| l.strip_prefix("  pg_")).unwrap_or_else(|| panic!("{says}"));
        let path = format!(
            "PATH=$(pg_config --bindir 2>/dev/null):$PATH; for d in /usr/lib/postgresql/*/bin; do PATH=$d:$PATH; done; pg_{line}"
        );
        let ran = Command::new("bash").args(["-c", &path]).output().unwrap();
        assert!(ran.status.success(), "{line}: {}", text(&ran.stderr));
        if name == "backup" {
            server.kill();
            continue;
        }
        fs::create_dir_all(&place.dir).unwrap();
        fs::copy(old.dir.join("sealing.key"), place.dir.join("sealing.key")).unwrap();
        let server = Server::on(&place, &[]);
        refresh(server.channel().await, &pair.refresh_token, "after").await.unwrap();
    }
}

/// Opening a pipe would wait for its writer, and copying a device would never end.
#[test]
fn what_is_no_file_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for source in [pipe.as_path(), Path::new("/dev/zero"), dir.path()] {
        let out = run(command(&["restore"]).arg(source).arg("--data-dir").arg(dir.path().join("new")), b"");
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("is not a file"), "{stderr}");
    }
}
