//! Random histories: a watching verifier and one that reads status lists agree with the server.

use std::{net::TcpListener, sync::Arc, time::Duration};

use chancery::{
    grpc::{self, Health},
    secret::Password,
    service::{Admin, ClientCredentials, NewClientRequest, NewUserRequest, Service},
    time::{Clock, FixedClock, Ttl},
    web,
};
use chancery_guard::listener::Limits;
use chancery_verify::{Freshness, Policy, Verifier, VerifyError, Watch};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::runtime::{Builder, Runtime};

use crate::support::{App, Empty, Opened, PASSWORD, first_party, introspect, login_of, refresh, sign_in};

/// Maximum delay of a verifier with status lists: 5 s until the list is published again, plus its `ttl`.
const LIST_BOUND: Ttl = Ttl::from_secs(21);
/// How long real connections may take to deliver what already happened in model time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A random step. The numbers select among existing objects.
#[derive(Clone, Debug)]
enum Step {
    SignIn,
    Refresh(usize),
    Revoke(usize),
    DisableClient,
    EnableClient,
    DisableUser,
    EnableUser,
    Rotate,
    RevokeKey,
    Restart,
    Pass(i64),
    Compare,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::SignIn),
        4 => any::<usize>().prop_map(Step::Refresh),
        4 => any::<usize>().prop_map(Step::Revoke),
        2 => Just(Step::DisableClient),
        3 => Just(Step::EnableClient),
        1 => Just(Step::DisableUser),
        2 => Just(Step::EnableUser),
        1 => Just(Step::Rotate),
        1 => Just(Step::RevokeKey),
        2 => Just(Step::Restart),
        3 => (1_i64..200).prop_map(Step::Pass),
        4 => Just(Step::Compare),
    ]
}

/// The model clock, for the verifiers.
#[derive(Debug)]
struct ModelClock(Arc<FixedClock>);

impl chancery_verify::Clock for ModelClock {
    fn now_ms(&self) -> i64 {
        self.0.now().millis()
    }

    fn elapsed_ms(&self) -> i64 {
        self.0.now().millis()
    }
}

/// A server with its own runtime. Dropping it loses exactly what a killed process loses.
struct Process {
    runtime: Runtime,
    service: Service,
}

/// One history.
struct Model {
    empty: Empty,
    issuer: &'static str,
    grpc: TcpListener,
    http: TcpListener,
    process: Option<Process>,
    resource_server: ClientCredentials,
    /// The runtime of the verifiers.
    runtime: Runtime,
    watching: Verifier,
    reading: Verifier,
    /// Access tokens with their session and its newest refresh token.
    issued: Vec<(String, String, String)>,
    revoked_kids: Vec<String>,
}

fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn start(empty: &Empty, issuer: &'static str, grpc: &TcpListener, http: &TcpListener) -> Process {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let opened = Opened { issuer: Some(issuer), ..Opened::default() };
    let service = runtime.block_on(App::open_by(empty, opened, empty.clock.clone())).unwrap();
    let (calls, pages) = (grpc.try_clone().unwrap(), http.try_clone().unwrap());
    let own = service.clone();
    runtime.spawn(async move {
        let calls = tokio::net::TcpListener::from_std(calls).unwrap();
        grpc::serve(own, Arc::default(), (calls, Limits::default()), Health::default(), std::future::pending()).await;
    });
    let routes = web::routes(service.clone());
    runtime.spawn(async move {
        let pages = tokio::net::TcpListener::from_std(pages).unwrap();
        web::serve(pages, Limits::default(), routes, std::future::pending()).await;
    });
    Process { runtime, service }
}

/// Creates a user, an application, a resource server and a watcher. Returns credentials for the last two.
async fn populate(service: &Service, issuer: &str) -> (ClientCredentials, String) {
    let user = NewUserRequest {
        name: "ada".into(),
        subject: None,
        password: Some(Password::new(PASSWORD.into())),
        attributes: serde_json::Map::new(),
        ..NewUserRequest::default()
    };
    service.users.create(&Admin::command(), user).await.unwrap();
    service.clients.create(&Admin::command(), first_party("app", &["api"])).await.unwrap();
    let server =
        NewClientRequest { id: "api-server".into(), serves: vec!["api".into()], ..NewClientRequest::default() };
    let (client, secret) = service.clients.create(&Admin::command(), server).await.unwrap();
    let server = ClientCredentials::Basic { client_id: client.id.to_string(), secret: secret.unwrap() };
    let watcher = NewClientRequest {
        id: "watcher".into(),
        audiences: vec![issuer.to_owned()],
        permissions: vec!["revocations.read".into()],
        ..NewClientRequest::default()
    };
    let (_, secret) = service.clients.create(&Admin::command(), watcher).await.unwrap();
    (server, secret.unwrap().expose().to_owned())
}

