//! Lists and ends sessions.

use super::{LockedUser, Users};
use crate::{
    domain::session::{RevokedCause, Session},
    error::{Error, Result},
    id::{IdError, SessionId},
    service::{access::Admin, tokens::SessionsEnded},
    store::{By, Revoke, SessionFilter},
};

/// Maximum session ids in one call.
const MAX_SESSION_IDS: usize = 100;

impl Users {
    /// The sessions of a user that may still be refreshed, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn sessions(&self, _: &Admin, user: &str) -> Result<Vec<Session>> {
        let user = self.find(user).await?.user;
        let now = self.live.now();
        self.store.read().await?.sessions_of_user(&user.id, SessionFilter::Live(now)).await
    }

    /// At most `limit` live sessions of a client's guests after `after`, by id: the oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn guests(
        &self,
        _: &Admin,
        client: &str,
        (after, limit): (Option<&SessionId>, i64),
    ) -> Result<Vec<Session>> {
        let client = self.live.client(client)?;
        let now = self.live.now();
        self.store.read().await?.guests_live(&client.id, after, (now, limit)).await
    }

    /// Ends a session; returns whether it was live, and when its last access token expires.
    ///
    /// # Errors
    /// [`Error::NotFound`], or a violation of `session_id`.
    pub async fn end_session(&self, admin: &Admin, id: &str) -> Result<SessionsEnded> {
        let id: SessionId = id.parse().map_err(|e: IdError| Error::invalid("session_id", e.to_string()))?;
        let row = self.store.read().await?.session_by_id(&id).await?;
        let Some(row) = row else { return Err(Error::NotFound("session", id.as_str().to_owned())) };
        let expired = self.live.now() >= row.expires_at();
        let ids = std::slice::from_ref(&id);
        let revoked = self.tokens.end_sessions(ids, RevokedCause::Administrator, admin.actor.clone()).await?;
        let sessions = if expired { 0 } else { revoked };
        Ok(SessionsEnded { sessions, token_end: Some(self.tokens.token_end(&id).await) })
    }

    /// Ends these sessions of a user, or all if none are given; returns how many were live, and when their last access
    /// token expires.
    ///
    /// # Errors
    /// [`Error::NotFound`]; a violation of `session_ids`.
    pub async fn end_sessions(&self, admin: &Admin, name: &str, ids: &[String]) -> Result<SessionsEnded> {
        let ids = session_ids(ids)?;
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, None).await?;
        let ended = if ids.is_empty() {
            self.end_all_sessions(&mut tx, admin, &found.user.id, RevokedCause::Administrator, now).await?
        } else {
            let live = tx.live_session_ids(&found.user.id, now).await?;
            let own: Vec<_> = live.into_iter().filter(|id| ids.contains(id)).collect();
            let settings = self.live.snapshot().settings.clone();
            let cause = RevokedCause::Administrator;
            let ended =
                tx.revoke(Revoke::Sessions(&own), &By { actor: &admin.actor, cause, settings: &settings, now }).await?;
            SessionsEnded::of(&mut tx, &found.user.id, ended, (&self.live, now)).await?
        };
        // Where nothing ends, the user has not changed either.
        if ended.sessions > 0 {
            self.live.commit(tx).await?;
        }
        Ok(ended)
    }
}

fn session_ids(texts: &[String]) -> Result<Vec<SessionId>> {
    if texts.len() > MAX_SESSION_IDS {
        return Err(Error::invalid("session_ids", format!("must be at most {MAX_SESSION_IDS}")));
    }
    let parsed: Result<Vec<SessionId>, _> = texts.iter().map(|t| t.parse()).collect();
    parsed.map_err(|e| Error::invalid("session_ids", e.to_string()))
}
