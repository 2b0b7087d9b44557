//! Measures refresh latency at half of the server's capacity, alone and during a storm of sign-ins.

use anyhow::ensure;

use super::{Bench, refresh};
use crate::{
    args::Engine,
    calls::{Chain, Connections, LoginCaller},
    deployment::{APP, PASSWORD},
    load::{closed_loop, open_loop},
    report::{Goal, Row},
    stats::Measurement,
};

/// The offered rate of sign-ins, as a multiple of the server's capacity.
const OVERLOAD_FACTOR: f64 = 5.0;
/// Concurrent sign-ins per hashing thread while capacity is measured.
const PER_THREAD: usize = 4;
/// Users who sign in; each has at most one sign-in in flight.
const USERS: usize = 1024;

/// Measures refreshes at half capacity, alone.
pub(super) async fn run_alone(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let server = deployment.serve().await?;
    let (mut chains, _) = refresh::create_chains(bench, &deployment, &server).await?;
    let mut row = Row::new(format!("refresh p99 at half capacity, {engine:?}"), "ms");
    if engine == Engine::Sqlite {
        row = row.goal(Goal::AtMost(10.0));
    }
    for _ in 0..bench.run.runs {
        let (capacity, left) = closed_loop(chains, bench.window(), server.id()).await?;
        let (measured, left) = open_loop(left, half_rate(&capacity)?, bench.window(), server.id()).await?;
        chains = left;
        row.add(measured.ok.percentile(99.0));
        row.note(format!("{:.0}/s of {:.0}/s", half_rate(&capacity)?, capacity.rate()));
        row.detail(measured);
    }
    bench.report.add(row);
    Ok(())
}

/// Half of the measured capacity, as a rate to offer.
pub(super) fn half_rate(capacity: &Measurement) -> anyhow::Result<f64> {
    ensure!(capacity.ok.count() > 0, "nothing succeeded: {:?}", capacity.failed.keys().collect::<Vec<_>>());
    Ok(capacity.rate() / 2.0)
}

/// Measures the same while far more sign-ins are offered than can be hashed.
pub(super) async fn run_in_storm(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let users = bench.create_users(&deployment, USERS).await?;
    let server = deployment.serve().await?;
    let (mut chains, _) = refresh::create_chains(bench, &deployment, &server).await?;
    // Sign-ins use their own connections, as other devices would.
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut logins = Vec::new();
    for (n, user) in users.into_iter().enumerate() {
        logins.push(LoginCaller::new(connections.for_caller(n)?, APP, vec![user], PASSWORD));
    }
    let mut rows = Rows::new(engine);
    for _ in 0..bench.run.runs {
        let at_once = PER_THREAD * bench.hashing_threads();
        let rest = logins.split_off(at_once.min(logins.len()));
        let (login_capacity, left) = closed_loop(logins, bench.window(), server.id()).await?;
        // The callers that have been idle longest go first.
        logins = rest.into_iter().chain(left).collect();
        let (capacity, left) = closed_loop(chains, bench.window(), server.id()).await?;
        let rate = half_rate(&capacity)?;
        let (calm, left): (Measurement, Vec<Chain>) = open_loop(left, rate, bench.window(), server.id()).await?;
        let offered = login_capacity.rate() * OVERLOAD_FACTOR;
        ensure!(offered > 0.0, "no sign-in succeeded: {:?}", login_capacity.failed.keys().collect::<Vec<_>>());
        let (refreshes, storm) = tokio::join!(
            open_loop(left, rate, bench.window(), server.id()),
            open_loop(logins, offered, bench.window(), server.id()),
        );
        let ((refreshes, left), (storm, left_logins)) = (refreshes?, storm?);
        (chains, logins) = (left, left_logins);
        rows.add(&calm, refreshes, storm, &login_capacity, offered);
    }
    for row in [rows.refresh, rows.refused, rows.served] {
        bench.report.add(row);
    }
    Ok(())
}

/// The rows about a storm.
struct Rows {
    refresh: Row,
    refused: Row,
    served: Row,
}

impl Rows {
    fn new(engine: Engine) -> Self {
        Self {
            refresh: Row::new(format!("refresh p99 at half capacity in a login storm, {engine:?}"), "ms")
                .against("ms without a storm")
                .goal(Goal::AtMost(2.0)),
            refused: Row::new("refused logins, p99", "ms").goal(Goal::AtMost(10.0)),
            served: Row::new("successful logins in the storm", "/s").against("without refreshes"),
        }
    }

    fn add(
        &mut self,
        calm: &Measurement,
        refreshes: Measurement,
        storm: Measurement,
        capacity: &Measurement,
        offered: f64,
    ) {
        self.refresh.add_compared(refreshes.ok.percentile(99.0), calm.ok.percentile(99.0));
        self.refresh.detail(refreshes);
        let refused = storm.failed_with("RESOURCE_EXHAUSTED");
        self.refused.note(format!("{} of {offered:.0}/s offered logins were refused", refused.count()));
        if refused.count() > 0 {
            self.refused.add(refused.percentile(99.0));
        }
        self.served.add_compared(storm.rate(), capacity.rate());
        self.served.detail(storm);
    }
}
