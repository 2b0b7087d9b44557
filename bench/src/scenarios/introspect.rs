//! Questions about tokens.

use anyhow::ensure;
use chancery::grpc::pb::IntrospectRequest;
use tokio::task::JoinSet;

use super::Bench;
use crate::{
    args::Engine,
    calls::{ClientTokens, Connections, Introspections, Tokens, basic, refusal},
    echo::Sizes,
    load::closed,
    report::{Goal, Row, say},
};

/// The same token again and again; then each token once.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let place = bench.place(engine).await?;
    let issuer = place.client("subject-of-questions", &["--alg", "ES256", "--token-lifetime", "3600"]).await?;
    let server = place.serve().await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let (issuer, asker) = (basic("subject-of-questions", &issuer)?, place.asker()?);
    let mint = |n: usize| anyhow::Ok(ClientTokens::new(connections.of(n)?, issuer.clone()));
    let callers = |tokens: &Tokens| -> anyhow::Result<Vec<Introspections>> {
        let one = |n| Ok(Introspections::new(connections.of(n)?, asker.clone(), tokens.clone()));
        (0..bench.run.tasks).map(one).collect()
    };
    let token = mint(0)?.issue().await.map_err(|s| anyhow::anyhow!(refusal(&s).label))?.access_token;
    let same = Tokens::Same(token.clone());
    let mut first = Introspections::new(connections.of(0)?, asker.clone(), same.clone());
    let answer = first.ask(token.clone()).await.map_err(|s| anyhow::anyhow!(refusal(&s).label))?;
    ensure!(answer.active, "the token does not count");
    let sizes = Sizes::of(&IntrospectRequest { token, ..IntrospectRequest::default() }, &answer);
    let mut seen = Row::new("introspect, seen before", "/s").against("echo").goal(Goal::AtLeast(0.7));
    let mut distinct = Row::new("introspect, distinct ES256", "/s").against("echo");
    seen.note(sizes.text());
    let mut asking = callers(&same)?;
    for n in 0..bench.run.runs {
        let echo = bench.echo(bench.shape(), sizes).await?;
        let (measured, left) = closed(asking, bench.window(), server.id()).await?;
        asking = left;
        seen.compared(measured.rate(), echo.rate());
        // A token that was never seen cannot be answered for sooner than one that was.
        let enough = rounded(measured.rate() * (bench.run.seconds + bench.run.warmup) * 1.1);
        seen.detail(measured);
        say(&format!("  run {}: issuing {enough} tokens", n + 1));
        let all = issue(bench.run.tasks, enough, &mint).await?;
        let (measured, _) = closed(callers(&Tokens::distinct(all))?, bench.window(), server.id()).await?;
        distinct.compared(measured.rate(), echo.rate());
        distinct.detail(measured);
        seen.bare(echo);
    }
    bench.report.add(seen);
    bench.report.add(distinct);
    Ok(())
}

/// A count from a measured number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above zero")]
fn rounded(number: f64) -> usize {
    number.ceil() as usize
}

/// So many tokens, each its own.
async fn issue(
    tasks: usize,
    number: usize,
    mint: impl Fn(usize) -> anyhow::Result<ClientTokens>,
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
        all.extend(some?.map_err(|s| anyhow::anyhow!("a token was refused: {}", refusal(&s).label))?);
    }
    Ok(all)
}
