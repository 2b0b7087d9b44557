//! Failed starts: each is refused with a sentence that names the problem, and leaves nothing behind.

use std::{fs, net::TcpListener, path::Path};

use tokio::net::TcpSocket;

use crate::{
    place::{Place, postgres_url},
    refused::Refused,
    server::{FREE_PORTS, Server},
};

/// `serve` on free ports.
fn serve(flags: &str) -> String {
    format!("serve {} {flags}", FREE_PORTS.join(" "))
}

async fn assert_refused(dir: &Path, line: &str, says: &[&str]) {
    Refused { line, says, ..Refused::default() }.check(dir).await;
}

/// Wrong usage of the command line itself.
async fn assert_usage_error(dir: &Path, line: &str, says: &[&str]) {
    Refused { line, says, code: 2, ..Refused::default() }.check(dir).await;
}

#[tokio::test]
async fn a_failed_start_names_the_problem_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("file"), "").unwrap();
    fs::write(dir.join("short.key"), "short").unwrap();
    fs::create_dir(dir.join("noise")).unwrap();
    fs::write(dir.join("noise/chancery.db"), "no database at all, ".repeat(99)).unwrap();
    for (flags, says) in [
        ("--data-dir file/below", &["data directory file/below"][..]),
        ("--data-dir file", &["data directory file:"]),
        ("--data-dir /proc/chancery", &["data directory /proc/chancery"]),
        ("--database mysql://db/x", &["database: ", "postgres://", "sqlite:"]),
        ("--database nonsense", &["database: ", "postgres://", "sqlite:"]),
        ("--database \"postgres://u:pass word@a b/x\"", &["database: ", "valid postgres:// URL"]),
        ("--data-dir new --database sqlite:/nowhere/x.db", &["database /nowhere/x.db", "No such file"]),
        ("--data-dir noise", &["database noise/chancery.db", "not a database"]),
        ("--data-dir new --sealing-key-file short.key", &["short.key", "32 raw bytes", "base64url", "5 characters"]),
        ("--data-dir new --sealing-key-file missing.key", &["missing.key", "No such file"]),
        ("--data-dir new --issuer nonsense", &["issuer: ", "https://id.example.com"]),
        ("--data-dir new --issuer http://id.example.com", &["issuer: ", "https://"]),
        ("--data-dir new --log chancery=nonsense", &["log: ", "chancery=nonsense"]),
        ("--data-dir new --config missing.toml", &["missing.toml"]),
    ] {
        assert_refused(dir, &serve(flags), says).await;
        assert!(!dir.join("new/chancery.db").exists(), "{flags} left a database behind");
    }
    for (line, says) in [
        ("serve --grpc nonsense", &["grpc: ", "nonsense"][..]),
        ("serve --grpc nonsense --http 1.2.3.4", &["grpc: ", "http: "]),
        ("serve --dev --grpc 0.0.0.0:0", &["grpc: ", "--dev", "loopback"]),
        ("serve --dev --http 0.0.0.0:0", &["http: ", "--dev", "loopback"]),
        ("serve --grpc 0.0.0.0:0", &["grpc: ", "--plaintext-beyond-loopback"]),
        ("serve --grpc 0.0.0.0:0 --plaintext-beyond-loopback", &["--issuer https://"]),
    ] {
        assert_refused(dir, line, says).await;
    }
    assert_usage_error(dir, "serve --nonsense", &["--nonsense"]).await;
    assert_usage_error(dir, "nonsense", &["nonsense"]).await;
    assert_refused(dir, "serve --log-format xml", &["--log-format: must be text or json"]).await;
    for left in ["chancery-data", "chancery-dev", "new/sealing.key"] {
        assert!(!dir.join(left).exists(), "{left} was left behind");
    }
}

#[tokio::test]
async fn a_busy_port_is_reported_with_its_flag_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (n, flag) in ["--grpc", "--http", "--telemetry"].into_iter().enumerate() {
        let mut ports = FREE_PORTS;
        ports[2 * n + 1] = &address;
        let line = format!("serve {} --data-dir new", ports.join(" "));
        assert_refused(dir.path(), &line, &[&address, flag, "in use"]).await;
    }
    assert!(!dir.path().join("new").exists());
}

