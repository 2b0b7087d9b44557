//! Measures JSON over HTTP against gRPC: the same calls at the same server, one after the other.

use anyhow::{Context, ensure};

use super::{Bench, refresh::create_chains};
use crate::{
    args::Engine,
    calls::{ClientTokenCaller, Connections, IntrospectCaller, LoginCaller, Tokens, basic_auth, failure, must_sign_in},
    deployment::{APP, Deployment, PASSWORD, Server},
    json::JsonCaller,
    load::{Caller, closed_loop},
    report::{Goal, Row},
    seed,
};

/// Sign-ins for each hashing thread at a time, and users of each caller, as for gRPC alone.
const PER_THREAD: usize = 4;
const USERS: usize = 16;

/// Compares refreshes, introspections and sign-ins.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let issuer = deployment.create_client("json-client", &["--alg", "ES256", "--token-lifetime", "3600"]).await?;
    let server = deployment.serve().await?;
    refreshes(bench, &deployment, &server).await?;
    introspections(bench, &deployment, &server, &issuer).await?;
    sign_ins(bench, &deployment, &server).await
}

async fn refreshes(bench: &mut Bench, deployment: &Deployment, server: &Server) -> anyhow::Result<()> {
    let (grpc, _) = create_chains(bench, deployment, server).await?;
    let number = bench.run.chains;
    let sessions = seed::write_sessions(deployment, bench.next_seed(), u64::try_from(number)?).await?;
    let mut json = Vec::new();
    for n in 0..number {
        json.push(JsonCaller::refresh(&server.http, APP, sessions.token(u64::try_from(n)?, seed::GENERATION)).await?);
    }
    compare(bench, "refresh as JSON", server, grpc, json).await
}

async fn introspections(
    bench: &mut Bench,
    deployment: &Deployment,
    server: &Server,
    issuer: &str,
) -> anyhow::Result<()> {
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut minting = ClientTokenCaller::new(connections.for_caller(0)?, basic_auth("json-client", issuer)?);
    let token = minting.issue().await.map_err(|status| anyhow::anyhow!(failure(&status).label))?.access_token;
    let asker = deployment.introspector()?;
    let authorization = asker.to_str().context("the credentials are no text")?.to_owned();
    let (mut grpc, mut json) = (Vec::new(), Vec::new());
    for n in 0..bench.run.tasks {
        let tokens = Tokens::Same(token.clone());
        grpc.push(IntrospectCaller::new(connections.for_caller(n)?, asker.clone(), tokens));
        json.push(JsonCaller::introspect(&server.http, &authorization, token.clone()).await?);
    }
    compare(bench, "introspect as JSON, same token", server, grpc, json).await
}

async fn sign_ins(bench: &mut Bench, deployment: &Deployment, server: &Server) -> anyhow::Result<()> {
    let number = PER_THREAD * bench.hashing_threads();
    let users = bench.create_users(deployment, 2 * number * USERS).await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let (mut grpc, mut json) = (Vec::new(), Vec::new());
    for (n, some) in users.chunks(2 * USERS).enumerate() {
        let (some, others) = some.split_at(some.len() / 2);
        let mut caller = LoginCaller::new(connections.for_caller(n)?, APP, some.to_vec(), PASSWORD);
        must_sign_in(&mut caller).await?;
        grpc.push(caller);
        json.push(JsonCaller::login(&server.http, APP, others.to_vec(), PASSWORD).await?);
    }
    compare(bench, "login as JSON", server, grpc, json).await
}

/// Runs both, in turn.
async fn compare<G: Caller, J: Caller>(
    bench: &mut Bench,
    name: &str,
    server: &Server,
    mut grpc: Vec<G>,
    mut json: Vec<J>,
) -> anyhow::Result<()> {
    let mut row = Row::new(name, "/s").against("the same over gRPC").goal(Goal::AtLeast(0.6));
    for _ in 0..bench.run.runs {
        let (of_grpc, left) = closed_loop(grpc, bench.window(), server.id()).await?;
        grpc = left;
        let (of_json, left) = closed_loop(json, bench.window(), server.id()).await?;
        json = left;
        ensure!(of_json.ok.count() > 0, "nothing succeeded: {:?}", of_json.failed.keys().collect::<Vec<_>>());
        row.add_compared(of_json.rate(), of_grpc.rate());
        row.detail(of_json);
        row.ceiling_run(of_grpc);
    }
    bench.report.add(row);
    Ok(())
}
