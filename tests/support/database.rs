//! Throwaway databases on either engine.

use std::sync::Arc;

use chancery::store::Location;
use sqlx::Connection;
use tempfile::TempDir;

/// A test database. SQLite is in a temporary folder; a PostgreSQL database is dropped when the test succeeds.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) engine: &'static str,
    pub(crate) location: Location,
    pub(crate) _dir: Option<Arc<TempDir>>,
}

/// Whether this run also tests PostgreSQL. Skipping it must be requested explicitly.
pub(crate) fn with_postgres() -> bool {
    std::env::var("CHTEST_ENGINES").as_deref() != Ok("sqlite")
}

/// URL of the throwaway cluster.
fn cluster() -> String {
    std::env::var("CHTEST_POSTGRES_URL")
        .expect("CHTEST_POSTGRES_URL is not set: run scripts/test, or leave PostgreSQL out with CHTEST_ENGINES=sqlite")
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let location = Location::Sqlite(dir.path().join("test.db"));
        Self { engine: "sqlite", location, _dir: Some(dir) }
    }

    pub(crate) async fn postgres() -> Self {
        Self::postgres_with("").await
    }

    /// A PostgreSQL database that is created with these words after its name.
    pub(crate) async fn postgres_with(words: &str) -> Self {
        let name = format!("t{}", hex(&chancery::entropy::Entropy::bytes16(&chancery::entropy::OsEntropy)));
        in_cluster(&format!("CREATE DATABASE {name} {words}")).await;
        let url = cluster();
        let (base, _) = url.rsplit_once('/').unwrap();
        Self { engine: "postgres", location: Location::parse(&format!("{base}/{name}")).unwrap(), _dir: None }
    }

    /// Drops the database, even if there are connections. A failed test leaves its database for inspection.
    pub(crate) async fn drop(&self) {
        if let Location::Postgres(_) = &self.location {
            let name = self.name();
            in_cluster(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    /// The same PostgreSQL database through a different address.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test goes another way")]
    pub(crate) fn through(&self, address: &str) -> Self {
        let Location::Postgres(url) = &self.location else { panic!("no network leads to a file") };
        let (credentials, rest) = url.expose().split_once('@').unwrap();
        let (_, name) = rest.split_once('/').unwrap();
        let location = Location::parse(&format!("{credentials}@{address}/{name}")).unwrap();
        Self { location, ..self.clone() }
    }

    /// Makes a PostgreSQL database read-only or not, and closes all connections to it.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test does this to its database")]
    pub(crate) async fn set_read_only(&self, on_or_off: &str) {
        self.keep_connections_and_set_read_only(on_or_off).await;
        self.close_connections().await;
    }

    /// Makes a PostgreSQL database read-only or not, for new connections.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test does this to its database")]
    pub(crate) async fn keep_connections_and_set_read_only(&self, on_or_off: &str) {
        let name = self.name();
        in_cluster(&format!("ALTER DATABASE {name} SET default_transaction_read_only = {on_or_off}")).await;
    }

    /// Has the server close all connections to a PostgreSQL database.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test does this to its database")]
    pub(crate) async fn close_connections(&self) {
        let name = self.name();
        in_cluster(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
    }

    /// The name of a PostgreSQL database.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test needs it")]
    pub(crate) fn name(&self) -> String {
        let Location::Postgres(url) = &self.location else { panic!("a file has no name in a cluster") };
        let (url, _) = url.expose().split_once('?').unwrap_or((url.expose(), ""));
        url.rsplit_once('/').unwrap().1.to_owned()
    }

    /// The indexed columns of a table.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test looks at indices")]
    pub(crate) async fn indexed_columns(&self, table: &str) -> Vec<String> {
        match &self.location {
            Location::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                let sql = "SELECT i.name FROM pragma_index_list($1) AS l, pragma_index_info(l.name) AS i";
                sqlx::query_scalar(sql).bind(table).fetch_all(&mut connection).await.unwrap()
            }
            Location::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url.expose()).await.unwrap();
                let sql = "SELECT CAST(a.attname AS TEXT) FROM pg_index AS i JOIN pg_attribute AS a \
                    ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) WHERE i.indrelid = CAST($1 AS regclass)";
                sqlx::query_scalar(sql).bind(table).fetch_all(&mut connection).await.unwrap()
            }
        }
    }

    /// The number of rows in a table.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test counts rows")]
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let statement = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        match &self.location {
            Location::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
            }
            Location::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url.expose()).await.unwrap();
                sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// Runs a statement directly on the database and returns the number of changed rows.
    pub(crate) async fn sql(&self, statement: &str) -> Result<u64, sqlx::Error> {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        match &self.location {
            Location::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
                Ok(sqlx::query(statement).execute(&mut connection).await?.rows_affected())
            }
            Location::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url.expose()).await?;
                Ok(sqlx::query(statement).execute(&mut connection).await?.rows_affected())
            }
        }
    }
}

/// Runs a statement in the cluster's default database.
pub(crate) async fn in_cluster(statement: &str) {
    let mut connection = sqlx::PgConnection::connect(&cluster()).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