#[tokio::test]
async fn unknown_keys_of_the_file_and_unknown_variables_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, text) in [("key.toml", "grcp = \"x\""), ("type.toml", "grpc = 5"), ("form.toml", "grpc =")] {
        fs::write(dir.join(name), text).unwrap();
    }
    assert_refused(dir, &serve("--config key.toml"), &["key.toml, line 1: grcp: is not a setting"]).await;
    assert_refused(dir, &serve("--config type.toml"), &["type.toml, line 1: grpc: must be a string"]).await;
    assert_refused(dir, &serve("--config form.toml"), &["form.toml", "line 1"]).await;
    assert_refused(dir, "user list --config key.toml", &["key.toml", "grcp"]).await;
    for (variable, says) in [
        (("CHANCERY_GRCP", "127.0.0.1:0"), &["CHANCERY_GRCP"][..]),
        (("CHANCERY_LOG_FORMAT", "xml"), &["CHANCERY_LOG_FORMAT", "text or json"]),
        (("CHANCERY_SEALING_KEY", "not one"), &["CHANCERY_SEALING_KEY", "base64url", "7 characters"]),
        (("CHANCERY_DATABASE", "mysql://x"), &["CHANCERY_DATABASE: ", "postgres://"]),
    ] {
        Refused { line: &serve("--data-dir new"), variables: &[variable], says, ..Refused::default() }.check(dir).await;
    }
    assert!(!dir.join("new/chancery.db").exists());
}

#[tokio::test]
async fn problems_of_file_variables_and_flags_are_reported_together() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("c.toml"), "grcp = \"x\"\nhashing_threads = \"two\"\n").unwrap();
    let variables = &[("CHANCERY_HTTP", "nowhere"), ("CHANCERY_NONSENSE", "x")][..];
    let says = &[
        "c.toml, line 1: grcp: is not a setting",
        "c.toml, line 2: hashing_threads: must be a whole number, not a string",
        "CHANCERY_HTTP: \"nowhere\" is not an address",
        "CHANCERY_NONSENSE: is not a setting",
        "--mail-from: has no effect without --mail-smtp",
    ];
    for command in ["serve", "config check", "config show"] {
        let line = &format!("{command} --config c.toml --mail-from a@example.org");
        Refused { line, variables, says, ..Refused::default() }.check(dir).await;
    }
    assert!(!dir.join("chancery-data").exists());
}

#[tokio::test]
async fn an_unreachable_postgresql_server_is_named_without_the_password() {
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Bound, so that no other process can listen there, but not listening.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = silent.local_addr().unwrap();
    let nobody = format!("--create-sealing-key --database postgres://ada:secretword@{address}/x");
    let host = format!("postgres://{address}/x");
    let (line, says) = (&serve(&nobody), &[host.as_str(), "refused"]);
    Refused { line, says, hides: &["secretword", "ada"], ..Refused::default() }.check(dir.path()).await;
    let (cluster, _) = postgres_url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_refused(
        dir.path(),
        &serve(&format!("--create-sealing-key --database {cluster}/nosuch")),
        &["\"nosuch\" does not exist"],
    )
    .await;
    let place = Place::postgres(dir.path()).await;
    let url = place.database.unwrap();
    let name = url.rsplit_once('/').unwrap().1;
    assert_refused(dir.path(), &format!("user list --database {url}"), &[name, "is empty", "chancery serve"]).await;
}

#[tokio::test]
async fn a_database_is_served_only_with_matching_settings() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["plain", "demo"] {
        let more: &[&str] = if name == "demo" { &["--dev"] } else { &[] };
        drop(Server::start(&dir.path().join(name), more));
    }
    let issuer = Server::start(&dir.path().join("plain"), &[]).issuer.clone();
    let dir = dir.path();
    fs::write(dir.join("other.key"), [7; 32]).unwrap();
    let other = serve("--data-dir plain --issuer https://other.example");
    assert_refused(dir, &other, &[&issuer, "https://other.example", "without --issuer", "issuer set"]).await;
    assert_refused(dir, &serve("--data-dir demo"), &["serve --dev", "known password", "--dev"]).await;
    assert_refused(dir, &serve("--dev --data-dir plain"), &["--dev", "--data-dir"]).await;
    let ours = fingerprint(&fs::read(dir.join("plain/sealing.key")).unwrap());
    let theirs = fingerprint(&[7; 32]);
    for line in [serve(""), "user list ".to_owned(), "keys list ".to_owned()] {
        let line = format!("{line}--data-dir plain --sealing-key-file other.key");
        assert_refused(dir, &line, &[&ours, &theirs, "--sealing-key-file"]).await;
    }
    let (key, aside) = (dir.join("plain/sealing.key"), dir.join("aside"));
    fs::rename(&key, &aside).unwrap();
    for line in [serve("--data-dir plain"), "user list --data-dir plain".to_owned()] {
        assert_refused(dir, &line, &["plain/sealing.key", "--sealing-key-file"]).await;
        assert!(!key.exists(), "a key was made that cannot open the database");
    }
    for wrong in ["", "not a key"] {
        fs::write(&key, wrong).unwrap();
        assert_refused(dir, &serve("--data-dir plain"), &["plain/sealing.key", "32 raw bytes"]).await;
    }
    fs::rename(&aside, &key).unwrap();
    drop(Server::start(&dir.join("plain"), &[]));
}

fn fingerprint(file: &[u8]) -> String {
    chancery::keys::SealingKey::new(&chancery::keys::SealingKey::parse(file).unwrap()).fingerprint()
}
