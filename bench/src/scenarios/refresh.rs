//! Refresh chains: each request uses the token from the one before.

use anyhow::Context;
use chancery::grpc::pb::RefreshResponse;

use super::Bench;
use crate::{
    args::Engine,
    calls::{Chain, Connections, failure},
    deployment::{APP, Deployment, Server},
    echo::{Shape, Sizes},
    load::closed_loop,
    report::{Goal, Row},
    seed,
};

/// Compares refreshes with the echo and with single durable commits.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let server = deployment.serve().await?;
    let (mut chains, sizes) = create_chains(bench, &deployment, &server).await?;
    let shape = Shape { tasks: bench.run.chains, connections: bench.run.connections };
    let goal = match engine {
        Engine::Sqlite => 0.40,
        Engine::Postgres => 0.45,
    };
    let name = format!("refresh ES256, {engine:?}");
    let mut against_echo = Row::new(name.clone(), "/s").against("echo").goal(Goal::AtLeast(goal));
    let mut against_commits = Row::new(name, "/s").against("commits one by one");
    if engine == Engine::Sqlite {
        against_commits = against_commits.goal(Goal::AtLeast(4.0));
    }
    against_echo.note(sizes.text());
    for _ in 0..bench.run.runs {
        let commits = bench.commits(&deployment, 1).await?;
        let echo = bench.echo(shape, sizes).await?;
        let (measured, left) = closed_loop(chains, bench.window(), server.id()).await?;
        chains = left;
        against_echo.add_compared(measured.rate(), echo.rate());
        against_commits.add_compared(measured.rate(), commits);
        against_echo.detail(measured);
        against_echo.ceiling_run(echo);
    }
    bench.report.add(against_echo);
    bench.report.add(against_commits);
    Ok(())
}

/// Creates the configured number of chains on new sessions; returns them with the sizes of their messages.
pub(super) async fn create_chains(
    bench: &mut Bench,
    deployment: &Deployment,
    server: &Server,
) -> anyhow::Result<(Vec<Chain>, Sizes)> {
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    create_chains_over(bench, deployment, connections).await
}

/// The same over these connections.
pub(super) async fn create_chains_over(
    bench: &mut Bench,
    deployment: &Deployment,
    connections: Connections,
) -> anyhow::Result<(Vec<Chain>, Sizes)> {
    let number = bench.run.chains;
    let sessions = seed::write_sessions(deployment, bench.next_seed(), u64::try_from(number)?).await?;
    let mut chains = Vec::new();
    for n in 0..number {
        chains.push(Chain::new(connections.for_caller(n)?, APP, sessions.token(u64::try_from(n)?, seed::GENERATION)));
    }
    let first = chains.first_mut().context("no chains")?;
    let request = first.request();
    let pair = first.refresh().await.map_err(|s| anyhow::anyhow!("a refresh failed: {}", failure(&s).label))?;
    Ok((chains, Sizes::of(&request, &RefreshResponse { tokens: Some(pair) })))
}
