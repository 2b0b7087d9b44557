//! Measures clients' own tokens: one signature, no query.

use chancery::grpc::pb::IssueClientTokenRequest;

use super::Bench;
use crate::{
    args::{CeilingKind, Engine},
    calls::{ClientTokenCaller, Connections, basic_auth, failure},
    echo::Sizes,
    load::closed_loop,
    report::{Goal, Row},
};

/// The algorithm, its raw signature, and the goals for the ratios to the signature and to the echo.
const ALGORITHMS: [(&str, CeilingKind, Option<Goal>, Option<Goal>); 3] = [
    ("RS256", CeilingKind::Rs256Sign, Some(Goal::AtLeast(0.75)), None),
    ("ES256", CeilingKind::Es256Sign, None, Some(Goal::AtLeast(0.55))),
    ("EdDSA", CeilingKind::EddsaSign, None, None),
];

/// Measures each algorithm.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    for (algorithm, kind, goal_raw, goal_echo) in ALGORITHMS {
        let id = format!("tokens-{}", algorithm.to_lowercase());
        let secret = deployment.create_client(&id, &["--alg", algorithm]).await?;
        let authorization = basic_auth(&id, &secret)?;
        let server = deployment.serve().await?;
        let connections = Connections::open(&server.grpc, bench.run.connections).await?;
        let mut callers = Vec::new();
        for n in 0..bench.run.tasks {
            callers.push(ClientTokenCaller::new(connections.for_caller(n)?, authorization.clone()));
        }
        let answer = match callers.first_mut() {
            Some(first) => first.issue().await.map_err(|s| anyhow::anyhow!(failure(&s).label))?,
            None => anyhow::bail!("no tasks"),
        };
        let sizes = Sizes::of(&IssueClientTokenRequest::default(), &answer);
        let mut against_raw = Row::new(format!("client token {algorithm}"), "/s").against("raw signatures");
        let mut against_echo = Row::new(format!("client token {algorithm}"), "/s").against("echo");
        against_raw = goal_raw.into_iter().fold(against_raw, Row::goal);
        against_echo = goal_echo.into_iter().fold(against_echo, Row::goal);
        against_echo.note(sizes.text());
        for _ in 0..bench.run.runs {
            let raw = bench.raw_rate(kind).await?;
            let echo = bench.echo(bench.shape(), sizes).await?;
            let (measured, left) = closed_loop(callers, bench.window(), server.id()).await?;
            callers = left;
            against_raw.add_compared(measured.rate(), raw);
            against_echo.add_compared(measured.rate(), echo.rate());
            against_echo.detail(measured);
            against_echo.ceiling_run(echo);
        }
        bench.report.add(against_raw);
        bench.report.add(against_echo);
    }
    Ok(())
}
