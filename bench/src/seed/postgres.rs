//! Seeds a PostgreSQL database.

use anyhow::Context;
use sqlx::{Connection, PgConnection, types::Json};

use super::{ABSOLUTE_MS, BATCH, CommonColumns, CopiedUser, IDLE_MS, LIST_SIZE, SessionRow, Sessions};
use crate::deployment::Deployment;

const SIZE: &str = "SELECT pg_total_relation_size('sessions')";
const USERS: &str = "INSERT INTO users (id, subject, attributes, security_version, disabled_at, created_at, updated_at) \
    SELECT id, id, '{}', 1, NULL, $2, $2 FROM unnest($1::text[]) AS id";
const PRINCIPALS: &str = "INSERT INTO principals (name, kind) SELECT id, 'user' FROM unnest($1::text[]) AS id";
const LISTS: &str = "INSERT INTO status_lists (id, key, leased, created_at) VALUES ($1, sha256($4::bytea), $2, $3)";
const SESSIONS: &str = "INSERT INTO sessions (id, user_id, subject, client_id, generation, secret_hash, rotated_at, \
    previous_rotated_at, rotation_request_id, auth_time, amr, acr, scopes, audiences, roles, claims, created_at, \
    idle_ttl, idle_expires_at, absolute_expires_at, revoked_at, revoked_cause, device_label, user_agent, address, \
    status_list, status_index) SELECT id, usr, usr, $2, 1, decode(secret, 'hex'), at, at, $17, at, $3::jsonb, $4, \
    $5::jsonb, $6::jsonb, '[]', '{}', at, $10::bigint, at + $10::bigint, at + $11::bigint, NULL, NULL, $7, $8, $9, \
    list, index FROM unnest($1::text[], $12::text[], $13::text[], $14::bigint[], $15::bigint[], $16::bigint[]) \
    AS w (id, usr, secret, at, list, index)";
const COPY: [&str; 4] = [
    "INSERT INTO principals (name, kind) SELECT w.id, 'user' FROM jsonb_to_recordset($1) AS w (id text) \
     WHERE $2 <> ''",
    "INSERT INTO users (id, subject, attributes, security_version, disabled_at, created_at, updated_at) \
     SELECT w.id, w.id, u.attributes, u.security_version, NULL, u.created_at, u.updated_at \
     FROM jsonb_to_recordset($1) AS w (id text), logins AS l JOIN users AS u ON u.id = l.user_id \
     WHERE l.canonical = $2",
    "INSERT INTO logins (canonical, skeleton, kind, display, user_id) SELECT w.name, w.name, 'name', w.name, w.id \
     FROM jsonb_to_recordset($1) AS w (name text, id text) WHERE $2 <> ''",
    "INSERT INTO passwords (user_id, phc, changed_at) SELECT w.id, p.phc, p.changed_at \
     FROM jsonb_to_recordset($1) AS w (id text), logins AS l JOIN passwords AS p ON p.user_id = l.user_id \
     WHERE l.canonical = $2",
];

async fn connect(deployment: &Deployment) -> anyhow::Result<PgConnection> {
    let url = deployment.database().context("no PostgreSQL database")?;
    let mut connection = PgConnection::connect(url).await?;
    // Seeding need not survive a crash.
    sqlx::query("SET synchronous_commit = off").execute(&mut connection).await?;
    Ok(connection)
}

/// Writes users, status lists and sessions; returns the growth on disk in bytes.
pub(super) async fn write(deployment: &Deployment, sessions: &Sessions) -> anyhow::Result<i64> {
    let mut connection = connect(deployment).await?;
    let mut tx = connection.begin().await?;
    let (newest,): (i64,) = sqlx::query_as("SELECT coalesce(max(id), 0) FROM status_lists").fetch_one(&mut *tx).await?;
    for list in 0..sessions.count().div_ceil(LIST_SIZE) {
        let list = newest + 1 + i64::try_from(list).unwrap_or(0);
        let full = i64::try_from(LIST_SIZE).unwrap_or(0);
        let key = list.to_be_bytes();
        sqlx::query(LISTS)
            .bind(list)
            .bind(full)
            .bind(sessions.first_started_ms)
            .bind(&key[..])
            .execute(&mut *tx)
            .await?;
    }
    let users: Vec<u64> = (0..sessions.user_count()).collect();
    for some in users.chunks(10_000) {
        let ids: Vec<String> = some.iter().map(|user| sessions.user_id(*user)).collect();
        sqlx::query(PRINCIPALS).bind(&ids).execute(&mut *tx).await?;
        sqlx::query(USERS).bind(&ids).bind(sessions.first_started_ms).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let (before,): (i64,) = sqlx::query_as(SIZE).fetch_one(&mut connection).await?;
    let mut from = 0;
    while from < sessions.count() {
        let to = sessions.count().min(from + BATCH);
        let rows: Vec<SessionRow> = (from..to).map(|n| sessions.row(n, newest + 1)).collect();
        write_rows(&mut connection, rows).await?;
        super::report_progress(to, sessions.count());
        from = to;
    }
    // Updates the planner's statistics, and avoids a vacuum during a measurement.
    sqlx::query("VACUUM ANALYZE sessions").execute(&mut connection).await?;
    sqlx::query("CHECKPOINT").execute(&mut connection).await?;
    let (after,): (i64,) = sqlx::query_as(SIZE).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(after - before)
}

async fn write_rows(connection: &mut PgConnection, rows: Vec<SessionRow>) -> anyhow::Result<()> {
    let shared = CommonColumns::new();
    let (mut ids, mut users, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut lists, mut indexes) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        ids.push(row.id);
        users.push(row.user);
        secrets.push(row.secret);
        times.push(row.at);
        lists.push(row.list);
        indexes.push(row.index);
    }
    sqlx::query(SESSIONS)
        .bind(ids)
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
        .bind(users)
        .bind(secrets)
        .bind(times)
        .bind(lists)
        .bind(indexes)
        .bind(&shared.request_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds users with the password of `first`.
pub(super) async fn copy_users(deployment: &Deployment, first: &str, copies: &[CopiedUser<'_>]) -> anyhow::Result<()> {
    let mut connection = connect(deployment).await?;
    let mut tx = connection.begin().await?;
    for sql in COPY {
        sqlx::query(sql).bind(Json(copies)).bind(first).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    connection.close().await?;
    Ok(())
}
