//! Databases of older schemas are brought up to date and lose nothing. Their dumps lie in `tests/fixtures/schema`;
//! `scripts/make-schema-fixture` makes the newest, and `scripts/derive-schema-fixtures` made those of schemas of which
//! no server was left.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::{
    domain::{
        audit::Actor,
        session::{RevokedCause, SessionKind},
        settings::Settings,
    },
    entropy::{Entropy, OsEntropy},
    error::{Error, Result},
    id::SessionId,
    keys::SealingKey,
    passwords::{self, Params, Passwords},
    secret::{DeviceToken, PasskeyResponse, Password, RefreshToken, TypedCode},
    service::{
        ClientCredentials, Device, NextStep, RefreshInput, Service, SignInRequest, SignInStep, SignedIn, StartOptions,
        TokenPair,
    },
    store::{By, Location, Revoke, Schema, Store},
    time::{FixedClock, Timestamp, Ttl},
};
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{database::Database, fixture::Fixture};

/// What the script wrote down beside a dump.
#[derive(serde::Deserialize)]
pub(crate) struct Known {
    made_at: i64,
    issuer: String,
    client_id: String,
    pub(crate) login: String,
    pub(crate) email: String,
    subject: String,
    password: String,
    audience: String,
    /// Nothing before there were roles.
    entitlement: Option<String>,
    pub(crate) refresh_token: String,
    ended_refresh_token: String,
    /// A live session behind a cookie, in fixtures of schemas that know them.
    browser_session: Option<String>,
    /// A user with two factors, in fixtures of schemas that know them.
    two_factors: Option<TwoFactors>,
}

#[derive(serde::Deserialize)]
struct TwoFactors {
    login: String,
    /// In hexadecimal.
    totp_secret: String,
    recovery_code: String,
}

