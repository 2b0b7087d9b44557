//! What is measured, one file each.

mod ceilings;
mod client_token;
mod enumeration;
mod growth;
mod introspect;
mod jwks;
mod latency;
mod login;
mod memory;
mod mix;
mod refresh;
mod start;
mod watch;

use std::sync::Arc;

use anyhow::bail;
use tempfile::TempDir;

use crate::{
    args::{Ceiling, Engine, Kind, Run},
    ceilings as raw,
    echo::{self, Shape, Sizes},
    load::Window,
    machine::{Machine, cores},
    place::{Place, Tools, serve_flags, server_version, window},
    report::{Report, print, say},
    seed,
    stats::Measured,
};

/// A scenario's name, what it is, and whether it runs when none is named.
const ALL: [(&str, &str, bool); 14] = [
    ("ceilings", "raw signatures, Argon2id, durable commits, bare echo and bare page", true),
    ("client-token", "IssueClientToken by each algorithm, against raw signatures and the echo", true),
    ("refresh", "refresh chains, against the echo and durable commits", true),
    ("latency", "refreshes at half capacity, open loop", true),
    ("login", "sign-ins, against raw Argon2id", true),
    ("storm", "refreshes at half capacity while five times as many sign-ins are offered as can be hashed", true),
    ("introspect", "introspection of a token seen before, and of distinct ones, against the echo", true),
    ("jwks", "JWKS over HTTP/1.1, against a bare page of the same size", true),
    ("watch", "how soon many watchers learn of a log-out", true),
    ("mix", "refreshes, introspections, client tokens and sign-ins at once", true),
    ("memory", "200 sign-ins at once in 1 GiB", true),
    ("start", "start to ready on existing data, memory when idle", true),
    ("enumeration", "whether the time of an answer tells that an account exists; takes long", false),
    ("growth", "refreshes at ten million sessions against ten thousand, and a session's bytes; takes long", false),
];

/// Names the scenarios.
pub(crate) fn list() -> anyhow::Result<()> {
    ALL.iter().try_for_each(|(name, about, _)| print(&format!("{name:<14} {about}")))
}

/// Everything that a scenario works with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) run: Run,
    pub(crate) tools: Tools,
    pub(crate) report: Report,
    places: Vec<Arc<Place>>,
    seed: u64,
    _dir: TempDir,
}

/// Measures what is asked for and prints the table.
pub(crate) async fn run(run: Run) -> anyhow::Result<()> {
    let names = chosen(&run)?;
    let parent = run.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::Builder::new().prefix("chancery-bench-").tempdir_in(parent)?;
    let tools = Tools::find(&run, dir.path())?;
    let mut bench = Bench { run, tools, report: Report::default(), places: Vec::new(), seed: 0, _dir: dir };
    bench.head().await?;
    for name in names {
        for engine in bench.run.engines.clone() {
            say(&format!("{name} ({engine:?})"));
            match bench.scenario(&name, engine).await {
                Ok(()) => {}
                Err(error) => bail!("{name}: {error:#}"),
            }
            if !of_engine(&name) {
                break;
            }
        }
    }
    print(&bench.report.table())?;
    if let Some(file) = &bench.run.json {
        bench.report.write_json(file)?;
    }
    Ok(())
}

fn chosen(run: &Run) -> anyhow::Result<Vec<String>> {
    if let Some(other) = run.scenarios.iter().find(|name| !ALL.iter().any(|(known, ..)| known == name)) {
        bail!("{other} is not a scenario; see `chancery-bench list`");
    }
    let named = |name: &str| run.scenarios.iter().any(|n| n == name);
    let chosen = ALL.iter().filter(|(name, _, usual)| named(name) || (run.scenarios.is_empty() && *usual));
    Ok(chosen.map(|(name, ..)| (*name).to_owned()).collect())
}

/// Whether a scenario says more on another engine.
fn of_engine(name: &str) -> bool {
    ["refresh", "ceilings", "latency", "storm", "mix", "start", "growth"].contains(&name)
}

