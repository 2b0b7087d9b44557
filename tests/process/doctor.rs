//! `chancery doctor` beside a real server: what is right, and each thing that it finds wrong.

use std::{
    fs::{self, DirEntry},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use crate::{
    authority::Authority,
    calls::start,
    mail_server::MailServer,
    place::Place,
    server::{BIN, Server},
};

/// What it is about, its level, and what was seen.
pub(crate) type Found = (String, String, String);

/// The findings by what they are about, and whether there was no problem.
pub(crate) fn findings(place: &Place, more: &[&str]) -> (Vec<Found>, bool) {
    findings_of(Command::new(BIN).args(["doctor", "--json"]).args(place.flags()).args(more))
}

fn findings_of(doctor: &mut Command) -> (Vec<Found>, bool) {
    let Output { status, stdout, stderr } = doctor.output().unwrap();
    let (text, said) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    let lines = text.lines().map(|line| {
        let found: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |name: &str| found[name].as_str().unwrap().to_owned();
        (word("about"), word("level"), word("what"))
    });
    let lines: Vec<_> = lines.collect();
    assert!(!lines.is_empty(), "{said}");
    (lines, status.success())
}

pub(crate) fn found(all: &[Found], about: &str, level: &str, says: &str) {
    let fits = all.iter().any(|(a, l, what)| a == about && l == level && what.contains(says));
    assert!(fits, "{about} is not {level} with {says:?}: {all:#?}");
}

fn looked_at(place: &Place) {
    let server = start(place);
    let (all, well) = findings(place, &[]);
    found(&all, "database", "ok", "which this binary has too");
    found(&all, "issuer", "ok", "answers with the");
    found(&all, "hashing", "ok", "");
    found(&all, "replicas", "ok", "1 run, all of one version");
    found(&all, "mail", "warning", "no mail server is set");
    found(&all, "certificates", "ok", "no listener has TLS");
    let on_sqlite = place.database.is_none();
    found(&all, "clock", "ok", if on_sqlite { "uses this machine's clock" } else { "this machine's" });
    // The cluster of the tests never flushes.
    if !on_sqlite {
        found(&all, "durability", "problem", "is off");
        assert!(!well);
    }
    drop(server);
    let (all, well) = findings(place, &[]);
    found(&all, "issuer", "problem", "cannot be fetched");
    assert!(!well);
}

#[tokio::test]
async fn a_running_server_is_well_and_one_that_is_away_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        looked_at(&place);
    }
}

#[tokio::test]
async fn another_servers_keys_dead_mail_and_old_certificates_are_problems() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(&Place::sqlite(&dir.path().join("first")));
    // Another database is served under the same issuer.
    let issuer = ["--issuer", &first.issuer];
    let second = Server::start(&dir.path().join("second"), &issuer);
    let authority = Authority::new(&dir.path().join("ca"));
    let (old, soon) = (authority.issue_until("old", 2021), authority.issue_until("soon", 2027));
    let mails = MailServer::with(&[]).await;
    let relay = format!("smtp+plain://127.0.0.1:{}", mails.port);
    let mail = ["--mail-smtp", &relay, "--mail-from", "no-reply@id.example.org"];
    let tls = ["--grpc-tls-cert", &old.cert, "--grpc-tls-key", &old.key, "--http-tls-cert", &soon.cert];
    let key = ["--http-tls-key", &soon.key];
    let (all, well) = findings(&second.place, &[&issuer[..], &mail, &tls, &key].concat());
    found(&all, "issuer", "problem", "are not those of this database");
    found(&all, "mail", "ok", "answers");
    found(&all, "certificates", "problem", "grpc: the certificate");
    found(&all, "certificates", "warning", "http: the certificate");
    assert!(!well);
    mails.stop().await;
    let (all, _) = findings(&second.place, &[&issuer[..], &mail].concat());
    found(&all, "mail", "problem", "smtp+plain://127.0.0.1");
}