impl Known {
    /// An instant at which what was issued is still valid.
    pub(crate) fn soon_after(&self) -> Timestamp {
        Timestamp::from_millis(self.made_at).plus(Ttl::from_secs(60))
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dumps_folder() -> PathBuf {
    root().join("tests/fixtures/schema")
}

fn file_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The number of the newest migration, as file names have it.
pub(crate) fn newest() -> String {
    let name = file_names(&root().join("migrations/sqlite")).pop().unwrap();
    name.split_once('_').unwrap().0.to_owned()
}

/// The dumps of an engine, oldest schema first, without the ending of their names.
pub(crate) fn dumps(engine: &str) -> Vec<String> {
    let ending = format!("-{engine}.sql");
    let names = file_names(&dumps_folder()).into_iter();
    names.filter(|n| n.ends_with(&ending)).map(|n| n.trim_end_matches(".sql").to_owned()).collect()
}

/// A database that holds a dump, opened but not migrated.
pub(crate) async fn load(f: &Fixture, dump: &str) -> (Fixture, Known) {
    let read = |ending| fs::read_to_string(dumps_folder().join(format!("{dump}.{ending}"))).unwrap();
    let (statements, known) = (sqlx::AssertSqlSafe(read("sql")), serde_json::from_str(&read("json")).unwrap());
    let database = match &f.database.location {
        Location::Sqlite(_) => Database::sqlite(),
        Location::Postgres(_) => Database::postgres().await,
    };
    match &database.location {
        Location::Sqlite(path) => {
            let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        Location::Postgres(url) => {
            let mut connection = PgConnection::connect(url.expose()).await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
    let store = Store::open(&database.location, false, f.entropy.clone()).await.unwrap();
    (Fixture { store, database, entropy: f.entropy.clone(), settings: Settings::default() }, known)
}

/// How many rows each table holds.
pub(crate) async fn row_counts(database: &Database) -> BTreeMap<String, i64> {
    const SQLITE_TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    const POSTGRES_TABLES: &str = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
        WHERE table_schema = current_schema()";
    let count = |table: &str| sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    let mut counts = BTreeMap::new();
    match &database.location {
        Location::Sqlite(path) => {
            let options = SqliteConnectOptions::new().filename(path);
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            let tables: Vec<String> = sqlx::query_scalar(SQLITE_TABLES).fetch_all(&mut connection).await.unwrap();
            for table in tables {
                let rows = sqlx::query_scalar(count(&table)).fetch_one(&mut connection).await.unwrap();
                counts.insert(table, rows);
            }
        }
        Location::Postgres(url) => {
            let mut connection = PgConnection::connect(url.expose()).await.unwrap();
            let tables: Vec<String> = sqlx::query_scalar(POSTGRES_TABLES).fetch_all(&mut connection).await.unwrap();
            for table in tables {
                let rows = sqlx::query_scalar(count(&table)).fetch_one(&mut connection).await.unwrap();
                counts.insert(table, rows);
            }
        }
    }
    counts
}

pub(crate) async fn every_older_schema_is_brought_up_to_date_and_keeps_its_rows(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, known) = load(f, &dump).await;
        let before = row_counts(&older.database).await;
        let empty: Vec<_> = before.iter().filter(|(_, rows)| **rows == 0).map(|(table, _)| table).collect();
        assert!(empty.is_empty(), "{dump} has no rows in {empty:?}; the scripts in the head of this file make dumps");
        older.store.migrate(known.soon_after()).await.unwrap();
        let want = newest();
        assert_eq!(older.store.schema().await.unwrap(), Schema::Current(want.parse().unwrap()), "{dump}");
        let after = row_counts(&older.database).await;
        for (table, rows) in &before {
            assert!(after.get(table) >= Some(rows), "{dump}: {table} had {rows} rows, and has {:?}", after.get(table));
        }
        older.finish().await;
    }
}

/// A server on a loaded database, at a time when what was issued is still valid.
pub(crate) async fn serve(older: &Fixture, known: &Known) -> Service {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let key = fs::read(dumps_folder().join("sealing.key")).unwrap();
    let sealing = vec![SealingKey::new(&SealingKey::parse(&key).unwrap())];
    let params = Params::default();
    let pool = passwords::PoolConfig { params, threads: 1, queue: 8, memory_kib: u64::from(params.memory_kib) };
    let passwords = Passwords::start(pool, entropy.clone()).unwrap();
    let clock = Arc::new(FixedClock::new(known.soon_after()));
    let options =
        StartOptions { issuer: Some(known.issuer.clone()), default_issuer: None, dev: Some(false), claim: false };
    Service::start(older.store.clone(), sealing, passwords, clock, entropy, &options).await.unwrap()
}

async fn sign_in(service: &Service, known: &Known, login: &str, password: &str) -> Result<TokenPair> {
    match begin(service, known, login, password).await? {
        SignedIn::Tokens(pair) => Ok(pair),
        SignedIn::Challenge(challenge) => panic!("{challenge:?}"),
    }
}

async fn begin(service: &Service, known: &Known, login: &str, password: &str) -> Result<SignedIn> {
    let request = SignInRequest {
        client_id: known.client_id.clone(),
        login: login.to_owned(),
        password: Password::new(password.to_owned()),
        scopes: vec![],
        audience: String::new(),
        device_token: DeviceToken::new(String::new()),
        device: Device::default(),
    };
    service.sign_ins.sign_in(&service.context(), &ClientCredentials::None, request).await
}

/// Completes a sign-in with a code of the app, or with a recovery code.
async fn go_on(service: &Service, known: &Known, login: &str, (code, recovery_code): (&str, &str)) -> Result<SignedIn> {
    let challenge = match begin(service, known, login, &known.password).await? {
        SignedIn::Tokens(pair) => panic!("{pair:?}"),
        SignedIn::Challenge(challenge) => challenge,
    };
    assert_eq!(challenge.step, SignInStep::Mfa);
    let next = NextStep {
        client_id: known.client_id.clone(),
        token: challenge.token,
        new_password: Password::new(String::new()),
        email: String::new(),
        code: TypedCode::new(code.to_owned()),
        recovery_code: TypedCode::new(recovery_code.to_owned()),
        passkey_response: PasskeyResponse::new(String::new()),
    };
    let continued = service.sign_ins.continue_sign_in(&service.context(), &ClientCredentials::None, next).await;
    continued.map(|continued| continued.signed_in)
}

pub(crate) async fn second_factors_of_every_older_schema_still_count(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, known) = load(f, &dump).await;
        older.store.migrate(known.soon_after()).await.unwrap();
        if let Some(TwoFactors { login, totp_secret, recovery_code }) = &known.two_factors {
            let service = serve(&older, &known).await;
            let byte = |n: usize| u8::from_str_radix(&totp_secret[2 * n..2 * n + 2], 16).unwrap();
            let secret: [u8; 20] = std::array::from_fn(byte);
            let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
            let code = app.generate(known.soon_after().seconds().unsigned_abs()).to_string();
            for proof in [(&*code, ""), ("", &**recovery_code)] {
                let signed_in = go_on(&service, &known, login, proof).await.unwrap();
                assert!(matches!(signed_in, SignedIn::Tokens(_)), "{dump}: {signed_in:?}");
            }
            // Each counts once.
            for proof in [(&*code, ""), ("", &**recovery_code)] {
                let refused = go_on(&service, &known, login, proof).await.unwrap_err();
                assert!(matches!(refused, Error::Unauthenticated(_)), "{dump}: {refused:?}");
            }
        }
        older.finish().await;
    }
}

pub(crate) async fn refresh(service: &Service, known: &Known, token: &str) -> Result<TokenPair> {
    let input = RefreshInput {
        client_id: known.client_id.clone(),
        refresh_token: RefreshToken::new(token.to_owned()),
        audience: String::new(),
        scopes: vec![],
        request_id: String::new(),
    };
    service.tokens.refresh(&service.context(), &ClientCredentials::None, input).await
}

/// The access token is the old user's, with what the user's role permits.
fn assert_is_the_users(known: &Known, pair: &TokenPair) {
    let payload = pair.access.token.expose().split('.').nth(1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!((claims["sub"].as_str(), claims["aud"].as_str()), (Some(&*known.subject), Some(&*known.audience)));
    if let Some(entitlement) = &known.entitlement {
        let entitlements = claims["entitlements"].as_array().unwrap();
        assert!(entitlements.iter().any(|e| e.as_str() == Some(entitlement)), "{claims}");
    }
}

pub(crate) async fn sessions_passwords_and_keys_of_every_older_schema_go_on(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, known) = load(f, &dump).await;
        older.store.migrate(known.soon_after()).await.unwrap();
        let service = serve(&older, &known).await;
        let pair = refresh(&service, &known, &known.refresh_token).await.unwrap();
        assert_is_the_users(&known, &pair);
        let ended = refresh(&service, &known, &known.ended_refresh_token).await.unwrap_err();
        assert!(matches!(ended, Error::Ended { .. }), "{dump}: {ended:?}");
        for login in [&known.login, &known.email] {
            assert_is_the_users(&known, &sign_in(&service, &known, login, &known.password).await.unwrap());
        }
        let wrong = sign_in(&service, &known, &known.login, "another pass phrase").await.unwrap_err();
        assert!(matches!(wrong, Error::Unauthenticated(_)), "{dump}: {wrong:?}");
        drop(service);
        older.finish().await;
    }
}

