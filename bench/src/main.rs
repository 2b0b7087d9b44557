//! `chancery-bench` measures a Chancery server and compares it with the limits of the machine.
//!
//! | module | owns |
//! |---|---|
//! | [`args`] | the command line |
//! | [`machine`], [`pin`], [`limit`], [`process`] | the machine, its cores and memory, other processes |
//! | [`deployment`], [`seed`] | a data directory, its server, seeded sessions |
//! | [`ceilings`], [`echo`], [`page`] | the limits to compare with |
//! | [`load`], [`calls`], [`http1`], [`browser`] | load generators and the calls they make |
//! | [`drive`] | the load of `scripts/faults` |
//! | [`stats`], [`report`] | statistics, the table, the JSON |
//! | [`scenarios`] | the measurements |

mod args;
mod browser;
mod calls;
mod ceilings;
mod deployment;
mod drive;
mod echo;
mod http1;
mod json;
mod limit;
mod load;
mod machine;
mod page;
mod pin;
mod process;
mod report;
mod scenarios;
mod seed;
mod stats;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => pin::pin_generator(&run).and_then(|()| on_runtime(scenarios::run(*run))),
        Command::List => scenarios::list(),
        Command::EchoServer => on_runtime(echo::serve()),
        Command::StaticServer { page } => on_runtime(page::serve(page)),
        Command::Drive(args) => on_runtime(drive::drive(args)),
        Command::Ceiling(kind) => on_runtime(ceilings::measure(kind)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs to the end, or until a signal stops the program. Child processes are killed in both cases.
fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = match machine::cores() {
        // On one core, more threads only add overhead.
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
    .enable_all()
    .build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            done = work => done,
            _ = term.recv() => Err(anyhow::anyhow!("stopped by a signal")),
            _ = int.recv() => Err(anyhow::anyhow!("stopped by a signal")),
        }
    })
}
