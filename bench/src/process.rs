//! Other processes: started, waited for, ended.

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

/// Longest time that a process may take to start, or to end.
const PATIENCE: Duration = Duration::from_mins(2);

/// A process that says `ready …` when it is. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    id: u32,
    ready: String,
    took: Duration,
    /// Held open: a process may write more than its first line.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a process and waits for its first line. What it complains of goes to a file.
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
        let line = timeout(PATIENCE, stdout.next_line()).await.context("the process is not ready in time")??;
        let took = began.elapsed();
        match (line, child.id()) {
            (Some(ready), Some(id)) if ready.starts_with("ready ") => {
                Ok(Self { child, id, ready, took, _stdout: stdout })
            }
            (line, _) => {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{command:?} is not ready: {}{log}", line.unwrap_or_default())
            }
        }
    }

    /// Session id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.id)
    }

    /// From the start to the line.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// The word after `ready`, or the one with this name.
    pub(crate) fn said(&self, name: &str) -> anyhow::Result<&str> {
        let mut words = self.ready.split_whitespace().skip(1);
        let found = if name.is_empty() {
            words.next()
        } else {
            words.find_map(|w| w.strip_prefix(name).and_then(|w| w.strip_prefix('=')))
        };
        found.with_context(|| format!("no {name:?} in {:?}", self.ready))
    }

    /// Whether it still runs.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none() {
            Command::new("kill").args(["-TERM", &self.id.to_string()]).status().await?;
            timeout(PATIENCE, self.child.wait()).await.context("the process does not stop")??;
        }
        Ok(())
    }
}

/// Runs a command to its end; gives its standard output.
pub(crate) async fn output(mut command: Command, stdin: &str) -> anyhow::Result<String> {
    use tokio::io::AsyncWriteExt;
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that refuses its arguments ends without reading.
        let _ = pipe.write_all(stdin.as_bytes()).await;
    }
    let out = child.wait_with_output().await?;
    if !out.status.success() {
        bail!("{shown}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8(out.stdout)?)
}
