//! Listing and ending sessions.

use super::{Admin, Service};
use crate::{
    domain::session::{RevokedCause, Session},
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
        let user = self.user_find(user).await?.user;
        let now = self.now();
        self.store.read().await?.sessions_of_user(&user.id, SessionFilter::Live(now)).await
    }

    /// Ends a session; says whether it had not been ended before.
    ///
    /// # Errors
    /// [`Error::NotFound`], or a violation of `session_id`.
    pub async fn session_revoke(&self, admin: &Admin, id: &str) -> Result<bool> {
        let id: SessionId = id.parse().map_err(|e: crate::id::IdError| Error::invalid("session_id", e.to_string()))?;
        if self.store.read().await?.session_by_id(&id).await?.is_none() {
            return Err(Error::NotFound("session", id.as_str().to_owned()));
        }
        Ok(self.end_sessions(&[id], RevokedCause::Administrator, admin.actor.clone()).await? == 1)
    }
}
