//! Seeds a SQLite database.

use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    types::Json,
};

use super::{ABSOLUTE_MS, BATCH, CommonColumns, CopiedUser, IDLE_MS, LIST_SIZE, SessionRow, Sessions};
use crate::deployment::Deployment;

const SIZE: &str = "SELECT (page_count - freelist_count) * page_size \
    FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";
const USERS: &str = "INSERT INTO users (id, subject, attributes, security_version, disabled_at, created_at, updated_at) \
    SELECT value, value, '{}', 1, NULL, $2, $2 FROM json_each($1)";
const PRINCIPALS: &str = "INSERT INTO principals (name, kind) SELECT value, 'user' FROM json_each($1)";
const LISTS: &str = "INSERT INTO status_lists (id, key, leased, created_at) VALUES ($1, randomblob(32), $2, $3)";
const SESSIONS: &str = "INSERT INTO sessions (id, user_id, subject, client_id, generation, secret_hash, rotated_at, \
    previous_rotated_at, rotation_request_id, auth_time, amr, acr, scopes, audiences, roles, claims, created_at, \
    idle_ttl, idle_expires_at, absolute_expires_at, revoked_at, revoked_cause, device_label, user_agent, address, \
    status_list, status_index) SELECT value ->> 'id', value ->> 'user', value ->> 'user', $2, 1, \
    unhex(value ->> 'secret'), value ->> 'at', value ->> 'at', $12, value ->> 'at', $3, $4, $5, $6, '[]', '{}', \
    value ->> 'at', $10, (value ->> 'at') + $10, (value ->> 'at') + $11, NULL, NULL, $7, $8, $9, value ->> 'list', \
    value ->> 'index' FROM json_each($1)";
/// Each copy has its own id and name, and the password of the copied user.
const COPY: [&str; 4] = [
    "INSERT INTO principals (name, kind) SELECT value ->> 'id', 'user' FROM json_each($1) WHERE $2 <> ''",
    "INSERT INTO users (id, subject, attributes, security_version, disabled_at, created_at, updated_at) \
     SELECT value ->> 'id', value ->> 'id', u.attributes, u.security_version, NULL, u.created_at, u.updated_at \
     FROM json_each($1), logins AS l JOIN users AS u ON u.id = l.user_id WHERE l.canonical = $2",
    "INSERT INTO logins (canonical, skeleton, kind, display, user_id) SELECT value ->> 'name', value ->> 'name', \
     'name', value ->> 'name', value ->> 'id' FROM json_each($1) WHERE $2 <> ''",
    "INSERT INTO passwords (user_id, phc, changed_at) SELECT value ->> 'id', p.phc, p.changed_at \
     FROM json_each($1), logins AS l JOIN passwords AS p ON p.user_id = l.user_id WHERE l.canonical = $2",
];

/// Opens a connection; seeding need not survive a crash.
async fn connect(deployment: &Deployment) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(deployment.file())
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(std::time::Duration::from_secs(30))
        .pragma("cache_size", "-262144")
        // The users have been written before.
        .foreign_keys(false);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// Writes users, status lists and sessions; returns the growth on disk in bytes.
pub(super) async fn write(deployment: &Deployment, sessions: &Sessions) -> anyhow::Result<i64> {
    let mut connection = connect(deployment).await?;
    let shared = CommonColumns::new();
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let (newest,): (i64,) = sqlx::query_as("SELECT coalesce(max(id), 0) FROM status_lists").fetch_one(&mut *tx).await?;
    for list in 0..sessions.count().div_ceil(LIST_SIZE) {
        let list = newest + 1 + i64::try_from(list).unwrap_or(0);
        let full = i64::try_from(LIST_SIZE).unwrap_or(0);
        sqlx::query(LISTS).bind(list).bind(full).bind(sessions.first_started_ms).execute(&mut *tx).await?;
    }
    let users: Vec<u64> = (0..sessions.user_count()).collect();
    for some in users.chunks(10_000) {
        let ids: Vec<String> = some.iter().map(|user| sessions.user_id(*user)).collect();
        sqlx::query(PRINCIPALS).bind(Json(&ids)).execute(&mut *tx).await?;
        sqlx::query(USERS).bind(Json(&ids)).bind(sessions.first_started_ms).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let (before,): (i64,) = sqlx::query_as(SIZE).fetch_one(&mut connection).await?;
    let mut from = 0;
    while from < sessions.count() {
        let to = sessions.count().min(from + BATCH);
        let rows: Vec<SessionRow> = (from..to).map(|n| sessions.row(n, newest + 1)).collect();
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(SESSIONS)
            .bind(Json(&rows))
            .bind(shared.client)
            .bind(shared.amr)
            .bind(shared.acr)
            .bind(shared.scopes)
            .bind(&shared.audiences)
            .bind(shared.device_label)
            .bind(shared.user_agent)
            .bind(shared.address)
            .bind(IDLE_MS)
            .bind(ABSOLUTE_MS)
            .bind(&shared.request_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        super::report_progress(to, sessions.count());
        from = to;
    }
    let (after,): (i64,) = sqlx::query_as(SIZE).fetch_one(&mut connection).await?;
    // Sync to disk what was written without waiting for it.
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut connection).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    connection.close().await?;
    Ok(after - before)
}

/// Adds users with the password of `first`.
pub(super) async fn copy_users(deployment: &Deployment, first: &str, copies: &[CopiedUser<'_>]) -> anyhow::Result<()> {
    let mut connection = connect(deployment).await?;
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    for sql in COPY {
        sqlx::query(sql).bind(Json(copies)).bind(first).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    connection.close().await?;
    Ok(())
}
