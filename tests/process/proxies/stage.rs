//! A server, a guard, a proxy and a service.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use chancery::grpc::pb::{IssueClientTokenRequest, TokenPair, auth_service_client::AuthServiceClient};
use tempfile::TempDir;

use super::{
    asked::{Answer, ask, ask_upgrade},
    backend::Backend,
    run::{Behind, Kind, Proxy},
};
use crate::{
    calls::start,
    guard::{Guard, secret_file},
    place::Place,
    relay::Relay,
    server::{Server, command},
    watching::{sign_in, watcher},
};

/// The permissions of the user whose tokens are long.
const PERMISSIONS: usize = 90;

pub(crate) struct Stage {
    pub(crate) kind: Kind,
    pub(crate) server: Server,
    pub(crate) relay: Relay,
    pub(crate) secret_file: PathBuf,
    /// `None` while it is stopped.
    pub(crate) guard: Option<Guard>,
    pub(crate) backend: Backend,
    pub(crate) proxy: Proxy,
    /// A token without the scope that the guard requires.
    pub(crate) poor_token: String,
    behind: Behind,
    _dir: TempDir,
}

/// The token of the client that watches, which has no scope.
async fn token_of_watcher(server: &Server, secret: &str) -> String {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("watcher:{secret}"));
    let request = IssueClientTokenRequest { audience: "api".to_owned(), ..IssueClientTokenRequest::default() };
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("authorization", format!("Basic {pair}").parse().unwrap());
    let mut auth = AuthServiceClient::new(server.channel().await);
    auth.issue_client_token(request).await.unwrap().into_inner().access_token
}

/// Gives the user so many permissions that the headers made from a token are about as long as they can be.
fn grant_much(server: &Server) {
    let permissions: Vec<String> = (0..PERMISSIONS).map(|n| format!("orders.line-items.{n}@api")).collect();
    let flags = permissions.iter().flat_map(|p| ["--permission", p.as_str()]);
    server.command(&["role", "create", "much"].into_iter().chain(flags).collect::<Vec<_>>(), "");
    server.command(&["role", "assign", "much", "grace"], "");
}

impl Stage {
    /// Starts everything; `None` if this run goes without the proxy.
    pub(crate) async fn set(kind: Kind) -> Option<Self> {
        let program = kind.program()?;
        let dir = tempfile::tempdir().unwrap();
        let server = start(&Place::sqlite(&dir.path().join("data")));
        grant_much(&server);
        let secret = watcher(&server);
        let poor_token = token_of_watcher(&server, &secret).await;
        let secret_file = PathBuf::from(secret_file(dir.path(), &secret));
        let (relay, backend) = (Relay::to(&server.grpc).await, Backend::start().await);
        let mut behind = Behind { guard_http: 0, guard_grpc: 0, service: backend.port };
        let guard = start_guard(&server, &relay, &secret_file, behind);
        behind.guard_http = port_of(&guard.address);
        behind.guard_grpc = port_of(&guard.ext_authz);
        guard.until("/readyz", "", 200).await;
        let proxy = Proxy::start(kind, &program, dir.path(), behind).await;
        backend.take();
        let guard = Some(guard);
        Some(Self { kind, server, relay, secret_file, guard, backend, proxy, poor_token, behind, _dir: dir })
    }

    /// Starts the guard again, on the same ports.
    pub(crate) fn start_guard_again(&mut self) {
        self.guard = Some(start_guard(&self.server, &self.relay, &self.secret_file, self.behind));
    }

    /// Stops the guard's threads where they are. A signal takes a moment to arrive at each.
    pub(crate) async fn freeze_guard(&self) {
        let guard = self.guard.as_ref().unwrap();
        guard.signal("STOP");
        let frozen = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            while !is_frozen(guard.child.id()) {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), frozen).await.expect("the guard runs on");
    }

    pub(crate) async fn sign_in(&self) -> TokenPair {
        sign_in(&self.server).await
    }

    /// Waits until the guard says that it has not heard from its issuer for too long.
    pub(crate) async fn until_stale(&self) {
        let asking = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            let port = self.behind.guard_http;
            while !ask(port, "GET", "/readyz", &[], b"").await.body.contains("\"revocations\":\"stale\"") {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), asking).await.expect("the guard does not become stale");
    }

    /// Sends a request to the proxy.
    pub(crate) async fn ask(&self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.proxy.port, method, "/orders/7?full=yes", headers, body).await
    }

    /// Asks the proxy for another protocol.
    pub(crate) async fn ask_upgrade(&self, method: &str, headers: &[(&str, &str)], then: &[u8]) -> (u16, Vec<u8>) {
        ask_upgrade(self.proxy.port, method, headers, then).await
    }

    /// Sends a GET with a token.
    pub(crate) async fn get(&self, token: &str) -> Answer {
        self.ask("GET", &[("Authorization", &format!("Bearer {token}"))], b"").await
    }

    /// Asks until the status is as wanted, and returns how long that took.
    pub(crate) async fn until(&self, token: &str, status: u16) -> Duration {
        let began = tokio::time::Instant::now();
        let asking = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while self.get(token).await.status != status {
                ticks.tick().await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(30), asking).await;
        came.unwrap_or_else(|_| panic!("{:?} does not come to {status}", self.kind));
        began.elapsed()
    }
}

/// Whether every thread is stopped; without `/proc`, whether the process is.
fn is_frozen(id: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else {
        let out = Command::new("ps").args(["-o", "stat=", "-p", &id.to_string()]).output().unwrap();
        return out.stdout.starts_with(b"T");
    };
    // The state follows the name, which is in parentheses.
    let stopped = |path: PathBuf| {
        fs::read_to_string(path).is_ok_and(|stat| stat.rsplit(')').next().unwrap().trim_start().starts_with('T'))
    };
    threads.map(|thread| thread.unwrap().path().join("stat")).all(stopped)
}

fn port_of(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().parse().unwrap()
}

fn start_guard(server: &Server, relay: &Relay, secret_file: &Path, at: Behind) -> Guard {
    let (http, grpc) = (format!("127.0.0.1:{}", at.guard_http), format!("127.0.0.1:{}", at.guard_grpc));
    let (watch, file) = (format!("http://{}", relay.address), secret_file.to_str().unwrap());
    let flags = ["guard", "--issuer", &server.issuer, "--audience", "api", "--http", &http, "--ext-authz", &grpc];
    let mut command = command(&flags);
    command.args(["--watch", &watch, "--client-id", "watcher", "--client-secret-file", file]);
    command.args(["--require-scope", "read"]).stderr(Stdio::null());
    Guard::started(command)
}
