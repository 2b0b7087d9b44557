//! The versions of the sealing key: which there are, bringing the next into use, and dropping one that nothing needs.
//!
//! A version comes into use by one conditional update, with a feed entry by which running processes follow at once. What was
//! made before is read as long as its version is not dropped.

mod refusals;
mod reseal;

use std::fmt;

use serde_json::json;

use self::refusals::{brought, droppable, in_use, refuse_sealed, refuse_while_running, unless_wanted};
pub use self::reseal::Resealed;
use crate::{
    domain::{
        audit::AuditKind,
        feed::ChangeKind,
        process::{ALIVE_FOR, MOST_PROCESSES, Process, named},
        sealing::{Dependents, SealedTable, SealingState, SealingVersion},
        session::RevokedCause,
    },
    error::{Error, Result},
    keys::{DEVICE_TOKEN_LIFETIME, fingerprint},
    service::{access::Admin, runtime::Runtime},
    store::{BINARY_VERSION, By, Revoke, Tx},
    time::Timestamp,
};

/// Sessions ended in one transaction.
const BATCH: i64 = 1000;

/// A version of the sealing key, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionListed {
    /// Its number.
    pub version: i64,
    /// The fingerprint of the key.
    pub fingerprint: String,
    /// Its state.
    pub state: SealingState,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// Whether this process holds it, and it was not dropped.
    pub held: bool,
    /// The names of the running processes that do not hold it; none of a version that was dropped.
    pub lacked_by: Vec<String>,
}

impl VersionListed {
    /// What to do about it if it was never used, and nobody wants it.
    #[must_use]
    pub fn unless_wanted(&self) -> String {
        unless_wanted(self.version)
    }

    /// The running processes that do not hold it, for people.
    #[must_use]
    pub fn lacking(&self) -> String {
        named(&self.lacked_by)
    }
}

/// A version that came into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The version that was in use before.
    pub from: i64,
    /// The version in use.
    pub to: i64,
}

/// A version that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many sessions were ended.
    pub sessions: usize,
    /// How many links and codes are void.
    pub tickets: u64,
    /// Whether it was never used, as far as the database knows: it is forgotten.
    pub forgotten: bool,
}

/// The versions of the sealing key.
pub struct Sealing {
    runtime: Runtime,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing")
    }
}

