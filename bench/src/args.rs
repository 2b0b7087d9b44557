//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Benchmarks a Chancery server against the limits of the machine it runs on.
#[derive(Debug, Parser)]
#[command(name = "chancery-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios and print the results
    Run(Box<Run>),
    /// List the scenarios
    List,
    /// Serve bare gRPC echoes
    #[command(hide = true)]
    EchoServer,
    /// Serve a static page
    #[command(hide = true)]
    StaticServer {
        /// The page, as JSON
        page: PathBuf,
    },
    /// Open and refresh sessions as told on standard input
    #[command(hide = true)]
    Drive(Drive),
    /// Measure one ceiling in this process
    #[command(hide = true)]
    Ceiling(Ceiling),
}

/// A server, and who signs in there.
#[derive(Args, Clone, Debug)]
pub(crate) struct Drive {
    /// The server's address
    #[arg(long)]
    pub(crate) grpc: String,
    /// The application
    #[arg(long)]
    pub(crate) client: String,
    /// The users, separated by commas
    #[arg(long)]
    pub(crate) users: String,
    /// Their password
    #[arg(long)]
    pub(crate) password: String,
    /// How many refresh at once
    #[arg(long, default_value_t = 16)]
    pub(crate) chains: usize,
    /// How many sign in at once
    #[arg(long, default_value_t = 1)]
    pub(crate) openers: usize,
}

/// Which ceiling to measure, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Ceiling {
    /// What to measure
    #[arg(value_enum)]
    pub(crate) kind: CeilingKind,
    /// Duration in seconds
    #[arg(long)]
    pub(crate) seconds: f64,
    /// For commits: the directory of the file, or the database URL
    #[arg(long)]
    pub(crate) at: Option<String>,
    /// For commits: rows changed by each
    #[arg(long, default_value_t = 1)]
    pub(crate) rows: usize,
}

/// A ceiling that is measured in a separate process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CeilingKind {
    /// RS256 signatures with 2048-bit keys
    Rs256Sign,
    /// RS256 verifications
    Rs256Verify,
    /// ES256 signatures
    Es256Sign,
    /// ES256 verifications
    Es256Verify,
    /// Ed25519 signatures
    EddsaSign,
    /// Ed25519 verifications
    EddsaVerify,
    /// Argon2id hashes with the server's parameters
    Argon2id,
    /// Durable commits on SQLite
    Sqlite,
    /// Durable commits on PostgreSQL
    Postgres,
}

/// The server's database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// A file
    Sqlite,
    /// A database server, which may use all cores
    Postgres,
}

/// What to measure, how, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// Scenario to run; repeat it for more [default: all but the slowest]
    #[arg(long = "scenario", value_name = "NAME")]
    pub(crate) scenarios: Vec<String>,
    /// Database engine of the server; repeat it for more
    #[arg(long = "engine", value_name = "ENGINE", default_value = "sqlite")]
    pub(crate) engines: Vec<Engine>,
    /// Pin the server to core 0 and the load generator to core 1
    #[arg(long)]
    pub(crate) pin: bool,
    /// Runs of each measurement; the median is reported
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Seconds that each measurement takes
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Seconds of the same load before each measurement, not counted
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warmup: f64,
    /// Sessions refreshed concurrently
    #[arg(long, default_value_t = 512)]
    pub(crate) chains: usize,
    /// Concurrent requests of other kinds
    #[arg(long, default_value_t = 64)]
    pub(crate) tasks: usize,
    /// gRPC connections that the requests share
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: usize,
    /// Concurrent revocation streams
    #[arg(long, default_value_t = 500)]
    pub(crate) watchers: usize,
    /// Sessions in the small table of the growth scenario
    #[arg(long, default_value_t = 10_000)]
    pub(crate) few: u64,
    /// Sessions in the large table of the growth scenario
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) many: u64,
    /// Server binary [default: `chancery` beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    /// Write all results to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// PostgreSQL server on which databases may be created
    #[arg(long, value_name = "URL")]
    #[serde(skip)]
    pub(crate) postgres_url: Option<String>,
    /// Where to create temporary data directories [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Set by the program itself when it restarts on its core
    #[arg(long, hide = true)]
    #[serde(skip)]
    pub(crate) pinned: bool,
}
