//! A data directory, an optional PostgreSQL database, and the server that uses them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use chancery::keys::{SealingKey, SealingKeys};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    args::{Engine, Run},
    calls::basic_auth,
    load::Window,
    pin,
    process::{Process, run_to_end},
};

/// The audience of all tokens in the benchmark.
pub(crate) const AUDIENCE: &str = "bench-api";
/// The password of all users in the benchmark.
pub(crate) const PASSWORD: &str = "a long pass phrase for measuring";
/// The public client, whose tokens are signed with ES256.
pub(crate) const APP: &str = "bench-app";
/// The client that owns the audience and may introspect its tokens.
const INTROSPECTOR: &str = "introspector";
/// Listens on free ports, and writes no log line per call.
const SERVE: [&str; 9] =
    ["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--telemetry", "127.0.0.1:0", "--log", "warn"];

/// The programs, and how to run them.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// This program.
    pub(crate) own: PathBuf,
    /// `chancery`.
    pub(crate) server: PathBuf,
    /// Whether processes are pinned to cores.
    pub(crate) pin: bool,
    /// The directory for logs and files of this run.
    pub(crate) dir: PathBuf,
}

impl Tools {
    /// Locates the programs.
    pub(crate) fn find(run: &Run, dir: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let beside = own.with_file_name("chancery");
        let server = run.server.clone().unwrap_or(beside);
        anyhow::ensure!(server.is_file(), "no server binary at {}; use --server", server.display());
        Ok(Self { own, server, pin: run.pin, dir: dir.to_owned() })
    }
}

/// The version that the server reports.
pub(crate) async fn server_version(tools: &Tools) -> anyhow::Result<String> {
    let mut command = Command::new(&tools.server);
    command.arg("--version");
    Ok(run_to_end(command, "").await?.trim().to_owned())
}

/// The flags that servers are started with, for the report.
pub(crate) fn serve_flags() -> String {
    SERVE.join(" ")
}

/// The data of one server.
#[derive(Debug)]
pub(crate) struct Deployment {
    tools: Tools,
    dir: TempDir,
    engine: Engine,
    /// The URL of the PostgreSQL database, if there is one.
    database: Option<String>,
    /// The secret of [`INTROSPECTOR`].
    secret: String,
}

impl Deployment {
    /// Creates a deployment: an initialized database and the clients [`APP`] and [`INTROSPECTOR`].
    pub(crate) async fn new(tools: &Tools, run: &Run, engine: Engine) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("data-").tempdir_in(&tools.dir)?;
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let url = run.postgres_url.as_deref();
                Some(new_database(url.context("--engine postgres needs --postgres-url")?, dir.path()).await?)
            }
        };
        let mut deployment = Self { tools: tools.clone(), dir, engine, database, secret: String::new() };
        deployment.serve().await?.process.stop().await?;
        let app = ["--public", "--first-party", "--alg", "ES256", "--scope", "read"];
        deployment.create_client(APP, &app).await?;
        // An audience has only one owner.
        deployment.secret = deployment.create_client(INTROSPECTOR, &["--serves", AUDIENCE]).await?;
        Ok(deployment)
    }

    /// The credentials of the client that may introspect.
    pub(crate) fn introspector(&self) -> anyhow::Result<MetadataValue<Ascii>> {
        basic_auth(INTROSPECTOR, &self.secret)
    }

    /// The database engine.
    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// The version that the database reports.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let (text,): (String,) = if let Some(url) = &self.database {
            sqlx::query_as("SELECT version()").fetch_one(&mut PgConnection::connect(url).await?).await?
        } else {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
            sqlx::query_as("SELECT 'SQLite ' || sqlite_version()").fetch_one(&mut connection).await?
        };
        Ok(text)
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The SQLite database file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("chancery.db")
    }

    /// The URL of the PostgreSQL database.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The sealing key, which refresh tokens are derived from.
    pub(crate) fn sealing_key(&self) -> anyhow::Result<Arc<SealingKeys>> {
        let bytes = std::fs::read(self.dir.path().join("sealing.key"))?;
        Ok(Arc::new(SealingKey::new(&SealingKey::parse(&bytes)?).into()))
    }

    /// Adds arguments for this deployment to a command, and removes the caller's `CHANCERY_` settings.
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

    /// Runs a `chancery` command on this deployment; returns its standard output.
    pub(crate) async fn cli(&self, args: &[&str], stdin: &str) -> anyhow::Result<String> {
        run_to_end(self.command(Command::new(&self.tools.server), args), stdin).await
    }

    /// Creates a client with the benchmark's audience; returns its secret, or an empty string.
    pub(crate) async fn create_client(&self, id: &str, flags: &[&str]) -> anyhow::Result<String> {
        let args = [&["client", "create", id, "--audience", AUDIENCE, "--json"], flags].concat();
        let made: Value = serde_json::from_str(&self.cli(&args, "").await?)?;
        Ok(made.get("client_secret").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Creates a user with [`PASSWORD`].
    pub(crate) async fn create_user(&self, name: &str) -> anyhow::Result<()> {
        self.cli(&["user", "create", name, "--password-stdin"], PASSWORD).await.map(drop)
    }

    /// Starts a server.
    pub(crate) async fn serve(&self) -> anyhow::Result<Server> {
        self.serve_with(pin::server_side(self.tools.pin, &self.tools.server)).await
    }

    /// Starts a server that is asked about browsers.
    pub(crate) async fn serve_for_browsers(&self) -> anyhow::Result<Server> {
        let command = pin::server_side(self.tools.pin, &self.tools.server);
        self.start(command, &["--check", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1"]).await
    }

    /// Starts a server with TLS. Returns what its clients have to trust too.
    pub(crate) async fn serve_with_tls(&self) -> anyhow::Result<(Server, String)> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (cert, key) = (self.dir.path().join("tls.crt"), self.dir.path().join("tls.key"));
        std::fs::write(&cert, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let command = pin::server_side(self.tools.pin, &self.tools.server);
        let server = self.start(command, &["--tls-cert", &cert, "--tls-key", &key]).await?;
        Ok((server, made.cert.pem()))
    }

    /// Starts a server with a command that ends with the program's name.
    pub(crate) async fn serve_with(&self, program: Command) -> anyhow::Result<Server> {
        self.start(program, &[]).await
    }

    async fn start(&self, program: Command, flags: &[&str]) -> anyhow::Result<Server> {
        let log = self.dir.path().with_extension("log");
        let mut command = self.command(program, &[&SERVE, flags].concat());
        if self.database.is_some() {
            command.arg("--create-sealing-key");
        }
        let process = Process::start(command, &log).await?;
        let (grpc, http) = (process.ready_value("grpc")?.to_owned(), process.ready_value("http")?.to_owned());
        Ok(Server { process, grpc, http })
    }
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    /// The gRPC address.
    pub(crate) grpc: String,
    /// The HTTP address.
    pub(crate) http: String,
}

impl Server {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Creates a database for a deployment. It is not dropped: the PostgreSQL server is expected to be a throwaway.
async fn new_database(url: &str, dir: &Path) -> anyhow::Result<String> {
    let name: String = dir.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = format!("bench_{}_{}", std::process::id(), name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let mut connection = PgConnection::connect(url).await.context("cannot reach the PostgreSQL server")?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    connection.close().await?;
    let (base, _) = url.rsplit_once('/').context("--postgres-url does not name a database")?;
    Ok(format!("{base}/{name}"))
}

/// The window set by the flags.
pub(crate) fn window(run: &Run) -> Window {
    Window { warmup: Duration::from_secs_f64(run.warmup), measured: Duration::from_secs_f64(run.seconds) }
}
