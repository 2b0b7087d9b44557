//! `chancery guard` as a process next to a server.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::{
    calls::start,
    place::Place,
    server::{Server, command, run, with_open_files},
    watching::{log_out, sign_in, watcher},
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Guard {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// The listener for Envoy; empty if there is none.
    pub(crate) ext_authz: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start_guard(server: &Server, more: &[&str]) -> Guard {
    Guard::run(command(&flags(server)), more)
}

/// The flags of a guard with an HTTP listener.
pub(crate) fn flags(server: &Server) -> [&str; 7] {
    ["guard", "--issuer", &server.issuer, "--audience", "api", "--http", "127.0.0.1:0"]
}

impl Guard {
    /// Starts a guard that may open only so many files.
    pub(crate) fn with_open_files(server: &Server, files: u32, more: &[&str]) -> Self {
        Self::run(with_open_files(files, &flags(server)), more)
    }

    fn run(mut command: Command, more: &[&str]) -> Self {
        command.args(more).stderr(Stdio::null());
        Self::started(command)
    }

    /// Starts a guard and waits for its line `ready …`.
    pub(crate) fn started(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let value =
            |name| line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap_or_default().to_owned();
        assert!(line.starts_with("ready http="), "{line}");
        Self { child, address: value("http="), ext_authz: value("ext_authz=") }
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The status of a page requested with a token.
    pub(crate) async fn status(&self, path: &str, token: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) async fn until(&self, path: &str, token: &str, status: u16) {
        let asking = async {
            let mut ticks = interval(Duration::from_millis(5));
            while self.status(path, token).await != status {
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} does not come to {status}"));
    }
}

pub(crate) fn secret_file(dir: &Path, secret: &str) -> String {
    let path = dir.join("secret");
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_guard_refuses_a_logged_out_session_with_a_stream_or_with_status_lists() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let secret = secret_file(dir.path(), &watcher(&server));
    let watch = format!("http://{}", server.grpc);
    let watching = ["--watch", &watch, "--client-id", "watcher", "--client-secret-file", &secret];
    for more in [&watching[..], &[]] {
        let guard = start_guard(&server, more);
        guard.until("/readyz", "", 200).await;
        let pair = sign_in(&server).await;
        guard.until("/check", &pair.access_token, 200).await;
        log_out(&server, &pair).await.unwrap();
        guard.until("/check", &pair.access_token, 401).await;
    }
}

#[test]
fn a_guard_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let secret = secret_file(dir.path(), "s");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let far = ["--watch", "http://id.example.com:50051", "--client-id", "g", "--client-secret-file", &secret];
    let missing = ["--watch", "https://id.example.com", "--client-id", "g", "--client-secret-file", "/nowhere"];
    for (issuer, more, said) in [
        ("id.example.com", &[][..], "--issuer must begin with https:// or http://"),
        ("https://id.example.com?x", &[], "--issuer must not have a query"),
        ("http://id.example.com", &[], "--plaintext-beyond-loopback"),
        ("https://id.example.com", &["--watch", "https://id.example.com"], "--client-id"),
        ("https://id.example.com", &far, "--plaintext-beyond-loopback"),
        ("https://id.example.com", &missing, "cannot read /nowhere"),
        ("https://id.example.com", &["--http", &taken], "cannot listen on"),
        ("https://id.example.com", &["--socket", "/nowhere/guard.sock"], "cannot listen on /nowhere/guard.sock"),
        ("https://id.example.com", &["--fail-open-for", "soon"], "--fail-open-for"),
    ] {
        let out = run(command(&["guard", "--issuer", issuer, "--audience", "api"]).args(more), b"");
        let text = String::from_utf8(out.stderr).unwrap();
        assert!(!out.status.success() && text.contains(said), "{more:?}: {text}");
    }
    let mut few_files = with_open_files(
        64,
        &["guard", "--issuer", "https://id.example.com", "--audience", "api", "--max-connections", "100000"],
    );
    let out = run(&mut few_files, b"");
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && text.contains("--max-connections: 100000 connections"), "{text}");
    assert!(text.contains("set at most 16, or raise"), "{text}");
    let out = run(&mut command(&["guard", "--issuer", "https://id.example.com"]), b"");
    assert!(String::from_utf8(out.stderr).unwrap().contains("--audience"));
}
