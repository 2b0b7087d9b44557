//! Questions about tokens (RFC 7662), and revoking them (RFC 7009).

use std::sync::Arc;

use chancery_verify::{Claims, Policy};

use super::{ClientCredentials, RequestContext, Service};
use crate::{
    domain::{audit::Actor, session::RevokedCause},
    error::{Error, Result},
    secret::RefreshToken,
};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

impl Service {
    /// What an access token says, if it counts now and is for an audience that the caller serves. All
    /// from memory.
    ///
    /// # Errors
    /// The caller did not prove who it is; a wrong field; this process may have missed a revocation.
    pub async fn introspect(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        token: &str,
    ) -> Result<Option<Arc<Claims>>> {
        let caller = self.confidential_client(ctx, credentials).await?;
        check_token(token)?;
        let snapshot = self.live.for_signing()?;
        let Some(policy) = snapshot.serves.get(caller.id.as_str()) else { return Ok(None) };
        self.live_claims(token, policy, ctx.now).await
    }

    /// Ends the session of a token of the caller's own. A token that does not count is no error.
    ///
    /// # Errors
    /// The caller did not prove who it is; a wrong field; a token that has no session.
    pub async fn revoke_token(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        client_id: &str,
        token: &str,
    ) -> Result<()> {
        let client = self.client_of(ctx, credentials, client_id).await?;
        check_token(token)?;
        let session = match self.own_session(&client, &RefreshToken::new(token.to_owned())).await? {
            Some(session) => session,
            None => match self.session_of_access_token(ctx, &client, token).await? {
                Some(session) => session,
                None => return Ok(()),
            },
        };
        Self::in_time(ctx)?;
        self.end_sessions(
            &[session],
            RevokedCause::Logout,
            Actor { address: ctx.peer.clone(), ..Actor::named(client.id.as_str()) },
        )
        .await?;
        Ok(())
    }

    /// The session of an access token that was issued to this client.
    async fn session_of_access_token(
        &self,
        ctx: &RequestContext,
        client: &crate::domain::client::Client,
        token: &str,
    ) -> Result<Option<crate::id::SessionId>> {
        let mut audiences = client.config.audiences.iter().map(crate::domain::scope::Audience::as_str);
        let Some(first) = audiences.next() else { return Ok(None) };
        let policy = audiences.fold(Policy::new(self.issuer(), first), Policy::audience);
        let claims = self.live_claims(token, &policy, ctx.now).await?;
        let Some(claims) = claims.filter(|c| c.client_id == client.id.as_str()) else { return Ok(None) };
        let Some(session) = &claims.session_id else {
            let text = "a token without a session cannot be revoked; it is valid until it expires";
            return Err(Error::Precondition(text.to_owned()));
        };
        Ok(session.parse().ok())
    }
}

fn check_token(token: &str) -> Result<()> {
    match token.len() {
        0 => Err(Error::invalid("token", "must not be empty")),
        n if n > MAX_TOKEN => Err(Error::invalid("token", format!("must be at most {MAX_TOKEN} bytes"))),
        _ => Ok(()),
    }
}
