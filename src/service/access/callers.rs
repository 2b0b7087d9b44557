//! Authenticates callers (confidential clients, public clients that only name themselves, and bearer tokens) and
//! decides whether they may call a method.
//!
//! Permissions are current, not those in the token: a user's roles are read from the session row, a client's from
//! memory.

use std::{fmt, sync::Arc};

use chancery_verify::{Claims, Policy, TokenCache, VerifyError};

use super::{
    Access, Act, RequestContext, method,
    origins::{check_origin, not_allowed},
    permits::{
        Admin, CallingClient, DataCaller, DataCallerKind, HeldPermissions, Me, PermissionSource, Permit, TOKEN_REFUSED,
        TokenSource, check_fresh,
    },
};
use crate::{
    domain::{audit::Actor, client::Client, session::Session},
    error::{Error, Reason, Result},
    id::SessionId,
    secret::{ClientSecret, ClientSecretHash},
    service::runtime::{Live, Snapshot},
    store::Store,
    time::Timestamp,
};

/// The memory for tokens with a verified signature, in bytes: about 10 000 tokens.
const TOKEN_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The credentials sent with a call, outside its message.
#[derive(Debug)]
pub enum ClientCredentials {
    /// No credentials.
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

const CLIENT_REFUSED: Error = Error::Unauthenticated(Reason::ClientAuthenticationFailed);

/// What an access token is worth.
enum Checked {
    /// It is valid, and was issued to this client.
    Valid(Arc<Claims>, Arc<Client>),
    /// It is authentic and would be valid, but its session or client is not.
    Revoked,
    /// It is anything else.
    Refused,
}

/// Authenticates and authorizes callers. Cheap to clone.
#[derive(Clone)]
pub struct Callers {
    store: Store,
    live: Arc<Live>,
    token_cache: Arc<TokenCache>,
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callers")
    }
}

