//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Measures a Chancery server against the ceilings of the machine it runs on.
#[derive(Debug, Parser)]
#[command(name = "chancery-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure.
    Run(Box<Run>),
    /// Name the scenarios.
    List,
    /// The bare gRPC server.
    #[command(hide = true)]
    EchoServer,
    /// The bare HTTP server.
    #[command(hide = true)]
    StaticServer {
        /// The page, as JSON.
        page: PathBuf,
    },
    /// One ceiling, measured in this process.
    #[command(hide = true)]
    Ceiling(Ceiling),
}

/// Which ceiling, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Ceiling {
    /// What is measured.
    #[arg(value_enum)]
    pub(crate) kind: Kind,
    /// For how long.
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Where the file or the table is made, for commits.
    #[arg(long)]
    pub(crate) at: Option<String>,
    /// Rows that one commit changes.
    #[arg(long, default_value_t = 1)]
    pub(crate) rows: usize,
}

/// What a process of its own measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// RS256 signatures, keys of 2048 bits.
    Rs256Sign,
    /// RS256 checks.
    Rs256Verify,
    /// ES256 signatures.
    Es256Sign,
    /// ES256 checks.
    Es256Verify,
    /// Ed25519 signatures.
    EddsaSign,
    /// Ed25519 checks.
    EddsaVerify,
    /// Argon2id with the server's parameters.
    Argon2id,
    /// Commits on SQLite.
    Sqlite,
    /// Commits on PostgreSQL.
    Postgres,
}

/// The database under the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// A file.
    Sqlite,
    /// A database server, which may use every core.
    Postgres,
}

/// What is measured, on what, how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// What to measure; everything but what takes very long if none is named
    #[arg(long = "scenario", value_name = "NAME")]
    pub(crate) scenarios: Vec<String>,
    /// The database under the server
    #[arg(long = "engine", value_name = "ENGINE", default_value = "sqlite")]
    pub(crate) engines: Vec<Engine>,
    /// Server on core 0, generator on core 1
    #[arg(long)]
    pub(crate) pin: bool,
    /// How often each measurement is made; the median counts
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// How long each measurement takes
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// How long the same load runs before each, uncounted
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warmup: f64,
    /// Sessions that are refreshed at once
    #[arg(long, default_value_t = 512)]
    pub(crate) chains: usize,
    /// Requests of other kinds under way at once
    #[arg(long, default_value_t = 64)]
    pub(crate) tasks: usize,
    /// gRPC connections that they share
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: usize,
    /// Streams of revocations
    #[arg(long, default_value_t = 500)]
    pub(crate) watchers: usize,
    /// Sessions in the small table of the scenario growth
    #[arg(long, default_value_t = 10_000)]
    pub(crate) few: u64,
    /// Sessions in its large table
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) many: u64,
    /// The server [default: `chancery` beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    /// Write everything here as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// A PostgreSQL server on which databases may be created
    #[arg(long, value_name = "URL")]
    #[serde(skip)]
    pub(crate) postgres_url: Option<String>,
    /// Where temporary data directories are made [default: the system's place for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// This process is where it belongs.
    #[arg(long, hide = true)]
    #[serde(skip)]
    pub(crate) pinned: bool,
}
