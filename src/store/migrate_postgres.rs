//! Migrates PostgreSQL, in one transaction. The library's own way takes a lock and prepares statements outside of a
//! transaction; behind a pooler, the lock would stay on a connection that others use.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{
    Postgres,
    migrate::{Migration, Migrator},
};
use tokio::time::Instant;

use super::{
    connection::{TxConnection, within},
    failure,
    seats::Seats,
};
use crate::error::{Error, Result};

/// No statement of a migration is cut off, whatever the role's own limits are, but nobody waits longer than a minute for
/// another process to be done.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL statement_timeout = 0; \
    SET LOCAL lock_timeout = 60000; SET LOCAL idle_in_transaction_session_timeout = 0; \
    SET LOCAL standard_conforming_strings = on";
/// The lock that the library takes, so that an older binary waits too.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1026731422 * $1)";
/// The library's table.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
    installed_on TIMESTAMPTZ NOT NULL DEFAULT transaction_timestamp(), success BOOLEAN NOT NULL, \
    checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)";
/// More than any migration takes.
const LIMIT: Duration = Duration::from_hours(24);

/// Applies what is missing, or nothing if something fails.
pub(super) async fn run(seats: &Seats, migrator: &Migrator) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    begun(seats, migrator, limit).await?.commit(limit).await.map_err(failure)
}

/// Applies what is missing, and takes it back.
pub(super) async fn try_out(seats: &Seats, migrator: &Migrator) -> Result<()> {
    begun(seats, migrator, Instant::now() + LIMIT).await.map(drop)
}

async fn begun(seats: &Seats, migrator: &Migrator, limit: Instant) -> Result<TxConnection<Postgres>> {
    let mut connection = TxConnection::<Postgres>::acquire(seats).await.map_err(failure)?;
    connection.begin(BEGIN, limit).await.map_err(failure)?;
    within(limit, apply_missing(&mut connection, migrator)).await.map_err(explained)?;
    Ok(connection)
}

async fn apply_missing(connection: &mut TxConnection<Postgres>, migrator: &Migrator) -> sqlx::Result<()> {
    let (name,): (String,) = sqlx::query_as("SELECT CAST(current_database() AS TEXT)")
        .persistent(false)
        .fetch_one(&mut **connection)
        .await?;
    let lock = i64::from(crc32fast::hash(name.as_bytes()));
    sqlx::query(LOCK).persistent(false).bind(lock).execute(&mut **connection).await?;
    if needs_table(connection).await? {
        sqlx::raw_sql(TABLE).execute(&mut **connection).await?;
    }
    let applied: Vec<(i64, bool, Vec<u8>)> = sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations")
        .persistent(false)
        .fetch_all(&mut **connection)
        .await?;
    let applied: BTreeMap<i64, (bool, Vec<u8>)> = applied.into_iter().map(|(v, ok, sum)| (v, (ok, sum))).collect();
    for migration in migrator.iter() {
        let version = migration.version;
        match applied.get(&version) {
            Some((true, checksum)) if *checksum == *migration.checksum => {}
            Some((true, _)) => return Err(refused(&format!("migration {version} was applied in another form"))),
            Some((false, _)) => return Err(refused(&format!("migration {version} was left half done"))),
            None => apply(connection, migration).await?,
        }
    }
    Ok(())
}

/// Whether the migrator's table has to be made. Another program may use the library too: its table may be in a schema
/// further along the path, which is no obstacle, or where ours would be, where it would have rows of both.
async fn needs_table(connection: &mut TxConnection<Postgres>) -> sqlx::Result<bool> {
    const PLACES: &str = "SELECT to_regclass('instance') IS NOT NULL, to_regclass('_sqlx_migrations') IS NOT NULL, \
        to_regclass(quote_ident(current_schema()) || '._sqlx_migrations') IS NOT NULL";
    const ROWS: &str = "SELECT count(*) FROM _sqlx_migrations";
    let (is_ours, is_seen, is_here): (bool, bool, bool) =
        sqlx::query_as(PLACES).persistent(false).fetch_one(&mut **connection).await?;
    if is_ours {
        return Ok(!is_seen);
    }
    if !is_here {
        return Ok(true);
    }
    let (rows,): (i64,) = sqlx::query_as(ROWS).persistent(false).fetch_one(&mut **connection).await?;
    if rows > 0 {
        return Err(refused(
            "another program keeps its migrations in _sqlx_migrations, where Chancery would keep its own; give Chancery a \
             database or a schema of its own",
        ));
    }
    Ok(false)
}

async fn apply(connection: &mut TxConnection<Postgres>, migration: &Migration) -> sqlx::Result<()> {
    const DONE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES ($1, $2, true, $3, $4)";
    let began = Instant::now();
    sqlx::raw_sql(migration.sql.clone()).execute(&mut **connection).await?;
    let took = i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
    let done = sqlx::query(DONE).persistent(false).bind(migration.version).bind(&*migration.description);
    done.bind(&*migration.checksum).bind(took).execute(&mut **connection).await.map(drop)
}

fn refused(why: &str) -> sqlx::Error {
    sqlx::Error::Configuration(why.into())
}

/// What the operator can do about it.
fn explained(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|db| db.code().map(std::borrow::Cow::into_owned));
    let what = error.as_database_error().map(|db| db.message().to_owned()).unwrap_or_default();
    match code.as_deref() {
        Some("42501") => Error::Precondition(format!(
            "{what}: the role must be able to create tables; make it the owner of the database (ALTER DATABASE … OWNER \
             TO …), or GRANT CREATE ON SCHEMA public TO it"
        )),
        // A table, an index or a type that is there.
        Some("42P07" | "42710") => Error::Precondition(format!(
            "{what}: another program has tables of these names there; give Chancery a database of its own (CREATE \
             DATABASE chancery), or a schema of its own (CREATE SCHEMA chancery; ALTER ROLE … IN DATABASE … SET search_path = chancery)"
        )),
        Some("55P03") => Error::Precondition(
            "another process has been migrating this database for more than a minute, or holds its tables".to_owned(),
        ),
        Some("25006") => Error::Unavailable(what.into()),
        _ => match error {
            sqlx::Error::Configuration(why) => Error::Internal(why),
            other => failure(other),
        },
    }
}
