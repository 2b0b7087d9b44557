//! Measures the time from start to ready on existing data, and idle memory.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Bench;
use crate::{
    args::Engine,
    deployment::Deployment,
    report::{Goal, Row},
    seed,
    stats::{float, median},
};

/// Starts per run; the median is used.
const STARTS: usize = 5;
/// How long a server idles before its memory is measured.
const IDLE: Duration = Duration::from_secs(1);

/// Starts servers one after the other. No password is hashed.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = Deployment::new(&bench.tools, &bench.run, engine).await?;
    seed::write_sessions(&deployment, bench.next_seed(), 10_000).await?;
    let mut ready = Row::new(format!("start to ready on existing data, {engine:?}"), "ms").goal(Goal::AtMost(100.0));
    let mut memory = Row::new("memory when idle, before the first hash", "MB").goal(Goal::AtMost(25.0));
    ready.note(format!("10000 sessions; each run is the median of {STARTS} starts"));
    for _ in 0..bench.run.runs {
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for n in 0..STARTS {
            let server = deployment.serve().await?;
            times.push(server.process.startup_time().as_secs_f64() * 1000.0);
            if n == 0 {
                sleep_until(Instant::now() + IDLE).await;
                sizes.push(float(server.process.usage().rss_kib) * 1024.0 / 1e6);
            }
            server.process.stop().await?;
        }
        ready.add(median(&times).unwrap_or_default());
        memory.add(median(&sizes).unwrap_or_default());
    }
    bench.report.add(ready);
    bench.report.add(memory);
    Ok(())
}