pub(crate) async fn sessions_of_every_older_schema_are_of_the_kind_that_they_were(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, known) = load(f, &dump).await;
        older.store.migrate(known.soon_after()).await.unwrap();
        let cookie: Option<SessionId> = known.browser_session.as_deref().map(|id| id.parse().unwrap());
        let mut tx = older.store.read().await.unwrap();
        let (mut after, mut kinds) = (None, Vec::new());
        loop {
            let walk = tx.sessions_walk(after.as_ref(), Timestamp::from_millis(i64::MAX), 1).await.unwrap();
            for id in walk.dead {
                let session = tx.session_by_id(&id).await.unwrap().unwrap();
                let has_cookie = session.kind == SessionKind::Browser;
                assert_eq!(has_cookie, Some(&id) == cookie.as_ref(), "{dump}: {session:?}");
                assert_eq!(session.site.is_some(), has_cookie, "{dump}: {session:?}");
                assert!(session.parent.is_none() || session.parent == cookie, "{dump}: {session:?}");
                kinds.push(session.kind);
            }
            after = walk.last;
            if after.is_none() {
                break;
            }
        }
        assert!(kinds.contains(&SessionKind::Token), "{dump}: {kinds:?}");
        drop(tx);
        if let Some(id) = cookie {
            // Signing out ends what was opened from it, and only what is still live.
            let by = (&Actor::system(), RevokedCause::Logout);
            let by = By { actor: by.0, cause: by.1, settings: &older.settings, now: known.soon_after() };
            let mut tx = older.store.write().await.unwrap();
            assert_eq!(tx.revoke(Revoke::Sessions(&[id]), &by).await.unwrap(), 1, "{dump}");
            tx.commit().await.unwrap();
        }
        older.finish().await;
    }
}

#[test]
fn every_migration_has_a_fixture_of_each_engine() {
    for migration in file_names(&root().join("migrations/sqlite")) {
        let (number, _) = migration.split_once('_').unwrap();
        for engine in ["sqlite", "postgres"] {
            for ending in ["sql", "json"] {
                let file = dumps_folder().join(format!("{number}-{engine}.{ending}"));
                assert!(file.is_file(), "{} is missing; scripts/make-schema-fixture makes the newest", file.display());
            }
        }
    }
}
