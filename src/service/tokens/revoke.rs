//! Token revocation (RFC 7009): ends the token's session.

use chancery_verify::Policy;

use super::{Tokens, introspect::check_token, logout::OwnSession};
use crate::{
    domain::{audit::Actor, client::Client, scope::Audience},
    error::{Error, Result},
    id::SessionId,
    secret::RefreshToken,
    service::access::{ClientCredentials, RequestContext},
    time::Timestamp,
};

impl Tokens {
    /// Ends the session of one of the caller's own tokens; returns when its last access token expires. An invalid token
    /// is not an error.
    ///
    /// # Errors
    /// The caller is not authenticated; a field violation; the token has no session.
    pub async fn revoke(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        client_id: &str,
        token: &str,
    ) -> Result<Option<Timestamp>> {
        let client = self.callers.client_of(ctx, credentials, client_id).await?;
        check_token(token)?;
        let session = match self.own_session(&client, &RefreshToken::new(token.to_owned())).await? {
            Some(session) => session,
            None => match self.session_of_access_token(ctx, &client, token).await? {
                Some(id) => OwnSession::Live(id),
                None => return Ok(None),
            },
        };
        ctx.check_deadline()?;
        let actor = Actor { address: ctx.peer.clone(), ..Actor::named(client.id.as_str()) };
        self.end_own(session, actor).await.map(Some)
    }

    /// The session of an access token that was issued to this client.
    async fn session_of_access_token(
        &self,
        ctx: &RequestContext,
        client: &Client,
        token: &str,
    ) -> Result<Option<SessionId>> {
        let mut audiences = client.config.audiences.iter().map(Audience::as_str);
        let Some(first) = audiences.next() else { return Ok(None) };
        let policy = audiences.fold(Policy::new(self.live.issuer(), first).allow_guests(true), Policy::audience);
        let claims = self.callers.valid_claims(token, &policy, ctx.now).await?;
        let Some(claims) = claims.filter(|c| c.client_id == client.id.as_str()) else { return Ok(None) };
        let Some(session) = &claims.session_id else {
            let text = "a token without a session cannot be revoked; it is valid until it expires";
            return Err(Error::Precondition(text.to_owned()));
        };
        Ok(session.parse().ok())
    }
}
