//! Sets up and migrates the database schema.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::{
    config::Config,
    data_dir,
    database::{Purpose, explain, hint, is_empty, open_store, refuse_missing},
    first_start::Found,
};
use crate::{
    entropy::{Entropy, OsEntropy},
    store::{Location, Schema, Store},
    time::{Clock, SystemClock, Timestamp},
};

/// Prepares the schema for `purpose`, or explains what the operator must do.
pub(super) async fn prepare(
    store: &Store,
    location: &Location,
    purpose: Purpose,
    may_migrate: bool,
    now: Timestamp,
) -> anyhow::Result<()> {
    let sqlite = matches!(location, Location::Sqlite(_));
    match (store.schema().await.map_err(|e| explain(&e))?, purpose) {
        (Schema::Missing, Purpose::Command) => {
            bail!("the database {location} is empty; `chancery serve` sets it up{}", hint())
        }
        (Schema::Older { have, want }, Purpose::Command) => bail!(
            "the database {location} has the older schema {have}, this binary has {want}; run `chancery migrate` to update it"
        ),
        (Schema::Older { have, want }, Purpose::Serve) if !sqlite && !may_migrate => bail!(
            "the database {location} has the older schema {have}, this binary has {want}; run `chancery migrate`, or \
             start with --migrate"
        ),
        (Schema::Current(_), Purpose::Command | Purpose::Migrate) => Ok(()),
        // If several processes start at once, the later ones find nothing to do.
        (_, Purpose::Serve | Purpose::Migrate) => apply_migrations(store, now).await.map(|_| ()),
    }
}

/// What a migration did besides.
struct Migrated {
    /// Where the old database was copied to.
    copy: Option<String>,
    /// How many user names it deleted.
    deleted: i64,
}

async fn apply_migrations(store: &Store, now: Timestamp) -> anyhow::Result<Migrated> {
    const PROBLEM: &str = "cannot bring the database up to date";
    let deleted = store.names_to_delete().await.map_err(|e| explain(&e)).context(PROBLEM)?;
    let copy = store.migrate(now).await.map_err(|e| explain(&e)).context(PROBLEM)?;
    let copy = copy.map(|path| path.display().to_string());
    if let Some(copy) = &copy {
        tracing::info!(copy, "copied the database before migrating its schema");
    }
    if deleted > 0 {
        tracing::warn!(deleted, "deleted user names that are other people's addresses; their users may have no login");
    }
    Ok(Migrated { copy, deleted })
}

fn empty(location: &Location) -> String {
    format!("{location} is empty; run `chancery migrate` to set it up")
}

/// `chancery migrate`. Returns a sentence about what was done, or with `check` what is to be done, and whether the
/// schema is up to date.
///
/// # Errors
/// A sentence for the operator.
pub async fn migrate(config: &Config, check: bool) -> anyhow::Result<(String, bool)> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let location = &config.database.location;
    match location {
        Location::Sqlite(path) if check && is_empty(path) => return Ok((empty(location), false)),
        Location::Sqlite(path) if check => refuse_missing(path)?,
        Location::Sqlite(_) => data_dir::prepare(&config.database.data_dir, &*entropy)?,
        Location::Postgres(_) => {}
    }
    let found = Found::look(&config.database)?;
    let store = open_store(location, !check, &entropy).await?;
    let before = store.schema().await.map_err(|e| explain(&e))?;
    if !check {
        found.allow_tables(location, before)?;
    }
    let report = match (before, check) {
        (Schema::Current(n), _) => (format!("{location}: the schema {n} is up to date"), true),
        (Schema::Missing, true) => (empty(location), false),
        (Schema::Older { have, want }, true) => (
            format!("{location}: the schema is {have}, this binary has {want}; run `chancery migrate` to update it"),
            false,
        ),
        (Schema::Missing | Schema::Older { .. }, false) => {
            let Migrated { copy, deleted } = apply_migrations(&store, SystemClock.now()).await?;
            let mut report = format!("{location}: the schema is now up to date");
            if deleted > 0 {
                report.push_str("; user names deleted because they are addresses: ");
                report.push_str(&deleted.to_string());
            }
            report += &copy.map(|c| format!("; a copy of the old database is at {c}")).unwrap_or_default();
            (report, true)
        }
    };
    store.close().await;
    Ok(report)
}
