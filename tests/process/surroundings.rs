//! Surroundings that a program cannot choose: variables, arguments, standard streams, certificates. None of them makes
//! it panic.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    process::{Command, Output, Stdio},
};

use tonic::Code;

use crate::{
    calls::{refresh, start},
    place::Place,
    server::{BIN, command, run},
};

/// No text in UTF-8.
fn not_utf8() -> &'static OsStr {
    OsStr::from_bytes(b"\xff\xfe")
}

fn stderr(out: &Output) -> String {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Commands that read, one for each kind of output, and their place.
fn reading_commands(place: &Place) -> Vec<Vec<String>> {
    let lines = ["config show", "user list", "user list --json", "client list", "keys list", "audit list", "role list"];
    let with_place = |line: &str| line.split(' ').map(str::to_owned).chain(place.flags()).collect();
    lines.into_iter().map(with_place).collect()
}

fn program(args: &[String]) -> Command {
    command(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs a command with its standard streams redirected by a shell.
fn with_streams(args: &[String], redirected: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirected}"), BIN]).args(args);
    run(&mut shell, b"")
}

/// Starts a guard that finds no CA certificates, and returns its first line and its log.
fn guard_without_certificates(issuer: &str) -> (String, String) {
    let mut guard = command(&["guard", "--audience", "api", "--http", "127.0.0.1:0", "--issuer", issuer]);
    guard.env("SSL_CERT_FILE", "/nowhere/certs.pem").env("SSL_CERT_DIR", "/nowhere");
    let mut child = guard.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // A request makes it fetch the keys.
    if let Some(address) = line.trim().strip_prefix("ready http=") {
        let ask = format!(
            "exec 3<>/dev/tcp/{}; printf 'GET /check HTTP/1.0\r\nauthorization: Bearer {TOKEN}\r\n\r\n' >&3; cat <&3",
            address.replace(':', "/")
        );
        let answer = run(Command::new("bash").args(["-c", &ask]), b"");
        line.push_str(&String::from_utf8_lossy(&answer.stdout));
    }
    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    (line, log)
}

/// The form of a token: enough to make a guard look for its key.
const TOKEN: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AAAA";

#[test]
fn a_guard_starts_where_no_ca_certificates_are_installed() {
    let (line, log) = guard_without_certificates("https://127.0.0.1:1");
    assert!(line.starts_with("ready ") && line.contains(" 503 "), "{line} {log}");
    assert!(log.contains("no HTTPS connection can be made") && log.contains("CA certificates"), "{log}");
    // Without TLS nothing is missing; here nobody listens.
    let (line, log) = guard_without_certificates("http://127.0.0.1:1");
    assert!(line.starts_with("ready ") && line.contains(" 503 "), "{line} {log}");
    assert!(log.contains("cannot read the issuer's keys") && !log.contains("no HTTPS"), "{log}");
}

#[test]
fn variables_that_are_not_utf8_are_ignored_unless_they_are_ours() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(start(&place));
    for args in reading_commands(&place) {
        let mut command = program(&args);
        command.env("OTHER", not_utf8()).env(not_utf8(), "x").env("TZ", not_utf8()).env("RUST_LOG", not_utf8());
        let out = run(&mut command, b"");
        assert!(out.status.success(), "{args:?}: {}", stderr(&out));
        let out = run(program(&args).env("CHANCERY_HTTP", not_utf8()), b"");
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        assert!(stderr(&out).contains("CHANCERY_HTTP: is not UTF-8 text"), "{args:?}: {}", stderr(&out));
    }
}

#[test]
fn arguments_that_are_not_utf8_are_wrong_usage() {
    for line in ["user show", "guard --issuer", "serve --grpc", "role create"] {
        let out = run(command(&line.split(' ').collect::<Vec<_>>()).arg(not_utf8()), b"");
        assert!(matches!(out.status.code(), Some(1 | 2)), "{line}: {:?}", out.status);
        assert!(stderr(&out).contains("UTF-8"), "{line}: {}", stderr(&out));
    }
}

#[test]
fn a_reader_that_goes_away_ends_every_command_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(start(&place));
    let mut all = reading_commands(&place);
    all.extend([vec!["--help".to_owned()], vec!["user".to_owned(), "--help".to_owned()], vec!["--version".to_owned()]]);
    for args in all {
        let mut child = program(&args);
        let (reader, writer) = std::io::pipe().unwrap();
        child.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        drop(reader);
        let out = child.output().unwrap();
        // What a shell shows for a program that SIGPIPE ended.
        assert_eq!((out.status.code(), stderr(&out).as_str()), (Some(141), ""), "{args:?}");
    }
}

