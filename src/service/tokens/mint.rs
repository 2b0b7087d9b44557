//! Issues access tokens for sessions and clients, and the refresh token that goes with a session.

use std::{borrow::Cow, fmt, num::NonZero, sync::Arc, thread::available_parallelism};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Map;
use tokio::sync::Semaphore;

use super::{
    sizes::{SizeCounts, SizeFigures},
    status_lists::list_uri,
};
use crate::{
    domain::{
        client::{Client, Grant},
        guest_conflict::GuestConflict,
        keys::Algorithm,
        scope::{Audience, MAX_SCOPES, Scope, without_repeats},
        session::TokenBasis,
        token::MAX_TOKEN,
    },
    entropy::Entropy,
    error::{Error, OversizedToken, Result},
    keys::{AccessClaims, SealingKeys, SigningKey, Status, StatusReference, Unsigned, mint_refresh_token},
    secret::{AccessToken, DeviceToken, RefreshToken, SessionSecret},
    service::runtime::{Live, Snapshot},
    time::Timestamp,
};

/// A signed access token and its contents.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: AccessToken,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its audience.
    pub audience: String,
}

/// An access token with the refresh token of its session.
#[derive(Debug)]
pub struct TokenPair {
    /// The access token.
    pub access: IssuedToken,
    /// The refresh token, if the client may refresh.
    pub refresh: Option<RefreshToken>,
    /// When the refresh token expires if it is not used.
    pub refresh_expires_at: Timestamp,
    /// The session.
    pub session_id: String,
    /// After a sign-in: the token that identifies the device from now on.
    pub device: Option<DeviceToken>,
    /// After the sign-in of a guest: where both the guest and the account had data.
    pub conflicts: Vec<GuestConflict>,
}

fn join_scopes(scopes: &[Scope]) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

fn scope_names(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().map(|s| s.as_str().to_owned()).collect()
}

/// Issues tokens. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct Minter {
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    entropy: Arc<dyn Entropy>,
    slow_signers: Arc<Semaphore>,
    sizes: Arc<SizeCounts>,
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minter")
    }
}

impl Minter {
    pub(in crate::service) fn new(live: Arc<Live>, sealing: Arc<SealingKeys>, entropy: Arc<dyn Entropy>) -> Self {
        let slow_signers = Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get)));
        Self { live, sealing, entropy, slow_signers, sizes: Arc::default() }
    }

    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Issues the token pair for a session. The refresh token is derived: the same arguments give the same token.
    pub(in crate::service) async fn pair(
        &self,
        snapshot: &Snapshot,
        client: &Client,
        session: &TokenBasis,
        secret: &SessionSecret,
        params: TokenParams<'_>,
    ) -> Result<TokenPair> {
        // The session was written in between: the client may have lost scopes.
        let client = snapshot.clients.get(client.id.as_str()).map_or(client, |current| &**current);
        let scopes = if params.scopes.is_empty() { &session.scopes } else { params.scopes };
        let scopes = &*still_allowed(client, scopes);
        let subject = Subject::Session(session);
        let access = self.access_token(snapshot, client, subject, TokenParams { scopes, ..params }).await?;
        let refresh = client
            .may(Grant::RefreshToken)
            .then(|| mint_refresh_token(&self.sealing, &session.id, session.generation, secret));
        let session_id = session.id.as_str().to_owned();
        Ok(TokenPair {
            access,
            refresh,
            refresh_expires_at: session.expires_at,
            session_id,
            device: None,
            conflicts: Vec::new(),
        })
    }

    /// Issues one access token.
    pub(in crate::service) async fn access_token(
        &self,
        snapshot: &Snapshot,
        client: &Client,
        subject: Subject<'_>,
        params: TokenParams<'_>,
    ) -> Result<IssuedToken> {
        let key = snapshot
            .ring
            .signing(client.config.algorithm)
            .ok_or_else(|| Error::Unavailable(format!("no {} key signs yet", client.config.algorithm).into()))?;
        let (unsigned, expires_at) = self.prepare(&key, snapshot, client, subject, params)?;
        if let Err(too_large) = within_limit(key.size(&unsigned), client, params.audience) {
            self.sizes.refused();
            return Err(too_large);
        }
        let token = self.sign(key, unsigned).await?;
        self.sizes.issued(client.config.algorithm, token.expose().len());
        Ok(IssuedToken {
            token,
            expires_at,
            scopes: scope_names(params.scopes),
            audience: params.audience.as_str().to_owned(),
        })
    }

    /// Fails if this token would be too large. Without a key for its algorithm, nothing is known about its size.
    ///
    /// # Errors
    /// [`Error::TokenTooLarge`].
    pub(in crate::service) fn check_size(
        &self,
        snapshot: &Snapshot,
        client: &Client,
        subject: Subject<'_>,
        params: TokenParams<'_>,
    ) -> Result<()> {
        let Some(key) = snapshot.ring.signing(client.config.algorithm) else { return Ok(()) };
        let (unsigned, _) = self.prepare(&key, snapshot, client, subject, params)?;
        within_limit(key.size(&unsigned), client, params.audience)
    }

    /// The sizes of the tokens issued by each algorithm, and how many tokens were refused for their size.
    pub(super) fn sizes(&self) -> ([(Algorithm, SizeFigures); 3], u64) {
        self.sizes.figures()
    }

    /// Signs a token: inline for fast algorithms, otherwise on a blocking thread, at most one per core, so that a
    /// burst of RSA signatures does not delay other calls.
    async fn sign(&self, key: Arc<SigningKey>, unsigned: Unsigned) -> Result<AccessToken> {
        if !key.is_slow() {
            return key.finish(unsigned);
        }
        let failed = |e: &dyn fmt::Display| Error::Internal(format!("a signature was not made: {e}").into());
        let permit = self.slow_signers.clone().acquire_owned().await.map_err(|e| failed(&e))?;
        let work = tokio::task::spawn_blocking(move || {
            let token = key.finish(unsigned);
            drop(permit);
            token
        });
        work.await.map_err(|e| failed(&e))?
    }

    /// The unsigned token and its expiry.
    fn prepare(
        &self,
        key: &SigningKey,
        snapshot: &Snapshot,
        client: &Client,
        subject: Subject<'_>,
        params: TokenParams<'_>,
    ) -> Result<(Unsigned, Timestamp)> {
        let iat = params.now.seconds();
        let lifetime = client.config.token_lifetime.min(snapshot.settings.issuing_ceiling(params.now));
        let mut exp = iat + lifetime.seconds();
        if let Subject::Session(session) = subject {
            // The lifetime may have been raised after the session was opened.
            exp = exp.min(session.expires_at.seconds());
        }
        let jti = URL_SAFE_NO_PAD.encode(self.entropy.bytes16());
        let scope = join_scopes(params.scopes);
        let status_index = match subject {
            Subject::Client => client.status,
            Subject::Session(session) => session.status,
        };
        let uri = status_index.map(|s| list_uri(self.live.issuer(), s.list)).unwrap_or_default();
        let status = status_index.map(|s| Status { status_list: StatusReference { idx: s.index, uri: &uri } });
        let none = Map::new();
        let base = AccessClaims {
            iss: self.live.issuer(),
            sub: client.id.as_str(),
            aud: params.audience.as_str(),
            client_id: client.id.as_str(),
            iat,
            exp,
            jti: &jti,
            sid: None,
            scope: &scope,
            entitlements: &[],
            roles: &[],
            auth_time: None,
            amr: &[],
            acr: None,
            status,
            extra: &none,
        };
        let unsigned = match subject {
            Subject::Client => {
                let has = snapshot.client_entitlements(client, params.audience.as_str());
                key.prepare(&AccessClaims { entitlements: &has.permissions, roles: &has.roles, ..base })
            }
            Subject::Session(session) => {
                let has = snapshot.session_entitlements(&session.roles, &session.acr, params.audience.as_str());
                key.prepare(&AccessClaims {
                    sub: &session.subject,
                    sid: Some(session.id.as_str()),
                    entitlements: &has.permissions,
                    roles: &has.roles,
                    auth_time: Some(session.auth_time.seconds()),
                    amr: &session.amr,
                    acr: Some(&session.acr),
                    extra: &session.claims,
                    ..base
                })
            }
        }?;
        Ok((unsigned, Timestamp::from_millis(exp * 1000)))
    }
}