impl Model {
    fn new(empty: Empty) -> Self {
        let (grpc, http) = (listener(), listener());
        let issuer: &'static str = Box::leak(format!("http://{}", http.local_addr().unwrap()).into_boxed_str());
        let process = start(&empty, issuer, &grpc, &http);
        let (resource_server, secret) = process.runtime.block_on(populate(&process.service, issuer));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let verifier = || {
            let clock = Arc::new(ModelClock(empty.clock.clone()));
            Verifier::with_policy(Policy::new(issuer, "api")).clock(clock).fail_open_for(Duration::ZERO)
        };
        let watch = Watch::new(&format!("http://{}", grpc.local_addr().unwrap()), "watcher", &secret).unwrap();
        let watching = runtime.block_on(async { verifier().watch(watch).build().unwrap() });
        let reading = verifier().status_lists().build().unwrap();
        let process = Some(process);
        Self {
            empty,
            issuer,
            grpc,
            http,
            process,
            resource_server,
            runtime,
            watching,
            reading,
            issued: Vec::new(),
            revoked_kids: Vec::new(),
        }
    }

    /// Runs something on the server's runtime.
    fn run<T>(&self, work: impl AsyncFnOnce(&Service) -> T) -> T {
        let process = self.process.as_ref().unwrap();
        process.runtime.block_on(work(&process.service))
    }

    fn pass(&self, seconds: i64) {
        self.empty.clock.advance(Ttl::from_secs(seconds));
        self.run(async |s| {
            s.live.confirm().await.unwrap();
            s.signing_keys.rotate_due().await.unwrap();
        });
    }

    /// Starts a session with two tokens, which everyone accepts.
    fn start_session(&mut self) {
        self.run_step(&Step::SignIn);
        self.run_step(&Step::Refresh(0));
        assert_eq!(self.issued.len(), 2, "a sign-in and a refresh");
        self.assert_agreement();
        assert!(self.issued.iter().all(|(token, ..)| self.accepts(token)));
    }

    /// Whatever happened before, a new session is accepted, and refused once revoked.
    fn check_new_session(&mut self) {
        self.run_step(&Step::EnableClient);
        self.run_step(&Step::EnableUser);
        // Sign-ins of a disabled user counted as wrong passwords, which are limited.
        self.pass(2 * 24 * 3600);
        self.run_step(&Step::SignIn);
        let (token, session, _) = self.issued.last().cloned().unwrap();
        self.assert_agreement();
        assert!(self.accepts(&token), "the newest session");
        assert!(self.run(async |s| s.users.end_session(&Admin::command(), &session).await).unwrap().sessions == 1);
        self.assert_agreement();
        assert!(!self.accepts(&token), "revoked");
    }

    /// Whether the server accepts the token.
    fn accepts(&self, token: &str) -> bool {
        self.run(async |s| introspect(s, &self.resource_server, token).await).unwrap().is_some()
    }

    fn run_step(&mut self, step: &Step) {
        let chosen = |n: usize| (!self.issued.is_empty()).then(|| n % self.issued.len().max(1));
        match step {
            Step::SignIn => {
                // Refused while the client or the user is disabled.
                if let Ok(pair) = self.run(async |s| sign_in(s, login_of("app", "ada", PASSWORD)).await) {
                    self.record_tokens(pair);
                }
            }
            Step::Refresh(n) => {
                let Some((_, _, token)) = chosen(*n).map(|n| self.issued[n].clone()) else { return };
                if let Ok(pair) = self.run(async |s| refresh(s, "app", &token, "", &[], "").await) {
                    self.record_tokens(pair);
                }
            }
            Step::Revoke(n) => {
                let Some((_, session, _)) = chosen(*n).map(|n| self.issued[n].clone()) else { return };
                drop(self.run(async |s| s.users.end_session(&Admin::command(), &session).await));
            }
            Step::DisableClient => {
                assert!(self.run(async |s| s.clients.set_disabled(&Admin::command(), "app", true).await).is_ok());
            }
            Step::EnableClient => {
                assert!(self.run(async |s| s.clients.set_disabled(&Admin::command(), "app", false).await).is_ok());
            }
            Step::DisableUser => drop(self.run(async |s| s.users.disable(&Admin::command(), "ada").await.unwrap())),
            Step::EnableUser => drop(self.run(async |s| s.users.enable(&Admin::command(), "ada").await.unwrap())),
            Step::Rotate => {
                self.run(async |s| s.signing_keys.rotate_early(&Admin::command(), None).await.unwrap());
                self.pass(2_000);
            }
            Step::RevokeKey => self.revoke_key(),
            Step::Restart => {
                let Process { runtime, service } = self.process.take().unwrap();
                drop(service);
                runtime.shutdown_timeout(PATIENCE);
                self.process = Some(start(&self.empty, self.issuer, &self.grpc, &self.http));
            }
            Step::Pass(seconds) => self.pass(*seconds),
            Step::Compare => self.assert_agreement(),
        }
    }

