//! Far more guests from one address than there may be: what other calls notice of them, what is written, and what one
//! guest takes on disk.

use anyhow::{Context, ensure};
use chancery::grpc::pb::{StartGuestSessionRequest, auth_service_client::AuthServiceClient};
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::{Bench, latency::half_rate, refresh};
use crate::{
    args::Engine,
    calls::{Chain, Connections, failure},
    deployment::Deployment,
    load::{Caller, Outcome, closed_loop, open_loop},
    report::{Goal, Row, progress},
    stats::{Measurement, float},
};

/// The client that has guests.
const CLIENT: &str = "kiosk";
/// Guests that come per second: ten thousand a minute.
const OFFERED: f64 = 10_000.0 / 60.0;
/// Callers that bring guests.
const CALLERS: usize = 64;
/// Guests that are let in to see what one takes on disk: so many callers, with so many each.
const FILLERS: usize = 8;
const PER_FILLER: usize = 1_000;

/// Guests and their tables.
struct Stored {
    guests: i64,
    bytes: i64,
}

/// Somebody who comes as a guest over and over.
#[derive(Debug)]
struct GuestCaller {
    rpc: AuthServiceClient<Channel>,
}

impl Caller for GuestCaller {
    async fn call(&mut self) -> Outcome {
        let device_label = "bench".to_owned();
        let request = StartGuestSessionRequest { client_id: CLIENT.to_owned(), device_label, ..Default::default() };
        match self.rpc.start_guest_session(request).await {
            Ok(_) => Outcome::Answered,
            Err(status) => Outcome::Failed(failure(&status)),
        }
    }
}

/// Compares refreshes at half capacity with and without the guests.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let flags = ["--public", "--first-party", "--alg", "ES256", "--grant", "guest", "--grant", "refresh_token"];
    deployment.create_client(CLIENT, &flags).await?;
    let server = deployment.serve().await?;
    let (mut chains, _) = refresh::create_chains(bench, &deployment, &server).await?;
    let connections = Connections::open(&server.grpc, bench.run.connections).await?;
    let mut guests = Vec::new();
    for n in 0..CALLERS {
        guests.push(GuestCaller { rpc: AuthServiceClient::new(connections.for_caller(n)?) });
    }
    let mut refreshes_row = Row::new(format!("refresh p99 while 10 000 guests a minute come, {engine:?}"), "ms")
        .against("ms without guests")
        .goal(Goal::AtMost(2.0));
    let mut refused_row = Row::new(format!("refused guests, p99, {engine:?}"), "ms").goal(Goal::AtMost(10.0));
    let before = stored(&deployment).await?;
    for _ in 0..bench.run.runs {
        let (capacity, left) = closed_loop(chains, bench.window(), server.id()).await?;
        let rate = half_rate(&capacity)?;
        let (calm, left): (Measurement, Vec<Chain>) = open_loop(left, rate, bench.window(), server.id()).await?;
        let (refreshes, crowd) = tokio::join!(
            open_loop(left, rate, bench.window(), server.id()),
            open_loop(guests, OFFERED, bench.window(), server.id()),
        );
        let ((refreshes, left), (crowd, left_guests)) = (refreshes?, crowd?);
        (chains, guests) = (left, left_guests);
        refreshes_row.add_compared(refreshes.ok.percentile(99.0), calm.ok.percentile(99.0));
        refreshes_row.detail(refreshes);
        let refused = crowd.failed_with("RESOURCE_EXHAUSTED");
        if refused.count() > 0 {
            refused_row.add(refused.percentile(99.0));
        }
        refused_row.note(format!("{} of {OFFERED:.0}/s were refused", refused.count()));
    }
    let written = stored(&deployment).await?.guests - before.guests;
    refused_row.note(format!("{written} rows were written for all that came"));
    bench.report.add(refreshes_row);
    bench.report.add(refused_row);
    bench.report.add(disk_use(&deployment, &connections).await?);
    Ok(())
}

/// What a guest takes on disk, without limits.
async fn disk_use(deployment: &Deployment, connections: &Connections) -> anyhow::Result<Row> {
    for (name, value) in [("address_guests", "0"), ("network_guests", "0"), ("guests_per_client", "10000000")] {
        deployment.cli(&["settings", "set", name, value], "").await?;
    }
    // The server applies settings within a second.
    tokio::time::sleep_until(tokio::time::Instant::now() + std::time::Duration::from_secs(2)).await;
    progress(&format!("  letting {} guests in", FILLERS * PER_FILLER));
    let before = stored(deployment).await?;
    let mut fillers = JoinSet::new();
    for n in 0..FILLERS {
        let mut rpc = AuthServiceClient::new(connections.for_caller(n)?);
        fillers.spawn(async move {
            for _ in 0..PER_FILLER {
                let client_id = CLIENT.to_owned();
                rpc.start_guest_session(StartGuestSessionRequest { client_id, ..Default::default() }).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = fillers.join_next().await {
        done??;
    }
    let after = stored(deployment).await?;
    let guests = after.guests - before.guests;
    ensure!(guests > 0, "no guest was let in");
    let bytes = u64::try_from(after.bytes - before.bytes).unwrap_or(0);
    let mut row =
        Row::new(format!("disk use per guest, {:?}", deployment.engine()), "bytes").goal(Goal::AtMost(1000.0));
    row.note("row and indexes");
    row.add(float(bytes) / float(u64::try_from(guests)?));
    Ok(row)
}

/// How many guests are stored, and how large their tables are.
async fn stored(deployment: &Deployment) -> anyhow::Result<Stored> {
    const GUESTS: &str = "SELECT count(*) FROM sessions WHERE user_id IS NULL";
    const PAGES: &str = "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)";
    const RELATIONS: &str =
        "SELECT CAST(pg_total_relation_size('sessions') + pg_total_relation_size('session_data') AS BIGINT)";
    let (guests, bytes): ((i64,), (i64,)) = match deployment.engine() {
        Engine::Sqlite => {
            let options = SqliteConnectOptions::new().filename(deployment.file()).read_only(true);
            let mut connection = SqliteConnection::connect_with(&options).await?;
            (
                sqlx::query_as(GUESTS).fetch_one(&mut connection).await?,
                sqlx::query_as(PAGES).fetch_one(&mut connection).await?,
            )
        }
        Engine::Postgres => {
            let url = deployment.database().context("no PostgreSQL database")?;
            let mut connection = PgConnection::connect(url).await?;
            (
                sqlx::query_as(GUESTS).fetch_one(&mut connection).await?,
                sqlx::query_as(RELATIONS).fetch_one(&mut connection).await?,
            )
        }
    };
    Ok(Stored { guests: guests.0, bytes: bytes.0 })
}