impl Callers {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>) -> Self {
        Self { store, live, token_cache: Arc::new(TokenCache::with_bytes(TOKEN_CACHE_BYTES)) }
    }

    /// Whether an enabled client has declared this origin. From memory.
    #[must_use]
    pub fn origin_known(&self, origin: &str) -> bool {
        self.snapshot().origins.contains(origin)
    }

    /// Whether pages of this origin may call a method at all, or be told that it is none. Methods for anyone may be called
    /// by every page.
    #[must_use]
    pub fn allows_preflight(&self, path: &str, origin: &str) -> bool {
        self.origin_known(origin) || method(path).is_some_and(|(_, access)| access == Access::Anyone)
    }

    /// Fails if a page makes the call and no client has declared its origin, unless anyone may call the method.
    ///
    /// # Errors
    /// [`Reason::OriginNotAllowed`].
    pub fn check_page(&self, ctx: &RequestContext, access: Access) -> Result<()> {
        match &ctx.origin {
            Some(origin) if access != Access::Anyone && !self.origin_known(origin) => Err(not_allowed()),
            _ => Ok(()),
        }
    }

    /// Authenticates a caller for a method that requires `access`.
    ///
    /// # Errors
    /// The caller is not authenticated; [`Error::Lacks`]; [`Reason::SignInTooOld`]; [`Reason::OriginNotAllowed`].
    pub async fn admit(&self, ctx: &RequestContext, credentials: &ClientCredentials, access: Access) -> Result<Permit> {
        self.check_page(ctx, access)?;
        Ok(match access {
            Access::Anyone | Access::Client | Access::ClientOrUser => Permit::Open,
            Access::ConfidentialClient => Permit::Client(self.calling_client(ctx, credentials).await?),
            Access::User => Permit::Me(self.me(ctx, credentials).await?),
            Access::SessionOrClient => Permit::Data(self.data_caller(ctx, credentials).await?),
            Access::Permission(permission, act) => {
                Permit::Admin(self.administrator(ctx, credentials, permission, act).await?)
            }
        })
    }

    /// The latest state.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.live.snapshot()
    }

    /// The client of a call whose message names `claimed`. A confidential client must authenticate; a public one
    /// cannot and is taken at its word.
    ///
    /// # Errors
    /// [`Reason::ClientAuthenticationFailed`], or a violation of `client_id`; [`Reason::OriginNotAllowed`].
    pub(in crate::service) async fn client_of(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        claimed: &str,
    ) -> Result<Arc<Client>> {
        let client = match credentials {
            ClientCredentials::Basic { client_id, secret } => {
                if !claimed.is_empty() && claimed != client_id {
                    return Err(Error::invalid("client_id", "must be empty or equal to the authenticated client"));
                }
                self.authenticated_client(client_id, secret).await?
            }
            _ if claimed.is_empty() => return Err(Error::invalid("client_id", "must not be empty")),
            _ => {
                let client = self.known_client(claimed).await?;
                // A confidential client that sends no secret is not authenticated.
                client.filter(|c| c.secret.is_none() && c.disabled_at.is_none()).ok_or(CLIENT_REFUSED)?
            }
        };
        identified(ctx, &client, client.id.as_str())?;
        Ok(client)
    }

    /// The client as it is now: it may have changed since it was authenticated.
    ///
    /// # Errors
    /// [`Reason::ClientAuthenticationFailed`] if it is disabled.
    pub(in crate::service) fn current_client(&self, client: &Client) -> Result<Arc<Client>> {
        let snapshot = self.live.snapshot();
        let current = snapshot.clients.get(client.id.as_str()).filter(|c| c.disabled_at.is_none());
        current.cloned().ok_or(CLIENT_REFUSED)
    }

    /// Authenticates a confidential client.
    async fn calling_client(&self, ctx: &RequestContext, credentials: &ClientCredentials) -> Result<CallingClient> {
        let ClientCredentials::Basic { client_id, secret } = credentials else { return Err(CLIENT_REFUSED) };
        let client = self.authenticated_client(client_id, secret).await?;
        identified(ctx, &client, client.id.as_str())?;
        Ok(CallingClient(client))
    }

    async fn authenticated_client(&self, id: &str, secret: &ClientSecret) -> Result<Arc<Client>> {
        let client = self.known_client(id).await?.ok_or(CLIENT_REFUSED)?;
        let secret_matches = client.accepts(&secret.hash(), self.live.now());
        if secret_matches && client.disabled_at.is_none() { Ok(client) } else { Err(CLIENT_REFUSED) }
    }

    /// Looks a client up in memory. An unknown one is looked up again after a confirmation.
    async fn known_client(&self, id: &str) -> Result<Option<Arc<Client>>> {
        if let Some(client) = self.live.snapshot().clients.get(id) {
            return Ok(Some(client.clone()));
        }
        self.live.confirm().await?;
        Ok(self.live.snapshot().clients.get(id).cloned())
    }

    /// The session of a user's bearer token for this server, and the client it was issued to.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`]; [`Reason::OriginNotAllowed`].
    pub(in crate::service) async fn session_of_bearer(
        &self,
        ctx: &RequestContext,
        token: &str,
    ) -> Result<(SessionId, String)> {
        let claims = self.bearer_claims(ctx, token).await?;
        Ok((session_id(&claims)?, claims.client_id.clone()))
    }

    /// The claims of a bearer token whose audience is this server.
    async fn bearer_claims(&self, ctx: &RequestContext, token: &str) -> Result<Arc<Claims>> {
        let policy = Policy::new(self.live.issuer(), self.live.issuer()).allow_guests(true);
        let (claims, client) = match self.checked(token, &policy, ctx.now).await? {
            Checked::Valid(claims, client) => (claims, client),
            Checked::Revoked => return Err(Error::TokenRevoked),
            Checked::Refused => return Err(TOKEN_REFUSED),
        };
        identified(ctx, &client, &claims.subject)?;
        Ok(claims)
    }

    /// The claims of an access token if it meets the policy and its session, client and key are live. All checks run
    /// from memory. An unknown key is looked up again after a confirmation.
    pub(in crate::service) async fn valid_claims(
        &self,
        token: &str,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Option<Arc<Claims>>> {
        Ok(match self.checked(token, policy, now).await? {
            Checked::Valid(claims, _) => Some(claims),
            Checked::Revoked | Checked::Refused => None,
        })
    }

    async fn checked(&self, token: &str, policy: &Policy, now: Timestamp) -> Result<Checked> {
        let check = || self.token_cache.check(token, &self.live.snapshot().ring.verifying, policy, now.millis());
        let checked = match check() {
            Err(VerifyError::UnknownKey { .. }) => {
                self.live.confirm().await?;
                check()
            }
            other => other,
        };
        let claims = match checked {
            Ok(claims) => claims,
            Err(error) => {
                tracing::debug!(%error, "token refused");
                return Ok(Checked::Refused);
            }
        };
        let snapshot = self.live.for_signing()?;
        let ended = claims.session_id.as_ref().is_some_and(|sid| snapshot.revoked_sessions.contains_key(sid));
        let client = snapshot.clients.get(&claims.client_id).filter(|c| !ended && c.disabled_at.is_none());
        Ok(client.map_or(Checked::Revoked, |client| Checked::Valid(claims, client.clone())))
    }

    /// Authenticates a user by bearer token.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`]; [`Reason::OriginNotAllowed`].
    pub(in crate::service) async fn me(&self, ctx: &RequestContext, credentials: &ClientCredentials) -> Result<Me> {
        let ClientCredentials::Bearer(token) = credentials else { return Err(TOKEN_REFUSED) };
        let claims = self.bearer_claims(ctx, token).await?;
        let session = self.session(&session_id(&claims)?, &claims.subject).await?;
        Me::new(session, &ctx.peer)
    }

    /// Authenticates a session, of a user or a guest, by bearer token, or a confidential client. A token is checked from
    /// memory: whoever uses the session finds it live in the same transaction.
    async fn data_caller(&self, ctx: &RequestContext, credentials: &ClientCredentials) -> Result<DataCaller> {
        Ok(match credentials {
            ClientCredentials::None => return Err(TOKEN_REFUSED),
            ClientCredentials::Basic { .. } => {
                let CallingClient(client) = self.calling_client(ctx, credentials).await?;
                DataCaller(DataCallerKind::Client(client))
            }
            ClientCredentials::Bearer(token) => {
                let claims = self.bearer_claims(ctx, token).await?;
                DataCaller::of_session(session_id(&claims)?, claims.is_guest())
            }
        })
    }

    /// The user of a session whose cookie was checked. The row is read again: what follows may change the account.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`] if the session has ended.
    pub async fn me_of_session(&self, ctx: &RequestContext, id: &SessionId, subject: &str) -> Result<Me> {
        let session = self.session(id, subject).await?;
        ctx.caller.set(subject);
        Me::new(session, &ctx.peer)
    }

    /// The session row, if the session has not been ended.
    async fn session(&self, id: &SessionId, subject: &str) -> Result<Session> {
        let session = self.store.read().await?.session_by_id(id).await?;
        let session = session.filter(|s| s.subject == subject).ok_or(TOKEN_REFUSED)?;
        if session.revoked.is_some() { Err(Error::TokenRevoked) } else { Ok(session) }
    }

    /// Authenticates a caller with a permission at this server. Users who change something must have signed in
    /// recently.
    async fn administrator(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        permission: &'static str,
        act: Act,
    ) -> Result<Admin> {
        match credentials {
            ClientCredentials::None => Err(TOKEN_REFUSED),
            ClientCredentials::Basic { secret, .. } => {
                let CallingClient(client) = self.calling_client(ctx, credentials).await?;
                let id = client.id.as_str().to_owned();
                let source = PermissionSource::Secret { client: id.clone(), secret: secret.hash() };
                self.admin(ctx, Actor::named(&id), source, permission)
            }
            ClientCredentials::Bearer(token) => {
                let claims = self.bearer_claims(ctx, token).await?;
                let source = TokenSource {
                    client: claims.client_id.clone(),
                    kid: claims.key_id.clone(),
                    expires_at: Timestamp::from_millis(claims.expires_at_ms),
                };
                if claims.session_id.is_none() {
                    let actor = Actor::named(&claims.subject);
                    return self.admin(ctx, actor, PermissionSource::ClientToken(source), permission);
                }
                let session = self.session(&session_id(&claims)?, &claims.subject).await?;
                let actor = Actor { client: Some(claims.client_id.clone()), ..Actor::named(&claims.subject) };
                let Session { id: session, user, roles, auth_time, acr, .. } = session;
                let roles = self.live.snapshot().roles_at_level(&roles, &acr);
                // A guest has no permissions.
                let user = user.ok_or(Error::Lacks(permission))?;
                let source = PermissionSource::User { token: source, user, session, roles };
                let admin = self.admin(ctx, actor, source, permission)?;
                if act == Act::Write {
                    check_fresh(auth_time, ctx.now)?;
                }
                Ok(admin)
            }
        }
    }

    fn admin(
        &self,
        ctx: &RequestContext,
        actor: Actor,
        source: PermissionSource,
        permission: &'static str,
    ) -> Result<Admin> {
        let snapshot = self.live.snapshot();
        let issuer = &*snapshot.issuer;
        let of_client = |id: &str| {
            let client = snapshot.clients.get(id);
            client.map(|c| snapshot.client_entitlements(c, issuer)).unwrap_or_default()
        };
        let held = match &source {
            // The command line creates its own permit.
            PermissionSource::Command => return Err(TOKEN_REFUSED),
            PermissionSource::User { roles, .. } => snapshot.entitlements(roles, issuer),
            PermissionSource::ClientToken(token) => of_client(&token.client),
            PermissionSource::Secret { client, .. } => of_client(client),
        };
        if !held.permissions.iter().any(|p| p == permission) {
            return Err(Error::Lacks(permission));
        }
        let actor = Actor { address: ctx.peer.clone(), ..actor };
        Ok(Admin {
            actor,
            holds: HeldPermissions::Only(held.permissions),
            source,
            origin: ctx.origin.clone(),
            declares: None,
        })
    }

    /// Checks, from memory, whether an administrator may still receive a stream.
    ///
    /// # Errors
    /// The administrator's token, secret, permission or page is no longer valid.
    pub(in crate::service) fn check_still_admitted(&self, admin: &Admin, permission: &'static str) -> Result<()> {
        let snapshot = self.live.snapshot();
        let (client, has) = match &admin.source {
            PermissionSource::Command => return Ok(()),
            PermissionSource::User { token, session, roles, .. } => {
                if snapshot.revoked_sessions.contains_key(session.as_str()) {
                    return Err(Error::TokenRevoked);
                }
                (self.check_token(&snapshot, token)?, snapshot.roles_have(roles, permission))
            }
            PermissionSource::ClientToken(token) => {
                let client = self.check_token(&snapshot, token)?;
                let has = snapshot.client_has(&client, permission);
                (client, has)
            }
            PermissionSource::Secret { client, secret } => {
                let client = self.check_secret(&snapshot, client, secret)?;
                let has = snapshot.client_has(&client, permission);
                (client, has)
            }
        };
        check_origin(admin.origin.as_deref(), &client)?;
        if has { Ok(()) } else { Err(Error::Lacks(permission)) }
    }

    fn check_token(&self, snapshot: &Snapshot, token: &TokenSource) -> Result<Arc<Client>> {
        if snapshot.revoked_keys.contains_key(&token.kid) || self.live.now() >= token.expires_at {
            return Err(TOKEN_REFUSED);
        }
        let client = snapshot.clients.get(&token.client).filter(|c| c.disabled_at.is_none());
        client.cloned().ok_or(Error::TokenRevoked)
    }

    fn check_secret(&self, snapshot: &Snapshot, client: &str, secret: &ClientSecretHash) -> Result<Arc<Client>> {
        let client = snapshot.clients.get(client).filter(|c| c.disabled_at.is_none());
        client.filter(|c| c.accepts(secret, self.live.now())).cloned().ok_or(CLIENT_REFUSED)
    }

    /// Reloads the roles of a user who is an administrator: they may have changed.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`] if the session has ended.
    pub(in crate::service) async fn reload_roles(&self, admin: &mut Admin) -> Result<()> {
        if let PermissionSource::User { session, roles, .. } = &mut admin.source {
            let session = self.session(session, &admin.actor.name).await?;
            *roles = self.live.snapshot().roles_at_level(&session.roles, &session.acr);
        }
        Ok(())
    }
}

/// The client of a call is known. Whichever way it was found, the page that makes the call must be one of its own, and
/// the call gets the caller's name for the log.
fn identified(ctx: &RequestContext, client: &Client, name: &str) -> Result<()> {
    // Who called is logged, whether or not the page may.
    ctx.caller.set(name);
    check_origin(ctx.origin.as_deref(), client)
}

fn session_id(claims: &Claims) -> Result<SessionId> {
    claims.session_id.as_deref().and_then(|sid| sid.parse().ok()).ok_or(TOKEN_REFUSED)
}