#[tokio::test]
async fn what_stands_beside_a_database_that_cannot_be_opened_is_looked_at_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let other = dir.path().join("other.key");
    fs::write(&other, [9; 32]).unwrap();
    let flags = ["--issuer", &server.issuer, "--sealing-key-file", other.to_str().unwrap()];
    let (all, well) = findings(&server.place, &flags);
    found(&all, "sealing key", "problem", "");
    found(&all, "issuer", "ok", "keys, which were not compared with the database's");
    assert!(all.iter().any(|(about, ..)| about == "durability"), "{all:?}");
    assert!(!well);
    let issuer = server.issuer.clone();
    drop(server);
    let away = format!("--issuer {issuer} --database postgres://ada@127.0.0.1:1/id --sealing-key-file");
    let flags: Vec<_> = away.split(' ').chain([other.to_str().unwrap()]).collect();
    let (all, _) = findings(&Place::sqlite(&dir.path().join("none")), &flags);
    found(&all, "database", "problem", "Connection refused");
    found(&all, "issuer", "problem", "cannot be fetched");
    assert!(!all.iter().any(|(about, ..)| about == "durability"), "{all:?}");
}

/// The files of a folder with their contents.
fn listed(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let of = |entry: DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| of(entry.unwrap())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_database_that_takes_no_changes_is_a_problem_and_nothing_is_written_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        server.terminate();
        assert!(server.wait().success());
        if let Some(url) = &place.database {
            let (before, name) = (place.contents().await, url.rsplit_once('/').unwrap().1);
            findings(&place, &[]);
            assert_eq!(place.contents().await, before);
            place.texts(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
            let (all, well) = findings(&place, &[]);
            found(&all, "database", "problem", "default_transaction_read_only is on");
            assert!(!well);
        } else {
            let before = listed(&place.dir);
            let (all, _) = findings(&place, &[]);
            assert!(!all.iter().any(|(about, level, _)| about == "database" && level != "ok"), "{all:?}");
            assert!(listed(&place.dir) == before);
        }
    }
}

#[tokio::test]
async fn a_file_or_a_folder_that_cannot_be_written_is_named() {
    if without_rights(&["true"]).status().is_ok_and(|status| status.success()) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::sqlite(&dir.path().join("data"));
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let database = format!("sqlite:{}", outside.join("chancery.db").display());
        let key = dir.path().join("a.key");
        fs::write(&key, [9; 32]).unwrap();
        let flags = ["--database", &database, "--sealing-key-file", key.to_str().unwrap()];
        let server = Server::on(&place, &flags);
        server.terminate();
        assert!(server.wait().success());
        let look = || {
            let mut doctor = without_rights(&[BIN, "doctor", "--json"]);
            findings_of(doctor.args(place.flags()).args(flags))
        };
        let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&outside.join("chancery.db"), 0o400);
        let (all, well) = look();
        found(&all, "settings", "problem", "outside/chancery.db: Permission denied");
        assert!(!well);
        mode(&outside.join("chancery.db"), 0o600);
        mode(&outside, 0o500);
        let (all, well) = look();
        found(&all, "database", "problem", "outside");
        assert!(!well, "{all:?}");
        mode(&outside, 0o700);
        let (all, _) = look();
        assert!(!all.iter().any(|(about, level, _)| about == "database" && level != "ok"), "{all:?}");
    }
}

/// A program without the right to pass over the permissions of files, although it may run as root.
fn without_rights(line: &[&str]) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--bounding-set", "-dac_override,-dac_read_search"]).args(line);
    setpriv
}

#[tokio::test]
async fn every_metric_of_a_server_is_in_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let text = crate::calls::page(&server.telemetry, "/metrics").await.unwrap();
    let page = fs::read_to_string("docs/reference/metrics.md").unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    let names: Vec<_> = names.collect();
    assert!(names.len() > 15, "{text}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}
