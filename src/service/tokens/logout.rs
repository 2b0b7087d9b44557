//! Logout.

use super::Tokens;
use crate::{
    domain::{
        audit::Actor,
        client::Client,
        session::{RevokedCause, Session, SessionKind},
    },
    error::{Error, Reason, Result},
    id::SessionId,
    keys::parse_refresh_token,
    secret::RefreshToken,
    service::{
        access::{ClientCredentials, RequestContext},
        runtime::Revocation,
    },
    time::Timestamp,
};

/// A session that a caller may end.
#[derive(Debug)]
pub(super) enum OwnSession {
    /// Its row said that it had ended. No token of it is valid then: none outlives the session.
    Ended(Box<Session>),
    /// It may be live.
    Live(SessionId),
    /// It may be live, and the presented token is newer than its row: the database lost the refresh that issued it.
    Ahead(SessionId),
}

impl Tokens {
    /// Ends the session of the refresh token or, without one, of the caller's bearer token. Returns when its last access
    /// token expires, for verifiers that do not follow revocations.
    ///
    /// # Errors
    /// [`Reason::RefreshTokenInvalid`] or [`Reason::TokenInvalid`]; never because the session had already ended.
    pub async fn log_out(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        client_id: &str,
        token: &RefreshToken,
    ) -> Result<Timestamp> {
        let (session, actor) = if token.expose().is_empty() {
            self.session_of_bearer(ctx, credentials, client_id).await?
        } else {
            self.session_of_token(ctx, credentials, client_id, token).await?
        };
        ctx.check_deadline()?;
        self.end_own(session, Actor { address: ctx.peer.clone(), ..Actor::named(&actor) }).await
    }

    async fn session_of_bearer(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        client_id: &str,
    ) -> Result<(OwnSession, String)> {
        let ClientCredentials::Bearer(token) = credentials else {
            // Authenticate first: unauthenticated callers learn nothing else.
            self.callers.client_of(ctx, credentials, client_id).await?;
            return Err(Error::invalid("refresh_token", "must not be empty without a bearer token"));
        };
        let (id, client) = self.callers.session_of_bearer(ctx, token).await?;
        Ok((OwnSession::Live(id), client))
    }

    /// The session of a refresh token of any generation, so that a client that lost a response can still log out.
    async fn session_of_token(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        client_id: &str,
        token: &RefreshToken,
    ) -> Result<(OwnSession, String)> {
        let client = self.callers.client_of(ctx, credentials, client_id).await?;
        let session = self.own_session(&client, token).await?;
        let session = session.ok_or(Error::Unauthenticated(Reason::RefreshTokenInvalid))?;
        Ok((session, client.id.as_str().to_owned()))
    }

    /// The session of a refresh token, if it belongs to this client.
    pub(super) async fn own_session(&self, client: &Client, token: &RefreshToken) -> Result<Option<OwnSession>> {
        let Some(parsed) = parse_refresh_token(&self.sealing, token) else { return Ok(None) };
        let session = self.store.read().await?.session_by_id(&parsed.session).await?;
        let own = session.filter(|s| {
            s.kind == SessionKind::Token && s.client == client.id && s.secret.matches(&parsed.secret.hash())
        });
        let now = self.live.now();
        Ok(own.map(|s| match s {
            s if s.revoked.is_some() || now >= s.expires_at() => OwnSession::Ended(Box::new(s)),
            s if parsed.generation > s.generation => OwnSession::Ahead(s.id),
            s => OwnSession::Live(s.id),
        }))
    }

    /// Ends a session on its owner's request; returns when its last access token expires. One that has ended already
    /// costs no write: only this process must know.
    pub(super) async fn end_own(&self, session: OwnSession, actor: Actor) -> Result<Timestamp> {
        let (id, ahead) = match session {
            OwnSession::Ended(session) => {
                if !self.live.snapshot().revoked_sessions.contains_key(session.id.as_str()) {
                    self.live.confirm().await?;
                }
                return Ok(self.live.snapshot().token_end(&session, self.live.now()));
            }
            OwnSession::Live(id) => (id, false),
            OwnSession::Ahead(id) => (id, true),
        };
        self.end_sessions(std::slice::from_ref(&id), RevokedCause::Logout, actor).await?;
        Ok(if ahead { self.longest_token_end() } else { self.token_end(&id).await })
    }

    /// Ends sessions and publishes that to every process before it returns.
    pub(in crate::service) async fn end_sessions(
        &self,
        ids: &[SessionId],
        cause: RevokedCause,
        actor: Actor,
    ) -> Result<usize> {
        self.writer.revoke(Revocation { sessions: ids.to_vec(), cause, actor }).await
    }
}