    fn record_tokens(&mut self, pair: chancery::service::TokenPair) {
        let text = |secret: &str| secret.to_owned();
        let refresh = pair.refresh.as_ref().map(|t| text(t.expose())).unwrap_or_default();
        self.issued.push((text(pair.access.token.expose()), pair.session_id, refresh));
    }

    /// Revokes the key of the newest token. Verifiers fetch unknown keys at most once a minute.
    fn revoke_key(&mut self) {
        let Some((token, ..)) = self.issued.last() else { return };
        let kid = kid(token);
        if self.run(async |s| s.signing_keys.revoke(&Admin::command(), &kid).await).is_ok() {
            self.revoked_kids.push(kid);
        }
        self.pass(61);
    }

    /// Compares the verdicts on every token ever issued, once the maximum delay has passed.
    fn assert_agreement(&self) {
        self.pass(LIST_BOUND.seconds());
        let deadline = std::time::SystemTime::now() + PATIENCE;
        loop {
            let differing = self.differences();
            if differing.is_empty() {
                return;
            }
            assert!(std::time::SystemTime::now() < deadline, "{differing:#?}");
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
    }

    fn differences(&self) -> Vec<String> {
        self.run(async |s| {
            s.live.confirm().await.unwrap();
            s.live.send_heartbeat();
        });
        if self.watching.health().revocations != Freshness::Fresh {
            return vec!["the watching verifier has not heard from the server".to_owned()];
        }
        let differs = |token: &str| {
            let server = self.accepts(token);
            let watching = self.runtime.block_on(self.watching.verify(token)).map(drop);
            let reading = self.runtime.block_on(self.reading.verify(token)).map(drop);
            // A key set may be ten minutes old; tokens are valid for five.
            let by_list_late = reading.is_ok() && self.revoked_kids.contains(&kid(token));
            let agree = watching.is_ok() == server && (reading.is_ok() == server || by_list_late);
            (!agree).then(|| format!("{server} {watching:?} {reading:?}"))
        };
        self.issued.iter().filter_map(|(token, ..)| differs(token)).collect()
    }
}

fn kid(token: &str) -> String {
    use base64::Engine;
    let header = token.split('.').next().unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// Every history has its own database.
fn r13_verifiers_agree_with_the_server_once_their_maximum_delay_has_passed(empty: impl AsyncFn() -> Empty) {
    let cases = std::env::var("CHTEST_HISTORIES").map_or(6, |n| n.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 8, ..Config::default() };
    let databases = Builder::new_current_thread().enable_all().build().unwrap();
    let steps = prop::collection::vec(step(), 5..30);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let empty = databases.block_on(empty());
        let mut world = Model::new(empty.clone());
        world.start_session();
        for step in &steps {
            world.run_step(step);
        }
        world.assert_agreement();
        world.check_new_session();
        drop(world);
        databases.block_on(empty.finish());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

mod sqlite {
    #[test]
    fn r13_verifiers_agree_with_the_server_once_their_maximum_delay_has_passed() {
        super::r13_verifiers_agree_with_the_server_once_their_maximum_delay_has_passed(super::Empty::sqlite);
    }
}

mod postgres {
    #[test]
    fn r13_verifiers_agree_with_the_server_once_their_maximum_delay_has_passed() {
        if crate::database::with_postgres() {
            super::r13_verifiers_agree_with_the_server_once_their_maximum_delay_has_passed(super::Empty::postgres);
        }
    }
}

#[test]
fn j36_a_verifier_that_cannot_reach_its_server_reports_that_it_is_unsure() {
    let databases = Builder::new_current_thread().enable_all().build().unwrap();
    let mut world = Model::new(databases.block_on(Empty::sqlite()));
    world.run_step(&Step::SignIn);
    world.assert_agreement();
    let Process { runtime, service } = world.process.take().unwrap();
    drop(service);
    runtime.shutdown_timeout(PATIENCE);
    world.empty.clock.advance(LIST_BOUND);
    let token = &world.issued[0].0;
    for verifier in [&world.watching, &world.reading] {
        let refused = world.runtime.block_on(verifier.verify(token)).unwrap_err();
        assert_eq!(refused, VerifyError::RevocationsUnknown);
    }
}
