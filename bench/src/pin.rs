//! Pins processes to cores.

use std::{ffi::OsStr, os::unix::process::CommandExt, process::Command as Blocking};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::args::Run;

/// The core of the servers.
const SERVER: &str = "0";
/// The core of the load generator.
const GENERATOR: &str = "1";

/// Pins this process to its core if requested, by restarting it with `taskset`.
pub(crate) fn pin_generator(run: &Run) -> anyhow::Result<()> {
    if !run.pin || run.pinned {
        return Ok(());
    }
    if crate::machine::cores() < 2 {
        bail!("--pin requires two cores");
    }
    let own = std::env::current_exe()?;
    let error = Blocking::new("taskset")
        .args(["-c", GENERATOR])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .arg("--pinned")
        .exec();
    Err(error).context("cannot run taskset (of util-linux)")
}

/// A command that runs a program, on the server's core if requested.
pub(crate) fn server_side(pin: bool, program: impl AsRef<OsStr>) -> Command {
    if !pin {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", SERVER]).arg(program);
    command
}
