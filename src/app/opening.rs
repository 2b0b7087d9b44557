//! Opens a database, and starts the service on it.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::{
    config::Config,
    database::{Purpose, explain, hint, open_store_with, refuse_missing, report_connection},
    first_start::Found,
    hashing, schema, sealing_file,
};
use crate::{
    entropy::{Entropy, OsEntropy},
    service::{Service, StartOptions},
    store::{Location, Store},
    time::{Clock, SystemClock, Timestamp},
};

/// Opens the database and the sealing key, and starts the service on them. `serve` has prepared the data directory.
///
/// # Errors
/// A sentence for the operator.
pub async fn open(config: &Config, purpose: Purpose) -> anyhow::Result<Service> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let location = &config.database.location;
    if let (Location::Sqlite(path), true) = (location, purpose != Purpose::Serve) {
        refuse_missing(path)?;
    }
    // Reports a wrong key before setting up a database that this key could not claim.
    let sealing = sealing_file::load(&config.database)?;
    sealing_file::warn_if_others_may_read(&config.database);
    let found = if purpose == Purpose::Serve { Some(Found::look(&config.database)?) } else { None };
    let store = Box::pin(open_database(config, purpose, found.as_ref(), &entropy, clock.now())).await?;
    let claimed = store.read().await.map_err(|e| explain(&e))?.instance().await.map_err(|e| explain(&e))?.is_some();
    let create = match &found {
        None if !claimed => bail!("the database {location} is empty; `chancery serve` sets it up{}", hint()),
        Some(found) if !claimed => {
            found.allow_claim(location)?;
            if sealing.is_none() && !config.create_sealing_key {
                sealing_file::needed(&config.database).map_or(Ok(()), |why| bail!(why))?;
            }
            found.begin()?;
            true
        }
        _ => false,
    };
    let (sealing, created) = if let Some(keys) = sealing {
        (keys, None)
    } else {
        let asked = config.create_sealing_key;
        let (key, created) = sealing_file::load_default(&config.database, create, asked, &*entropy)?;
        (vec![key], created)
    };
    let check_value = sealing.first().map(|key| key.check_value().to_vec()).unwrap_or_default();
    let had_key = created.is_none();
    let passwords =
        hashing::start(config.hashing, entropy.clone()).context("cannot start the threads that hash passwords")?;
    let options = start_options(config, purpose);
    // Boxed to keep the callers' futures small: it runs once and needs as much state as everything else.
    let started = Box::pin(Service::start(store, sealing, passwords, clock, entropy, &options)).await;
    if let (Err(_), Some(path)) = (&started, created) {
        // Another process claimed the database with a different key. Ours never sealed anything.
        sealing_file::remove_if(&path, &check_value);
        // In PostgreSQL, nothing that is new is left.
        if let (Some(found), Location::Postgres(_)) = (&found, location) {
            found.done();
        }
    }
    let started = started?;
    if let Some(found) = &found {
        found.done();
    }
    if create
        && had_key
        && let Location::Postgres(_) = location
    {
        tracing::warn!(
            "the database {location} was empty and is set up now; if it was not to be its first start, it is not the \
             database that was meant, or it has been lost"
        );
    }
    Ok(started)
}

/// Opens the database and brings its schema up to date, where `purpose` and what was found allow it.
async fn open_database(
    config: &Config,
    purpose: Purpose,
    found: Option<&Found>,
    entropy: &Arc<dyn Entropy>,
    now: Timestamp,
) -> anyhow::Result<Store> {
    let location = &config.database.location;
    if let Some(found) = found {
        found.begin_file(location)?;
    }
    let connections = Some(config.database.connections);
    let store = open_store_with(location, purpose == Purpose::Serve, entropy, connections).await?;
    if let Some(found) = found {
        report_connection(location, &store);
        found.allow_tables(location, &store).await?;
    }
    schema::prepare(&store, location, purpose, config.migrate, now).await?;
    Ok(store)
}

fn start_options(config: &Config, purpose: Purpose) -> StartOptions {
    let serve = purpose == Purpose::Serve;
    StartOptions {
        issuer: config.listen.issuer.clone(),
        default_issuer: config.listen.default_issuer(),
        dev: serve.then_some(config.dev),
        claim: serve,
    }
}
