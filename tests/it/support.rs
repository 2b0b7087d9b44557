//! A service on a fresh database, with a clock that moves only when told.

use std::sync::Arc;

use chancery::{
    entropy::Entropy,
    keys::SealingKey,
    passwords::{Params, Passwords, Settings},
    secret::{Password, RefreshToken},
    service::{
        ClientCredentials, NewClientRequest, NewUserRequest, RefreshInput, Service, SignInRequest, StartOptions,
        TokenPair,
    },
    store::{Location, Store},
    time::{FixedClock, Timestamp},
};
use tempfile::TempDir;

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
const START: Timestamp = Timestamp::from_millis(1_893_456_000_000);

/// Every engine that this run tests.
pub(crate) async fn engines() -> Vec<App> {
    let mut apps = vec![App::sqlite().await];
    if std::env::var("CHANCERY_TEST_ENGINES").as_deref() != Ok("sqlite") {
        apps.push(App::postgres().await);
    }
    apps
}

pub(crate) struct App {
    pub(crate) service: Service,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) engine: &'static str,
    location: Location,
    _dir: Option<TempDir>,
}

fn passwords(entropy: Arc<dyn Entropy>) -> Passwords {
    let params = Params { memory_kib: 64, iterations: 1, lanes: 1 };
    Passwords::start(Settings { params, threads: 1, queue: 64 }, entropy).unwrap()
}

async fn start(location: &Location, clock: Arc<FixedClock>) -> Service {
    let entropy: Arc<dyn Entropy> = Arc::new(chancery::entropy::OsEntropy);
    let store = Store::open(location, true, entropy.clone()).await.unwrap();
    store.migrate().await.unwrap();
    let options = StartOptions { issuer: Some(ISSUER.into()), default_issuer: None, dev: Some(false), claim: true };
    let sealing = SealingKey::new(&SealingKey::parse(&[7; 32]).unwrap());
    Service::start(store, sealing, passwords(entropy.clone()), clock, entropy, &options).await.unwrap()
}

impl App {
    async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("test.db"));
        Self::on(location, "sqlite", Some(dir)).await
    }

    async fn postgres() -> Self {
        let url = std::env::var("CHANCERY_TEST_POSTGRES_URL").expect(
            "CHANCERY_TEST_POSTGRES_URL is not set: run scripts/test, or leave PostgreSQL out with CHANCERY_TEST_ENGINES=sqlite",
        );
        let name = format!("t{}", hex(&chancery::entropy::OsEntropy.bytes16()));
        let (base, _) = url.rsplit_once('/').unwrap();
        let created = std::process::Command::new("psql")
            .args(["-qX", &url, "-c"])
            .arg(format!("CREATE DATABASE {name}"))
            .status();
        assert!(created.unwrap().success());
        Self::on(Location::parse(&format!("{base}/{name}")).unwrap(), "postgres", None).await
    }

    async fn on(location: Location, engine: &'static str, dir: Option<TempDir>) -> Self {
        let clock = Arc::new(FixedClock::new(START));
        let service = start(&location, clock.clone()).await;
        let app = Self { service, clock, engine, location, _dir: dir };
        app.service
            .user_create(NewUserRequest {
                name: "ada".into(),
                email: None,
                subject: None,
                password: Password::new(PASSWORD.into()),
                attributes: serde_json::Map::new(),
            })
            .await
            .unwrap();
        app.client("app", &["api", "other"]).await;
        app
    }

    pub(crate) async fn client(&self, id: &str, audiences: &[&str]) {
        let client = NewClientRequest {
            id: id.into(),
            public: true,
            first_party: true,
            audiences: audiences.iter().map(|a| (*a).to_owned()).collect(),
            scopes: vec!["read".into(), "write".into()],
            algorithm: Some("ES256".into()),
            ..NewClientRequest::default()
        };
        self.service.client_create(client).await.unwrap();
    }

    /// Lets time pass on a server that goes on following the feed.
    pub(crate) async fn pass(&self, time: chancery::time::Ttl) {
        self.clock.advance(time);
        self.service.live().confirm().await.unwrap();
    }

    /// A second process on the same database.
    pub(crate) async fn second(&self) -> Service {
        start(&self.location, self.clock.clone()).await
    }

    pub(crate) async fn sign_in(&self) -> TokenPair {
        self.try_sign_in(PASSWORD).await.unwrap()
    }

    pub(crate) async fn try_sign_in(&self, password: &str) -> chancery::error::Result<TokenPair> {
        let request = SignInRequest {
            client_id: "app".into(),
            login: "ada".into(),
            password: Password::new(password.into()),
            scopes: vec![],
            audience: String::new(),
            device_label: "laptop".into(),
            address: String::new(),
            user_agent: String::new(),
        };
        self.service.sign_in(&self.service.context(), &ClientCredentials::None, request).await
    }

    pub(crate) async fn refresh(&self, token: &str, request_id: &str) -> chancery::error::Result<TokenPair> {
        refresh(&self.service, "app", token, "", &[], request_id).await
    }
}

pub(crate) async fn refresh(
    service: &Service,
    client: &str,
    token: &str,
    audience: &str,
    scopes: &[&str],
    request_id: &str,
) -> chancery::error::Result<TokenPair> {
    let input = RefreshInput {
        client_id: client.into(),
        refresh_token: RefreshToken::new(token.into()),
        audience: audience.into(),
        scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        request_id: request_id.into(),
    };
    service.refresh(&service.context(), &ClientCredentials::None, input).await
}

pub(crate) fn token(pair: &TokenPair) -> String {
    pair.refresh.as_ref().unwrap().expose().to_owned()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
