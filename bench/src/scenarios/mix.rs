//! What an ordinary day asks for, all at once: of ten requests seven refresh, two introspect, one is for
//! a client token; and a sign-in now and then.

use anyhow::ensure;

use super::{Bench, refresh};
use crate::{
    args::Engine,
    calls::{Chain, ClientTokens, Connections, Introspections, Logins, Tokens, basic, refusal},
    load::{Caller, Outcome, closed, open},
    place::{APP, PASSWORD},
    report::Row,
};

/// Users who sign in.
const USERS: usize = 256;
/// Sign-ins a second.
const LOGINS: f64 = 5.0;

/// Somebody who makes all three calls in turn.
#[derive(Debug)]
struct Mixed {
    chain: Chain,
    tokens: ClientTokens,
    questions: Introspections,
    turn: usize,
}

impl Caller for Mixed {
    async fn call(&mut self) -> Outcome {
        self.turn += 1;
        match self.turn % 10 {
            3 => self.tokens.call().await,
            1 | 6 => self.questions.call().await,
            _ => self.chain.call().await,
        }
    }
}

/// At capacity, then at half of it.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let place = bench.place(engine).await?;
    let users = bench.users(&place, USERS).await?;
    let issuer = basic("mix-tokens", &place.client("mix-tokens", &["--alg", "ES256"]).await?)?;
    let asker = place.asker()?;
    let server = place.serve().await?;
    let (chains, _) = refresh::chains(bench, &place, &server).await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut mixed = Vec::new();
    for (n, mut chain) in chains.into_iter().enumerate() {
        // Each asks about a token of its own session: they are as many as services see.
        let pair = chain.refresh().await.map_err(|s| anyhow::anyhow!(refusal(&s).label))?;
        let tokens = ClientTokens::new(connections.of(n)?, issuer.clone());
        let questions = Introspections::new(connections.of(n)?, asker.clone(), Tokens::Same(pair.access_token));
        mixed.push(Mixed { chain, tokens, questions, turn: n });
    }
    let mut logins = Vec::new();
    for (n, user) in users.into_iter().enumerate() {
        logins.push(Logins::new(connections.of(n)?, APP, vec![user], PASSWORD));
    }
    let mut capacity = Row::new(format!("mixture, {engine:?}"), "/s");
    let mut latency = Row::new(format!("mixture at half capacity, p99, {engine:?}"), "ms");
    for row in [&mut capacity, &mut latency] {
        row.note(format!("70 % refreshes, 20 % introspections, 10 % client tokens, and {LOGINS} logins/s"));
    }
    for _ in 0..bench.run.runs {
        let (all, storm) = tokio::join!(
            closed(mixed, bench.window(), server.id()),
            open(logins, LOGINS, bench.window(), server.id()),
        );
        let ((all, left), (_, left_logins)) = (all?, storm?);
        ensure!(all.ok.count() > 0, "nothing succeeded: {:?}", all.refused.keys().collect::<Vec<_>>());
        let (some, storm) = tokio::join!(
            open(left, all.rate() / 2.0, bench.window(), server.id()),
            open(left_logins, LOGINS, bench.window(), server.id()),
        );
        let ((some, left), (_, left_logins)) = (some?, storm?);
        (mixed, logins) = (left, left_logins);
        capacity.value(all.rate());
        capacity.detail(all);
        latency.value(some.ok.percentile(99.0));
        latency.detail(some);
    }
    bench.report.add(capacity);
    bench.report.add(latency);
    Ok(())
}
