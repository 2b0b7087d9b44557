//! Opens the database and its directory, and explains failures to the operator.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};

use crate::{
    entropy::Entropy,
    store::{Connected, Location, Store, unusable_companion},
};

/// What a process opens the database for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Serve it; an empty database is set up.
    Serve,
    /// Run a command on it; it must exist.
    Command,
    /// Migrate its schema.
    Migrate,
}

pub(super) async fn open_store(location: &Location, create: bool, entropy: &Arc<dyn Entropy>) -> anyhow::Result<Store> {
    open_store_with(location, create, entropy, None).await
}

/// The same, with at most so many connections to PostgreSQL.
pub(super) async fn open_store_with(
    location: &Location,
    create: bool,
    entropy: &Arc<dyn Entropy>,
    connections: Option<u32>,
) -> anyhow::Result<Store> {
    let store = Store::open_with(location, create, entropy.clone(), connections).await;
    store.map_err(|e| explain(&e)).with_context(|| {
        let companion = match location {
            Location::Sqlite(path) => companion_problem(path),
            Location::Postgres(_) => None,
        };
        companion.unwrap_or_else(|| format!("cannot open the database {location}"))
    })
}

/// What is wrong with a file beside an SQLite database.
pub(super) fn companion_problem(database: &Path) -> Option<String> {
    let (file, error) = unusable_companion(database)?;
    Some(format!("cannot open {}, which belongs to the database {}: {error}", file.display(), database.display()))
}

/// Says how this server is connected to PostgreSQL.
pub(super) fn report_connection(location: &Location, store: &Store) {
    let (Location::Postgres(url), Some(Connected { connections, allowed, pooled, direct, may_lose })) =
        (location, store.connected())
    else {
        return;
    };
    let tls = url.tls();
    let pooled = if pooled || direct { if pooled { "true" } else { "false" } } else { "unknown" };
    tracing::info!(%url, connections, %pooled, %tls, "connected to PostgreSQL");
    if let Some(allowed @ ..=1) = allowed {
        tracing::warn!(
            allowed,
            connections,
            "PostgreSQL allows this role a single connection, which this server takes: no command can run beside it; \
             set CONNECTION LIMIT of the role or the database, or max_connections, to 3 or more"
        );
    } else if let Some(allowed) = allowed {
        tracing::warn!(
            allowed,
            connections,
            "PostgreSQL allows this role few connections (CONNECTION LIMIT, max_connections): calls wait in turn, and \
             one connection is left to commands, unless another server has the same role"
        );
    }
    if may_lose {
        tracing::warn!(
            "synchronous_commit is off: a crash of PostgreSQL loses the newest changes, log-outs among them"
        );
    }
    if tls.is_open_to_others() {
        tracing::warn!("the connection to PostgreSQL is {tls}: set sslmode=verify-full in the URL of the database");
    }
}

/// The private cause of an error, which the operator may see.
pub(super) fn explain(error: &crate::error::Error) -> anyhow::Error {
    match std::error::Error::source(error) {
        Some(source) => anyhow::anyhow!("{source}"),
        None => anyhow::anyhow!("{error}"),
    }
}

/// Names tables of another program, in a database that has none of ours.
pub(super) async fn foreign_tables(store: &Store) -> anyhow::Result<Option<String>> {
    let foreign = store.foreign_tables().await.map_err(|e| explain(&e))?;
    Ok((!foreign.is_empty()).then(|| format!("tables of another program (such as {})", foreign.join(", "))))
}

pub(super) fn hint() -> &'static str {
    if Path::new("chancery-dev").is_dir() {
        "; for the database of `serve --dev`, add --data-dir chancery-dev"
    } else {
        ""
    }
}

pub(super) fn refuse_missing(path: &Path) -> anyhow::Result<()> {
    // Opening an empty file would make it a database without tables, which looks like one that has lost them.
    if is_empty(path) {
        bail!("the database {} is empty; `chancery serve` sets it up{}", path.display(), hint());
    }
    if path.exists() {
        return Ok(());
    }
    bail!("there is no database at {}; `chancery serve` sets one up{}", path.display(), hint());
}

/// Whether there is a file of length 0.
pub(super) fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0)
}
