//! Measures introspection.

use anyhow::ensure;
use chancery::grpc::pb::IntrospectRequest;
use tokio::task::JoinSet;

use super::Bench;
use crate::{
    args::Engine,
    calls::{ClientTokenCaller, Connections, IntrospectCaller, Tokens, basic_auth, failure},
    echo::Sizes,
    load::closed_loop,
    report::{Goal, Row, progress},
};

/// Introspects the same token repeatedly, then each of many tokens once.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let issuer =
        deployment.create_client("introspected-client", &["--alg", "ES256", "--token-lifetime", "3600"]).await?;
    let server = deployment.serve().await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let (issuer, asker) = (basic_auth("introspected-client", &issuer)?, deployment.introspector()?);
    let mint = |n: usize| anyhow::Ok(ClientTokenCaller::new(connections.for_caller(n)?, issuer.clone()));
    let callers = |tokens: &Tokens| -> anyhow::Result<Vec<IntrospectCaller>> {
        let one = |n| Ok(IntrospectCaller::new(connections.for_caller(n)?, asker.clone(), tokens.clone()));
        (0..bench.run.tasks).map(one).collect()
    };
    let token = mint(0)?.issue().await.map_err(|s| anyhow::anyhow!(failure(&s).label))?.access_token;
    let same = Tokens::Same(token.clone());
    let mut first = IntrospectCaller::new(connections.for_caller(0)?, asker.clone(), same.clone());
    let answer = first.introspect(token.clone()).await.map_err(|s| anyhow::anyhow!(failure(&s).label))?;
    ensure!(answer.active, "the token is not active");
    let sizes = Sizes::of(&IntrospectRequest { token, ..IntrospectRequest::default() }, &answer);
    let mut seen = Row::new("introspect, same token", "/s").against("echo").goal(Goal::AtLeast(0.7));
    let mut distinct = Row::new("introspect, distinct ES256", "/s").against("echo");
    seen.note(sizes.text());
    let mut running = callers(&same)?;
    for n in 0..bench.run.runs {
        let echo = bench.echo(bench.shape(), sizes).await?;
        let (measured, left) = closed_loop(running, bench.window(), server.id()).await?;
        running = left;
        seen.add_compared(measured.rate(), echo.rate());
        // Introspecting a new token cannot be faster than a known one, so this many tokens are enough.
        let enough = round_up(measured.rate() * (bench.run.seconds + bench.run.warmup) * 1.1);
        seen.detail(measured);
        progress(&format!("  run {}: issuing {enough} tokens", n + 1));
        let all = issue_tokens(bench.run.tasks, enough, &mint).await?;
        let (measured, _) = closed_loop(callers(&Tokens::distinct(all))?, bench.window(), server.id()).await?;
        distinct.add_compared(measured.rate(), echo.rate());
        distinct.detail(measured);
        seen.ceiling_run(echo);
    }
    bench.report.add(seen);
    bench.report.add(distinct);
    Ok(())
}

/// Rounds a measured number up to a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above zero")]
fn round_up(number: f64) -> usize {
    number.ceil() as usize
}

/// Issues `number` distinct tokens, or slightly more.
async fn issue_tokens(
    tasks: usize,
    number: usize,
    mint: impl Fn(usize) -> anyhow::Result<ClientTokenCaller>,
) -> anyhow::Result<Vec<String>> {
    let (mut issuing, mut all) = (JoinSet::new(), Vec::with_capacity(number));
    for n in 0..tasks.max(1) {
        let mut caller = mint(n)?;
        let share = number.div_ceil(tasks.max(1));
        issuing.spawn(async move {
            let mut some = Vec::with_capacity(share);
            for _ in 0..share {
                some.push(caller.issue().await?.access_token);
            }
            Ok::<_, tonic::Status>(some)
        });
    }
    while let Some(some) = issuing.join_next().await {
        all.extend(some?.map_err(|s| anyhow::anyhow!("a token was refused: {}", failure(&s).label))?);
    }
    Ok(all)
}
