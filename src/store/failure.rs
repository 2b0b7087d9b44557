//! Maps database errors to what they mean for the caller.

use std::{fmt, io};

use sqlx::postgres::PgDatabaseError;

use crate::{
    error::{Error, Source},
    time::Ttl,
};

/// Maps an error of sqlx. An outage becomes [`Error::Unavailable`], never "not found".
#[must_use]
pub fn failure(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => Error::Unavailable(Box::new(error)),
        sqlx::Error::Database(db) if is_of_a_taken_site(&**db) => Error::Exists(SITE_TAKEN, String::new()),
        sqlx::Error::Database(db) => {
            let code = db.code().unwrap_or_default().into_owned();
            match kind(&code) {
                FailureKind::Conflict => Error::Conflict,
                FailureKind::Locked => Error::Throttled { after: RETRY_LOCKED },
                FailureKind::Unavailable => Error::Unavailable(reported(error)),
                FailureKind::Internal => Error::Internal(reported(error)),
            }
        }
        _ => Error::Internal(Box::new(error)),
    }
}

/// What exists where two clients cannot have the same site.
pub const SITE_TAKEN: &str = "site";

/// Whether a client was to have the site of another. PostgreSQL names the index, SQLite the column.
fn is_of_a_taken_site(db: &dyn sqlx::error::DatabaseError) -> bool {
    db.is_unique_violation()
        && (db.constraint() == Some("clients_by_site") || db.message().ends_with("clients.site_key"))
}

/// What PostgreSQL said, without the line of its own source that sqlx adds, and without the values that it quotes in
/// its details.
#[derive(Debug)]
struct Reported {
    message: String,
    code: String,
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl std::error::Error for Reported {}

fn reported(error: sqlx::Error) -> Source {
    let from_postgres = error.as_database_error().and_then(|db| db.try_downcast_ref::<PgDatabaseError>());
    match from_postgres {
        Some(db) => Box::new(Reported { message: advised(db.message()), code: db.code().to_owned() }),
        None => Box::new(error),
    }
}

/// With what to do about it, if that is known.
fn advised(message: &str) -> String {
    if message.contains("statement pooling mode") {
        return format!("{message}; set pool_mode = transaction for this database in the pooler");
    }
    if message.contains("during recovery") {
        return format!("{message}: it is a standby, which follows another server; name the primary in the URL");
    }
    message.to_owned()
}

/// Whether the database did not answer in time.
pub(super) fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(io) if io.kind() == io::ErrorKind::TimedOut)
}

/// Whether a statement was not found under its name, or its name was taken: a pooler has put this transaction on
/// another connection than the one before.
pub(super) fn is_of_another_connection(error: &sqlx::Error) -> bool {
    let Some(db) = error.as_database_error() else { return false };
    match db.code().as_deref() {
        Some("26000" | "42P05") => true,
        // The name is that of a statement with other parameters.
        Some("08P01") => db.message().starts_with("bind message supplies"),
        _ => false,
    }
}

/// Whether the server, the role, the database or a pooler in between takes no more connections.
pub(super) fn has_no_room(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(db) = error else { return false };
    match db.code().as_deref() {
        Some("53300") => true,
        // PgBouncer's own limit.
        Some("08P01") => db.message().starts_with("no more connections allowed"),
        _ => false,
    }
}

/// Whether a connection was closed by the server or on the way, rather than not answered in time.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => !is_timeout(error),
        // The server ends the connection: an administrator's command, a shutdown, a limit of time.
        sqlx::Error::Database(db) => db.code().is_some_and(|code| code.starts_with("57P") || code == "25P03"),
        _ => false,
    }
}

/// Whether the server is not there yet, or not ready.
pub(super) fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(db) => db.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// The error for a stored value that this binary cannot read.
pub(super) fn corrupt(table: &'static str, column: &'static str, id: &str) -> Error {
    Error::Internal(format!("corrupt value in {table}.{column} of {id}").into())
}

/// When to try again what somebody else has locked.
const RETRY_LOCKED: Ttl = Ttl::from_secs(1);

enum FailureKind {
    Conflict,
    Locked,
    Unavailable,
    Internal,
}

/// Classifies an error code: SQLite's extended result code in decimal, or PostgreSQL's five-character SQLSTATE.
fn kind(code: &str) -> FailureKind {
    if code.len() == 5 {
        return match code {
            "40001" | "40P01" => FailureKind::Conflict,
            // Somebody else holds a row or a table for longer than is waited for.
            "55P03" => FailureKind::Locked,
            // Connection lost, out of resources (a full disk included), shutting down, an error of the system.
            _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => FailureKind::Unavailable,
            // A read-only standby; a limit of time, of one statement or of a silent transaction; a statement that is known
            // to another connection; a database that was closed to connections (55000).
            "55000" | "26000" | "42P05" | "25006" | "57014" | "25P03" | "28000" | "28P01" | "3D000" => {
                FailureKind::Unavailable
            }
            _ => FailureKind::Internal,
        };
    }
    match code.parse::<i32>().map(|n| n & 0xff) {
        // BUSY, LOCKED
        Ok(5 | 6) => FailureKind::Conflict,
        // READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
        Ok(8 | 9 | 10 | 13 | 14 | 15) => FailureKind::Unavailable,
        _ => FailureKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_that_lends_a_connection_for_one_statement_is_told_what_to_set() {
        let told = advised("transaction blocks not allowed in statement pooling mode");
        assert!(told.ends_with("set pool_mode = transaction for this database in the pooler"), "{told}");
        assert_eq!(advised("out of memory"), "out of memory");
    }
}