/// What the token contains, besides its subject.
#[derive(Clone, Copy)]
pub(in crate::service) struct TokenParams<'a> {
    pub(in crate::service) audience: &'a Audience,
    pub(in crate::service) scopes: &'a [Scope],
    pub(in crate::service) now: Timestamp,
}

/// The subject of the token.
#[derive(Clone, Copy)]
pub(in crate::service) enum Subject<'a> {
    Client,
    Session(&'a TokenBasis),
}

fn within_limit(bytes: usize, client: &Client, audience: &Audience) -> Result<()> {
    if bytes <= MAX_TOKEN {
        return Ok(());
    }
    let (client, audience) = (client.id.as_str().to_owned(), audience.as_str().to_owned());
    let token = Box::new(OversizedToken { client, audience, bytes, limit: MAX_TOKEN });
    Err(Error::TokenTooLarge { field: "", token })
}

/// The session's scopes that its client may still request.
pub(in crate::service) fn still_allowed<'a>(client: &Client, scopes: &'a [Scope]) -> Cow<'a, [Scope]> {
    let allowed = |scope: &&Scope| client.config.scopes.contains(scope);
    if scopes.iter().all(|scope| allowed(&scope)) {
        return Cow::Borrowed(scopes);
    }
    Cow::Owned(scopes.iter().filter(allowed).cloned().collect())
}

/// The requested scopes, if the client may request all of them; empty means every scope of the client.
pub(in crate::service) fn scopes_of(client: &Client, asked: &[String]) -> Result<Vec<Scope>> {
    if asked.is_empty() {
        // An older release stored what was repeated.
        return Ok(without_repeats(client.config.scopes.clone()));
    }
    if asked.len() > MAX_SCOPES {
        return Err(Error::invalid("scopes", format!("must be at most {MAX_SCOPES}")));
    }
    let granted = |text: &String| client.config.scopes.iter().find(|s| s.as_str() == text).cloned();
    let found: Option<Vec<Scope>> = asked.iter().map(granted).collect();
    found
        .map(without_repeats)
        .ok_or_else(|| Error::invalid("scopes", "must contain only scopes that the client may ask for"))
}

/// The requested audience, if the client may request it; empty means the default.
pub(in crate::service) fn audience_of<'a>(client: &'a Client, asked: &str) -> Result<&'a Audience> {
    let problem = if asked.is_empty() {
        "must not be empty: the client has no default audience"
    } else {
        "must be an audience that the client may ask for"
    };
    client.audience(asked).ok_or_else(|| Error::invalid("audience", problem))
}
