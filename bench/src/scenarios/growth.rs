//! Whether refreshes slow down when there are many sessions, and the disk use per session.

use std::sync::Arc;

use anyhow::ensure;
use chancery::grpc::pb::{RefreshRequest, auth_service_client::AuthServiceClient};
use tonic::transport::Channel;

use super::Bench;
use crate::{
    args::Engine,
    calls::{Connections, failure, request_id},
    deployment::{APP, Deployment, Server},
    load::{Caller, Outcome, closed_loop},
    report::{Goal, Row, progress},
    seed::{self, Sessions},
    stats::float,
};

/// A prime larger than any number of sessions: steps of this size visit every session before repeating one.
const STEP: u64 = 2_654_435_761;

/// A caller that refreshes its sessions in an order that is spread over the table, each as rarely as possible.
#[derive(Debug)]
struct SpreadCaller {
    rpc: AuthServiceClient<Channel>,
    sessions: Arc<Sessions>,
    /// This caller's number and the number of callers: it owns the sessions with this remainder.
    share: (u64, u64),
    /// How often each of its sessions has been refreshed.
    generations: Vec<u32>,
    turn: u64,
}

impl SpreadCaller {
    fn new(channel: Channel, sessions: Arc<Sessions>, share: (u64, u64)) -> anyhow::Result<Self> {
        let count = sessions.count().saturating_sub(share.0).div_ceil(share.1);
        ensure!(count > 0, "there are fewer sessions than chains");
        let generations = vec![0; usize::try_from(count)?];
        Ok(Self { rpc: AuthServiceClient::new(channel), sessions, share, generations, turn: share.0 })
    }
}

impl Caller for SpreadCaller {
    async fn call(&mut self) -> Outcome {
        let count = u64::try_from(self.generations.len()).unwrap_or(1);
        let index = self.turn.wrapping_mul(STEP) % count;
        self.turn += 1;
        let slot = usize::try_from(index).ok().and_then(|index| self.generations.get_mut(index));
        let Some(generation) = slot else { return Outcome::Finished };
        let session = self.share.0 + index * self.share.1;
        let request = RefreshRequest {
            client_id: APP.to_owned(),
            refresh_token: self.sessions.token(session, seed::GENERATION + i64::from(*generation)),
            request_id: request_id(self.turn),
            ..RefreshRequest::default()
        };
        match self.rpc.refresh(request).await {
            Ok(_) => {
                *generation += 1;
                Outcome::Answered
            }
            Err(status) => match failure(&status) {
                lost if lost.lost => Outcome::Failed(lost),
                refused => Outcome::Broken(refused),
            },
        }
    }
}

/// A table of some size, with a server and callers.
struct LoadedTable {
    server: Server,
    callers: Vec<SpreadCaller>,
    /// Bytes on disk per session.
    bytes: f64,
    _deployment: Deployment,
}

impl LoadedTable {
    async fn new(bench: &mut Bench, engine: Engine, count: u64) -> anyhow::Result<Self> {
        progress(&format!("  writing {count} sessions"));
        let deployment = Deployment::new(&bench.tools, &bench.run, engine).await?;
        let sessions = Arc::new(seed::write_sessions(&deployment, bench.next_seed(), count).await?);
        let server = deployment.serve().await?;
        let connections = Connections::open(&server.grpc, bench.run.connections).await?;
        let mut callers = Vec::new();
        for n in 0..bench.run.chains {
            let share = (u64::try_from(n)?, u64::try_from(bench.run.chains)?);
            callers.push(SpreadCaller::new(connections.for_caller(n)?, sessions.clone(), share)?);
        }
        let bytes = float(sessions.bytes()) / float(count);
        Ok(Self { server, callers, bytes, _deployment: deployment })
    }

    async fn measure(&mut self, bench: &Bench) -> anyhow::Result<crate::stats::Measurement> {
        let callers = std::mem::take(&mut self.callers);
        let (measured, left) = closed_loop(callers, bench.window(), self.server.id()).await?;
        self.callers = left;
        Ok(measured)
    }
}

/// Compares a large table with a small one.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let (few, many) = (bench.run.few, bench.run.many);
    let mut small = LoadedTable::new(bench, engine, few).await?;
    let mut large = LoadedTable::new(bench, engine, many).await?;
    let mut row = Row::new(format!("refresh at {many} sessions, {engine:?}"), "/s")
        .against("small table")
        .goal(Goal::AtLeast(0.8));
    row.note(format!("the small table has {few} sessions; refreshes are spread over the whole table"));
    let mut small_row = Row::new(format!("refresh at {few} sessions, {engine:?}"), "/s");
    for _ in 0..bench.run.runs {
        let at_few = small.measure(bench).await?;
        let at_many = large.measure(bench).await?;
        row.add_compared(at_many.rate(), at_few.rate());
        row.detail(at_many);
        small_row.add(at_few.rate());
        small_row.detail(at_few);
    }
    let mut bytes = Row::new(format!("disk use per session, {engine:?}"), "bytes").goal(Goal::AtMost(700.0));
    bytes.note("row and indexes, with a user agent of 100 bytes and a request id");
    bytes.add(large.bytes);
    for row in [small_row, row, bytes] {
        bench.report.add(row);
    }
    Ok(())
}
