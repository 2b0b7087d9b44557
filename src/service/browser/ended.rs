//! Sessions that have just ended: a form that ends its own session may be submitted again by a browser that has missed
//! the answer.

use super::Browser;
use crate::{
    domain::{
        session::{RESULT_TTL, RevokedCause, SessionKind},
        site::Site,
    },
    error::Result,
    id::SessionId,
    keys::session_cookie,
    time::Timestamp,
};

/// A session that has just ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSession {
    /// The session.
    pub id: SessionId,
    /// Why it has ended.
    pub cause: RevokedCause,
}

impl Browser {
    /// The session that a cookie stood for at this site, if it was ended a moment ago.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn just_ended(&self, cookie: &str, site: &Site, now: Timestamp) -> Result<Option<EndedSession>> {
        let Some((id, secret)) = session_cookie::parse(&self.runtime.sealing, cookie) else { return Ok(None) };
        let session = self.runtime.store.read().await?.session_by_id(&id).await?;
        let session = session.filter(|s| s.kind == SessionKind::Browser && s.secret.matches(&secret.hash()));
        let session = session.filter(|s| s.site.as_deref() == Some(site.origin()));
        let revoked = session.and_then(|s| s.revoked).filter(|(at, _)| now < at.plus(RESULT_TTL));
        Ok(revoked.map(|(_, cause)| EndedSession { id, cause }))
    }
}