#[tokio::test]
async fn a_server_outlives_the_reader_of_its_ready_line() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut serve = command(&["serve", "--dev"]);
    serve.args(crate::server::FREE_PORTS).current_dir(&dir).stdout(writer).stderr(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    drop(serve);
    let mut byte_by_byte = BufReader::with_capacity(1, reader);
    let mut line = String::new();
    byte_by_byte.read_line(&mut line).unwrap();
    drop(byte_by_byte);
    let grpc = line.split_whitespace().find_map(|word| word.strip_prefix("grpc=")).unwrap().to_owned();
    let channel = tonic::transport::Channel::from_shared(format!("http://{grpc}")).unwrap().connect().await.unwrap();
    let refused = refresh(channel, "nonsense", "").await.unwrap_err();
    assert!(matches!(refused.code(), Code::Unauthenticated | Code::InvalidArgument), "{refused:?}");
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_server_whose_ready_line_nobody_can_read_ends_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut serve = command(&["serve", "--log", "error", "--data-dir"]);
    serve.arg(dir.path().join("data")).args(crate::server::FREE_PORTS);
    let out = serve.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((out.status.code(), stderr(&out).as_str()), (Some(141), ""));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(start(&place));
    let mut all = reading_commands(&place);
    all.push(vec!["--help".to_owned()]);
    for args in all {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let out = program(&args).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        let says = stderr(&out);
        assert!(says.contains("cannot write to standard output: No space left on device"), "{args:?}: {says}");
    }
}

#[test]
fn closed_standard_streams_cause_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(start(&place));
    for args in reading_commands(&place) {
        for redirected in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let out = with_streams(&args, redirected);
            assert!(matches!(out.status.code(), Some(0 | 1)), "{args:?} {redirected}: {:?}", out.status);
            stderr(&out);
        }
    }
    // Nothing can be read from a closed standard input.
    let create = ["user", "create", "eve", "--password-stdin"].map(str::to_owned);
    let out = with_streams(&[&create[..], &place.flags()].concat(), "<&-");
    assert_eq!(out.status.code(), Some(1), "{}", stderr(&out));
}

#[test]
fn commands_need_no_home_no_locale_no_zone_and_no_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    drop(start(&place));
    for args in reading_commands(&place) {
        let mut bare = program(&args);
        let out = run(bare.env_clear().env("TZ", ":/no/such/zone").env("LC_ALL", "C"), b"");
        assert!(out.status.success(), "{args:?}: {}", stderr(&out));
        let gone = dir.path().join("gone");
        std::fs::create_dir(&gone).unwrap();
        let script = "cd \"$0\" && rmdir \"$0\" && exec \"$@\"";
        let out = run(Command::new("sh").args(["-c", script]).arg(&gone).arg(BIN).args(&args), b"");
        assert!(out.status.success(), "{args:?}: {}", stderr(&out));
    }
    // A relative path leads nowhere from a directory that is gone; the error says so.
    let gone = dir.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let script = "cd \"$0\" && rmdir \"$0\" && exec \"$@\"";
    let out = run(Command::new("sh").args(["-c", script]).arg(&gone).arg(BIN).args(["user", "list"]), b"");
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("chancery-data"), "{}", stderr(&out));
}

#[tokio::test]
async fn a_server_outlives_the_reader_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = command(&["serve", "--log", "debug", "--data-dir"]);
    server.arg(dir.path().join("data")).args(crate::server::FREE_PORTS);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = server.stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    drop(server);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    drop(reader);
    let grpc = line.split_whitespace().find_map(|word| word.strip_prefix("grpc=")).unwrap().to_owned();
    let channel = tonic::transport::Channel::from_shared(format!("http://{grpc}")).unwrap().connect().await.unwrap();
    for _ in 0..3 {
        // Each refusal is logged.
        let refused = refresh(channel.clone(), "nonsense", "").await.unwrap_err();
        assert!(matches!(refused.code(), Code::Unauthenticated | Code::InvalidArgument), "{refused:?}");
    }
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}