impl Bench {
    /// What a reader needs to know to believe the rest.
    async fn head(&mut self) -> anyhow::Result<()> {
        let machine = Machine::this();
        let pinned = if self.run.pin { "server on core 0, generator on core 1" } else { "nothing pinned" };
        print(&format!("machine: {}", machine.line()))?;
        print(&format!("server:  {} {} ({pinned})", self.tools.server.display(), serve_flags()))?;
        print(&format!(
            "load:    {} runs of {} s after {} s of warm-up, {} chains, {} tasks, {} connections\n",
            self.run.runs, self.run.seconds, self.run.warmup, self.run.chains, self.run.tasks, self.run.connections
        ))?;
        self.report.fact("machine", machine)?;
        self.report.fact("server_version", server_version(&self.tools).await?)?;
        self.report.fact("server_flags", serve_flags())?;
        self.report.fact("flags", &self.run)
    }

    async fn scenario(&mut self, name: &str, engine: Engine) -> anyhow::Result<()> {
        match name {
            "ceilings" => ceilings::run(self, engine).await,
            "client-token" => client_token::run(self, engine).await,
            "refresh" => refresh::run(self, engine).await,
            "latency" => latency::alone(self, engine).await,
            "login" => login::run(self, engine).await,
            "storm" => latency::in_a_storm(self, engine).await,
            "introspect" => introspect::run(self, engine).await,
            "jwks" => jwks::run(self, engine).await,
            "watch" => watch::run(self, engine).await,
            "mix" => mix::run(self, engine).await,
            "memory" => memory::run(self, engine).await,
            "start" => start::run(self, engine).await,
            "enumeration" => enumeration::run(self, engine).await,
            "growth" => growth::run(self, engine).await,
            other => bail!("{other} is not a scenario"),
        }
    }

    /// The place on this engine, made when it is first needed.
    pub(crate) async fn place(&mut self, engine: Engine) -> anyhow::Result<Arc<Place>> {
        if let Some(place) = self.places.iter().find(|place| place.engine() == engine) {
            return Ok(place.clone());
        }
        let place = Arc::new(Place::new(&self.tools, &self.run, engine).await?);
        self.report.fact(&format!("database_{engine:?}").to_lowercase(), place.version().await?)?;
        self.places.push(place.clone());
        Ok(place)
    }

    /// New users who sign in.
    pub(crate) async fn users(&mut self, place: &Place, count: usize) -> anyhow::Result<Vec<String>> {
        let prefix = format!("login-{}", self.next_seed());
        seed::users(place, &prefix, count).await
    }

    /// A seed that no other sessions of this run have.
    pub(crate) fn next_seed(&mut self) -> u64 {
        self.seed += 1;
        self.seed
    }

    /// The window that is asked for.
    pub(crate) fn window(&self) -> Window {
        window(&self.run)
    }

    /// The load of calls that are no chains.
    pub(crate) fn shape(&self) -> Shape {
        Shape { tasks: self.run.tasks, connections: self.run.connections }
    }

    /// The bare echo, in this run, under the same load.
    pub(crate) async fn echo(&self, shape: Shape, sizes: Sizes) -> anyhow::Result<Measured> {
        echo::measure(&self.tools, shape, sizes, self.window()).await
    }

    /// A raw ceiling, in this run.
    pub(crate) async fn raw(&self, kind: Kind) -> anyhow::Result<f64> {
        self.raw_rows(kind, 1, None).await
    }

    /// Durable commits of so many rows each, in this run, on a place's engine and disk.
    pub(crate) async fn commits(&self, place: &Place, rows: usize) -> anyhow::Result<f64> {
        let (kind, at) = match place.database() {
            Some(url) => (Kind::Postgres, url.to_owned()),
            None => (Kind::Sqlite, place.dir().display().to_string()),
        };
        self.raw_rows(kind, rows, Some(at)).await
    }

    async fn raw_rows(&self, kind: Kind, rows: usize, at: Option<String>) -> anyhow::Result<f64> {
        let ceiling = Ceiling { kind, seconds: self.run.seconds.min(2.0), at, rows };
        raw::ask(&self.tools, &ceiling).await
    }

    /// Threads that the server hashes on.
    pub(crate) fn server_cores(&self) -> usize {
        if self.run.pin { 1 } else { cores() }
    }
}
