//! What the machine can do at best, each measured by a process of its own on the server's core.

mod argon;
mod commits;
mod crypto;

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::{
    args::{Ceiling, Kind},
    machine::cores,
    pin,
    place::Tools,
    process::output,
    report,
    stats::float,
};

/// Measures in this process and prints how many a second there were.
pub(crate) async fn measure(ceiling: Ceiling) -> anyhow::Result<()> {
    let time = Duration::from_secs_f64(ceiling.seconds);
    let at = ceiling.at.as_deref().unwrap_or_default();
    let rate = match ceiling.kind {
        Kind::Sqlite => commits::sqlite(at, ceiling.rows, time).await?,
        Kind::Postgres => commits::postgres(at, ceiling.rows, time).await?,
        Kind::Argon2id => on_all_cores(time, argon::work)?,
        other => on_all_cores(time, || crypto::work(other))?,
    };
    report::print(&format!("{rate}"))
}

/// Asks a process on the server's core.
pub(crate) async fn ask(tools: &Tools, ceiling: &Ceiling) -> anyhow::Result<f64> {
    use clap::ValueEnum;
    let kind = ceiling.kind.to_possible_value().context("a kind without a name")?;
    let mut command = pin::server_side(tools.pin, &tools.own);
    command.args(["ceiling", kind.get_name(), "--seconds", &ceiling.seconds.to_string()]);
    command.args(["--rows", &ceiling.rows.to_string()]);
    if let Some(at) = &ceiling.at {
        command.args(["--at", at]);
    }
    Ok(output(command, "").await?.trim().parse()?)
}

/// Something to be done again and again.
type Work = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

/// Does it on as many threads as there are cores, each with work of its own; how often a second.
fn on_all_cores(time: Duration, make: impl Fn() -> anyhow::Result<Work>) -> anyhow::Result<f64> {
    let mut all = Vec::new();
    for _ in 0..cores() {
        all.push(make()?);
    }
    let threads: Vec<_> = all.into_iter().map(|work| std::thread::spawn(move || rate(work, time))).collect();
    let mut sum = 0.0;
    for thread in threads {
        sum += thread.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
    }
    Ok(sum)
}

/// A tenth of the time uncounted, then how often a second.
fn rate(mut work: Work, time: Duration) -> anyhow::Result<f64> {
    let warm = Instant::now();
    while warm.elapsed() < time / 10 {
        work()?;
    }
    let (began, mut done) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        work()?;
        done += 1;
    }
    Ok(float(done) / began.elapsed().as_secs_f64())
}
