//! Sign-ins: one hash each.

use super::Bench;
use crate::{
    args::{Engine, Kind},
    calls::{Connections, Logins, sign_in},
    load::closed,
    place::{APP, PASSWORD},
    report::{Goal, Row},
};

/// Sign-ins under way for each hashing thread: enough that none is ever idle.
const AT_ONCE: usize = 4;
/// Users of one caller, who sign in one after the other, so that none has too many sessions.
const USERS: usize = 16;

/// Against raw hashes on as many threads.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let place = bench.place(engine).await?;
    let number = AT_ONCE * bench.server_cores();
    let users = bench.users(&place, number * USERS).await?;
    let server = place.serve().await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut callers = Vec::new();
    for (n, some) in users.chunks(USERS).enumerate() {
        callers.push(Logins::new(connections.of(n)?, APP, some.to_vec(), PASSWORD));
    }
    for caller in &mut callers {
        sign_in(caller).await?;
    }
    let mut row = Row::new(format!("login, {number} at once"), "/s").against("raw Argon2id").goal(Goal::AtLeast(0.95));
    for _ in 0..bench.run.runs {
        let raw = bench.raw(Kind::Argon2id).await?;
        let (measured, left) = closed(callers, bench.window(), server.id()).await?;
        callers = left;
        row.compared(measured.rate(), raw);
        row.detail(measured);
    }
    bench.report.add(row);
    Ok(())
}
