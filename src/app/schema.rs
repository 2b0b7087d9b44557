//! Setting up and bringing up to date the database's schema.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::{
    config::Config,
    database::{Purpose, explain, hint, open_store, prepare_data_dir, refuse_missing},
};
use crate::{
    entropy::{Entropy, OsEntropy},
    store::{Location, Schema, Store},
    time::{Clock, SystemClock, Timestamp},
};

/// Makes the schema fit for `purpose`, or says what to do about it.
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
        // Of several processes that start at once, who comes late finds nothing to do.
        (_, Purpose::Serve | Purpose::Migrate) => run(store, now).await.map(|_| ()),
    }
}

async fn run(store: &Store, now: Timestamp) -> anyhow::Result<Option<String>> {
    let copy = store.migrate(now).await.map_err(|e| explain(&e)).context("cannot bring the database up to date")?;
    let copy = copy.map(|path| path.display().to_string());
    if let Some(copy) = &copy {
        tracing::info!(copy, "copied the database before migrating its schema");
    }
    Ok(copy)
}

/// `chancery migrate`: gives a sentence about what it did, or with `check` about what it would do and
/// whether the schema is up to date.
///
/// # Errors
/// A sentence for the operator.
pub async fn migrate(config: &Config, check: bool) -> anyhow::Result<(String, bool)> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let location = &config.database.location;
    match location {
        Location::Sqlite(path) if check => refuse_missing(path)?,
        Location::Sqlite(_) => prepare_data_dir(&config.database.data_dir)?,
        Location::Postgres(_) => {}
    }
    let store = open_store(location, !check, &entropy).await?;
    let before = store.schema().await.map_err(|e| explain(&e))?;
    let told = match (before, check) {
        (Schema::Current(n), _) => (format!("{location}: the schema {n} is up to date"), true),
        (Schema::Missing, true) => (format!("{location} is empty; run `chancery migrate` to set it up"), false),
        (Schema::Older { have, want }, true) => (
            format!("{location}: the schema is {have}, this binary has {want}; run `chancery migrate` to update it"),
            false,
        ),
        (Schema::Missing | Schema::Older { .. }, false) => {
            let copy = run(&store, SystemClock.now()).await?;
            let copied = copy.map(|c| format!("; a copy of the old database is at {c}")).unwrap_or_default();
            (format!("{location}: the schema is now up to date{copied}"), true)
        }
    };
    store.close().await;
    Ok(told)
}
