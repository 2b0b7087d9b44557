//! A real mail server, `tests/foreign/smtp.py`, that reports what it receives.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Duration, timeout},
};

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_mins(1);

pub(crate) struct MailServer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) port: u16,
    /// The certificate of the authority that signed its certificate.
    pub(crate) authority: Option<String>,
}

impl MailServer {
    /// Starts a server without TLS or authentication.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(flags: &[&str]) -> Self {
        let python = std::env::var("CHTEST_PYTHON").expect("CHTEST_PYTHON is not set: run scripts/test");
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/smtp.py"))
            .args(flags)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { child, lines, port: 0, authority: None };
        let ready = server.next().await;
        server.port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
        server.authority = ready["authority"].as_str().map(str::to_owned);
        server
    }

    /// Its next report.
    pub(crate) async fn next(&mut self) -> Value {
        let line = timeout(SOON, self.lines.next_line()).await.expect("the mail server received nothing");
        serde_json::from_str(&line.unwrap().expect("the mail server has ended")).unwrap()
    }

    /// Stops it and returns its remaining reports.
    pub(crate) async fn stop(mut self) -> Vec<Value> {
        self.child.kill().await.unwrap();
        let mut rest = Vec::new();
        while let Ok(Some(line)) = self.lines.next_line().await {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        rest
    }

    /// A port that is free for now.
    pub(crate) async fn free_port() -> u16 {
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }
}
