//! Measures sign-ins: one hash each.

use super::Bench;
use crate::{
    args::{CeilingKind, Engine},
    calls::{Connections, LoginCaller, must_sign_in},
    deployment::{APP, PASSWORD},
    load::closed_loop,
    report::{Goal, Row},
};

/// Concurrent sign-ins per hashing thread: enough that no thread is ever idle.
const PER_THREAD: usize = 4;
/// Users per caller. They sign in one after the other, so that none reaches the session limit.
const USERS: usize = 16;

/// Compares sign-ins with raw hashes on as many threads.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let number = PER_THREAD * bench.hashing_threads();
    let users = bench.create_users(&deployment, number * USERS).await?;
    let server = deployment.serve().await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut callers = Vec::new();
    for (n, some) in users.chunks(USERS).enumerate() {
        callers.push(LoginCaller::new(connections.for_caller(n)?, APP, some.to_vec(), PASSWORD));
    }
    for caller in &mut callers {
        must_sign_in(caller).await?;
    }
    let mut row = Row::new(format!("login, {number} at once"), "/s").against("raw Argon2id").goal(Goal::AtLeast(0.95));
    for _ in 0..bench.run.runs {
        let raw = bench.raw_rate(CeilingKind::Argon2id).await?;
        let (measured, left) = closed_loop(callers, bench.window(), server.id()).await?;
        callers = left;
        row.add_compared(measured.rate(), raw);
        row.detail(measured);
    }
    bench.report.add(row);
    Ok(())
}
