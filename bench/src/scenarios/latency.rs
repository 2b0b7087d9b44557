//! How long a refresh takes at half of what the server can do, and what a storm of sign-ins changes.

use anyhow::ensure;

use super::{Bench, refresh};
use crate::{
    args::Engine,
    calls::{Chain, Connections, Logins},
    load::{closed, open},
    place::{APP, PASSWORD},
    report::{Goal, Row},
    stats::Measured,
};

/// Sign-ins offered, for each that the server can do.
const STORM: f64 = 5.0;
/// Sign-ins under way for each hashing thread when their capacity is measured.
const AT_ONCE: usize = 4;
/// Users who sign in; each has at most one sign-in under way.
const USERS: usize = 1024;

/// Refreshes at half capacity, alone.
pub(super) async fn alone(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let place = bench.place(engine).await?;
    let server = place.serve().await?;
    let (mut chains, _) = refresh::chains(bench, &place, &server).await?;
    let mut row = Row::new(format!("refresh p99 at half capacity, {engine:?}"), "ms");
    if engine == Engine::Sqlite {
        row = row.goal(Goal::AtMost(10.0));
    }
    for _ in 0..bench.run.runs {
        let (capacity, left) = closed(chains, bench.window(), server.id()).await?;
        let (measured, left) = open(left, half(&capacity)?, bench.window(), server.id()).await?;
        chains = left;
        row.value(measured.ok.percentile(99.0));
        row.note(format!("{:.0}/s of {:.0}/s", half(&capacity)?, capacity.rate()));
        row.detail(measured);
    }
    bench.report.add(row);
    Ok(())
}

/// Half of what was reached, as a rate to offer.
fn half(capacity: &Measured) -> anyhow::Result<f64> {
    ensure!(capacity.ok.count() > 0, "nothing succeeded: {:?}", capacity.refused.keys().collect::<Vec<_>>());
    Ok(capacity.rate() / 2.0)
}

/// The same while far more sign-ins are offered than can be hashed.
pub(super) async fn in_a_storm(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let place = bench.place(engine).await?;
    let users = bench.users(&place, USERS).await?;
    let server = place.serve().await?;
    let (mut chains, _) = refresh::chains(bench, &place, &server).await?;
    // Sign-ins have connections of their own, as other devices do.
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut logins = Vec::new();
    for (n, user) in users.into_iter().enumerate() {
        logins.push(Logins::new(connections.of(n)?, APP, vec![user], PASSWORD));
    }
    let mut rows = Rows::new(engine);
    for _ in 0..bench.run.runs {
        let at_once = AT_ONCE * bench.server_cores();
        let rest = logins.split_off(at_once.min(logins.len()));
        let (of_logins, left) = closed(logins, bench.window(), server.id()).await?;
        // Those who have waited longest begin.
        logins = rest.into_iter().chain(left).collect();
        let (capacity, left) = closed(chains, bench.window(), server.id()).await?;
        let rate = half(&capacity)?;
        let (calm, left): (Measured, Vec<Chain>) = open(left, rate, bench.window(), server.id()).await?;
        let offered = of_logins.rate() * STORM;
        ensure!(offered > 0.0, "no sign-in succeeded: {:?}", of_logins.refused.keys().collect::<Vec<_>>());
        let (refreshes, storm) = tokio::join!(
            open(left, rate, bench.window(), server.id()),
            open(logins, offered, bench.window(), server.id()),
        );
        let ((refreshes, left), (storm, left_logins)) = (refreshes?, storm?);
        (chains, logins) = (left, left_logins);
        rows.add(&calm, refreshes, storm, &of_logins, offered);
    }
    for row in [rows.refresh, rows.refused, rows.served] {
        bench.report.add(row);
    }
    Ok(())
}

/// What is told of a storm.
struct Rows {
    refresh: Row,
    refused: Row,
    served: Row,
}

impl Rows {
    fn new(engine: Engine) -> Self {
        Self {
            refresh: Row::new(format!("refresh p99 at half capacity in a login storm, {engine:?}"), "ms")
                .against("ms without")
                .goal(Goal::AtMost(2.0)),
            refused: Row::new("refused logins, p99", "ms").goal(Goal::AtMost(10.0)),
            served: Row::new("logins served in the storm", "/s").against("without refreshes"),
        }
    }

    fn add(&mut self, calm: &Measured, refreshes: Measured, storm: Measured, capacity: &Measured, offered: f64) {
        self.refresh.compared(refreshes.ok.percentile(99.0), calm.ok.percentile(99.0));
        self.refresh.detail(refreshes);
        let refused = storm.refused_with("RESOURCE_EXHAUSTED");
        self.refused.note(format!("{} of {offered:.0}/s offered logins were refused", refused.count()));
        if refused.count() > 0 {
            self.refused.value(refused.percentile(99.0));
        }
        self.served.compared(storm.rate(), capacity.rate());
        self.served.detail(storm);
    }
}
