//! The schema: creating it, comparing it with this binary's, and migrating it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};

use super::{
    ACQUIRE_TIMEOUT, Store,
    engine::{Sql, all, optional},
    failure,
    foreign_file::{FILE_IS_OURS, TABLES_OF_FILE},
    migrate_postgres,
    pools::Pools,
    private_file::make_private,
    setup_lock::setup_lock,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

static SQLITE: LazyLock<Migrator> = LazyLock::new(|| lenient(sqlx::migrate!("migrations/sqlite")));
static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| lenient(sqlx::migrate!("migrations/postgres")));

/// A newer schema is not an error here: `min_binary` in the database decides which binaries may use it.
fn lenient(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

/// One row if the database has our tables. PostgreSQL looks for them as for any table, along `search_path`.
const IS_OURS: Sql = Sql {
    sqlite: FILE_IS_OURS,
    postgres: "SELECT CAST(1 AS BIGINT) FROM pg_class WHERE oid = to_regclass('instance')",
};

/// The first tables of a database that are not the migrator's, by name. PostgreSQL's are those of the schema in which
/// tables would be created.
const SOME_TABLES: Sql = Sql {
    sqlite: TABLES_OF_FILE,
    postgres: "SELECT CAST(relname AS TEXT) AS name FROM pg_class WHERE relkind IN ('r', 'p') \
        AND relnamespace = to_regnamespace(quote_ident(current_schema())) AND relname <> '_sqlx_migrations' \
        ORDER BY relname LIMIT 3",
};

/// The migration that deletes user names that are addresses.
const NAMES_DELETED: i64 = 12;

/// How a database's schema compares with this binary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// There is no schema yet.
    Missing,
    /// Migrations are missing.
    Older {
        /// The newest migration that was applied.
        have: i64,
        /// The newest migration of this binary.
        want: i64,
    },
    /// The schema is this binary's, or newer.
    Current(i64),
}

impl Store {
    /// How the schema compares with this binary's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn schema(&self) -> Result<Schema> {
        self.schema_by(self.migrator()).await
    }

    fn migrator(&self) -> &'static Migrator {
        match &self.pools {
            Pools::Sqlite { .. } => &SQLITE,
            Pools::Postgres { .. } => &POSTGRES,
        }
    }

    /// The migrations that were applied, in their order; nothing if there is no schema yet.
    async fn applied(&self) -> Result<Option<Vec<i64>>> {
        const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
        // In a transaction: a pooler may put each statement outside of one on another connection.
        let mut tx = self.read().await?;
        if optional!(tx, (i64,), IS_OURS)?.is_none() {
            return Ok(None);
        }
        Ok(Some(all!(tx, (i64,), APPLIED)?.into_iter().map(|(version,)| version).collect()))
    }

    /// The names of three tables at most that another program has where ours are missing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn foreign_tables(&self) -> Result<Vec<String>> {
        let mut tx = self.read().await?;
        if optional!(tx, (i64,), IS_OURS)?.is_some() {
            return Ok(Vec::new());
        }
        Ok(all!(tx, (String,), SOME_TABLES)?.into_iter().map(|(name,)| name).collect())
    }

    /// The numbers and names of the migrations that a schema lacks.
    pub(super) async fn missing(&self) -> Result<Vec<(i64, String)>> {
        let Some(applied) = self.applied().await? else { return Ok(Vec::new()) };
        let missing = self.migrator().iter().filter(|m| !applied.contains(&m.version));
        Ok(missing.map(|m| (m.version, m.description.to_string())).collect())
    }

    async fn schema_by(&self, migrator: &Migrator) -> Result<Schema> {
        let Some(applied) = self.applied().await? else { return Ok(Schema::Missing) };
        let known: BTreeSet<i64> = migrator.iter().map(|m| m.version).collect();
        let have = applied.last().copied().unwrap_or(0);
        let lacks = known.iter().any(|v| !applied.contains(v));
        Ok(if lacks { Schema::Older { have, want: known.last().copied().unwrap_or(0) } } else { Schema::Current(have) })
    }

    /// How many user names a migration would delete because they are addresses.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn names_to_delete(&self) -> Result<i64> {
        const SQL: &str = "SELECT count(*) FROM logins WHERE kind = 'name' AND canonical LIKE '%@%'";
        if !matches!(self.schema().await?, Schema::Older { have, .. } if have < NAMES_DELETED) {
            return Ok(0);
        }
        let mut tx = self.read().await?;
        Ok(optional!(tx, (i64,), SQL)?.map_or(0, |(count,)| count))
    }

    /// Migrates the schema to this binary's, or changes nothing. If several processes try, one does it and the others wait:
    /// on PostgreSQL for an advisory lock, on SQLite for a lock on a file beside the database. Both locks end with their
    /// process. An older SQLite database is backed up first; returns the path of the copy.
    ///
    /// # Errors
    /// [`Error::Internal`] if a migration fails.
    pub async fn migrate(&self, now: Timestamp) -> Result<Option<PathBuf>> {
        self.migrate_by(self.migrator(), now).await
    }

    /// The same with later migrations, given by number and text. For tests.
    ///
    /// # Errors
    /// [`Error::Internal`] if a migration fails.
    pub async fn migrate_with(&self, later: &[(i64, &'static str)], now: Timestamp) -> Result<Option<PathBuf>> {
        let mut all: Vec<Migration> = self.migrator().iter().cloned().collect();
        all.extend(later.iter().map(|(version, sql)| {
            let sql = sqlx::SqlSafeStr::into_sql_str(*sql);
            Migration::new(*version, "later".into(), MigrationType::Simple, sql, false)
        }));
        self.migrate_by(&lenient(Migrator::with_migrations(all)), now).await
    }

    /// Migrates an SQLite file that nobody else uses, without a copy: to see how long it takes.
    ///
    /// # Errors
    /// [`Error::Internal`] if a migration fails.
    pub async fn rehearse(&self) -> Result<()> {
        match &self.pools {
            Pools::Sqlite { path, .. } => run_sqlite(path, &SQLITE).await,
            Pools::Postgres { .. } => Err(Error::Internal("PostgreSQL has no files to rehearse on".into())),
        }
    }

    /// Whether an empty database takes our tables. In PostgreSQL they are made and taken back; SQLite keeps no such thing from
    /// the owner of a file.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn try_setting_up(&self) -> Result<()> {
        match &self.pools {
            Pools::Sqlite { .. } => Ok(()),
            Pools::Postgres { main, .. } => migrate_postgres::try_out(main, &POSTGRES).await,
        }
    }

    async fn migrate_by(&self, migrator: &Migrator, now: Timestamp) -> Result<Option<PathBuf>> {
        match &self.pools {
            Pools::Sqlite { write, path, .. } => {
                let _lock = setup_lock(path.clone()).await?;
                let copy = match self.schema_by(migrator).await? {
                    Schema::Older { have, .. } => Some(back_up(write, path, have, now).await?),
                    Schema::Missing | Schema::Current(_) => None,
                };
                let done = run_sqlite(path, migrator).await;
                // A server that is started again and again would fill the disk with copies of what has not changed.
                if let (Err(_), Some(copy), Ok(Schema::Older { .. })) = (&done, &copy, self.schema_by(migrator).await) {
                    let _ = std::fs::remove_file(copy);
                }
                done.map(|()| copy)
            }
            Pools::Postgres { main, .. } => migrate_postgres::run(main, migrator).await.map(|()| None),
        }
    }
}

