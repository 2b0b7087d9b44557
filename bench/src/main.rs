//! `chancery-bench`: what a Chancery server does a second, beside what this machine could do at best.
//!
//! | module | owns |
//! |---|---|
//! | [`args`] | the command line |
//! | [`machine`], [`pin`], [`limit`], [`process`] | the machine, its cores and memory, other processes |
//! | [`place`], [`seed`] | a data directory, a server on it, sessions in it |
//! | [`ceilings`], [`echo`], [`page`] | what is compared with |
//! | [`load`], [`calls`], [`http1`] | who asks, and what |
//! | [`stats`], [`report`] | numbers, the table, the JSON |
//! | [`scenarios`] | what is measured |

mod args;
mod calls;
mod ceilings;
mod echo;
mod http1;
mod limit;
mod load;
mod machine;
mod page;
mod pin;
mod place;
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
        Command::Run(run) => pin::generator(&run).and_then(|()| on_runtime(scenarios::run(*run))),
        Command::List => scenarios::list(),
        Command::EchoServer => on_runtime(echo::serve()),
        Command::StaticServer { page } => on_runtime(page::serve(page)),
        Command::Ceiling(kind) => on_runtime(ceilings::measure(kind)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs to the end, or until somebody stops the program: what it started is ended with it.
fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = match machine::cores() {
        // Threads that take turns on one core only cost.
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
    .enable_all()
    .build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            done = work => done,
            _ = term.recv() => Err(anyhow::anyhow!("stopped")),
            _ = int.recv() => Err(anyhow::anyhow!("stopped")),
        }
    })
}
