//! Starts, waits for and stops child processes.

use std::{
    fs::File,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

use crate::machine::Usage;

/// Time limit for a process to start or to stop.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// A process that prints `ready …` when it is ready. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    id: u32,
    ready: String,
    startup_time: Duration,
    /// Kept open, because the process may write more than its first line.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a process and waits for its first line. Its standard error goes to a file.
    pub(crate) async fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut stdout = BufReader::new(stdout).lines();
        let line = timeout(TIME_LIMIT, stdout.next_line()).await.context("the process was not ready in time")??;
        let startup_time = began.elapsed();
        match (line, child.id()) {
            (Some(ready), Some(id)) if ready.starts_with("ready ") => {
                Ok(Self { child, id, ready, startup_time, _stdout: stdout })
            }
            (line, _) => {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{command:?} is not ready: {}{log}", line.unwrap_or_default())
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Its resource use so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.id)
    }

    /// The time from the start to the `ready` line.
    pub(crate) fn startup_time(&self) -> Duration {
        self.startup_time
    }

    /// The value of this name in the `ready` line; for an empty name, the first word.
    pub(crate) fn ready_value(&self, name: &str) -> anyhow::Result<&str> {
        let mut words = self.ready.split_whitespace().skip(1);
        let found = if name.is_empty() {
            words.next()
        } else {
            words.find_map(|w| w.strip_prefix(name).and_then(|w| w.strip_prefix('=')))
        };
        found.with_context(|| format!("no {name:?} in {:?}", self.ready))
    }

    /// Its exit status, or `None` while it runs.
    pub(crate) fn exit_status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it SIGTERM and waits until it exits.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none() {
            Command::new("kill").args(["-TERM", &self.id.to_string()]).status().await?;
            timeout(TIME_LIMIT, self.child.wait()).await.context("the process did not stop in time")??;
        }
        Ok(())
    }
}

/// Runs a command to its end; returns its standard output.
pub(crate) async fn run_to_end(mut command: Command, stdin: &str) -> anyhow::Result<String> {
    use tokio::io::AsyncWriteExt;
    let command_line = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {command_line}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that rejects its arguments exits without reading.
        let _ = pipe.write_all(stdin.as_bytes()).await;
    }
    let out = child.wait_with_output().await?;
    if !out.status.success() {
        bail!("{command_line}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8(out.stdout)?)
}
