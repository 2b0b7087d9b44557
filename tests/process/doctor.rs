//! `chancery doctor` beside a real server: what is right, and each thing that it finds wrong.

use std::process::{Command, Output};

use crate::{
    authority::Authority,
    calls::start,
    mail_server::MailServer,
    place::Place,
    server::{BIN, Server},
};

/// The findings by what they are about, and whether there was no problem.
fn findings(place: &Place, more: &[&str]) -> (Vec<(String, String, String)>, bool) {
    let Output { status, stdout, stderr } =
        Command::new(BIN).args(["doctor", "--json"]).args(place.flags()).args(more).output().unwrap();
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

fn found(all: &[(String, String, String)], about: &str, level: &str, says: &str) {
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
async fn every_metric_of_a_server_is_in_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let text = crate::calls::page(&server.telemetry, "/metrics").await.unwrap();
    let page = std::fs::read_to_string("docs/reference/metrics.md").unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    let names: Vec<_> = names.collect();
    assert!(names.len() > 15, "{text}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}
