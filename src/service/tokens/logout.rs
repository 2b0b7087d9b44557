//! Logout.

use super::Tokens;
use crate::{
    domain::{audit::Actor, client::Client, session::RevokedCause},
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
pub(super) struct OwnSession {
    pub(super) id: SessionId,
    /// Whether its row said that it had ended. No token of it is valid then: none outlives the session.
    pub(super) has_ended: bool,
}

impl Tokens {
    /// Ends the session of the refresh token or, without one, of the caller's bearer token. Returns when its access
    /// tokens will have expired for verifiers that do not follow revocations.
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
        self.end_own(session, Actor { address: ctx.peer.clone(), ..Actor::named(&actor) }).await?;
        let snapshot = self.live.snapshot();
        Ok(self.live.now().plus(snapshot.settings.waiting_ceiling(ctx.now)))
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
        Ok((OwnSession { id, has_ended: false }, client))
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
        let own = session.filter(|s| s.client == client.id && s.secret.matches(&parsed.secret.hash()));
        let now = self.live.now();
        Ok(own.map(|s| OwnSession { has_ended: s.revoked.is_some() || now >= s.expires_at(), id: s.id }))
    }

    /// Ends a session on its owner's request. One that has ended already costs no write: only this process must know.
    pub(super) async fn end_own(&self, session: OwnSession, actor: Actor) -> Result<()> {
        if !session.has_ended {
            self.end_sessions(&[session.id], RevokedCause::Logout, actor).await?;
        } else if !self.live.snapshot().revoked_sessions.contains_key(session.id.as_str()) {
            self.live.confirm().await?;
        }
        Ok(())
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
