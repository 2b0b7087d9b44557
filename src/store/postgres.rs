//! Opens PostgreSQL: what kind of database it is, how many connections it has room for, and whether a pooler stands in
//! between.

use std::{sync::Arc, time::Duration};

use sqlx::{ConnectOptions, Connection, PgConnection, Row, postgres::PgConnectOptions, postgres::PgRow};
use tokio::time::{Instant, timeout};

use super::{
    ACQUIRE_TIMEOUT,
    connection::within,
    failure,
    failure::is_timeout,
    instance::BINARY_VERSION,
    location::DatabaseUrl,
    pools::Pools,
    readiness::Readiness,
    seats::{Lent, Plan, Seats, Shared},
    tls,
};
use crate::error::{Error, Result};

/// How many connections a process opens, unless it is told otherwise.
pub const USUAL_CONNECTIONS: u32 = 17;
/// How long it may take to find out whether there is a pooler.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a process is connected to PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// How many connections it opens at most.
    pub connections: u32,
    /// How many the server allows this role, if those are fewer than asked for. One is left to commands.
    pub allowed: Option<u32>,
    /// Whether a pooler puts each transaction on another connection.
    pub pooled: bool,
    /// Whether it could be told that none does.
    pub direct: bool,
    /// Whether a crash of PostgreSQL loses the newest commits (`synchronous_commit`).
    pub may_lose: bool,
}

/// What the server says of itself. One statement without parameters, so that it needs no transaction.
const INTRODUCTION: &str = "SELECT pg_encoding_to_char(d.encoding) AS encoding_name, r.rolsuper AS is_superuser, r.rolconnlimit AS of_role, \
    d.datconnlimit AS of_database, CAST(current_setting('max_connections') AS INTEGER) AS of_server, \
    CAST(current_setting('superuser_reserved_connections') AS INTEGER) \
    + coalesce(CAST(current_setting('reserved_connections', true) AS INTEGER), 0) AS reserved, \
    current_schema() IS NOT NULL AS has_schema, \
    coalesce(CAST((SELECT quote_ident(n.nspname) FROM unnest(string_to_array(current_setting('search_path'), ',')) AS p \
    JOIN pg_namespace AS n ON n.nspname = coalesce(nullif(trim(p, ' \"'), '$user'), current_user) \
    WHERE NOT has_schema_privilege(n.oid, 'USAGE') LIMIT 1) AS TEXT), '') AS barred, current_setting('synchronous_commit') = 'off' AS may_lose \
    FROM pg_database AS d, pg_roles AS r WHERE d.datname = current_database() AND r.rolname = session_user";

/// The encoding in which any text can be stored.
const UTF8: &str = "UTF8";

struct Introduction {
    encoding: String,
    allowed: u32,
    has_schema: bool,
    /// A schema in the role's path that it may not use, if there is one.
    barred: String,
    may_lose: bool,
}

