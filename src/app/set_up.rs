//! Sets up a database for a command, as the first start of a server does.

use std::{env::temp_dir, mem::replace, sync::Arc};

use anyhow::{Context, bail};

use super::{
    account,
    config::{Config, Database},
    data_dir,
    database::{Purpose, explain, is_empty, open_store},
    first_start::{self, Found},
    opening::open,
    sealing_file, serving,
    workplace::Workplace,
};
use crate::{
    entropy::{Entropy, OsEntropy},
    error::Result,
    service::Service,
    store::{Location, Schema},
};

/// Opens the database for a command, and sets up one that is missing or empty first, unless the command could do nothing
/// with it: that is tried on another, where there is a place for one. Returns whether it set up the database.
///
/// # Errors
/// A sentence for the operator.
pub async fn open_or_set_up(
    config: &mut Config,
    attempt: impl AsyncFnOnce(&Service) -> anyhow::Result<()>,
) -> anyhow::Result<(Service, bool)> {
    if !Box::pin(is_unclaimed(&config.database)).await? {
        return Ok((Box::pin(open(config, Purpose::Command)).await?, false));
    }
    check(config)?;
    Found::look(&config.database)?.allow_claim(&config.database.location)?;
    if let Ok(place) = workplace() {
        let meant = replace_database(config, &place);
        let attempted = match Box::pin(set_up(config)).await {
            Ok(service) => {
                let attempted = attempt(&service).await;
                service.store().close().await;
                attempted
            }
            Err(error) => Err(error),
        };
        config.database = meant;
        attempted?;
    }
    Ok((Box::pin(set_up(config)).await?, true))
}

/// A temporary folder for a database.
fn workplace() -> anyhow::Result<Workplace> {
    Workplace::beside(&temp_dir().join("chancery"), "dry-run", &OsEntropy)
}

/// Puts an empty database in such a folder into the configuration. Returns the one that was there.
fn replace_database(config: &mut Config, place: &Workplace) -> Database {
    let dir = place.path().to_owned();
    let other = Database {
        location: Location::Sqlite(dir.join("chancery.db")),
        data_dir: dir,
        sealing_key_files: Vec::new(),
        sealing_key: None,
        read_keys: None,
        ..config.database
    };
    replace(&mut config.database, other)
}

/// A database in a folder of its own, which is removed with this value.
#[derive(Debug)]
pub struct Rehearsal(#[expect(dead_code, reason = "kept for what dropping it does")] Workplace);

/// Opens the database for a command that changes nothing. In the place of one that is missing or empty, sets up another in a
/// temporary folder, so that the command can say what would happen.
///
/// # Errors
/// A sentence for the operator; among them every reason for which the database could not be set up.
pub async fn open_or_rehearse(config: &mut Config) -> anyhow::Result<(Service, Option<Rehearsal>)> {
    if !Box::pin(is_unclaimed(&config.database)).await? {
        return Ok((Box::pin(open(config, Purpose::Command)).await?, None));
    }
    check(config)?;
    Found::look(&config.database)?.allow_claim(&config.database.location)?;
    Box::pin(try_setting_up(&config.database)).await?;
    let place = workplace()?;
    replace_database(config, &place);
    Ok((Box::pin(set_up(config)).await?, Some(Rehearsal(place))))
}

/// What an empty database takes.
fn check(config: &mut Config) -> anyhow::Result<()> {
    if config.listen.issuer.is_none() && config.listen.http.port() == 0 {
        bail!(
            "an empty database needs --issuer, the URL by which verifiers know the server: with any free port there is none"
        );
    }
    if !sealing_file::read_once(&mut config.database)? {
        sealing_file::needed(&config.database).map_or(Ok(()), |why| bail!(why))?;
    }
    Ok(())
}

async fn set_up(config: &Config) -> anyhow::Result<Service> {
    data_dir::prepare_for(&config.database)?;
    let lock = serving::share(&config.database.location)?;
    let service = Box::pin(open(config, Purpose::Serve)).await?;
    serving::note(lock.as_ref());
    let ensured = account::ensure(&service, service.issuer(), false).await;
    ensured.map_err(|e| explain(&e)).context("cannot set up the account pages")?;
    Ok(service)
}

/// Whether there is no database yet, or one that no issuer has claimed. The mark of a first start alone says nothing: one may be
/// left beside a database that is claimed.
async fn is_unclaimed(database: &Database) -> anyhow::Result<bool> {
    if let Location::Sqlite(path) = &database.location
        && (!path.exists() || is_empty(path))
    {
        return Ok(true);
    }
    match Box::pin(lacks_instance(database)).await {
        // A first start that was killed may have left a file that is none yet.
        Err(_) if matches!(database.location, Location::Sqlite(_)) && first_start::is_under_way(database) => Ok(true),
        looked => looked,
    }
}

/// Makes the tables in PostgreSQL, and takes them back: what keeps them out is to be known before.
async fn try_setting_up(database: &Database) -> anyhow::Result<()> {
    let Location::Postgres(_) = &database.location else { return Ok(()) };
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let store = open_store(&database.location, false, &entropy).await?;
    let tried = store.try_setting_up().await;
    store.close().await;
    tried.map_err(|e| explain(&e)).context("the database would not be set up")
}

async fn lacks_instance(database: &Database) -> anyhow::Result<bool> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let store = open_store(&database.location, false, &entropy).await?;
    let unclaimed = async {
        Ok(match store.schema().await? {
            Schema::Missing => true,
            Schema::Older { .. } => false,
            Schema::Current(_) => store.read().await?.instance().await?.is_none(),
        })
    };
    let unclaimed: Result<bool> = unclaimed.await;
    store.close().await;
    unclaimed.map_err(|e| explain(&e))
}
