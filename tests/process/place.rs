//! Where a server keeps its data: a directory, and perhaps a PostgreSQL database.

use std::path::{Path, PathBuf};

use chancery::entropy::{Entropy, OsEntropy};
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::server::{command, run};

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) database: Option<String>,
}

impl Place {
    pub(crate) fn sqlite(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), database: None }
    }

    /// A new database in the throwaway cluster.
    pub(crate) async fn postgres(dir: &Path) -> Self {
        let url = postgres_url();
        let name = format!("p{}", OsEntropy.bytes16().iter().map(|b| format!("{b:02x}")).collect::<String>());
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        let (base, _) = url.rsplit_once('/').unwrap();
        Self { dir: dir.to_owned(), database: Some(format!("{base}/{name}")) }
    }

    /// One place below `dir` for each engine that this run tests.
    pub(crate) async fn each(dir: &TempDir) -> Vec<Self> {
        let mut all = vec![Self::sqlite(&dir.path().join("sqlite"))];
        if std::env::var("CHTEST_ENGINES").as_deref() != Ok("sqlite") {
            all.push(Self::postgres(&dir.path().join("postgres")).await);
        }
        all
    }

    pub(crate) fn engine(&self) -> &'static str {
        if self.database.is_some() { "postgres" } else { "sqlite" }
    }

    /// The flags that select this place.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--data-dir".to_owned(), self.dir.to_str().unwrap().to_owned()];
        if let Some(url) = &self.database {
            flags.extend(["--database".to_owned(), url.clone()]);
        }
        flags
    }

    /// Runs a command on the database and returns its standard output.
    pub(crate) fn command(&self, args: &[&str], stdin: &str) -> String {
        let out = run(command(args).args(self.flags()), stdin.as_bytes());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// The strings returned by a query that bypasses the servers.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        if let Some(url) = &self.database {
            let mut connection = PgConnection::connect(url).await.unwrap();
            return sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
        }
        let options = SqliteConnectOptions::new().filename(self.dir.join("chancery.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    }

    /// The complete contents of the database: the files, or every row of every table as text.
    pub(crate) async fn contents(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if self.database.is_none() {
            for entry in std::fs::read_dir(&self.dir).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap() != "sealing.key" {
                    all.extend(std::fs::read(path).unwrap());
                }
            }
            return all;
        }
        let tables = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'";
        for table in self.texts(tables).await {
            let rows = self.texts(&format!("SELECT CAST(row_to_json(t) AS TEXT) FROM {table} AS t")).await;
            all.extend(rows.join("\n").into_bytes());
        }
        all
    }

    /// The number of rows in a table that match a condition.
    pub(crate) async fn count(&self, table: &str, condition: &str) -> u64 {
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM {table} WHERE {condition}");
        self.texts(&sql).await[0].parse().unwrap()
    }
}

/// URL of the throwaway cluster.
pub(crate) fn postgres_url() -> String {
    std::env::var("CHTEST_POSTGRES_URL")
        .expect("CHTEST_POSTGRES_URL is not set: run scripts/test, or leave PostgreSQL out with CHTEST_ENGINES=sqlite")
}
