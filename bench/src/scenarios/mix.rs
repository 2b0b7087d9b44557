//! A typical mix of concurrent requests: 70 % refreshes, 20 % introspections, 10 % client tokens, and a few
//! sign-ins.

use anyhow::ensure;

use super::{Bench, refresh};
use crate::{
    args::Engine,
    calls::{Chain, ClientTokenCaller, Connections, IntrospectCaller, LoginCaller, Tokens, basic_auth, failure},
    deployment::{APP, PASSWORD, Server},
    load::{Caller, Outcome, closed_loop, open_loop},
    report::Row,
};

/// Users who sign in.
const USERS: usize = 256;
/// Sign-ins per second.
pub(super) const LOGINS: f64 = 5.0;

/// A caller that makes all three calls in turn.
#[derive(Debug)]
pub(super) struct MixedCaller {
    chain: Chain,
    tokens: ClientTokenCaller,
    introspections: IntrospectCaller,
    turn: usize,
}

impl Caller for MixedCaller {
    async fn call(&mut self) -> Outcome {
        self.turn += 1;
        match self.turn % 10 {
            3 => self.tokens.call().await,
            1 | 6 => self.introspections.call().await,
            // The token must not expire in a long load.
            0 => match self.chain.refresh().await {
                Ok(pair) => {
                    self.introspections.use_token(pair.access_token);
                    Outcome::Answered
                }
                Err(status) => Chain::outcome(&status),
            },
            _ => self.chain.call().await,
        }
    }
}

/// A server with callers for the mix.
pub(super) struct Mix {
    pub(super) server: Server,
    pub(super) callers: Vec<MixedCaller>,
    pub(super) logins: Vec<LoginCaller>,
}

/// Starts a server and prepares its callers.
pub(super) async fn prepare(bench: &mut Bench, engine: Engine) -> anyhow::Result<Mix> {
    let deployment = bench.deployment(engine).await?;
    let users = bench.create_users(&deployment, USERS).await?;
    let name = format!("mix-tokens-{}", bench.next_seed());
    let issuer = basic_auth(&name, &deployment.create_client(&name, &["--alg", "ES256"]).await?)?;
    let asker = deployment.introspector()?;
    let server = deployment.serve().await?;
    let (chains, _) = refresh::create_chains(bench, &deployment, &server).await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut callers = Vec::new();
    for (n, mut chain) in chains.into_iter().enumerate() {
        // Each introspects a token of its own session, so there are as many distinct tokens as in practice.
        let pair = chain.refresh().await.map_err(|s| anyhow::anyhow!(failure(&s).label))?;
        let tokens = ClientTokenCaller::new(connections.for_caller(n)?, issuer.clone());
        let introspections =
            IntrospectCaller::new(connections.for_caller(n)?, asker.clone(), Tokens::Same(pair.access_token));
        callers.push(MixedCaller { chain, tokens, introspections, turn: n });
    }
    let mut logins = Vec::new();
    for (n, user) in users.into_iter().enumerate() {
        logins.push(LoginCaller::new(connections.for_caller(n)?, APP, vec![user], PASSWORD));
    }
    Ok(Mix { server, callers, logins })
}

/// Measures the mix at capacity, then at half of it.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let Mix { server, callers: mut mixed, mut logins } = prepare(bench, engine).await?;
    let mut capacity = Row::new(format!("mix, {engine:?}"), "/s");
    let mut latency = Row::new(format!("mix at half capacity, p99, {engine:?}"), "ms");
    for row in [&mut capacity, &mut latency] {
        row.note(format!("70 % refreshes, 20 % introspections, 10 % client tokens, and {LOGINS} logins/s"));
    }
    for _ in 0..bench.run.runs {
        let (all, storm) = tokio::join!(
            closed_loop(mixed, bench.window(), server.id()),
            open_loop(logins, LOGINS, bench.window(), server.id()),
        );
        let ((all, left), (_, left_logins)) = (all?, storm?);
        ensure!(all.ok.count() > 0, "nothing succeeded: {:?}", all.failed.keys().collect::<Vec<_>>());
        let (some, storm) = tokio::join!(
            open_loop(left, all.rate() / 2.0, bench.window(), server.id()),
            open_loop(left_logins, LOGINS, bench.window(), server.id()),
        );
        let ((some, left), (_, left_logins)) = (some?, storm?);
        (mixed, logins) = (left, left_logins);
        capacity.add(all.rate());
        capacity.detail(all);
        latency.add(some.ok.percentile(99.0));
        latency.detail(some);
    }
    bench.report.add(capacity);
    bench.report.add(latency);
    Ok(())
}
