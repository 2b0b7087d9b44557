//! The mix at half capacity for ten minutes: memory, descriptors and latency at the beginning and at the end.

use std::{fs, time::Duration};

use anyhow::ensure;

use super::{
    Bench,
    mix::{self, LOGINS, Mix},
};
use crate::{
    args::Engine,
    load::{Window, closed_loop, open_loop},
    report::Row,
    stats::float,
};

/// How many parts are measured, one after another.
const PARTS: u32 = 10;
/// The length of each.
const PART: Duration = Duration::from_mins(1);

/// What a server holds at some moment.
struct Held {
    rss_mib: f64,
    descriptors: f64,
}

fn held(server: u32) -> anyhow::Result<Held> {
    let descriptors = fs::read_dir(format!("/proc/{server}/fd"))?.count();
    let rss_kib = crate::machine::Usage::of(server).rss_kib;
    Ok(Held { rss_mib: float(rss_kib) / 1024.0, descriptors: crate::stats::size(descriptors) })
}

/// Runs the parts. The first row of each kind is the first part, the second the last.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let Mix { server, callers, mut logins } = mix::prepare(bench, engine).await?;
    let (capacity, mut callers) = closed_loop(callers, bench.window(), server.id()).await?;
    ensure!(capacity.ok.count() > 0, "nothing succeeded: {:?}", capacity.failed.keys().collect::<Vec<_>>());
    let (rate, part) = (capacity.rate() / 2.0, Window { warmup: Duration::ZERO, measured: PART });
    for n in 1..=PARTS {
        let (all, storm) =
            tokio::join!(open_loop(callers, rate, part, server.id()), open_loop(logins, LOGINS, part, server.id()));
        let ((all, left), (_, left_logins)) = (all?, storm?);
        (callers, logins) = (left, left_logins);
        let held = held(server.id())?;
        if n != 1 && n != PARTS {
            continue;
        }
        let when = format!("minute {n} of {rate:.0}/s, {engine:?}");
        let failed: u64 = all.failed.values().map(crate::stats::Latencies::count).sum();
        let mut p99 = Row::new(format!("soak p99, {when}"), "ms");
        p99.add(all.ok.percentile(99.0));
        p99.note(format!("{} answered, {failed} failed, {} not sent", all.ok.count(), all.unsent));
        p99.detail(all);
        let mut memory = Row::new(format!("soak memory, {when}"), "MiB");
        memory.add(held.rss_mib);
        let mut descriptors = Row::new(format!("soak descriptors, {when}"), "");
        descriptors.add(held.descriptors);
        for row in [p99, memory, descriptors] {
            bench.report.add(row);
        }
    }
    Ok(())
}
