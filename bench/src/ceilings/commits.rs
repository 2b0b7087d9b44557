//! Bare durable commits of rows as large as a session, on the server's engine and disk.

use std::time::Duration;

use sqlx::{
    Connection, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    types::Json,
};
use tokio::time::Instant;

use crate::stats::size;

/// Rows in the table.
const ROWS: usize = 512;

const CREATE: &str = "CREATE TABLE bench_commits (id TEXT PRIMARY KEY, generation BIGINT NOT NULL, rest TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO bench_commits (id, generation, rest) VALUES ($1, 0, $2)";
const ONE: &str = "UPDATE bench_commits SET generation = generation + 1 WHERE id = $1";
const MANY_SQLITE: &str = "UPDATE bench_commits SET generation = generation + 1 FROM (SELECT value AS want FROM json_each($1)) WHERE id = want";
const MANY_POSTGRES: &str = "UPDATE bench_commits SET generation = generation + 1 \
    FROM (SELECT jsonb_array_elements_text($1) AS want) AS w WHERE id = want";

fn ids() -> Vec<String> {
    (0..ROWS).map(|n| format!("ses_{n:026}")).collect()
}

/// The `n`th group of `rows` ids.
fn group(all: &[String], n: usize, rows: usize) -> Vec<&str> {
    all.iter().map(String::as_str).cycle().skip(n * rows % ROWS).take(rows).collect()
}

/// Measures the rows changed per second. Each iteration is one commit.
macro_rules! measure_rate {
    ($connection:ident, $rows:ident, $time:ident, $many:ident) => {{
        let (all, began) = (ids(), Instant::now());
        let (mut commits, mut counted_from, mut counted) = (0, began, 0);
        while began.elapsed() < $time + $time / 10 {
            let some = group(&all, commits, $rows);
            match some.as_slice() {
                [one] => sqlx::query(ONE).bind(*one).execute(&mut $connection).await?,
                many => sqlx::query($many).bind(Json(many)).execute(&mut $connection).await?,
            };
            commits += 1;
            counted += $rows;
            // The first tenth of the time is warm-up.
            if counted_from == began && began.elapsed() > $time / 10 {
                (counted_from, counted) = (Instant::now(), 0);
            }
        }
        size(counted) / counted_from.elapsed().as_secs_f64()
    }};
}

/// Measures SQLite, on a file in this directory.
pub(super) async fn sqlite(dir: &str, rows: usize, time: Duration) -> anyhow::Result<f64> {
    let file = tempfile::Builder::new().prefix("commits-").tempdir_in(dir)?;
    let options = SqliteConnectOptions::new()
        .filename(file.path().join("commits.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query(CREATE).execute(&mut connection).await?;
    let mut tx = connection.begin().await?;
    for id in ids() {
        sqlx::query(INSERT).bind(id).bind("x".repeat(500)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let rate = measure_rate!(connection, rows, time, MANY_SQLITE);
    connection.close().await?;
    Ok(rate)
}

/// Measures PostgreSQL, on a table in this database.
pub(super) async fn postgres(url: &str, rows: usize, time: Duration) -> anyhow::Result<f64> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query("DROP TABLE IF EXISTS bench_commits").execute(&mut connection).await?;
    sqlx::query(CREATE).execute(&mut connection).await?;
    let mut tx = connection.begin().await?;
    for id in ids() {
        sqlx::query(INSERT).bind(id).bind("x".repeat(500)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let rate = measure_rate!(connection, rows, time, MANY_POSTGRES);
    sqlx::query("DROP TABLE bench_commits").execute(&mut connection).await?;
    connection.close().await?;
    Ok(rate)
}
