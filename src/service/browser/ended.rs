//! Sessions that have just ended: a form that ends its own session may be submitted again by a browser that has missed
//! the answer.

use super::Browser;
use crate::{
    domain::{
        session::{RESULT_TTL, RevokedCause, Session, SessionKind},
        site::Site,
    },
    error::Result,
    id::{SessionId, UserId},
    keys::session_cookie::{self, ReadCookie},
    time::Timestamp,
};

/// A session that has just ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSession {
    /// The session.
    pub id: SessionId,
    /// Whose it was; nobody's if it was a guest's.
    pub user: Option<UserId>,
    /// Why it has ended.
    pub cause: RevokedCause,
}

impl Browser {
    /// The session that a cookie stood for at this site, if it was ended a moment ago.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn just_ended(&self, cookie: &str, site: &Site, now: Timestamp) -> Result<Option<EndedSession>> {
        let ended = self.session_just_ended(cookie, site, now).await?;
        let of = |session: Session| {
            let Session { id, user, revoked, .. } = session;
            revoked.map(|(_, cause)| EndedSession { id, user, cause })
        };
        Ok(ended.and_then(of))
    }

    /// Whether another session has just taken the place of the one that a cookie stood for, or is about to. A request
    /// with such a cookie was sent before the browser got the new one: an answer that took the cookie away, or set one
    /// for somebody else, would sign the browser out.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn was_just_replaced(&self, cookie: &str, site: &Site, now: Timestamp) -> Result<bool> {
        let ended = self.session_just_ended(cookie, site, now).await?;
        Ok(ended.is_some_and(|session| {
            // A guest who becomes an account ends a moment before the account's session begins.
            let is_superseded = matches!(session.revoked, Some((_, RevokedCause::Superseded)));
            is_superseded || session.superseded_by.is_some()
        }))
    }

    async fn session_just_ended(&self, cookie: &str, site: &Site, now: Timestamp) -> Result<Option<Session>> {
        let Some(read) = session_cookie::parse(&self.runtime.sealing, cookie) else { return Ok(None) };
        let ReadCookie { session: id, secret, .. } = read;
        let session = self.runtime.store.read().await?.session_by_id(&id).await?;
        let session = session.filter(|s| s.kind == SessionKind::Browser && s.secret.matches(&secret.hash()));
        let session = session.filter(|s| s.site.as_deref() == Some(site.origin()));
        Ok(session.filter(|s| s.revoked.as_ref().is_some_and(|(at, _)| now < at.plus(RESULT_TTL))))
    }
}
