//! Measures how fast a logout reaches many watchers, and the cost per watcher.

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
    calls::{Connections, basic_auth, failure},
    deployment::APP,
    machine::Usage,
    report::Row,
    seed,
    stats::{Latencies, float, size},
};

/// Logouts per run.
const LOGOUTS: usize = 20;
/// Streams per connection.
const STREAMS: usize = 100;
/// Time limit for an event to reach a watcher.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Open streams, and the revocations they receive.
struct Watchers {
    received: UnboundedReceiver<(String, Instant)>,
    _streams: JoinSet<()>,
}

/// Opens streams and logs sessions out one after the other.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let number = bench.run.watchers;
    let deployment = bench.deployment(engine).await?;
    let secret = deployment.create_client("watcher", &["--permission", "revocations.read"]).await?;
    let server = deployment.serve().await?;
    let count = u64::try_from(LOGOUTS * bench.run.runs)?;
    let sessions = seed::write_sessions(&deployment, bench.next_seed(), count).await?;
    let connections = Connections::open(&server.grpc, number.div_ceil(STREAMS)).await?;
    let authorization = basic_auth("watcher", &secret)?;
    let before = Usage::of(server.id());
    let mut watchers = watch(&connections, number, &authorization).await?;
    let each = float(Usage::of(server.id()).rss_kib.saturating_sub(before.rss_kib)) / size(number);
    let mut rpc = AuthServiceClient::new(Connections::open(&server.grpc, 1).await?.for_caller(0)?);
    let mut row = Row::new(format!("logout to notice at each of {number} watchers, p99"), "ms");
    let mut idle = Row::new(format!("heartbeats to {number} watchers"), "% of a core");
    row.note(format!("{LOGOUTS} logouts per run, timed from the request; {each:.0} KiB per watcher"));
    let mut next = 0;
    for _ in 0..bench.run.runs {
        let mut times = Latencies::default();
        for _ in 0..LOGOUTS {
            let sent = Instant::now();
            let request =
                LogoutRequest { client_id: APP.to_owned(), refresh_token: sessions.token(next, seed::GENERATION) };
            rpc.logout(request).await.map_err(|s| anyhow::anyhow!("a logout failed: {}", failure(&s).label))?;
            let id = sessions.id(next);
            next += 1;
            for _ in 0..number {
                times.add(watchers.next_notice(id.as_str()).await? - sent);
            }
        }
        row.add(times.percentile(99.0));
        row.note(format!("p50 {:.2} ms, max {:.2} ms", times.percentile(50.0), times.percentile(100.0)));
        let from = Usage::of(server.id());
        let began = Instant::now();
        sleep_until(began + Duration::from_secs_f64(bench.run.seconds)).await;
        let used = Usage::of(server.id()).cpu_ms.saturating_sub(from.cpu_ms);
        idle.add(float(used) / 10.0 / began.elapsed().as_secs_f64());
    }
    bench.report.add(row);
    bench.report.add(idle);
    Ok(())
}

impl Watchers {
    /// The time at which the next watcher received this session's revocation.
    async fn next_notice(&mut self, session: &str) -> anyhow::Result<Instant> {
        loop {
            let next = timeout(TIME_LIMIT, self.received.recv())
                .await
                .context("a revocation did not reach a watcher in time")?;
            let (id, at) = next.context("all streams ended")?;
            if id == session {
                return Ok(at);
            }
        }
    }
}

/// Opens streams and waits for the first message of each.
async fn watch(
    connections: &Connections,
    number: usize,
    authorization: &MetadataValue<Ascii>,
) -> anyhow::Result<Watchers> {
    let (report, received) = unbounded_channel();
    let (started, mut ready) = unbounded_channel();
    let mut streams = JoinSet::new();
    for n in 0..number {
        let (channel, authorization) = (connections.for_caller(n)?, authorization.clone());
        streams.spawn(follow(channel, authorization, report.clone(), started.clone()));
    }
    drop(started);
    for _ in 0..number {
        let first = timeout(TIME_LIMIT, ready.recv()).await.context("a stream did not start in time")?;
        first.context("a stream did not start")?.map_err(|label| anyhow::anyhow!("a stream failed: {label}"))?;
    }
    Ok(Watchers { received, _streams: streams })
}

/// Reads one stream until it ends.
async fn follow(
    channel: Channel,
    authorization: MetadataValue<Ascii>,
    report: UnboundedSender<(String, Instant)>,
    started: UnboundedSender<Result<(), String>>,
) {
    let mut request = Request::new(WatchRevocationsRequest::default());
    request.metadata_mut().insert("authorization", authorization);
    let stream = RevocationServiceClient::new(channel).watch_revocations(request).await;
    let mut stream = match stream {
        Ok(stream) => stream.into_inner(),
        Err(status) => return drop(started.send(Err(failure(&status).label))),
    };
    let mut started = Some(started);
    while let Ok(Some(message)) = stream.message().await {
        // The first message is the snapshot.
        if let Some(started) = started.take() {
            let _ = started.send(Ok(()));
        }
        if let Some(Event::Revocation(revoked)) = message.event
            && let Some(revocation::Subject::SessionId(id)) = revoked.subject
            && report.send((id, Instant::now())).is_err()
        {
            return;
        }
    }
}
