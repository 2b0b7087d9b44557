//! Changes of what is kept with sessions, each under the version that the one before has returned; and what a value takes
//! on disk.

use anyhow::{Context, ensure};
use chancery::grpc::pb::{
    DataOwner, PutSessionDataRequest, StartGuestSessionRequest, auth_service_client::AuthServiceClient,
    session_data_service_client::SessionDataServiceClient,
};
use prost_types::{ListValue, Struct, Value, value::Kind};
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::{Bench, refresh};
use crate::{
    args::Engine,
    calls::{Connections, authorized, failure},
    deployment::Deployment,
    load::{Caller, Outcome, closed_loop},
    report::{Goal, Row},
    stats::float,
};

/// The client whose guests keep something.
const CLIENT: &str = "keeper";
/// Values of each session when their size on disk is measured.
const FILLED: usize = 8;

/// A session that keeps a cart.
#[derive(Debug)]
struct Keeper {
    rpc: SessionDataServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
    version: i64,
}

impl Keeper {
    async fn put(&mut self, namespace: &str, expected_version: i64) -> Result<i64, Status> {
        let message = PutSessionDataRequest {
            owner: DataOwner::User.into(),
            namespace: namespace.to_owned(),
            value: Some(cart()),
            expected_version,
            ..PutSessionDataRequest::default()
        };
        let answer = self.rpc.put_session_data(authorized(message, &self.authorization)).await?;
        Ok(answer.into_inner().version)
    }
}

impl Caller for Keeper {
    async fn call(&mut self) -> Outcome {
        match self.put("cart", self.version).await {
            Ok(version) => {
                self.version = version;
                Outcome::Answered
            }
            Err(status) => match failure(&status) {
                lost if lost.lost => Outcome::Failed(lost),
                refused => Outcome::Broken(refused),
            },
        }
    }
}

/// A cart of five things, about 300 bytes of JSON.
fn cart() -> Value {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let thing = |n: u32| {
        let id = ("sku".to_owned(), text(&format!("9781098100{n:03}")));
        let count = ("count".to_owned(), Value { kind: Some(Kind::NumberValue(f64::from(n))) });
        let title = ("title".to_owned(), text("a thing to buy"));
        Value { kind: Some(Kind::StructValue(Struct { fields: [id, count, title].into() })) }
    };
    Value { kind: Some(Kind::ListValue(ListValue { values: (1..=5).map(thing).collect() })) }
}

/// Compares changes with refreshes.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    // One address brings more than any may. A session is counted as ever, against a limit that it does not meet.
    for (name, value) in [
        ("address_guests", "0"),
        ("network_guests", "0"),
        ("guests_per_client", "10000000"),
        ("address_guest_writes", "0"),
        ("session_writes", "100000"),
        ("session_writes_per_hour", "3600000"),
    ] {
        deployment.cli(&["settings", "set", name, value], "").await?;
    }
    let server = deployment.serve().await?;
    let issuer = server.process.ready_value("issuer")?.to_owned();
    let flags = ["--public", "--first-party", "--alg", "ES256", "--grant", "guest", "--audience", &issuer];
    deployment.create_client(CLIENT, &[&flags[..], &["--token-lifetime", "3600"]].concat()).await?;
    let (mut chains, _) = refresh::create_chains(bench, &deployment, &server).await?;
    let mut keepers = keepers(bench, &server.grpc, &issuer).await?;
    let disk = disk_use(&deployment, &mut keepers).await?;
    let mut row = Row::new(format!("session data, put, {engine:?}"), "/s").against("refresh").goal(Goal::AtLeast(0.5));
    for _ in 0..bench.run.runs {
        let (refreshes, left) = closed_loop(chains, bench.window(), server.id()).await?;
        chains = left;
        let (puts, left) = closed_loop(keepers, bench.window(), server.id()).await?;
        keepers = left;
        ensure!(puts.ok.count() > 0, "nothing succeeded: {:?}", puts.failed.keys().collect::<Vec<_>>());
        row.add_compared(puts.rate(), refreshes.rate());
        row.detail(puts);
        row.ceiling_run(refreshes);
    }
    bench.report.add(row);
    bench.report.add(disk);
    Ok(())
}

/// As many sessions of guests as there are chains of refreshes.
async fn keepers(bench: &Bench, address: &str, issuer: &str) -> anyhow::Result<Vec<Keeper>> {
    let connections = Connections::open(address, bench.run.connections).await?;
    let mut keepers = Vec::new();
    for n in 0..bench.run.chains {
        let channel = connections.for_caller(n)?;
        let request = StartGuestSessionRequest {
            client_id: CLIENT.to_owned(),
            audience: issuer.to_owned(),
            ..StartGuestSessionRequest::default()
        };
        let answer = AuthServiceClient::new(channel.clone()).start_guest_session(request).await;
        let answer = answer.map_err(|status| anyhow::anyhow!("no guest: {}", failure(&status).label))?;
        let pair = answer.into_inner().tokens.context("a guest without tokens")?;
        let mut authorization: MetadataValue<Ascii> = format!("Bearer {}", pair.access_token).parse()?;
        authorization.set_sensitive(true);
        keepers.push(Keeper { rpc: SessionDataServiceClient::new(channel), authorization, version: 0 });
    }
    Ok(keepers)
}

/// What a value takes on disk.
async fn disk_use(deployment: &Deployment, keepers: &mut [Keeper]) -> anyhow::Result<Row> {
    let before = stored(deployment).await?;
    for keeper in keepers.iter_mut() {
        for n in 0..FILLED {
            let put = keeper.put(&format!("filled-{n}"), 0).await;
            put.map_err(|status| anyhow::anyhow!("a value was refused: {}", failure(&status).label))?;
        }
    }
    let after = stored(deployment).await?;
    let count = u64::try_from(FILLED * keepers.len())?;
    let mut row = Row::new(format!("disk use per value, {:?}", deployment.engine()), "bytes").goal(Goal::AtMost(900.0));
    row.note("a value of about 300 bytes; row, key and its share of the owner's row");
    row.add(float(u64::try_from(after - before).unwrap_or(0)) / float(count));
    Ok(row)
}

/// How large the tables are.
async fn stored(deployment: &Deployment) -> anyhow::Result<i64> {
    const PAGES: &str = "SELECT (page_count - freelist_count) * page_size \
        FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";
    const RELATIONS: &str = "SELECT CAST(pg_total_relation_size('session_data') \
        + pg_total_relation_size('session_data_owners') AS BIGINT)";
    let (bytes,): (i64,) = match deployment.engine() {
        Engine::Sqlite => {
            let options = SqliteConnectOptions::new().filename(deployment.file()).read_only(true);
            sqlx::query_as(PAGES).fetch_one(&mut SqliteConnection::connect_with(&options).await?).await?
        }
        Engine::Postgres => {
            let url = deployment.database().context("no PostgreSQL database")?;
            sqlx::query_as(RELATIONS).fetch_one(&mut PgConnection::connect(url).await?).await?
        }
    };
    Ok(bytes)
}
