//! How soon many watchers learn of a log-out, and what each costs.

use std::time::Duration;

use anyhow::Context;
use chancery::grpc::pb::{
    LogoutRequest, WatchRevocationsRequest, auth_service_client::AuthServiceClient, revocation,
    revocation_service_client::RevocationServiceClient, watch_revocations_response::Event,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::Bench;
use crate::{
    args::Engine,
    calls::{Connections, basic, refusal},
    machine::Usage,
    place::APP,
    report::Row,
    seed,
    stats::{Latencies, float, size},
};

/// Log-outs in one run.
const LOG_OUTS: usize = 20;
/// Streams on one connection.
const STREAMS: usize = 100;
/// Longest that a watcher may take to learn of anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Streams that are open, and what they are told.
struct Watchers {
    told: UnboundedReceiver<(String, Instant)>,
    _streams: JoinSet<()>,
}

/// Opens streams, and logs sessions out one after the other.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let number = bench.run.watchers;
    let place = bench.place(engine).await?;
    let secret = place.client("watcher", &["--permission", "revocations.read"]).await?;
    let server = place.serve().await?;
    let count = u64::try_from(LOG_OUTS * bench.run.runs)?;
    let sessions = seed::sessions(&place, bench.next_seed(), count).await?;
    let connections = Connections::open(&server.grpc, number.div_ceil(STREAMS)).await?;
    let authorization = basic("watcher", &secret)?;
    let before = Usage::of(server.id());
    let mut watchers = watch(&connections, number, &authorization).await?;
    let each = float(Usage::of(server.id()).rss_kib.saturating_sub(before.rss_kib)) / size(number);
    let mut rpc = AuthServiceClient::new(Connections::open(&server.grpc, 1).await?.of(0)?);
    let mut row = Row::new(format!("log-out to the answer of each of {number} watchers, p99"), "ms");
    let mut idle = Row::new(format!("signs of life to {number} watchers"), "% of a core");
    row.note(format!("{LOG_OUTS} log-outs a run, counted from the request; {each:.0} KiB for each watcher"));
    let mut next = 0;
    for _ in 0..bench.run.runs {
        let mut times = Latencies::default();
        for _ in 0..LOG_OUTS {
            let sent = Instant::now();
            let request =
                LogoutRequest { client_id: APP.to_owned(), refresh_token: sessions.token(next, seed::GENERATION) };
            rpc.logout(request).await.map_err(|s| anyhow::anyhow!("a log-out was refused: {}", refusal(&s).label))?;
            let id = sessions.id(next);
            next += 1;
            for _ in 0..number {
                times.add(watchers.learn(id.as_str()).await? - sent);
            }
        }
        row.value(times.percentile(99.0));
        row.note(format!("p50 {:.2} ms, max {:.2} ms", times.percentile(50.0), times.percentile(100.0)));
        let from = Usage::of(server.id());
        let began = Instant::now();
        sleep_until(began + Duration::from_secs_f64(bench.run.seconds)).await;
        let used = Usage::of(server.id()).cpu_ms.saturating_sub(from.cpu_ms);
        idle.value(float(used) / 10.0 / began.elapsed().as_secs_f64());
    }
    bench.report.add(row);
    bench.report.add(idle);
    Ok(())
}

impl Watchers {
    /// When the next watcher learned of this session.
    async fn learn(&mut self, session: &str) -> anyhow::Result<Instant> {
        loop {
            let told = timeout(PATIENCE, self.told.recv()).await.context("a watcher was not told in time")?;
            let (id, at) = told.context("all streams ended")?;
            if id == session {
                return Ok(at);
            }
        }
    }
}

/// Opens streams, and waits until each has said what was revoked before.
async fn watch(
    connections: &Connections,
    number: usize,
    authorization: &MetadataValue<Ascii>,
) -> anyhow::Result<Watchers> {
    let (tell, told) = unbounded_channel();
    let (begun, mut ready) = unbounded_channel();
    let mut streams = JoinSet::new();
    for n in 0..number {
        let (channel, authorization) = (connections.of(n)?, authorization.clone());
        streams.spawn(follow(channel, authorization, tell.clone(), begun.clone()));
    }
    drop(begun);
    for _ in 0..number {
        let first = timeout(PATIENCE, ready.recv()).await.context("a stream did not begin in time")?;
        first.context("a stream did not begin")?.map_err(|label| anyhow::anyhow!("a stream was refused: {label}"))?;
    }
    Ok(Watchers { told, _streams: streams })
}

/// One stream, until it ends.
async fn follow(
    channel: Channel,
    authorization: MetadataValue<Ascii>,
    tell: UnboundedSender<(String, Instant)>,
    begun: UnboundedSender<Result<(), String>>,
) {
    let mut request = Request::new(WatchRevocationsRequest::default());
    request.metadata_mut().insert("authorization", authorization);
    let stream = RevocationServiceClient::new(channel).watch_revocations(request).await;
    let mut stream = match stream {
        Ok(stream) => stream.into_inner(),
        Err(status) => return drop(begun.send(Err(refusal(&status).label))),
    };
    let mut begun = Some(begun);
    while let Ok(Some(message)) = stream.message().await {
        // The first says what was revoked before.
        if let Some(begun) = begun.take() {
            let _ = begun.send(Ok(()));
        }
        if let Some(Event::Revocation(revoked)) = message.event
            && let Some(revocation::Subject::SessionId(id)) = revoked.subject
            && tell.send((id, Instant::now())).is_err()
        {
            return;
        }
    }
}
