//! Signs in, calls services in several languages, logs out, and prints how long each service takes to answer
//! 401. `scripts/demo` builds and runs it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]
#![expect(clippy::disallowed_types, reason = "measures time")]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    task::JoinSet,
    time::timeout,
};

use crate::chancery::{
    LoginRequest, LogoutRequest, TokenPair, auth_service_client::AuthServiceClient, login_response::Result as Answer,
};

#[allow(clippy::allow_attributes, clippy::allow_attributes_without_reason, missing_docs, reason = "generated")]
#[allow(unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
mod chancery {
    tonic::include_proto!("chancery.v1");
}

/// Time limit for a process to start, and for a service to notice a change. Go and Java compile first.
const TIMEOUT: Duration = Duration::from_mins(1);
const SECRET: &str = "demo-service-secret-known-to-everybody";

/// A process that has printed its `ready` line. It is killed when this is dropped.
struct Process {
    ready_line: String,
    _child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    async fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        timeout(TIMEOUT, stdout.read_line(&mut line)).await.context("the process was not ready in time")??;
        if line.is_empty() {
            bail!("the process exited");
        }
        Ok(Self { ready_line: line, _child: child, _stdout: stdout })
    }

    /// The URL of a listener that the `ready` line names.
    fn url(&self, name: &str) -> anyhow::Result<String> {
        let found = self.ready_line.split_whitespace().find_map(|word| word.strip_prefix(&format!("{name}=")));
        Ok(format!("http://{}", found.with_context(|| format!("no {name} in {:?}", self.ready_line))?))
    }
}

/// Starts a service in some language, if its tools are installed.
async fn start_service(language: &str, program: &str, arguments: &[&str]) -> Option<(String, Process)> {
    let mut command = Command::new(program);
    command.args(arguments);
    match Process::start(&mut command).await {
        Ok(process) => Some((language.to_owned(), process)),
        Err(error) => {
            println!("{language:<8} skipped: {program}: {error}");
            None
        }
    }
}

/// Builds the program first: `go run` would leave it running when it is killed.
async fn build_go(source: &str, dir: &Path) -> anyhow::Result<String> {
    let program = dir.join("go-service").display().to_string();
    let status = Command::new("go").args(["build", "-o", &program, source]).status().await.context("go")?;
    if !status.success() {
        bail!("go build: {status}");
    }
    Ok(program)
}

/// Calls a service with the token until it answers with this status; returns how long that took.
async fn time_until_status(client: &reqwest::Client, url: &str, token: &str, status: u16) -> anyhow::Result<Duration> {
    let began = Instant::now();
    loop {
        let answer = client.get(format!("{url}/orders")).bearer_auth(token).send().await?;
        if answer.status() == status {
            return Ok(began.elapsed());
        }
        if began.elapsed() > TIMEOUT {
            bail!("{url} still answers {}", answer.status());
        }
    }
}

async fn sign_in(auth: &mut AuthServiceClient<tonic::transport::Channel>) -> anyhow::Result<TokenPair> {
    let request = LoginRequest {
        client_id: "demo-app".to_owned(),
        login: "ada".to_owned(),
        password: "correct horse battery staple".to_owned(),
        ..LoginRequest::default()
    };
    match auth.login(request).await?.into_inner().result {
        Some(Answer::Tokens(pair)) => Ok(pair),
        _ => bail!("sign-in requires another step"),
    }
}

async fn start_all(dir: &Path, bin: &Path) -> anyhow::Result<(Vec<(String, Process)>, Vec<Process>)> {
    let free = "127.0.0.1:0";
    let data = dir.join("data");
    let mut serve = Command::new(bin.join("chancery"));
    serve.args(["serve", "--dev", "--grpc", free, "--http", free, "--telemetry", free, "--data-dir"]).arg(data);
    let server = Process::start(&mut serve).await.context("the server")?;
    let (grpc, issuer) = (server.url("grpc")?, server.url("http")?);
    let secret = dir.join("secret");
    std::fs::write(&secret, SECRET)?;
    let mut command = Command::new(bin.join("chancery"));
    command.args(["guard", "--http", free, "--issuer", &issuer, "--audience", "demo-api", "--watch", &grpc]);
    command.args(["--client-id", "demo-service", "--client-secret-file"]).arg(&secret);
    let guard = Process::start(&mut command).await.context("the guard")?;
    let guard_url = guard.url("http")?;
    let api = bin.join("axum-api");
    let source = |file: &str| format!("{}/languages/{file}", env!("CARGO_MANIFEST_DIR"));
    let (go, java, node, python) =
        (source("go/service.go"), source("java/Service.java"), source("node/service.mjs"), source("python/service.py"));
    let started = [
        start_service("Rust", &api.display().to_string(), &[free, &issuer, &grpc]).await,
        match build_go(&go, dir).await {
            Ok(program) => start_service("Go", &program, &["0", &guard_url]).await,
            Err(error) => {
                println!("Go       skipped: {error:#}");
                None
            }
        },
        start_service("Java", "java", &[&java, "0", &guard_url]).await,
        start_service("Node", "node", &[&node, "0", &guard_url]).await,
        start_service("Python", "python3", &[&python, "0", &guard_url]).await,
    ];
    Ok((started.into_iter().flatten().collect(), vec![server, guard]))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bin: PathBuf = std::env::current_exe()?.parent().context("no folder")?.to_owned();
    let dir = std::env::temp_dir().join(format!("chancery-demo-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let result = run_demo(&dir, &bin).await;
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn run_demo(dir: &Path, bin: &Path) -> anyhow::Result<()> {
    let (services, chancery) = start_all(dir, bin).await?;
    let server = chancery.first().context("no server")?;
    let mut auth = AuthServiceClient::connect(server.url("grpc")?).await?;
    let pair = sign_in(&mut auth).await?;
    let client = reqwest::Client::new();
    for (language, service) in &services {
        let accepted = time_until_status(&client, &service.url("http")?, &pair.access_token, 200).await;
        accepted.with_context(|| format!("the service in {language} does not accept the token"))?;
    }
    println!("signed in: every service answers 200");
    let request = LogoutRequest { client_id: "demo-app".to_owned(), refresh_token: pair.refresh_token };
    auth.logout(request).await?;
    let mut waiting = JoinSet::new();
    for (language, service) in &services {
        let (language, url, client) = (language.clone(), service.url("http")?, client.clone());
        let token = pair.access_token.clone();
        waiting.spawn(async move { (language, time_until_status(&client, &url, &token, 401).await) });
    }
    println!("logged out:");
    while let Some(result) = waiting.join_next().await {
        let (language, took) = result?;
        println!("{language:<8} 401 after {:>6.1} ms", took?.as_secs_f64() * 1000.0);
    }
    if services.is_empty() {
        eprintln!("no service was started");
    }
    Ok(())
}
