//! Starts, stops and kills `chancery serve` on free ports.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tonic::transport::Channel;

use crate::place::Place;

pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_chancery");

/// Puts every listener on a free port.
pub(crate) const FREE_PORTS: [&str; 6] =
    ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--telemetry", "127.0.0.1:0"];

pub(crate) struct Server {
    child: Child,
    pub(crate) grpc: String,
    pub(crate) http: String,
    pub(crate) telemetry: String,
    pub(crate) issuer: String,
    /// The whole line `ready …`.
    pub(crate) ready: String,
    pub(crate) place: Place,
    /// The file with its standard error.
    pub(crate) log: PathBuf,
    /// Kept open, because a server may write more than its first line.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server on SQLite and waits for its line `ready …`.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        Self::on(&Place::sqlite(dir), more)
    }

    /// Starts a server on a database of either engine.
    pub(crate) fn on(place: &Place, more: &[&str]) -> Self {
        Self::run(command(&["serve"]), place, more)
    }

    /// Starts a server with variables in its environment.
    pub(crate) fn with_variables(place: &Place, variables: &[(String, String)], more: &[&str]) -> Self {
        let mut serve = command(&["serve"]);
        serve.envs(variables.iter().cloned());
        Self::run(serve, place, more)
    }

    /// Starts a server with a program that runs the one given as its last argument, such as `setpriv`.
    pub(crate) fn under(mut program: Command, place: &Place, more: &[&str]) -> Self {
        program.args([BIN, "serve"]);
        Self::run(program, place, more)
    }

    /// Starts a server that may open only so many files.
    pub(crate) fn with_open_files(place: &Place, files: u32, more: &[&str]) -> Self {
        Self::run(with_open_files(files, &["serve"]), place, more)
    }

    fn run(mut command: Command, place: &Place, more: &[&str]) -> Self {
        let log = log_file(&place.dir);
        // Unless a test is about the key, it is made where the data are.
        if place.database.is_some() && !more.contains(&"--sealing-key-file") {
            command.arg("--create-sealing-key");
        }
        let ports = FREE_PORTS.chunks_exact(2).filter(|pair| !more.contains(&pair[0])).flatten();
        let mut child = command
            .args(ports)
            .args(place.flags())
            .args(more)
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let value = |name: &str| {
            let found = line.split_whitespace().find_map(|w| w.strip_prefix(&format!("{name}=")));
            let log = || fs::read_to_string(&log).unwrap();
            found.unwrap_or_else(|| panic!("no {name} in {line:?}: {}", log())).to_owned()
        };
        let (grpc, http, telemetry, issuer) = (value("grpc"), value("http"), value("telemetry"), value("issuer"));
        Self { child, grpc, http, telemetry, issuer, ready: line.clone(), place: place.clone(), log, _stdout: stdout }
    }

    /// Starts another server on the same place.
    pub(crate) fn again(&self) -> Self {
        Self::on(&self.place, &[])
    }

    /// Kills the process as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the process to exit by itself.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Opens a new connection.
    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }

    /// Runs a command on the server's database and returns its standard output.
    pub(crate) fn command(&self, args: &[&str], stdin: &str) -> String {
        self.place.command(args, stdin)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new file for a process's standard error, next to its data.
fn log_file(dir: &Path) -> PathBuf {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    dir.with_extension(format!("{}.log", STARTED.fetch_add(1, Ordering::Relaxed)))
}

/// The program, without `CHANCERY_…` variables from the environment.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// The same, but it may open only so many files.
pub(crate) fn with_open_files(files: u32, args: &[&str]) -> Command {
    let own = command(args);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()]);
    command.arg(own.get_program()).args(own.get_args());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs the program to completion.
pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that rejects its arguments exits without reading its input.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}
