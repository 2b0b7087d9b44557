//! Refuses a SQLite file of another program before anything is done to it: opening a database switches it to a
//! write-ahead log and takes the right to read it from others, for good.

use std::path::Path;

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::error::{Error, Result};

/// One row if the file has our tables.
pub(super) const FILE_IS_OURS: &str = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'instance'";
/// Its first tables, by name, that are neither SQLite's nor the migrator's.
pub(super) const TABLES_OF_FILE: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' \
    AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> '_sqlx_migrations' ORDER BY name LIMIT 3";

/// Looks without a lock and without the log, so that nothing is left beside the file either. What cannot be read so is not
/// refused here: opening it says what is wrong.
pub(super) async fn refuse_foreign_file(path: &Path) -> Result<()> {
    if !path.metadata().is_ok_and(|file| file.is_file() && file.len() > 0) {
        return Ok(());
    }
    let foreign = foreign_tables(path).await.unwrap_or_default();
    if foreign.is_empty() {
        return Ok(());
    }
    let names = foreign.join(", ");
    Err(Error::Precondition(format!(
        "it has tables of another program (such as {names}), and none of Chancery's: name another file"
    )))
}

async fn foreign_tables(path: &Path) -> sqlx::Result<Vec<String>> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let is_ours = sqlx::query(FILE_IS_OURS).fetch_optional(&mut connection).await?.is_some();
    let foreign =
        if is_ours { Vec::new() } else { sqlx::query_scalar(TABLES_OF_FILE).fetch_all(&mut connection).await? };
    connection.close().await?;
    Ok(foreign)
}
