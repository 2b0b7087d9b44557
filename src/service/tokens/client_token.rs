//! The client credentials grant (RFC 6749 §4.4).

use super::{
    IssuedToken, Tokens,
    mint::{Subject, TokenParams, audience_of, scopes_of},
};
use crate::{
    domain::client::Grant,
    error::{Error, Reason, Result},
    service::access::{CallingClient, RequestContext},
};

/// A client's token request.
#[derive(Debug)]
pub struct ClientTokenRequest {
    /// Requested scopes; empty means all.
    pub scopes: Vec<String>,
    /// Requested audience; empty means the default.
    pub audience: String,
}

impl Tokens {
    /// Issues an access token to a client, without database access.
    ///
    /// # Errors
    /// [`Reason::ClientNotAllowed`], or a field violation.
    pub async fn issue_to_client(
        &self,
        ctx: &RequestContext,
        caller: &CallingClient,
        request: &ClientTokenRequest,
    ) -> Result<IssuedToken> {
        let client = caller.client();
        if !client.may(Grant::ClientCredentials) {
            let text = "the client lacks the grant client_credentials";
            return Err(Error::Denied(Reason::ClientNotAllowed, text.to_owned()));
        }
        let audience = audience_of(client, &request.audience)?;
        let scopes = scopes_of(client, &request.scopes)?;
        let snapshot = self.live.for_signing()?;
        let params = TokenParams { audience, scopes: &scopes, now: ctx.now };
        self.minter.access_token(&snapshot, client, Subject::Client, params).await
    }
}
