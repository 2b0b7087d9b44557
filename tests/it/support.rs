//! A service on a fresh database, with a clock that moves only when told.

use std::sync::Arc;

use chancery::{
    entropy::Entropy,
    keys::SealingKey,
    passwords::{Params, Passwords, Settings},
    secret::{Password, RefreshToken},
    service::{
        ClientCredentials, NewClientRequest, NewUserRequest, RefreshInput, Service, SignInRequest, StartError,
        StartOptions, TokenPair,
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
    let mut apps = Vec::new();
    for empty in engines_empty().await {
        apps.push(App::on(empty).await);
    }
    apps
}

pub(crate) struct App {
    pub(crate) service: Service,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) engine: &'static str,
    empty: Empty,
}

fn passwords(entropy: Arc<dyn Entropy>) -> Passwords {
    let params = Params { memory_kib: 64, iterations: 1, lanes: 1 };
    Passwords::start(Settings { params, threads: 1, queue: 64 }, entropy).unwrap()
}

/// How a test opens a database.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) sealing: u8,
    pub(crate) issuer: Option<&'static str>,
    pub(crate) dev: bool,
}

impl Default for Opened {
    fn default() -> Self {
        Self { sealing: 7, issuer: Some(ISSUER), dev: false }
    }
}

/// A database without tables.
#[derive(Clone)]
pub(crate) struct Empty {
    pub(crate) engine: &'static str,
    location: Location,
    clock: Arc<FixedClock>,
    _dir: Option<Arc<TempDir>>,
}

/// An empty database of every engine that this run tests.
pub(crate) async fn engines_empty() -> Vec<Empty> {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let location = Location::Sqlite(dir.path().join("test.db"));
    let clock = || Arc::new(FixedClock::new(START));
    let mut all = vec![Empty { engine: "sqlite", location, clock: clock(), _dir: Some(dir) }];
    if std::env::var("CHANCERY_TEST_ENGINES").as_deref() != Ok("sqlite") {
        let location = postgres_database().await;
        all.push(Empty { engine: "postgres", location, clock: clock(), _dir: None });
    }
    all
}

/// Makes a database in the throwaway cluster.
async fn postgres_database() -> Location {
    use sqlx::Connection;
    let url = std::env::var("CHANCERY_TEST_POSTGRES_URL").expect(
        "CHANCERY_TEST_POSTGRES_URL is not set: run scripts/test, or leave PostgreSQL out with CHANCERY_TEST_ENGINES=sqlite",
    );
    let name = format!("t{}", hex(&chancery::entropy::OsEntropy.bytes16()));
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let (base, _) = url.rsplit_once('/').unwrap();
    Location::parse(&format!("{base}/{name}")).unwrap()
}

impl App {
    /// Opens a database as a server process would.
    pub(crate) async fn open(empty: &Empty, opened: Opened) -> Result<Service, StartError> {
        let entropy: Arc<dyn Entropy> = Arc::new(chancery::entropy::OsEntropy);
        let store = Store::open(&empty.location, true, entropy.clone()).await?;
        store.migrate().await?;
        let issuer = opened.issuer.map(str::to_owned);
        let options = StartOptions { issuer, default_issuer: None, dev: Some(opened.dev), claim: true };
        let sealing = SealingKey::new(&SealingKey::parse(&[opened.sealing; 32]).unwrap());
        let clock = empty.clock.clone();
        Service::start(store, sealing, passwords(entropy.clone()), clock, entropy, &options).await
    }

    async fn on(empty: Empty) -> Self {
        let service = Self::open(&empty, Opened::default()).await.unwrap();
        let app = Self { service, clock: empty.clock.clone(), engine: empty.engine, empty };
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

    /// Takes the newest entry of the feed away, as restoring a backup would.
    pub(crate) async fn set_feed_back(&self) {
        const ENTRY: &str = "DELETE FROM feed_entries WHERE seq = (SELECT seq FROM feed)";
        const HEAD: &str =
            "UPDATE feed SET seq = seq - 1, tag = (SELECT tag FROM feed_entries ORDER BY seq DESC LIMIT 1)";
        self.sql(ENTRY).await;
        self.sql(HEAD).await;
    }

    /// Runs a statement behind the server's back.
    pub(crate) async fn sql(&self, statement: &'static str) {
        use sqlx::Connection;
        match &self.empty.location {
            Location::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::query(statement).execute(&mut connection).await.unwrap();
            }
            Location::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url.expose()).await.unwrap();
                sqlx::query(statement).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// A second process on the same database.
    pub(crate) async fn second(&self) -> Service {
        Self::open(&self.empty, Opened::default()).await.unwrap()
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
