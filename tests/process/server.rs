//! Starts `chancery serve` on free ports and stops it again.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_chancery");

pub(crate) struct Server {
    child: Child,
    pub(crate) grpc: String,
    pub(crate) http: String,
    pub(crate) issuer: String,
    pub(crate) dir: PathBuf,
}

impl Server {
    /// Starts a server and waits for its line `ready …`.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(BIN)
            .args([
                "serve",
                "--grpc",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--telemetry",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(dir)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let value = |name: &str| {
            let found = line.split_whitespace().find_map(|w| w.strip_prefix(&format!("{name}=")));
            found.unwrap_or_else(|| panic!("no {name} in {line:?}")).to_owned()
        };
        let (grpc, http, issuer) = (value("grpc"), value("http"), value("issuer"));
        Self { child, grpc, http, issuer, dir: dir.to_owned() }
    }

    /// Runs a command on the server's database; gives its standard output.
    pub(crate) fn command(&self, args: &[&str], stdin: &str) -> String {
        let mut child = Command::new(BIN)
            .args(args)
            .arg("--data-dir")
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
