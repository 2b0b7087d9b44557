//! Sets up and migrates the database schema.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::{
    config::Config,
    data_dir,
    database::{Purpose, explain, foreign_tables, hint, is_empty, open_store, refuse_missing},
    first_start::Found,
    migration_plan::{self, MigrationPlan},
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
        (Schema::Missing, Purpose::Command) => bail!("{}", without_tables(store, location).await?),
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

/// Says that a database has none of the tables that a command needs.
async fn without_tables(store: &Store, location: &Location) -> anyhow::Result<String> {
    Ok(match foreign_tables(store).await? {
        None => format!("the database {location} is empty; `chancery serve` sets it up{}", hint()),
        Some(foreign) => format!("the database {location} has {foreign}, and none of Chancery's: is it the right one?"),
    })
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

/// Says that a database can be set up, or fails with what keeps it from that.
async fn without_schema(store: &Store, location: &Location) -> anyhow::Result<String> {
    let tried = store.try_setting_up().await;
    tried.map_err(|e| explain(&e)).with_context(|| format!("{location} would not be set up"))?;
    Ok(match foreign_tables(store).await? {
        None => empty(location),
        Some(foreign) => format!(
            "{location} has {foreign}, and none of Chancery's; run `chancery migrate` to add these, if it is the right \
             database"
        ),
    })
}

fn empty(location: &Location) -> String {
    format!("{location} is empty; run `chancery migrate` to set it up")
}

/// `chancery migrate`. Returns a sentence about what was done.
///
/// # Errors
/// A sentence for the operator.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let location = &config.database.location;
    if let Location::Sqlite(_) = location {
        data_dir::prepare(&config.database.data_dir, &*entropy)?;
    }
    let found = Found::look(&config.database)?;
    let store = open_store(location, true, &entropy).await?;
    let before = store.schema().await.map_err(|e| explain(&e))?;
    found.allow_tables(location, &store).await?;
    let report = match before {
        Schema::Current(n) => up_to_date(location, n),
        Schema::Missing | Schema::Older { .. } => {
            let Migrated { copy, deleted } = apply_migrations(&store, SystemClock.now()).await?;
            let mut report = format!("{location}: the schema is now up to date");
            if deleted > 0 {
                report.push_str("; user names deleted because they are addresses: ");
                report.push_str(&deleted.to_string());
            }
            report + &copy.map(|c| format!("; a copy of the old database is at {c}")).unwrap_or_default()
        }
    };
    store.close().await;
    Ok(report)
}

fn up_to_date(location: &Location, schema: i64) -> String {
    format!("{location}: the schema {schema} is up to date")
}

/// What `chancery migrate --check` has found.
#[derive(Clone, Debug)]
pub enum SchemaCheck {
    /// There is nothing to do.
    Current {
        /// The newest migration that was applied.
        schema: i64,
        /// A sentence for the operator.
        says: String,
    },
    /// There is no schema yet.
    Empty {
        /// A sentence for the operator.
        says: String,
    },
    /// Migrations are missing.
    Older {
        /// What they would do.
        plan: Box<MigrationPlan>,
        /// A sentence for the operator.
        says: String,
    },
}

/// `chancery migrate --check`: looks, and changes nothing.
///
/// # Errors
/// A sentence for the operator.
pub async fn check_schema(config: &Config) -> anyhow::Result<SchemaCheck> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let location = &config.database.location;
    if let Location::Sqlite(path) = location {
        if is_empty(path) {
            return Ok(SchemaCheck::Empty { says: empty(location) });
        }
        refuse_missing(path)?;
    }
    Found::look(&config.database)?;
    let store = open_store(location, false, &entropy).await?;
    let check = match store.schema().await.map_err(|e| explain(&e))? {
        Schema::Current(schema) => SchemaCheck::Current { schema, says: up_to_date(location, schema) },
        Schema::Missing => SchemaCheck::Empty { says: without_schema(&store, location).await? },
        Schema::Older { have, want } => {
            let plan = Box::pin(migration_plan::look(&store, location, (have, want), &entropy)).await?;
            let says = format!(
                "{location}: the schema is {have}, this binary has {want}; run `chancery migrate` to update it"
            );
            SchemaCheck::Older { plan: Box::new(plan), says }
        }
    };
    store.close().await;
    Ok(check)
}
