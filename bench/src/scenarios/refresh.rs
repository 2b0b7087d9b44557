//! Refresh chains: each request uses the token that the one before it gave.

use anyhow::Context;
use chancery::grpc::pb::RefreshResponse;

use super::Bench;
use crate::{
    args::Engine,
    calls::{Chain, Connections, refusal},
    echo::{Shape, Sizes},
    load::closed,
    place::{APP, Place, Server},
    report::{Goal, Row},
    seed,
};

/// Against the echo, and against durable commits one by one.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let place = bench.place(engine).await?;
    let server = place.serve().await?;
    let (mut chains, sizes) = chains(bench, &place, &server).await?;
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
        let commits = bench.commits(&place, 1).await?;
        let echo = bench.echo(shape, sizes).await?;
        let (measured, left) = closed(chains, bench.window(), server.id()).await?;
        chains = left;
        against_echo.compared(measured.rate(), echo.rate());
        against_commits.compared(measured.rate(), commits);
        against_echo.detail(measured);
        against_echo.bare(echo);
    }
    bench.report.add(against_echo);
    bench.report.add(against_commits);
    Ok(())
}

/// As many chains as asked for, on sessions that nobody else refreshes, and the sizes of their messages.
pub(super) async fn chains(bench: &mut Bench, place: &Place, server: &Server) -> anyhow::Result<(Vec<Chain>, Sizes)> {
    let number = bench.run.chains;
    let sessions = seed::sessions(place, bench.next_seed(), u64::try_from(number)?).await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut chains = Vec::new();
    for n in 0..number {
        chains.push(Chain::new(connections.of(n)?, APP, sessions.token(u64::try_from(n)?, seed::GENERATION)));
    }
    let first = chains.first_mut().context("no chains")?;
    let request = first.request();
    let pair =
        first.tokens.refresh().await.map_err(|s| anyhow::anyhow!("a refresh was refused: {}", refusal(&s).label))?;
    Ok((chains, Sizes::of(&request, &RefreshResponse { tokens: Some(pair) })))
}
