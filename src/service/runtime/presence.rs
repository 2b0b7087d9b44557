//! What this process says of itself in the database, so that others know that it runs and what it holds.

use std::fmt;

use super::Runtime;
use crate::{
    domain::process::{ALIVE_FOR, FORGOTTEN_AFTER, MAX_HOST, MOST_PROCESSES, Process},
    error::{Error, Result},
    id::ProcessId,
    store::BINARY_VERSION,
    time::Timestamp,
};

/// This process, among those that run on the database.
pub struct Presence {
    runtime: Runtime,
    id: ProcessId,
    started_at: Timestamp,
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Presence {
    pub(in crate::service) fn new(runtime: Runtime) -> Self {
        let started_at = runtime.live.now();
        Self { id: ProcessId::new(started_at, &*runtime.entropy), started_at, runtime }
    }

    /// This process.
    #[must_use]
    pub const fn id(&self) -> &ProcessId {
        &self.id
    }

    /// Says that this process runs, on this host. Forgets processes that have said nothing for long.
    ///
    /// # Errors
    /// If the database is unreachable, or too many others run.
    pub async fn say(&self, host: &str) -> Result<()> {
        let Runtime { store, live, sealing, .. } = &self.runtime;
        let now = live.now();
        let mut tx = store.write().await?;
        // As the database knows them now: it may have forgotten one, and given its number to another key.
        let known = tx.sealing_keys().await?.into_iter().filter(|version| sealing.holds(version));
        let sealing_versions = known.map(|version| version.version).collect();
        let process = Process {
            id: self.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            binary_version: BINARY_VERSION,
            host: host.chars().filter(|c| !c.is_control()).take(MAX_HOST).collect(),
            sealing_versions,
            started_at: self.started_at,
            seen_at: now,
        };
        tx.processes_forget(now.minus(FORGOTTEN_AFTER)).await?;
        let noted = tx.process_seen(&process, now.minus(ALIVE_FOR)).await?;
        tx.commit().await?;
        if noted {
            return Ok(());
        }
        Err(Error::Precondition(format!("{MOST_PROCESSES} others have said lately that they run")))
    }

    /// Says that this process has ended.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn leave(&self) -> Result<()> {
        let mut tx = self.runtime.store.write().await?;
        tx.process_forget(&self.id).await?;
        tx.commit().await.map(|_| ())
    }

    /// The processes that run, in the order of their start.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn running(&self) -> Result<Vec<Process>> {
        let since = self.runtime.live.now().minus(ALIVE_FOR);
        self.runtime.store.read().await?.processes_since(since).await
    }
}
