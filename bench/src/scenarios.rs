//! The benchmark scenarios, one file each.

mod ceilings;
mod check;
mod client_token;
mod enumeration;
mod growth;
mod guests;
mod introspect;
mod json;
mod jwks;
mod latency;
mod login;
mod memory;
mod mix;
mod refresh;
mod session_data;
mod soak;
mod start;
mod tls;
mod watch;

use std::sync::Arc;

use anyhow::bail;
use tempfile::TempDir;

use crate::{
    args::{Ceiling, CeilingKind, Engine, Run},
    ceilings as raw,
    deployment::{Deployment, Tools, serve_flags, server_version, window},
    echo::{self, Shape, Sizes},
    load::Window,
    machine::{Machine, cores},
    report::{Report, print_line, progress},
    seed,
    stats::Measurement,
};

/// The name and description of each scenario, and whether it runs by default.
const ALL: [(&str, &str, bool); 22] = [
    ("ceilings", "raw signatures, Argon2id, durable commits, bare echo and bare page", true),
    ("client-token", "IssueClientToken with each algorithm, against raw signatures and the echo", true),
    ("refresh", "refresh chains, against the echo and durable commits", true),
    ("session-data", "changes of what is kept with sessions, against refreshes, and disk use per value", true),
    ("latency", "refreshes at half capacity, open loop", true),
    ("login", "sign-ins, against raw Argon2id", true),
    ("storm", "refreshes at half capacity while sign-ins arrive at five times the hashing capacity", true),
    (
        "guests",
        "refreshes at half capacity while 10 000 guests a minute come from one address; disk use per guest",
        true,
    ),
    ("introspect", "introspection of the same token and of distinct tokens, against the echo", true),
    ("jwks", "JWKS over HTTP/1.1, against a bare page of the same size", true),
    ("json", "refresh, introspection and login as JSON over HTTP/1.1, against the same over gRPC", true),
    ("check", "checks of a browser for an application behind a proxy, against a bare page of the same headers", true),
    ("pages", "sign-in pages at a fixed rate", true),
    ("sign-out", "how fast a sign-out at one process holds at another", true),
    ("tls", "refreshes over TLS against plain ones, and handshakes", true),
    ("watch", "how fast a logout reaches many watchers", true),
    ("mix", "refreshes, introspections, client tokens and sign-ins at once", true),
    ("memory", "200 concurrent sign-ins in 1 GiB", true),
    ("start", "time from start to ready on existing data, idle memory", true),
    ("soak", "the mix at half capacity for ten minutes: memory, descriptors and latency; slow", false),
    ("enumeration", "whether response times reveal that an account exists; slow", false),
    ("growth", "refreshes at ten million sessions against ten thousand, and disk use per session; slow", false),
];

/// Lists the scenarios.
pub(crate) fn list() -> anyhow::Result<()> {
    ALL.iter().try_for_each(|(name, about, _)| print_line(&format!("{name:<14} {about}")))
}

/// The state shared by all scenarios.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) run: Run,
    pub(crate) tools: Tools,
    pub(crate) report: Report,
    deployments: Vec<Arc<Deployment>>,
    seed: u64,
    _dir: TempDir,
}

/// Runs the selected scenarios and prints the table.
pub(crate) async fn run(run: Run) -> anyhow::Result<()> {
    let names = selected(&run)?;
    let parent = run.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::Builder::new().prefix("chancery-bench-").tempdir_in(parent)?;
    let tools = Tools::find(&run, dir.path())?;
    let mut bench = Bench { run, tools, report: Report::default(), deployments: Vec::new(), seed: 0, _dir: dir };
    bench.print_header().await?;
    for name in names {
        for engine in bench.run.engines.clone() {
            progress(&format!("{name} ({engine:?})"));
            match bench.run_scenario(&name, engine).await {
                Ok(()) => {}
                Err(error) => bail!("{name}: {error:#}"),
            }
            if !is_per_engine(&name) {
                break;
            }
        }
    }
    print_line(&bench.report.table())?;
    if let Some(file) = &bench.run.json {
        bench.report.write_json(file)?;
    }
    Ok(())
}

fn selected(run: &Run) -> anyhow::Result<Vec<String>> {
    if let Some(other) = run.scenarios.iter().find(|name| !ALL.iter().any(|(known, ..)| known == name)) {
        bail!("{other} is not a scenario; see `chancery-bench list`");
    }
    let named = |name: &str| run.scenarios.iter().any(|n| n == name);
    let selected = ALL.iter().filter(|(name, _, usual)| named(name) || (run.scenarios.is_empty() && *usual));
    Ok(selected.map(|(name, ..)| (*name).to_owned()).collect())
}

/// Whether a scenario is worth running on each engine.
fn is_per_engine(name: &str) -> bool {
    ["refresh", "session-data", "ceilings", "latency", "storm", "mix", "soak", "start", "growth", "guests", "sign-out"]
        .contains(&name)
}

