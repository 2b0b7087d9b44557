//! Listing and ending sessions.

use super::Service;
use crate::{
    domain::{
        session::{RevokedCause, Session},
        settings::SKEW,
    },
    error::{Error, Result},
    id::SessionId,
    store::SessionFilter,
};

impl Service {
    /// The sessions of a user that may still be refreshed, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn sessions_list(&self, user: &str) -> Result<Vec<Session>> {
        let (user, _) = self.user_find(user).await?;
        let now = self.now();
        self.store.read().await?.sessions_of_user(&user.id, SessionFilter::Live(now)).await
    }

    /// Ends a session; says whether it had not been ended before.
    ///
    /// # Errors
    /// [`Error::NotFound`], or a violation of `session_id`.
    pub async fn session_revoke(&self, id: &str) -> Result<bool> {
        let id: SessionId = id.parse().map_err(|e: crate::id::IdError| Error::invalid("session_id", e.to_string()))?;
        if self.store.read().await?.session_by_id(&id).await?.is_none() {
            return Err(Error::NotFound("session", id.as_str().to_owned()));
        }
        Ok(self.end_sessions(&[id], RevokedCause::Administrator, "command").await? == 1)
    }

    /// Deletes what no token can name any more, in small steps; gives the number of sessions.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn sweep(&self) -> Result<u64> {
        let now = self.now();
        let settings = self.live.snapshot().settings.clone();
        let dead_before = now.minus(settings.revocation_ttl(now));
        let mut tx = self.store.write().await?;
        let swept = tx.sessions_sweep(dead_before, 500).await?;
        // A process that could not confirm for that long signs nothing, and reads everything anew.
        tx.feed_forget(now, now.minus(SKEW)).await?;
        tx.commit().await?;
        Ok(swept)
    }
}
