//! How soon a server is ready on data that exists, and what it holds when idle.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Bench;
use crate::{
    args::Engine,
    place::Place,
    report::{Goal, Row},
    seed,
    stats::{float, median},
};

/// Starts in one run; the median counts.
const STARTS: usize = 5;
/// How long a server is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(1);

/// Starts servers one after the other. Nothing is hashed.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let place = Place::new(&bench.tools, &bench.run, engine).await?;
    seed::sessions(&place, bench.next_seed(), 10_000).await?;
    let mut ready = Row::new(format!("start to ready on existing data, {engine:?}"), "ms").goal(Goal::AtMost(100.0));
    let mut memory = Row::new("memory when idle, before the first hash", "MB").goal(Goal::AtMost(25.0));
    ready.note(format!("10000 sessions; each run is the median of {STARTS} starts"));
    for _ in 0..bench.run.runs {
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for n in 0..STARTS {
            let server = place.serve().await?;
            times.push(server.process.took().as_secs_f64() * 1000.0);
            if n == 0 {
                sleep_until(Instant::now() + IDLE).await;
                sizes.push(float(server.process.usage().rss_kib) * 1024.0 / 1e6);
            }
            server.process.stop().await?;
        }
        ready.value(median(&times).unwrap_or_default());
        memory.value(median(&sizes).unwrap_or_default());
    }
    bench.report.add(ready);
    bench.report.add(memory);
    Ok(())
}
