//! Whether a refresh costs more where there are many sessions, and what a session costs on disk.

use std::sync::Arc;

use anyhow::ensure;
use chancery::grpc::pb::{RefreshRequest, auth_service_client::AuthServiceClient};
use tonic::transport::Channel;

use super::Bench;
use crate::{
    args::Engine,
    calls::{Connections, refusal, request_id},
    load::{Caller, Outcome, closed},
    place::{APP, Place, Server},
    report::{Goal, Row, say},
    seed::{self, Sessions},
    stats::float,
};

/// A prime above any number of sessions: steps of this size meet each once before any again.
const STEP: u64 = 2_654_435_761;

/// Somebody who refreshes sessions from all over the table, each as seldom as possible.
#[derive(Debug)]
struct Roamer {
    rpc: AuthServiceClient<Channel>,
    sessions: Arc<Sessions>,
    /// Which of how many this is: it owns every session whose number leaves this remainder.
    own: (u64, u64),
    /// How often each of its sessions was refreshed here.
    generations: Vec<u32>,
    turn: u64,
}

impl Roamer {
    fn new(channel: Channel, sessions: Arc<Sessions>, own: (u64, u64)) -> anyhow::Result<Self> {
        let count = sessions.count().saturating_sub(own.0).div_ceil(own.1);
        ensure!(count > 0, "there are fewer sessions than chains");
        let generations = vec![0; usize::try_from(count)?];
        Ok(Self { rpc: AuthServiceClient::new(channel), sessions, own, generations, turn: own.0 })
    }
}

impl Caller for Roamer {
    async fn call(&mut self) -> Outcome {
        let count = u64::try_from(self.generations.len()).unwrap_or(1);
        let place = self.turn.wrapping_mul(STEP) % count;
        self.turn += 1;
        let slot = usize::try_from(place).ok().and_then(|place| self.generations.get_mut(place));
        let Some(generation) = slot else { return Outcome::Finished };
        let session = self.own.0 + place * self.own.1;
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
            Err(status) => match refusal(&status) {
                lost if lost.lost => Outcome::Refused(lost),
                refused => Outcome::Broken(refused),
            },
        }
    }
}

/// One table, with a server and callers.
struct Side {
    server: Server,
    callers: Vec<Roamer>,
    /// On disk, for each session.
    bytes: f64,
    _place: Place,
}

impl Side {
    async fn new(bench: &mut Bench, engine: Engine, count: u64) -> anyhow::Result<Self> {
        say(&format!("  writing {count} sessions"));
        let place = Place::new(&bench.tools, &bench.run, engine).await?;
        let sessions = Arc::new(seed::sessions(&place, bench.next_seed(), count).await?);
        let server = place.serve().await?;
        let connections = Connections::open(&server.grpc, bench.run.connections).await?;
        let mut callers = Vec::new();
        for n in 0..bench.run.chains {
            let own = (u64::try_from(n)?, u64::try_from(bench.run.chains)?);
            callers.push(Roamer::new(connections.of(n)?, sessions.clone(), own)?);
        }
        let bytes = float(sessions.bytes()) / float(count);
        Ok(Self { server, callers, bytes, _place: place })
    }

    async fn measure(&mut self, bench: &Bench) -> anyhow::Result<crate::stats::Measured> {
        let callers = std::mem::take(&mut self.callers);
        let (measured, left) = closed(callers, bench.window(), self.server.id()).await?;
        self.callers = left;
        Ok(measured)
    }
}

/// A large table against a small one.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let (few, many) = (bench.run.few, bench.run.many);
    let mut small = Side::new(bench, engine, few).await?;
    let mut large = Side::new(bench, engine, many).await?;
    let mut row =
        Row::new(format!("refresh at {many} sessions, {engine:?}"), "/s").against("at few").goal(Goal::AtLeast(0.8));
    row.note(format!("few are {few}; each caller refreshes sessions from all over the table"));
    let mut rows_small = Row::new(format!("refresh at {few} sessions, {engine:?}"), "/s");
    for _ in 0..bench.run.runs {
        let at_few = small.measure(bench).await?;
        let at_many = large.measure(bench).await?;
        row.compared(at_many.rate(), at_few.rate());
        row.detail(at_many);
        rows_small.value(at_few.rate());
        rows_small.detail(at_few);
    }
    let mut bytes = Row::new(format!("a session on disk, {engine:?}"), "bytes").goal(Goal::AtMost(700.0));
    bytes.note("row and indices, with a user agent of 100 bytes and the id of a request");
    bytes.value(large.bytes);
    for row in [rows_small, row, bytes] {
        bench.report.add(row);
    }
    Ok(())
}
