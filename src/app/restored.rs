//! What follows when other tools have restored a database: those of PostgreSQL, or a snapshot of a disk.

use super::{
    backup::Bounds,
    config::Config,
    database::{Purpose, explain, refuse_missing},
    opening::open,
    serving,
};
use crate::{
    domain::sealing::SealingState,
    error::Result,
    service::{Admin, VersionListed},
    store::Location,
};

/// Prepares the database for the servers that will open it. Returns how many sessions were ended, and the fingerprints of the sealing
/// keys that a server needs.
///
/// Servers that run on PostgreSQL meanwhile start over with what is in the database now. On SQLite, they are kept out.
///
/// # Errors
/// A sentence for the operator. It can be repeated then.
pub async fn settle_restored(
    config: &Config,
    end_sessions: bool,
    bounds: &Bounds,
) -> anyhow::Result<(usize, Vec<String>)> {
    let _alone = match &config.database.location {
        Location::Sqlite(path) => {
            refuse_missing(path)?;
            Some(serving::exclude(path)?)
        }
        Location::Postgres(_) => None,
    };
    let service = Box::pin(open(config, Purpose::Command)).await?;
    let go_on = bounds.go_on();
    let end = end_sessions.then_some(&go_on);
    // When the copy was made, only its maker knows.
    let admin = Admin::command();
    let settled = async {
        let ended = service.instance.settle_restored(&admin, None, end).await?;
        let needed = |v: &VersionListed| matches!(v.state, SealingState::InUse | SealingState::VerifyOnly);
        let versions = service.sealing.list(&admin).await?.into_iter().filter(needed);
        Ok((ended, versions.map(|v| v.fingerprint).collect()))
    };
    let settled: Result<_> = settled.await;
    service.store().close().await;
    settled.map_err(|e| explain(&e))
}
