//! Who calls: a client that proves itself, a public client that only names itself, or a bearer token.

use std::sync::Arc;

use chancery_verify::{Claims, Policy};

use super::{RequestContext, Service};
use crate::{
    domain::client::Client,
    error::{Error, Reason, Result},
    secret::{ClientSecret, ClientSecretHash},
    time::Timestamp,
};

/// What a caller sent to say who it is, besides its message.
#[derive(Debug)]
pub enum ClientCredentials {
    /// Nothing.
    None,
    /// `authorization: Basic` (RFC 6749 §2.3.1).
    Basic {
        /// The client.
        client_id: String,
        /// Its secret.
        secret: ClientSecret,
    },
    /// `authorization: Bearer` (RFC 6750 §2.1).
    Bearer(String),
}

/// A caller whose bearer token was good here.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What the token says.
    pub claims: Arc<Claims>,
}

/// What admitted a caller to something that needs a permission.
#[derive(Clone, Debug)]
pub enum Permit {
    /// An access token for this server.
    Token(Arc<Claims>),
    /// A client that proved itself with this secret.
    Client {
        /// Its id.
        id: String,
        /// The secret's hash.
        secret: ClientSecretHash,
    },
}

const REFUSED: Error = Error::Unauthenticated(Reason::ClientAuthenticationFailed);

impl Service {
    /// The client of a call whose message names `claimed`. A confidential client must prove itself; a
    /// public one cannot, and is believed.
    ///
    /// # Errors
    /// [`Reason::ClientAuthenticationFailed`], or a violation of `client_id`.
    pub async fn client_of(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        claimed: &str,
    ) -> Result<Arc<Client>> {
        let client = self.client_of_unnoted(credentials, claimed).await?;
        ctx.caller.set(client.id.as_str());
        Ok(client)
    }

    async fn client_of_unnoted(&self, credentials: &ClientCredentials, claimed: &str) -> Result<Arc<Client>> {
        match credentials {
            ClientCredentials::Basic { client_id, secret } => {
                if !claimed.is_empty() && claimed != client_id {
                    return Err(Error::invalid("client_id", "must be empty or equal to the authenticated client"));
                }
                self.authenticated_client(client_id, secret).await
            }
            _ if claimed.is_empty() => Err(Error::invalid("client_id", "must not be empty")),
            _ => {
                let client = self.known_client(claimed).await?;
                // A confidential client that sends no secret has not proved who it is.
                client.filter(|c| c.secret.is_none() && c.disabled_at.is_none()).ok_or(REFUSED)
            }
        }
    }

    /// A client that proves itself; public clients cannot.
    ///
    /// # Errors
    /// [`Reason::ClientAuthenticationFailed`].
    pub async fn confidential_client(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
    ) -> Result<Arc<Client>> {
        let ClientCredentials::Basic { client_id, secret } = credentials else { return Err(REFUSED) };
        let client = self.authenticated_client(client_id, secret).await?;
        ctx.caller.set(client.id.as_str());
        Ok(client)
    }

    async fn authenticated_client(&self, id: &str, secret: &ClientSecret) -> Result<Arc<Client>> {
        let client = self.known_client(id).await?.ok_or(REFUSED)?;
        let proved = client.accepts(&secret.hash(), self.now());
        if proved && client.disabled_at.is_none() { Ok(client) } else { Err(REFUSED) }
    }

    /// A client from memory; one that is not there is looked for once more after a confirmation.
    async fn known_client(&self, id: &str) -> Result<Option<Arc<Client>>> {
        if let Some(client) = self.live.snapshot().clients.get(id) {
            return Ok(Some(client.clone()));
        }
        self.live.confirm().await?;
        Ok(self.live.snapshot().clients.get(id).cloned())
    }

    /// The caller with this bearer token, which must be for this server itself.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`].
    pub async fn bearer(&self, ctx: &RequestContext, token: &str) -> Result<Caller> {
        let policy = Policy::new(self.issuer(), self.issuer());
        let claims = self.live_claims(token, &policy, ctx.now).await?;
        let claims = claims.ok_or(Error::Unauthenticated(Reason::TokenInvalid))?;
        ctx.caller.set(&claims.subject);
        Ok(Caller { claims })
    }

    /// What an access token says, if it is good by the policy and counts now: session, client and key.
    /// Everything is in memory; a key that is not known is looked for once more.
    pub(super) async fn live_claims(
        &self,
        token: &str,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Option<Arc<Claims>>> {
        let check = || self.checked.check(token, &self.live.snapshot().ring.verifying, policy, now.millis());
        let checked = match check() {
            Err(chancery_verify::VerifyError::UnknownKey { .. }) => {
                self.live.confirm().await?;
                check()
            }
            other => other,
        };
        let claims = match checked {
            Ok(claims) => claims,
            Err(error) => {
                tracing::debug!(%error, "token refused");
                return Ok(None);
            }
        };
        let snapshot = self.live.for_signing()?;
        let ended = claims.session_id.as_ref().is_some_and(|sid| snapshot.revoked_sessions.contains_key(sid));
        let client = snapshot.clients.get(&claims.client_id);
        let gone = client.is_none_or(|c| c.disabled_at.is_some());
        Ok((!ended && !gone).then_some(claims))
    }

    /// Admits a caller that has a permission at this server: a token that carries it, or a confidential
    /// client that has it.
    ///
    /// # Errors
    /// [`Error::Lacks`], or the caller did not prove who it is.
    pub async fn permitted(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        permission: &'static str,
    ) -> Result<Permit> {
        let permit = match credentials {
            ClientCredentials::Bearer(token) => Permit::Token(self.bearer(ctx, token).await?.claims),
            ClientCredentials::Basic { secret, .. } => {
                let client = self.confidential_client(ctx, credentials).await?;
                Permit::Client { id: client.id.as_str().to_owned(), secret: secret.hash() }
            }
            ClientCredentials::None => return Err(Error::Unauthenticated(Reason::TokenInvalid)),
        };
        self.still_permitted(&permit, permission)?;
        Ok(permit)
    }

    /// Whether what admitted a caller still holds; asked again and again while a stream is open.
    ///
    /// # Errors
    /// What the caller has lost.
    pub fn still_permitted(&self, permit: &Permit, permission: &'static str) -> Result<()> {
        let snapshot = self.live.snapshot();
        let client = |id: &str| snapshot.clients.get(id).filter(|c| c.disabled_at.is_none());
        match permit {
            Permit::Token(claims) => {
                let session = claims.session_id.as_ref();
                let ended = session.is_some_and(|sid| snapshot.revoked_sessions.contains_key(sid))
                    || snapshot.revoked_keys.contains_key(&claims.key_id)
                    || self.now().millis() >= claims.expires_at_ms;
                if ended || client(&claims.client_id).is_none() {
                    return Err(Error::Unauthenticated(Reason::TokenInvalid));
                }
                let has = claims.entitlements.iter().any(|e| e == permission);
                if has { Ok(()) } else { Err(Error::Lacks(permission)) }
            }
            Permit::Client { id, secret } => {
                let client = client(id).ok_or(REFUSED)?;
                if !client.accepts(secret, self.now()) {
                    return Err(REFUSED);
                }
                if snapshot.client_has(client, permission) { Ok(()) } else { Err(Error::Lacks(permission)) }
            }
        }
    }
}
