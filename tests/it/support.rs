//! A service on a fresh database, with a clock that moves only manually.

use std::sync::Arc;

use chancery::{
    entropy::Entropy,
    error::Error,
    keys::SealingKey,
    passwords::{Params, Passwords, PoolConfig},
    secret::{DeviceToken, Password, RefreshToken},
    service::{
        Access, Act, Admin, CallingClient, ClientCredentials, ClientTokenRequest, Device, IssuedToken, Me,
        NewClientRequest, NewUserRequest, Permit, RefreshInput, Service, SignInRequest, SignedIn, StartError,
        StartOptions, TokenPair,
    },
    store::Store,
    time::{Clock, FixedClock, Timestamp},
};

use crate::{database::Database, lent_keys::LentKeys};

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
const START: Timestamp = Timestamp::from_millis(1_893_456_000_000);

pub(crate) struct App {
    pub(crate) service: Service,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) empty: Empty,
}

/// Maximum number of waiting sign-ins.
pub(crate) const PLACES: usize = 8;

pub(crate) fn passwords(entropy: Arc<dyn Entropy>) -> Passwords {
    let params = Params { memory_kib: 64, iterations: 1, lanes: 1 };
    Passwords::start(PoolConfig { params, threads: 1, queue: PLACES, memory_kib: 64 }, entropy).unwrap()
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
    pub(crate) database: Database,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) keys: Arc<LentKeys>,
}

impl Empty {
    #[expect(clippy::unused_async, reason = "every fixture is awaited, whatever its engine")]
    pub(crate) async fn sqlite() -> Self {
        Self::on(Database::sqlite())
    }

    pub(crate) async fn postgres() -> Self {
        Self::on(Database::postgres().await)
    }

    fn on(database: Database) -> Self {
        Self { database, clock: Arc::new(FixedClock::new(START)), keys: Arc::new(LentKeys::new()) }
    }

    pub(crate) async fn finish(self) {
        self.database.drop().await;
    }
}

impl App {
    pub(crate) async fn sqlite() -> Self {
        Self::on(Empty::sqlite().await).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::on(Empty::postgres().await).await
    }

    pub(crate) async fn finish(self) {
        self.service.store().close().await;
        self.empty.finish().await;
    }

    /// Opens a database as a server process would.
    pub(crate) async fn open(empty: &Empty, opened: Opened) -> Result<Service, StartError> {
        Self::open_by(empty, opened, empty.clock.clone()).await
    }

    /// Opens a database as a server process with its own clock would.
    pub(crate) async fn open_by(empty: &Empty, opened: Opened, clock: Arc<dyn Clock>) -> Result<Service, StartError> {
        Self::start(empty, (opened, &[opened.sealing], true), clock).await
    }

    /// Opens a database as a server process with these sealing keys would.
    pub(crate) async fn open_with(empty: &Empty, opened: Opened, keys: &[u8]) -> Result<Service, StartError> {
        Self::start(empty, (opened, keys, true), empty.clock.clone()).await
    }

    /// Opens a database as a command with these sealing keys would.
    pub(crate) async fn open_command(empty: &Empty, keys: &[u8]) -> Result<Service, StartError> {
        Self::start(empty, (Opened::default(), keys, false), empty.clock.clone()).await
    }

    async fn start(
        empty: &Empty,
        (opened, keys, serves): (Opened, &[u8], bool),
        clock: Arc<dyn Clock>,
    ) -> Result<Service, StartError> {
        let entropy: Arc<dyn Entropy> = empty.keys.clone();
        let store = Store::open(&empty.database.location, true, entropy.clone()).await?;
        store.migrate(START).await?;
        let issuer = opened.issuer.map(str::to_owned);
        let options = StartOptions { issuer, default_issuer: None, dev: Some(opened.dev), claim: serves };
        let sealing = keys.iter().map(|byte| SealingKey::new(&SealingKey::parse(&[*byte; 32]).unwrap())).collect();
        Service::start(store, sealing, passwords(entropy.clone()), clock, entropy, &options).await
    }

    async fn on(empty: Empty) -> Self {
        let clock = empty.clock.clone();
        Self::prepared(empty, clock).await
    }

    /// A service with a user and a client.
    pub(crate) async fn prepared(empty: Empty, clock: Arc<dyn Clock>) -> Self {
        let service = Self::open_by(&empty, Opened::default(), clock).await.unwrap();
        let app = Self { service, clock: empty.clock.clone(), empty };
        app.user("ada").await;
        app.client("app", &["api", "other"]).await;
        app
    }

    /// Creates a user with the usual password.
    pub(crate) async fn user(&self, name: &str) {
        let request = NewUserRequest {
            name: name.into(),
            subject: None,
            password: Some(Password::new(PASSWORD.into())),
            attributes: serde_json::Map::new(),
            ..NewUserRequest::default()
        };
        self.service.users.create(&Admin::command(), request).await.unwrap();
    }

    pub(crate) async fn client(&self, id: &str, audiences: &[&str]) {
        self.service.clients.create(&Admin::command(), first_party(id, audiences)).await.unwrap();
    }

    /// Registers a confidential client and returns its credentials.
    pub(crate) async fn confidential(&self, request: NewClientRequest) -> ClientCredentials {
        let (client, secret) = self.service.clients.create(&Admin::command(), request).await.unwrap();
        ClientCredentials::Basic { client_id: client.id.to_string(), secret: secret.unwrap() }
    }

    /// Advances time on a server that keeps following the feed.
    pub(crate) async fn pass(&self, time: chancery::time::Ttl) {
        self.clock.advance(time);
        self.service.live.confirm().await.unwrap();
    }

