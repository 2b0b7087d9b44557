//! Access tokens of clients themselves (RFC 6749 §4.4).

use super::{
    ClientCredentials, IssuedToken, RequestContext, Service,
    mint::{Asked, Subject, audience_of, scopes_of},
};
use crate::{
    domain::client::Grant,
    error::{Error, Reason, Result},
};

/// What a client asks for.
#[derive(Debug)]
pub struct ClientTokenRequest {
    /// Scopes; empty for all.
    pub scopes: Vec<String>,
    /// Audience; empty for the default.
    pub audience: String,
}

impl Service {
    /// Issues an access token to a client, from memory alone.
    ///
    /// # Errors
    /// [`Reason::ClientAuthenticationFailed`], [`Reason::ClientNotAllowed`], or a violation.
    pub async fn issue_client_token(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: &ClientTokenRequest,
    ) -> Result<IssuedToken> {
        let client = self.confidential_client(ctx, credentials).await?;
        if !client.may(Grant::ClientCredentials) {
            let text = "the client lacks the grant client_credentials";
            return Err(Error::Denied(Reason::ClientNotAllowed, text.to_owned()));
        }
        let audience = audience_of(&client, &request.audience)?;
        let scopes = scopes_of(&client, &request.scopes)?;
        let snapshot = self.live.for_signing()?;
        let asked = Asked { audience, scopes: &scopes, now: ctx.now };
        self.access_token(&snapshot, &client, Subject::Client, asked).await
    }
}
