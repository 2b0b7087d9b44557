//! What a database needs before it is served again after it was restored from a copy.

use serde_json::json;

use super::InstanceSettings;
use crate::{
    domain::{audit::AuditKind, session::RevokedCause, settings::Settings},
    error::{Error, Result},
    service::access::Admin,
    store::{By, GoOn, Revoke},
    time::Timestamp,
};

/// Sessions ended in one transaction.
const BATCH: i64 = 1000;

impl InstanceSettings {
    /// Prepares a restored database that no server has opened yet, and ends its sessions while `end_sessions` says to
    /// go on. Returns how many were ended.
    ///
    /// The feed went back: numbers that verifiers have seen will be given out again. A new epoch makes every cursor
    /// foreign, so that all start over with a snapshot. Status lists went back too: new sessions get bits in new
    /// lists, never those of sessions that were opened after the copy.
    ///
    /// # Errors
    /// If the database fails, or there is no reason to go on.
    pub async fn settle_restored(
        &self,
        admin: &Admin,
        copied_at: Option<Timestamp>,
        end_sessions: Option<&GoOn>,
    ) -> Result<usize> {
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        tx.feed_new_epoch(&self.live.snapshot().head.epoch).await?;
        tx.status_lists_close().await?;
        let settings = tx.settings_hold().await?;
        tx.settings_set(&Settings { commits_lost_at: Some(now), ..settings }).await?;
        tx.commit().await?;
        let ended = match end_sessions {
            Some(go_on) => self.end_sessions(admin, now, go_on).await?,
            None => 0,
        };
        let details = json!({ "copied_at": copied_at.map(|t| t.to_string()), "sessions_ended": ended });
        let mut tx = self.store.write().await?;
        tx.audit(now, AuditKind::DatabaseRestored, &admin.actor, self.live.issuer(), details).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Revokes each live session, so that verifiers learn of it: any of them may have been refreshed after the copy.
    async fn end_sessions(&self, admin: &Admin, now: Timestamp, go_on: &GoOn) -> Result<usize> {
        let settings = self.live.snapshot().settings.clone();
        let by = By { actor: &admin.actor, cause: RevokedCause::DatabaseRestored, settings: &settings, now };
        let (mut ended, mut after) = (0, None);
        loop {
            if !go_on() {
                return Err(Error::Unavailable("it was stopped before it was done".into()));
            }
            let mut tx = self.store.write().await?;
            let ids = tx.sessions_live(after.as_ref(), now, BATCH).await?;
            ended += tx.revoke(Revoke::Sessions(&ids), &by).await?;
            tx.commit().await?;
            match ids.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(ended),
            }
        }
    }
}