    /// Removes the newest feed entry, as restoring a backup would.
    pub(crate) async fn set_feed_back(&self) {
        const ENTRY: &str = "DELETE FROM feed_entries WHERE seq = (SELECT seq FROM feed)";
        const HEAD: &str =
            "UPDATE feed SET seq = seq - 1, tag = (SELECT tag FROM feed_entries ORDER BY seq DESC LIMIT 1)";
        self.sql(ENTRY).await;
        self.sql(HEAD).await;
    }

    /// Runs a statement behind the server's back.
    pub(crate) async fn sql(&self, statement: &str) {
        self.empty.database.sql(statement).await.unwrap();
    }

    /// A second process on the same database.
    pub(crate) async fn second_process(&self) -> Service {
        Self::open(&self.empty, Opened::default()).await.unwrap()
    }

    pub(crate) async fn sign_in(&self) -> TokenPair {
        self.try_sign_in(PASSWORD).await.unwrap()
    }

    pub(crate) async fn try_sign_in(&self, password: &str) -> chancery::error::Result<TokenPair> {
        sign_in(&self.service, login_of("app", "ada", password)).await
    }

    pub(crate) async fn refresh(&self, token: &str, request_id: &str) -> chancery::error::Result<TokenPair> {
        refresh(&self.service, "app", token, "", &[], request_id).await
    }
}

pub(crate) fn first_party(id: &str, audiences: &[&str]) -> NewClientRequest {
    NewClientRequest {
        id: id.into(),
        public: true,
        first_party: true,
        audiences: audiences.iter().map(|a| (*a).to_owned()).collect(),
        scopes: vec!["read".into(), "write".into()],
        algorithm: Some("ES256".into()),
        ..NewClientRequest::default()
    }
}

pub(crate) fn login_of(client: &str, login: &str, password: &str) -> SignInRequest {
    SignInRequest {
        client_id: client.into(),
        login: login.into(),
        password: Password::new(password.into()),
        scopes: vec![],
        audience: String::new(),
        device_token: DeviceToken::new(String::new()),
        device: Device { label: "laptop".into(), ..Device::default() },
    }
}

/// The same sign-in, through a client that reports the user's address.
pub(crate) fn login_from(client: &str, login: &str, password: &str, address: &str) -> SignInRequest {
    let mut request = login_of(client, login, password);
    request.device.address = address.into();
    request
}

/// What the edge passes to a method for confidential clients.
pub(crate) async fn admit_client(service: &Service, who: &ClientCredentials) -> chancery::error::Result<CallingClient> {
    match service.callers.admit(&service.context(), who, Access::ConfidentialClient).await? {
        Permit::Client(client) => Ok(client),
        other => panic!("{other:?}"),
    }
}

/// What the edge passes to a method for signed-in users.
pub(crate) async fn admit_me(service: &Service, who: &ClientCredentials) -> chancery::error::Result<Me> {
    match service.callers.admit(&service.context(), who, Access::User).await? {
        Permit::Me(me) => Ok(me),
        other => panic!("{other:?}"),
    }
}

/// What the edge passes to a method for administrators.
pub(crate) async fn admit_admin(
    service: &Service,
    who: &ClientCredentials,
    (permission, act): (&'static str, Act),
) -> chancery::error::Result<Admin> {
    match service.callers.admit(&service.context(), who, Access::Permission(permission, act)).await? {
        Permit::Admin(admin) => Ok(admin),
        other => panic!("{other:?}"),
    }
}

/// An access token for a client itself.
pub(crate) async fn client_token(
    service: &Service,
    who: &ClientCredentials,
    request: &ClientTokenRequest,
) -> chancery::error::Result<IssuedToken> {
    let client = admit_client(service, who).await?;
    service.tokens.issue_to_client(&service.context(), &client, request).await
}

/// The claims of a token, if it is valid, as a resource server sees them.
pub(crate) async fn introspect(
    service: &Service,
    who: &ClientCredentials,
    token: &str,
) -> chancery::error::Result<Option<Arc<chancery_verify::Claims>>> {
    let client = admit_client(service, who).await?;
    service.tokens.introspect(&service.context(), &client, token).await
}

pub(crate) async fn sign_in(service: &Service, request: SignInRequest) -> chancery::error::Result<TokenPair> {
    tokens(service.sign_ins.sign_in(&service.context(), &ClientCredentials::None, request).await)
}

/// The tokens of a sign-in that has no further steps.
pub(crate) fn tokens(signed_in: chancery::error::Result<SignedIn>) -> chancery::error::Result<TokenPair> {
    match signed_in? {
        SignedIn::Tokens(pair) => Ok(pair),
        SignedIn::Challenge(challenge) => panic!("unexpected challenge: {challenge:?}"),
    }
}

/// Signs in, retrying while the queue has no place for the account. For tests with concurrent sign-ins.
pub(crate) async fn sign_in_with_retries(service: &Service, login: &str) -> chancery::error::Result<TokenPair> {
    loop {
        match sign_in(service, login_of("app", login, PASSWORD)).await {
            Err(Error::Throttled { .. } | Error::SignInInProgress { .. }) => tokio::task::yield_now().await,
            answered => return answered,
        }
    }
}

/// The claims of an access token, without checking the signature.
pub(crate) fn claims(token: &str) -> serde_json::Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
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
    service.tokens.refresh(&service.context(), &ClientCredentials::None, input).await
}

pub(crate) fn token(pair: &TokenPair) -> String {
    pair.refresh.as_ref().unwrap().expose().to_owned()
}