impl Introduction {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        let number = |name: &str| row.try_get::<i32, _>(name);
        let is_superuser: bool = row.try_get("is_superuser")?;
        let mut limits = vec![number("of_server")? - if is_superuser { 0 } else { number("reserved")? }];
        if !is_superuser {
            // Negative: there is no limit.
            limits.extend([number("of_role")?, number("of_database")?].into_iter().filter(|limit| *limit >= 0));
        }
        let allowed = limits.into_iter().min().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        Ok(Self {
            encoding: row.try_get("encoding_name")?,
            allowed,
            has_schema: row.try_get("has_schema")?,
            barred: row.try_get("barred")?,
            may_lose: row.try_get("may_lose")?,
        })
    }

    /// Refuses a database in which not every text can be stored, or nothing at all.
    fn check(&self) -> Result<()> {
        if self.encoding != UTF8 {
            return Err(Error::Precondition(format!(
                "its encoding is {}, in which not every name can be stored; create a database with CREATE DATABASE \
                 chancery ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
                self.encoding
            )));
        }
        if !self.has_schema && !self.barred.is_empty() {
            return Err(Error::Precondition(format!(
                "the role may not use the schema {0}; let its owner GRANT USAGE, CREATE ON SCHEMA {0} TO the role, or set \
                 another path with ALTER ROLE … SET search_path",
                self.barred
            )));
        }
        if !self.has_schema {
            return Err(Error::Precondition(
                "none of the schemas in the role's search_path exists; create one, or set another path with ALTER ROLE \
                 … SET search_path"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// What connections of a binary are named. Binaries that do not know versions of the sealing key name theirs without a
/// number.
fn application_name(binary: i64) -> String {
    format!("chancery/{binary}")
}

/// Opens PostgreSQL, with at most so many connections.
pub(super) async fn open(
    url: &DatabaseUrl,
    wanted: Option<u32>,
    readiness: &Arc<Readiness>,
) -> Result<(Pools, Connected)> {
    let options = url.options()?.application_name(&application_name(BINARY_VERSION));
    let wanted = wanted.unwrap_or(USUAL_CONNECTIONS).max(1);
    let shared = Shared::new(options, readiness.clone(), url.names_startup_parameters());
    let (introduction, pooled) = introduce(&shared, wanted, url).await?;
    match pooled {
        Some(true) => readiness.found_pooler(),
        Some(false) => readiness.found_none(),
        None => {}
    }
    let (pooled, direct) = (pooled == Some(true), pooled == Some(false));
    // A pooler has limits of its own, and makes its clients wait.
    let allowed = (!pooled && introduction.allowed <= wanted).then_some(introduction.allowed);
    let connections = allowed.map_or(wanted, |allowed| allowed.saturating_sub(1).clamp(1, wanted));
    let plan = Plan::of(connections, direct);
    shared.admit(connections - u32::from(plan.listen) - 1);
    let main = Seats::of(&shared, plan.main);
    let report = if plan.report == 0 { main.clone() } else { Seats::of(&shared, plan.report) };
    let pools = Pools::Postgres { main, follow: Seats::of(&shared, plan.follow), report, listen: plan.listen };
    Ok((pools, Connected { connections, allowed, pooled, direct, may_lose: introduction.may_lose }))
}

/// What the server says of itself, and whether a pooler was found, if that can be told.
async fn introduce(shared: &Arc<Shared>, wanted: u32, url: &DatabaseUrl) -> Result<(Introduction, Option<bool>)> {
    let mut lent = first_connection(&Seats::of(shared, 1), url).await?;
    let limit = Instant::now() + ACQUIRE_TIMEOUT;
    // What a pooler lets wait is named in a warning: rather this than the long statement.
    within(limit, lent.ping()).await.map_err(no_answer)?;
    let row = within(limit, sqlx::raw_sql(INTRODUCTION).fetch_one(&mut *lent)).await;
    let introduction = row.and_then(|row| Introduction::read(&row)).map_err(failure)?;
    introduction.check()?;
    if wanted == 1 || introduction.allowed <= 1 {
        lent.give_back();
        return Ok((introduction, None));
    }
    let Some(second) = second_connection(shared.options()).await else {
        // Dropped, it would take the server's room for a moment longer, and there is none.
        lent.give_back();
        return Ok((introduction, None));
    };
    let pooled = stands_behind_a_pooler(&mut lent, second).await;
    if pooled.is_some() {
        lent.give_back();
    }
    Ok((introduction, pooled))
}

fn no_answer(error: sqlx::Error) -> Error {
    if is_timeout(&error) {
        return Error::Unavailable(
            "it lets the first connection wait; if there is a pooler, it may have fewer connections (default_pool_size) \
             than database_connections of all servers"
                .into(),
        );
    }
    failure(error)
}

/// The first connection, or a sentence that says why there is none.
async fn first_connection(seats: &Seats, url: &DatabaseUrl) -> Result<Lent> {
    let error = match seats.acquire().await {
        Ok(lent) => return Ok(lent),
        // What was tried again and again is tried once more, to tell the cause.
        Err(sqlx::Error::PoolTimedOut) => {
            let attempt = timeout(ACQUIRE_TIMEOUT, seats.options().connect()).await;
            attempt.ok().and_then(Result::err).map_or(sqlx::Error::PoolTimedOut, |e| seats.without_parameters(e))
        }
        Err(error) => error,
    };
    Err(match tls::advice(&error, url.tls()) {
        Some(advice) => Error::Unavailable(advice.into()),
        None => failure(error),
    })
}

/// A second connection, if there is one to spare.
async fn second_connection(options: &PgConnectOptions) -> Option<PgConnection> {
    let Ok(second) = timeout(PROBE_TIMEOUT, options.connect()).await else {
        warn_of_silence();
        return None;
    };
    second.ok()
}

/// Whether transactions of two connections reach the same server process, or those of one connection several. Nothing
/// if that cannot be told, because a pooler lets the second one wait: a pooler shows itself later too. The first
/// connection may then be in a transaction.
async fn stands_behind_a_pooler(first: &mut PgConnection, mut second: PgConnection) -> Option<bool> {
    let probe = async {
        let pooled = is_pooled(first, &mut second).await?;
        second.close().await?;
        Ok::<_, sqlx::Error>(pooled)
    };
    let Ok(told) = timeout(PROBE_TIMEOUT, probe).await else {
        warn_of_silence();
        return None;
    };
    told.ok()
}

fn warn_of_silence() {
    tracing::warn!(
        "a second connection to the database gets no answer: if there is a pooler, it may have fewer connections \
         (default_pool_size) than database_connections of all servers"
    );
}

async fn is_pooled(a: &mut PgConnection, b: &mut PgConnection) -> sqlx::Result<bool> {
    let (first, second) = (process(a).await?, process(b).await?);
    if first == second {
        return Ok(true);
    }
    for a_asks_first in [true, false] {
        // Both hold a process for a moment. Whichever the pooler lends next, the one given back last or the one given
        // back first, one of the two gets the other's.
        for connection in [&mut *a, &mut *b] {
            sqlx::raw_sql("BEGIN").execute(connection).await?;
        }
        for connection in [&mut *a, &mut *b] {
            sqlx::raw_sql("COMMIT").execute(connection).await?;
        }
        let (now_first, now_second) = if a_asks_first {
            let now_first = process(a).await?;
            (now_first, process(b).await?)
        } else {
            let now_second = process(b).await?;
            (process(a).await?, now_second)
        };
        if (now_first, now_second) != (first, second) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of the server's process.
async fn process(connection: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}
