//! A data directory, perhaps with a PostgreSQL database, and the server on it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use chancery::keys::SealingKey;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    args::{Engine, Run},
    calls::basic,
    load::Window,
    pin,
    process::{Process, output},
};

/// The audience of all tokens here.
pub(crate) const AUDIENCE: &str = "bench-api";
/// The password of all users here.
pub(crate) const PASSWORD: &str = "a long pass phrase for measuring";
/// The public client whose tokens are signed by ES256.
pub(crate) const APP: &str = "bench-app";
/// The client that serves our audience.
const ASKER: &str = "asker";
/// Every listener on a port that is free, and no line of log for each call.
const SERVE: [&str; 9] =
    ["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--telemetry", "127.0.0.1:0", "--log", "warn"];

/// The programs, and where they run.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// This program.
    pub(crate) own: PathBuf,
    /// `chancery`.
    pub(crate) server: PathBuf,
    /// Whether each has its core.
    pub(crate) pin: bool,
    /// For logs and files of this run.
    pub(crate) dir: PathBuf,
}

impl Tools {
    /// Finds the programs.
    pub(crate) fn find(run: &Run, dir: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let beside = own.with_file_name("chancery");
        let server = run.server.clone().unwrap_or(beside);
        anyhow::ensure!(server.is_file(), "there is no server at {}; name it by --server", server.display());
        Ok(Self { own, server, pin: run.pin, dir: dir.to_owned() })
    }
}

/// What a server says it is.
pub(crate) async fn server_version(tools: &Tools) -> anyhow::Result<String> {
    let mut command = Command::new(&tools.server);
    command.arg("--version");
    Ok(output(command, "").await?.trim().to_owned())
}

/// The flags that a server is started with, for the record.
pub(crate) fn serve_flags() -> String {
    SERVE.join(" ")
}

/// Where one server keeps its data.
#[derive(Debug)]
pub(crate) struct Place {
    tools: Tools,
    dir: TempDir,
    engine: Engine,
    /// The database, if it is not in the directory.
    database: Option<String>,
    /// The secret of [`ASKER`].
    secret: String,
}

impl Place {
    /// A new place with a claimed database and the clients [`APP`] and [`ASKER`].
    pub(crate) async fn new(tools: &Tools, run: &Run, engine: Engine) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("data-").tempdir_in(&tools.dir)?;
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let url = run.postgres_url.as_deref();
                Some(new_database(url.context("--engine postgres needs --postgres-url")?, dir.path()).await?)
            }
        };
        let mut place = Self { tools: tools.clone(), dir, engine, database, secret: String::new() };
        place.serve().await?.process.stop().await?;
        let app = ["--public", "--first-party", "--alg", "ES256", "--scope", "read"];
        place.client(APP, &app).await?;
        // An audience is served by one client only.
        place.secret = place.client(ASKER, &["--serves", AUDIENCE]).await?;
        Ok(place)
    }

    /// How the client proves itself that may ask about our tokens.
    pub(crate) fn asker(&self) -> anyhow::Result<MetadataValue<Ascii>> {
        basic(ASKER, &self.secret)
    }

    /// The database's kind.
    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// What the database calls itself.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let (text,): (String,) = if let Some(url) = &self.database {
            sqlx::query_as("SELECT version()").fetch_one(&mut PgConnection::connect(url).await?).await?
        } else {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
            sqlx::query_as("SELECT 'SQLite ' || sqlite_version()").fetch_one(&mut connection).await?
        };
        Ok(text)
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file of SQLite.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("chancery.db")
    }

    /// The PostgreSQL database.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The key that refresh tokens of this place are made with.
    pub(crate) fn sealing_key(&self) -> anyhow::Result<Arc<SealingKey>> {
        let bytes = std::fs::read(self.dir.path().join("sealing.key"))?;
        Ok(Arc::new(SealingKey::new(&SealingKey::parse(&bytes)?)))
    }

    /// `chancery` with these arguments on this place, without the settings of whoever runs this.
    fn command(&self, mut command: Command, args: &[&str]) -> Command {
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("CHANCERY_")) {
            command.env_remove(name);
        }
        command.args(args).arg("--data-dir").arg(self.dir.path());
        if let Some(url) = &self.database {
            command.args(["--database", url]);
        }
        command
    }

    /// Runs a command on the database; gives its standard output.
    pub(crate) async fn cli(&self, args: &[&str], stdin: &str) -> anyhow::Result<String> {
        output(self.command(Command::new(&self.tools.server), args), stdin).await
    }

    /// Registers a client with our audience; gives its secret, if it has one.
    pub(crate) async fn client(&self, id: &str, flags: &[&str]) -> anyhow::Result<String> {
        let args = [&["client", "create", id, "--audience", AUDIENCE, "--json"], flags].concat();
        let made: Value = serde_json::from_str(&self.cli(&args, "").await?)?;
        Ok(made.get("client_secret").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Creates a user with [`PASSWORD`].
    pub(crate) async fn user(&self, name: &str) -> anyhow::Result<()> {
        self.cli(&["user", "create", name, "--password-stdin"], PASSWORD).await.map(drop)
    }

    /// Starts a server.
    pub(crate) async fn serve(&self) -> anyhow::Result<Server> {
        self.serve_with(pin::server_side(self.tools.pin, &self.tools.server)).await
    }

    /// Starts a server by a command that ends in the program's name.
    pub(crate) async fn serve_with(&self, program: Command) -> anyhow::Result<Server> {
        let log = self.dir.path().with_extension("log");
        let process = Process::start(self.command(program, &SERVE), &log).await?;
        let (grpc, http) = (process.said("grpc")?.to_owned(), process.said("http")?.to_owned());
        Ok(Server { process, grpc, http })
    }
}

/// A server that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    /// Where it listens for gRPC.
    pub(crate) grpc: String,
    /// Where it listens for HTTP.
    pub(crate) http: String,
}

impl Server {
    /// Session id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Makes a database of its own for a place; who gives us the server throws it away afterwards.
async fn new_database(url: &str, dir: &Path) -> anyhow::Result<String> {
    let name: String = dir.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = format!("bench_{}_{}", std::process::id(), name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let mut connection = PgConnection::connect(url).await.context("cannot reach the PostgreSQL server")?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    connection.close().await?;
    let (base, _) = url.rsplit_once('/').context("--postgres-url names no database")?;
    Ok(format!("{base}/{name}"))
}

/// The window that is asked for.
pub(crate) fn window(run: &Run) -> Window {
    Window { warmup: Duration::from_secs_f64(run.warmup), measured: Duration::from_secs_f64(run.seconds) }
}
