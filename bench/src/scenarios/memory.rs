//! Many concurrent sign-ins in little memory: the server must survive and keep answering other requests.

use anyhow::ensure;

use super::{Bench, refresh};
use crate::{
    args::Engine,
    calls::{Connections, LoginCaller},
    deployment::{APP, PASSWORD},
    limit::MemoryLimit,
    load::{closed_loop, open_loop},
    page,
    report::{Goal, Row},
    stats::{Measurement, float},
};

/// Concurrent sign-ins.
const LOGINS: usize = 200;
/// The server's memory limit.
const BYTES: u64 = 1 << 30;
/// Refreshes per second during the sign-ins.
const REFRESHES: f64 = 50.0;

/// Runs the server in a control group with a memory limit, if one can be created.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let limit = match MemoryLimit::new(BYTES) {
        Ok(limit) => limit,
        Err(error) => {
            let mut row = Row::new("200 logins in 1 GiB", "");
            row.note(format!("skipped: {error:#}"));
            bench.report.add(row);
            return Ok(());
        }
    };
    let deployment = bench.deployment(engine).await?;
    let users = bench.create_users(&deployment, LOGINS).await?;
    let mut server = deployment.serve_with(limit.command(bench.tools.pin, &bench.tools.server)).await?;
    let (mut chains, _) = refresh::create_chains(bench, &deployment, &server).await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut logins = Vec::new();
    for (n, user) in users.into_iter().take(LOGINS).enumerate() {
        logins.push(LoginCaller::new(connections.for_caller(n)?, APP, vec![user], PASSWORD));
    }
    let mut answered = Row::new("successful refreshes during 200 logins in 1 GiB", "%").goal(Goal::AtLeast(100.0));
    let mut peak = Row::new("memory at 200 logins", "MiB").goal(Goal::AtMost(1024.0));
    let mut sign_ins = Row::new("logins, 200 at once in 1 GiB", "/s");
    for _ in 0..bench.run.runs {
        let (others, storm, pages) = tokio::join!(
            open_loop(chains, REFRESHES, bench.window(), server.id()),
            closed_loop(logins, bench.window(), server.id()),
            page::request_page(&server.http, super::jwks::PATH, 1, server.id(), bench.window()),
        );
        ensure!(server.process.exit_status()?.is_none(), "the server exited");
        let ((others, left), (storm, left_logins)) = (others?, storm?);
        (chains, logins) = (left, left_logins);
        let pages = pages?;
        ensure!(pages.failed.is_empty(), "JWKS requests failed: {:?}", pages.failed.keys().collect::<Vec<_>>());
        answered.add(success_percent(&others));
        answered.detail(others);
        sign_ins.add(storm.rate());
        sign_ins.detail(storm);
        peak.add(float(limit.peak()?) / f64::from(1 << 20));
        peak.note(format!("{} processes killed for lack of memory", limit.oom_kills()?));
        ensure!(limit.oom_kills()? == 0, "the kernel killed a process for lack of memory");
    }
    for row in [answered, sign_ins, peak] {
        bench.report.add(row);
    }
    Ok(())
}

/// The percentage of due requests that succeeded.
fn success_percent(measured: &Measurement) -> f64 {
    let failed: u64 = measured.failed.values().map(crate::stats::Latencies::count).sum();
    float(measured.ok.count()) * 100.0 / float((measured.ok.count() + failed + measured.unsent).max(1))
}