impl Bench {
    /// Prints and records the conditions of the benchmark.
    async fn print_header(&mut self) -> anyhow::Result<()> {
        let machine = Machine::current();
        let pinned = if self.run.pin { "server on core 0, generator on core 1" } else { "nothing pinned" };
        print_line(&format!("machine: {}", machine.line()))?;
        print_line(&format!("server:  {} {} ({pinned})", self.tools.server.display(), serve_flags()))?;
        print_line(&format!(
            "load:    {} runs of {} s after {} s of warm-up, {} chains, {} tasks, {} connections\n",
            self.run.runs, self.run.seconds, self.run.warmup, self.run.chains, self.run.tasks, self.run.connections
        ))?;
        self.report.fact("machine", machine)?;
        self.report.fact("server_version", server_version(&self.tools).await?)?;
        self.report.fact("server_flags", serve_flags())?;
        self.report.fact("flags", &self.run)
    }

    async fn run_scenario(&mut self, name: &str, engine: Engine) -> anyhow::Result<()> {
        match name {
            "ceilings" => ceilings::run(self, engine).await,
            "tls" => tls::run(self, engine).await,
            "client-token" => client_token::run(self, engine).await,
            "refresh" => refresh::run(self, engine).await,
            "session-data" => session_data::run(self, engine).await,
            "latency" => latency::run_alone(self, engine).await,
            "login" => login::run(self, engine).await,
            "storm" => latency::run_in_storm(self, engine).await,
            "guests" => guests::run(self, engine).await,
            "introspect" => introspect::run(self, engine).await,
            "jwks" => jwks::run(self, engine).await,
            "json" => json::run(self, engine).await,
            "check" => check::run_check(self, engine).await,
            "pages" => check::run_pages(self, engine).await,
            "sign-out" => check::run_sign_out(self, engine).await,
            "watch" => watch::run(self, engine).await,
            "mix" => mix::run(self, engine).await,
            "memory" => memory::run(self, engine).await,
            "soak" => soak::run(self, engine).await,
            "start" => start::run(self, engine).await,
            "enumeration" => enumeration::run(self, engine).await,
            "growth" => growth::run(self, engine).await,
            other => bail!("{other} is not a scenario"),
        }
    }

    /// The deployment on this engine, created on first use.
    pub(crate) async fn deployment(&mut self, engine: Engine) -> anyhow::Result<Arc<Deployment>> {
        if let Some(deployment) = self.deployments.iter().find(|deployment| deployment.engine() == engine) {
            return Ok(deployment.clone());
        }
        let deployment = Arc::new(Deployment::new(&self.tools, &self.run, engine).await?);
        self.report.fact(&format!("database_{engine:?}").to_lowercase(), deployment.version().await?)?;
        self.deployments.push(deployment.clone());
        Ok(deployment)
    }

    /// Creates users who can sign in.
    pub(crate) async fn create_users(&mut self, deployment: &Deployment, count: usize) -> anyhow::Result<Vec<String>> {
        let prefix = format!("login-{}", self.next_seed());
        seed::create_users(deployment, &prefix, count).await
    }

    /// A seed that is unique in this benchmark.
    pub(crate) fn next_seed(&mut self) -> u64 {
        self.seed += 1;
        self.seed
    }

    /// The window set by the flags.
    pub(crate) fn window(&self) -> Window {
        window(&self.run)
    }

    /// The load of all calls other than refresh chains.
    pub(crate) fn shape(&self) -> Shape {
        Shape { tasks: self.run.tasks, connections: self.run.connections }
    }

    /// Measures the bare echo under this load.
    pub(crate) async fn echo(&self, shape: Shape, sizes: Sizes) -> anyhow::Result<Measurement> {
        echo::measure(&self.tools, shape, sizes, self.window()).await
    }

    /// Measures a raw ceiling.
    pub(crate) async fn raw_rate(&self, kind: CeilingKind) -> anyhow::Result<f64> {
        self.measure_ceiling(kind, 1, None).await
    }

    /// Measures durable commits of `rows` rows each, on the deployment's engine and disk.
    pub(crate) async fn commits(&self, deployment: &Deployment, rows: usize) -> anyhow::Result<f64> {
        let (kind, at) = match deployment.database() {
            Some(url) => (CeilingKind::Postgres, url.to_owned()),
            None => (CeilingKind::Sqlite, deployment.dir().display().to_string()),
        };
        self.measure_ceiling(kind, rows, Some(at)).await
    }

    async fn measure_ceiling(&self, kind: CeilingKind, rows: usize, at: Option<String>) -> anyhow::Result<f64> {
        let ceiling = Ceiling { kind, seconds: self.run.seconds.min(2.0), at, rows };
        raw::measure_in_process(&self.tools, &ceiling).await
    }

    /// The number of threads the server hashes on.
    pub(crate) fn hashing_threads(&self) -> usize {
        if self.run.pin { 1 } else { cores() }
    }
}