impl Sealing {
    pub(in crate::service) const fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// Every version, in order.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn list(&self, _: &Admin) -> Result<Vec<VersionListed>> {
        let mut tx = self.runtime.store.read().await?;
        let versions = tx.sealing_keys().await?;
        let running = self.running(&mut tx).await?;
        let listed = |v: &SealingVersion| {
            let lacks = |p: &&Process| v.dropped_at.is_none() && !p.sealing_versions.contains(&v.version);
            VersionListed {
                version: v.version,
                fingerprint: fingerprint(&v.check_value),
                state: v.state(),
                since: v.since(),
                held: self.runtime.sealing.holds(v),
                lacked_by: running.iter().filter(lacks).map(Process::name).collect(),
            }
        };
        Ok(versions.iter().map(listed).collect())
    }

    async fn running(&self, tx: &mut Tx) -> Result<Vec<Process>> {
        tx.processes_since(self.runtime.live.now().minus(ALIVE_FOR)).await
    }

    /// Brings the next version into use. Every process follows as soon as it has read the feed; binaries that do not know
    /// versions cannot start any more. What is sealed under the old version is for [`Sealing::reseal`]: nothing is returned where
    /// there is no next version, but rows that an earlier call has left.
    ///
    /// # Errors
    /// [`Error::Precondition`] if there is nothing to do, or a running process lacks the next version; [`Error::Conflict`] if another call
    /// came first.
    pub async fn rotate(&self, admin: &Admin) -> Result<Option<Rotated>> {
        let Runtime { store, live, sealing, .. } = &self.runtime;
        let now = live.now();
        let mut tx = admin.write(store, live).await?;
        let versions = tx.sealing_keys().await?;
        let from = in_use(&versions)?.version;
        let next = versions.iter().find(|v| v.state() == SealingState::Loaded && v.version > from);
        let Some(next) = next else {
            if self.has_rows_left(&mut tx, from).await? {
                return Ok(None);
            }
            return Err(Error::Precondition(
                "there is no next version, and nothing is left of an earlier rotation: for a new one, start every server \
                 with a new key beside the one in use, then rotate"
                    .to_owned(),
            ));
        };
        if !sealing.holds(next) {
            return Err(Error::Precondition(format!(
                "this command does not hold version {} of the sealing key, {}: run it with that key beside the one in use; {}",
                next.version,
                fingerprint(&next.check_value),
                unless_wanted(next.version)
            )));
        }
        let running = self.running(&mut tx).await?;
        if running.len() >= MOST_PROCESSES {
            return Err(Error::Precondition(format!(
                "{MOST_PROCESSES} servers run, and whether others that run hold the next version is not known: stop some, and \
                 rotate {} s later",
                ALIVE_FOR.seconds()
            )));
        }
        let lacks = |process: &Process| !process.sealing_versions.contains(&next.version);
        let (state, remedy) = ("is not held", "restart it with that key beside the one in use");
        refuse_while_running(&running, lacks, next, state, remedy)?;
        if tx.connections_of_older().await? > 0 {
            return Err(Error::Precondition(
                "a server of an older release is connected to the database, and cannot read what another version of the \
                 sealing key makes: upgrade every server first"
                    .to_owned(),
            ));
        }
        let to = next.version;
        brought(tx.sealing_key_switch(from, (to, &next.check_value), BINARY_VERSION, now).await?, to)?;
        let details = json!({ "from": from, "to": to });
        tx.audit(now, AuditKind::SealingKeyRotated, &admin.actor, &to.to_string(), details).await?;
        tx.change(live.change(ChangeKind::SealingKey, &to.to_string(), now));
        live.commit(tx).await?;
        Ok(Some(Rotated { from, to }))
    }

    async fn has_rows_left(&self, tx: &mut Tx, version: i64) -> Result<bool> {
        for table in SealedTable::ALL {
            if !tx.sealed_before(table, (version, ""), 1).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a drop of this version would cost now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Precondition`] if it is in use, or was dropped.
    pub async fn dependents(&self, _: &Admin, version: i64) -> Result<Dependents> {
        let mut tx = self.runtime.store.read().await?;
        let found = droppable(&tx.sealing_keys().await?, version)?;
        self.dependents_of(&mut tx, &found).await
    }

    async fn dependents_of(&self, tx: &mut Tx, version: &SealingVersion) -> Result<Dependents> {
        tx.sealing_dependents(version.version, self.made_within(version), self.runtime.live.now()).await
    }

    /// Until when a process may have made something with a version: those that have not read the feed for longer sign
    /// nothing. A version that was never used has made nothing.
    fn made_until(&self, version: &SealingVersion) -> Timestamp {
        let slack = self.runtime.live.snapshot().settings.confirm_within;
        version.used_until.map_or(Timestamp::from_millis(0), |until| until.plus(slack))
    }

    /// From when until when a process may have made something with a version.
    fn made_within(&self, version: &SealingVersion) -> (Timestamp, Timestamp) {
        (version.used_from.unwrap_or(Timestamp::from_millis(0)), self.made_until(version))
    }

    /// Drops a version that nothing depends on any more. One that was never used is forgotten.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Precondition`] says what depends on it, and from when on it may be dropped.
    pub async fn drop_unneeded(&self, admin: &Admin, version: i64) -> Result<Dropped> {
        self.reseal().await?;
        let mut tx = admin.write(&self.runtime.store, &self.runtime.live).await?;
        let found = droppable(&tx.sealing_keys().await?, version)?;
        if found.state() == SealingState::Loaded {
            return self.forget(tx, admin, &found).await;
        }
        let needed = self.dependents_of(&mut tx, &found).await?;
        refuse_sealed(&found, &needed)?;
        let now = self.runtime.live.now();
        let made_until = self.made_until(&found);
        // Devices are remembered by tokens alone, which nobody keeps a list of.
        let devices_end = found.used_until.map(|_| made_until.plus(DEVICE_TOKEN_LIFETIME));
        let free_from = [needed.sessions_end, needed.tickets_end, devices_end].into_iter().flatten().max();
        if let Some(from) = free_from.filter(|from| *from > now) {
            let sessions_end = needed.sessions_end.or(needed.tickets_end).map_or_else(
                || {
                    "no session and no code needs it any more, but devices that were known before are to stay known"
                        .to_owned()
                },
                |end| format!("the last session or code from before ends at {end}, and what devices were given, later"),
            );
            return Err(Error::Precondition(format!(
                "version {version} of the sealing key is needed until {from}: {sessions_end}; --now drops it all the same, and \
                 ends {} sessions",
                needed.sessions
            )));
        }
        self.finish_drop(tx, admin, &found, Dropped { sessions: 0, tickets: 0, forgotten: false }).await
    }

    /// Drops a version at once, for instance because the key was stolen. Ends the sessions whose refresh token or cookie was
    /// made with it, and no other. Links and codes from before are void, and devices from before are unknown.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Precondition`] if it is in use, was dropped, or was in use a moment ago; or if rows are
    /// sealed under it that this process cannot seal again.
    pub async fn drop_now(&self, admin: &Admin, version: i64) -> Result<Dropped> {
        self.reseal().await?;
        let Runtime { store, live, .. } = &self.runtime;
        let mut tx = store.read().await?;
        let found = droppable(&tx.sealing_keys().await?, version)?;
        if found.state() == SealingState::Loaded {
            drop(tx);
            let tx = admin.write(store, live).await?;
            return self.forget(tx, admin, &found).await;
        }
        // Before anything is ended. It is looked at again in the transaction of the drop.
        refuse_sealed(&found, &self.dependents_of(&mut tx, &found).await?)?;
        drop(tx);
        let made_until = self.made_until(&found);
        if made_until >= live.now() {
            return Err(Error::Precondition(format!(
                "version {version} of the sealing key was in use a moment ago; drop it after {made_until}"
            )));
        }
        let sessions = self.end_sessions(admin, self.made_within(&found)).await?;
        let mut tx = admin.write(store, live).await?;
        let needed = self.dependents_of(&mut tx, &found).await?;
        refuse_sealed(&found, &needed)?;
        let tickets = tx.tickets_void_version(version, live.now()).await?;
        self.finish_drop(tx, admin, &found, Dropped { sessions, tickets, forgotten: false }).await
    }

    async fn end_sessions(&self, admin: &Admin, made_within: (Timestamp, Timestamp)) -> Result<usize> {
        let Runtime { store, live, .. } = &self.runtime;
        let now = live.now();
        let settings = live.snapshot().settings.clone();
        let by = By { actor: &admin.actor, cause: RevokedCause::SealingKeyDropped, settings: &settings, now };
        let (mut ended, mut after) = (0, None);
        loop {
            let mut tx = admin.write(store, live).await?;
            let ids = tx.sessions_made_between(after.as_ref(), made_within, now, BATCH).await?;
            ended += tx.revoke(Revoke::Sessions(&ids), &by).await?;
            live.commit(tx).await?;
            match ids.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(ended),
            }
        }
    }

    /// Forgets a version that was never used, so that a key that was given by mistake takes up no number. Nothing can depend on
    /// it. It would come back with the next start of a server that is given its key.
    async fn forget(&self, mut tx: Tx, admin: &Admin, version: &SealingVersion) -> Result<Dropped> {
        let running = self.running(&mut tx).await?;
        let holds = |process: &Process| process.sealing_versions.contains(&version.version);
        let (state, remedy) = ("was never used, and is held", "restart it without that key first");
        refuse_while_running(&running, holds, version, state, remedy)?;
        self.finish_drop(tx, admin, version, Dropped { sessions: 0, tickets: 0, forgotten: true }).await
    }

    async fn finish_drop(
        &self,
        mut tx: Tx,
        admin: &Admin,
        version: &SealingVersion,
        dropped: Dropped,
    ) -> Result<Dropped> {
        let live = &self.runtime.live;
        let now = live.now();
        let name = version.version.to_string();
        let done = if dropped.forgotten {
            tx.sealing_key_forget(version.version, &version.check_value).await?
        } else {
            tx.sealing_key_drop(version.version, now).await?
        };
        if !done {
            return Err(Error::Conflict);
        }
        let fingerprint = fingerprint(&version.check_value);
        let Dropped { sessions, tickets, .. } = dropped;
        let details = json!({ "fingerprint": fingerprint, "sessions_ended": sessions, "tickets_void": tickets });
        tx.audit(now, AuditKind::SealingKeyDropped, &admin.actor, &name, details).await?;
        tx.change(live.change(ChangeKind::SealingKey, &name, now));
        live.commit(tx).await?;
        Ok(dropped)
    }
}
