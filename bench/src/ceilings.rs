//! The machine's limits, each measured by a separate process on the server's core.

mod argon;
mod commits;
mod crypto;

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::{
    args::{Ceiling, CeilingKind},
    deployment::Tools,
    machine::cores,
    pin,
    process::run_to_end,
    report,
    stats::float,
};

/// Measures a ceiling in this process and prints the rate per second.
pub(crate) async fn measure(ceiling: Ceiling) -> anyhow::Result<()> {
    let time = Duration::from_secs_f64(ceiling.seconds);
    let at = ceiling.at.as_deref().unwrap_or_default();
    let rate = match ceiling.kind {
        CeilingKind::Sqlite => commits::sqlite(at, ceiling.rows, time).await?,
        CeilingKind::Postgres => commits::postgres(at, ceiling.rows, time).await?,
        CeilingKind::Argon2id => on_all_cores(time, argon::work)?,
        other => on_all_cores(time, || crypto::work(other))?,
    };
    report::print_line(&format!("{rate}"))
}

/// Measures a ceiling in a separate process on the server's core.
pub(crate) async fn measure_in_process(tools: &Tools, ceiling: &Ceiling) -> anyhow::Result<f64> {
    use clap::ValueEnum;
    let kind = ceiling.kind.to_possible_value().context("the ceiling has no name")?;
    let mut command = pin::server_side(tools.pin, &tools.own);
    command.args(["ceiling", kind.get_name(), "--seconds", &ceiling.seconds.to_string()]);
    command.args(["--rows", &ceiling.rows.to_string()]);
    if let Some(at) = &ceiling.at {
        command.args(["--at", at]);
    }
    Ok(run_to_end(command, "").await?.trim().parse()?)
}

/// One unit of repeatable work.
type Work = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

/// Repeats the work on one thread per core, each with its own; returns the total rate per second.
fn on_all_cores(time: Duration, make: impl Fn() -> anyhow::Result<Work>) -> anyhow::Result<f64> {
    let mut all = Vec::new();
    for _ in 0..cores() {
        all.push(make()?);
    }
    let threads: Vec<_> = all.into_iter().map(|work| std::thread::spawn(move || rate(work, time))).collect();
    let mut sum = 0.0;
    for thread in threads {
        sum += thread.join().map_err(|_| anyhow::anyhow!("a measuring thread panicked"))??;
    }
    Ok(sum)
}

/// Warms up for a tenth of the time, then measures the rate per second.
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
