//! `config check` says what `serve` says, and all of it at once.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc::RecvTimeoutError,
    time::Duration,
};

use crate::{
    place::Place,
    server::{Server, command, run},
};

/// What a bad configuration is made of: flags, variables, and what must be said about it.
struct Bad {
    flags: &'static str,
    variables: &'static [(&'static str, &'static str)],
    says: &'static [&'static str],
}

const fn bad(flags: &'static str, says: &'static [&'static str]) -> Bad {
    Bad { flags, variables: &[], says }
}

const fn by_variable(variables: &'static [(&'static str, &'static str)], says: &'static [&'static str]) -> Bad {
    Bad { flags: "", variables, says }
}

const MAIL: &str = "--mail-smtp smtps://mail.example.org --mail-from a@example.org";

/// Everything that a server refuses before it opens its database and its listeners.
const TABLE: &[Bad] = &[
    // Addresses and issuer.
    bad("--grpc nowhere --http 1.2.3.4", &["--grpc: \"nowhere\"", "--http: \"1.2.3.4\""]),
    bad("--http 0.0.0.0:8080", &["--http: listening beyond loopback", "--plaintext-beyond-loopback"]),
    bad("--http 0.0.0.0:8080 --plaintext-beyond-loopback", &["--issuer (issuer): ", "needs --issuer https://"]),
    bad("--plaintext-beyond-loopback", &["--plaintext-beyond-loopback: has no effect: all listeners are on loopback"]),
    bad(
        "--grpc 127.0.0.1:7000 --telemetry 127.0.0.1:7000",
        &["--telemetry: 127.0.0.1:7000 is the address of grpc too"],
    ),
    bad("--issuer http://id.example.com", &["--issuer: must begin with https://"]),
    bad("--issuer https://id.example.com/?x=1", &["--issuer: must not contain a query"]),
    // The demo.
    bad("--dev --grpc 0.0.0.0:7000", &["--grpc: --dev listens on loopback only"]),
    // The database, its directory and its key.
    bad("--data-dir file", &["cannot use the data directory file: it is not a directory"]),
    bad("--data-dir file/below", &["cannot", "the data directory file/below"]),
    bad("--database mysql://x", &["--database: must begin with postgres:// or sqlite:"]),
    bad("--database sqlite:/nowhere/x.db", &["cannot open the database /nowhere/x.db: No such file"]),
    bad("--database sqlite:file", &["cannot open the database file: the file is not a database of SQLite's"]),
    bad("--database sqlite:folder", &["cannot open the database folder: Is a directory"]),
    bad("--sealing-key-file missing.key", &["cannot read the sealing key missing.key: No such file"]),
    bad("--sealing-key-file folder", &["cannot read the sealing key folder: Is a directory"]),
    bad("--sealing-key-file short.key", &["short.key is not a sealing key", "32 raw bytes", "5 characters"]),
    bad("--data-dir lost", &["there is no database at lost/chancery.db, but lost/sealing.key is the key"]),
    bad("--data-dir keyless", &["there is no sealing key at keyless/sealing.key; pass the key that this database"]),
    bad("--data-dir locked", &["cannot open locked/chancery.lock, which belongs to the database locked/chancery.db"]),
    bad("--data-dir logged", &["cannot open logged/chancery.db-shm, which belongs to the database logged/chancery.db"]),
    bad(
        "--database postgres://127.0.0.1:1/x?sslmode=verify-full&sslrootcert=garbage.pem --sealing-key-file good.key",
        &["--database: the file that sslrootcert in its URL names has a CERTIFICATE that cannot be read"],
    ),
    bad("--sealing-key-file /dev/zero", &["cannot read the sealing key /dev/zero: it is larger than 4096 bytes"]),
    bad("--data-dir log-only", &["there is no database at log-only/chancery.db, but its log", "holds changes"]),
    bad("--database postgres://127.0.0.1:1/x", &["there is no sealing key at", "--create-sealing-key"]),
    bad(
        "--database postgres://127.0.0.1:1/x?sslmode=verify-full&sslrootcert=missing.pem --sealing-key-file good.key",
        &["--database: the file that sslrootcert in its URL names cannot be read: No such file"],
    ),
    bad(
        "--database postgres://127.0.0.1:1/x --create-sealing-key --sealing-key-file good.key",
        &["--create-sealing-key", "no effect", "good.key"],
    ),
    bad("--create-sealing-key", &["--create-sealing-key has no effect on SQLite"]),
    bad("--database-connections 3", &["--database-connections: has no effect on SQLite"]),
    by_variable(&[("CHANCERY_SEALING_KEY", "thirty-two characters as the key")], &["CHANCERY_SEALING_KEY: must be 32"]),
    // Files, variables and names.
    bad("--config missing.toml", &["cannot read missing.toml: No such file"]),
    bad("--config names.toml", &["names.toml, line 1: grcp: is not a setting", "line 2: hashing_threads: must be a"]),
    by_variable(
        &[("CHANCERY_GRCP", "x"), ("CHANCERY_LOG", "chancery=loud")],
        &["CHANCERY_GRCP: is not a setting", "CHANCERY_LOG: \"chancery=loud\" is not a filter"],
    ),
    // Limits.
    bad("--max-connections 0 --idle-seconds 0", &["--max-connections: 0 is not", "--idle-seconds: 0 is not"]),
    bad("--hashing-threads 0 --hashing-memory-mib 1", &["--hashing-threads: 0 is not", "--hashing-memory-mib: 1 MiB"]),
    // Mail.
    bad("--mail-from a@example.org", &["--mail-from: has no effect without --mail-smtp"]),
    bad("--mail-templates templates", &["--mail-templates: has no effect without --mail-smtp"]),
    bad("MAIL --mail-templates templates", &["templates/verify_email.txt"]),
    bad("MAIL --mail-ca-file missing.pem", &["--mail-ca-file: missing.pem: No such file"]),
    bad("MAIL --mail-ca-file short.key", &["--mail-ca-file: contains no PEM certificates"]),
    bad("MAIL --mail-username u --mail-password-file missing", &["--mail-password-file: missing: No such file"]),
    bad("--mail-smtp smtp+plain://10.0.0.1 --mail-from x", &["--mail-smtp: smtp+plain://", "--mail-from: must be"]),
    // All at once, whatever they are about.
    bad(
        "--grpc nowhere --data-dir file --sealing-key-file missing.key --mail-from a --issuer ftp://x",
        &["--grpc: ", "data directory file", "missing.key", "--mail-from: ", "--issuer: "],
    ),
];

fn fill(dir: &Path) {
    for (name, text) in [
        ("file", "no database"),
        ("short.key", "short"),
        ("good.key", "0123456789abcdef0123456789abcdef"),
        ("names.toml", "grcp = 1\nhashing_threads = \"many\"\n"),
        ("lost/sealing.key", "0123456789abcdef0123456789abcdef"),
        ("log-only/chancery.db-wal", "changes"),
        ("templates/verify_email.txt", "{{ nonsense"),
        ("folder/x", ""),
        ("bad-texts/de.ftl", "sign-in = x\nsing-in = y\n"),
        ("texts/fr.ftl", "sign-in = Se connecter\n"),
        ("keyless/chancery.db", "SQLite format 3\0 and its pages"),
        ("keyless/chancery.db.serving", "served"),
        // A directory, because the superuser may write every file.
        ("locked/chancery.lock/x", ""),
        ("logged/chancery.db-shm/x", ""),
        ("garbage.pem", "-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"),
    ] {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Runs a command that must end, and returns what it says.
fn ended(command: &mut Command, what: &str) -> Output {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let id = child.id().to_string();
    let watch = std::thread::spawn(move || {
        if is_done.recv_timeout(Duration::from_mins(1)) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    });
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    let status = child.wait().unwrap();
    drop(done);
    watch.join().unwrap();
    assert!(status.code().is_some(), "{what}: not refused: {err}");
    Output { status, stdout: Vec::new(), stderr: err.into_bytes() }
}

fn said(dir: &Path, line: &str, flags: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let flags = flags.replace("MAIL", MAIL);
    let mut words: Vec<&str> = line.split(' ').collect();
    words.extend(flags.split_whitespace());
    let mut command = command(&words);
    let out = ended(command.current_dir(dir).envs(variables.iter().copied()), &format!("{line} {flags}"));
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn config_check_says_what_serve_says_about_every_bad_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fill(dir);
    let before = names(dir);
    for Bad { flags, variables, says } in TABLE {
        let (code, checked) = said(dir, "config check", flags, variables);
        for text in *says {
            assert!(checked.contains(text), "config check {flags} {variables:?}: no {text:?} in {checked}");
        }
        assert_eq!(code, Some(1), "{flags}: {checked}");
        assert_eq!(said(dir, "serve", flags, variables), (Some(1), checked), "{flags} {variables:?}");
    }
    assert_eq!(names(dir), before, "something was written");
}

fn names(dir: &Path) -> Vec<String> {
    let out = run(Command::new("find").arg(dir), b"");
    let mut names: Vec<_> = String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn config_check_says_what_a_language_lacks() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let out = run(command(&["config", "check", "--page-texts", "texts"]).current_dir(dir.path()), b"");
    let said = String::from_utf8(out.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(out.status.success() && lines.len() == 2, "{said}");
    assert_eq!(lines[0], "the configuration is valid");
    assert!(lines[1].starts_with("the language fr lacks ") && lines[1].contains("which are in English: "), "{said}");
}

#[test]
fn config_check_accepts_what_a_server_runs_with_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    for flags in ["--data-dir new", "--dev", "--migrate", "MAIL", "--data-dir new/below/it"] {
        let before = names(dir.path());
        let (code, says) = said(dir.path(), "config check", flags, &[]);
        assert_eq!((code, says.as_str()), (Some(0), ""), "{flags}");
        assert_eq!(names(dir.path()), before, "{flags}");
    }
    // Beside a running server too, whose addresses are in use.
    let place = Place::sqlite(&dir.path().join("data"));
    let server = Server::on(&place, &[]);
    let flags = format!("--grpc {} --http {} --data-dir {}", server.grpc, server.http, place.dir.display());
    assert_eq!(said(dir.path(), "config check", &flags, &[]).0, Some(0));
}