/// Applies what is missing in one transaction: all of it, or nothing.
async fn run_sqlite(path: &Path, migrator: &Migrator) -> Result<()> {
    // Migrations must be able to wait for other processes, longer than the pool's connection would.
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(ACQUIRE_TIMEOUT).foreign_keys(true);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failure)?;
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?;
    // Each migration is a savepoint in it.
    migrator.run_direct(None, &mut *tx, false).await.map_err(|e| Error::Internal(Box::new(e)))?;
    tx.commit().await.map_err(failure)?;
    connection.close().await.map_err(failure)
}

/// Copies the database to a file beside it.
async fn back_up(pool: &SqlitePool, path: &Path, version: i64, now: Timestamp) -> Result<PathBuf> {
    let copy = path.with_extension(format!("schema-{version}.{}.db", now.millis()));
    let name = copy.display().to_string();
    make_private(&copy).map_err(|e| Error::Unavailable(Box::new(e)))?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(pool).await.map_err(failure)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{entropy::SeededEntropy, store::Location};

    fn with_later_migration() -> Migrator {
        let mut all: Vec<Migration> = SQLITE.iter().cloned().collect();
        let sql = sqlx::SqlSafeStr::into_sql_str("CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT");
        all.push(Migration::new(9999, "later".into(), MigrationType::Simple, sql, false));
        lenient(Migrator::with_migrations(all))
    }

    #[tokio::test]
    async fn an_older_sqlite_schema_is_detected_backed_up_and_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("chancery.db"));
        let store = Store::open(&location, true, Arc::new(SeededEntropy::new(1))).await.unwrap();
        assert_eq!(store.schema().await.unwrap(), Schema::Missing);
        let now = Timestamp::from_millis(7);
        assert_eq!(store.migrate(now).await.unwrap(), None);
        let Schema::Current(have) = store.schema().await.unwrap() else { panic!("not current") };
        let newer = with_later_migration();
        assert_eq!(store.schema_by(&newer).await.unwrap(), Schema::Older { have, want: 9999 });
        let copy = store.migrate_by(&newer, now).await.unwrap().unwrap();
        assert_eq!(store.schema_by(&newer).await.unwrap(), Schema::Current(9999));
        // An older binary does not touch a newer schema.
        assert_eq!(store.schema().await.unwrap(), Schema::Current(9999));
        assert_eq!(store.migrate(now).await.unwrap(), None);
        let copied = Store::open(&Location::Sqlite(copy), false, Arc::new(SeededEntropy::new(1))).await.unwrap();
        assert_eq!(copied.schema().await.unwrap(), Schema::Current(have));
    }
}
