//! Many sign-ins at once in little memory: the server must live, and answer everybody else.

use anyhow::ensure;

use super::{Bench, refresh};
use crate::{
    args::Engine,
    calls::{Connections, Logins},
    limit::Limit,
    load::{closed, open},
    page,
    place::{APP, PASSWORD},
    report::{Goal, Row},
    stats::{Measured, float},
};

/// Sign-ins at once.
const LOGINS: usize = 200;
/// What the server may hold.
const BYTES: u64 = 1 << 30;
/// Refreshes a second meanwhile.
const REFRESHES: f64 = 50.0;

/// Under a limit of a control group, if one can be had.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let limit = match Limit::new(BYTES) {
        Ok(limit) => limit,
        Err(error) => {
            let mut row = Row::new("200 logins in 1 GiB", "");
            row.note(format!("left out: {error:#}"));
            bench.report.add(row);
            return Ok(());
        }
    };
    let place = bench.place(engine).await?;
    let users = bench.users(&place, LOGINS).await?;
    let mut server = place.serve_with(limit.command(bench.tools.pin, &bench.tools.server)).await?;
    let (mut chains, _) = refresh::chains(bench, &place, &server).await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut logins = Vec::new();
    for (n, user) in users.into_iter().take(LOGINS).enumerate() {
        logins.push(Logins::new(connections.of(n)?, APP, vec![user], PASSWORD));
    }
    let mut answered = Row::new("refreshes answered beside 200 logins in 1 GiB", "%").goal(Goal::AtLeast(100.0));
    let mut peak = Row::new("memory at 200 logins", "MiB").goal(Goal::AtMost(1024.0));
    let mut sign_ins = Row::new("logins, 200 at once in 1 GiB", "/s");
    for _ in 0..bench.run.runs {
        let (others, storm, pages) = tokio::join!(
            open(chains, REFRESHES, bench.window(), server.id()),
            closed(logins, bench.window(), server.id()),
            page::ask(&server.http, super::jwks::PATH, 1, server.id(), bench.window()),
        );
        ensure!(server.process.ended()?.is_none(), "the server died");
        let ((others, left), (storm, left_logins)) = (others?, storm?);
        (chains, logins) = (left, left_logins);
        let pages = pages?;
        ensure!(pages.refused.is_empty(), "the JWKS was refused: {:?}", pages.refused.keys().collect::<Vec<_>>());
        answered.value(share(&others));
        answered.detail(others);
        sign_ins.value(storm.rate());
        sign_ins.detail(storm);
        peak.value(float(limit.peak()?) / f64::from(1 << 20));
        peak.note(format!("{} ended by the kernel for want of memory", limit.kills()?));
        ensure!(limit.kills()? == 0, "the kernel ended a process for want of memory");
    }
    for row in [answered, sign_ins, peak] {
        bench.report.add(row);
    }
    Ok(())
}

/// Successes among all that was to be sent.
fn share(measured: &Measured) -> f64 {
    let refused: u64 = measured.refused.values().map(crate::stats::Latencies::count).sum();
    float(measured.ok.count()) * 100.0 / float((measured.ok.count() + refused + measured.unsent).max(1))
}
