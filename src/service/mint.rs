//! Access tokens, from a session or for a client, and the pair with its refresh token.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Map;

use super::{Service, Snapshot};
use crate::{
    domain::{
        client::{Client, Grant},
        scope::{Audience, MAX_SCOPES, Scope},
        session::TokenBasis,
    },
    error::{Error, Result},
    keys::{AccessClaims, SigningKey, Status, StatusReference, Unsigned, mint_refresh_token},
    secret::{AccessToken, DeviceToken, RefreshToken, SessionSecret},
    time::Timestamp,
};

/// A signed access token and what it says.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: AccessToken,
    /// When it ends.
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
    /// The refresh token, unless the client may not refresh.
    pub refresh: Option<RefreshToken>,
    /// When the refresh token ends if it is not used.
    pub refresh_expires_at: Timestamp,
    /// The session.
    pub session_id: String,
    /// Of a sign-in: what the device is recognised by from now on.
    pub device: Option<DeviceToken>,
}

fn join(scopes: &[Scope]) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

fn texts(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().map(|s| s.as_str().to_owned()).collect()
}

impl Service {
    /// The pair for a session. The refresh token is computed, so the same arguments give it again.
    pub(super) async fn pair(
        &self,
        snapshot: &Snapshot,
        client: &Client,
        session: &TokenBasis,
        secret: &SessionSecret,
        asked: Asked<'_>,
    ) -> Result<TokenPair> {
        let scopes = if asked.scopes.is_empty() { &session.scopes } else { asked.scopes };
        let subject = Subject::Session(session);
        let access = self.access_token(snapshot, client, subject, Asked { scopes, ..asked }).await?;
        let refresh = client
            .may(Grant::RefreshToken)
            .then(|| mint_refresh_token(&self.sealing, &session.id, session.generation, secret));
        let session_id = session.id.as_str().to_owned();
        Ok(TokenPair { access, refresh, refresh_expires_at: session.expires_at, session_id, device: None })
    }

    /// One signed access token.
    pub(super) async fn access_token(
        &self,
        snapshot: &Snapshot,
        client: &Client,
        subject: Subject<'_>,
        asked: Asked<'_>,
    ) -> Result<IssuedToken> {
        let key = snapshot
            .ring
            .signing(client.config.algorithm)
            .ok_or_else(|| Error::Unavailable(format!("no {} key signs yet", client.config.algorithm).into()))?;
        let (unsigned, expires_at) = self.unsigned(&key, snapshot, client, subject, asked)?;
        let token = self.signed(key, unsigned).await?;
        Ok(IssuedToken { token, expires_at, scopes: texts(asked.scopes), audience: asked.audience.as_str().to_owned() })
    }

    /// Signs: at once if that is quick, else on another thread, as many at a time as there are cores, so
    /// that a burst of RSA signatures holds up nobody else.
    async fn signed(&self, key: Arc<SigningKey>, unsigned: Unsigned) -> Result<AccessToken> {
        if !key.is_slow() {
            return key.finish(unsigned);
        }
        let failed = |e: &dyn std::fmt::Display| Error::Internal(format!("a signature was not made: {e}").into());
        let permit = self.slow_signers.clone().acquire_owned().await.map_err(|e| failed(&e))?;
        let work = tokio::task::spawn_blocking(move || {
            let token = key.finish(unsigned);
            drop(permit);
            token
        });
        work.await.map_err(|e| failed(&e))?
    }

    /// Everything but the signature, and when the token ends.
    fn unsigned(
        &self,
        key: &SigningKey,
        snapshot: &Snapshot,
        client: &Client,
        subject: Subject<'_>,
        asked: Asked<'_>,
    ) -> Result<(Unsigned, Timestamp)> {
        let iat = asked.now.seconds();
        let lifetime = client.config.token_lifetime.min(snapshot.settings.issuing_ceiling(asked.now));
        let mut exp = iat + lifetime.seconds();
        if let Subject::Session(session) = subject {
            exp = exp.min(session.absolute_expires_at.seconds());
        }
        let jti = URL_SAFE_NO_PAD.encode(self.entropy.bytes16());
        let scope = join(asked.scopes);
        let place = match subject {
            Subject::Client => client.status,
            Subject::Session(session) => session.status,
        };
        let uri = place.map(|s| self.list_uri(s.list)).unwrap_or_default();
        let status = place.map(|s| Status { status_list: StatusReference { idx: s.index, uri: &uri } });
        let none = Map::new();
        let base = AccessClaims {
            iss: &self.issuer,
            sub: client.id.as_str(),
            aud: asked.audience.as_str(),
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
                let has = snapshot.entitled_client(client, asked.audience.as_str());
                key.prepare(&AccessClaims { entitlements: &has.permissions, roles: &has.roles, ..base })
            }
            Subject::Session(session) => {
                let has = snapshot.entitled(&session.roles, asked.audience.as_str());
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

/// What the token is to say, besides its subject.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) audience: &'a Audience,
    pub(super) scopes: &'a [Scope],
    pub(super) now: Timestamp,
}

/// Whom the token is about.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Client,
    Session(&'a TokenBasis),
}

/// The scopes asked for, if the client may ask for each; empty asks for all.
pub(super) fn scopes_of(client: &Client, asked: &[String]) -> Result<Vec<Scope>> {
    if asked.is_empty() {
        return Ok(client.config.scopes.clone());
    }
    if asked.len() > MAX_SCOPES {
        return Err(Error::invalid("scopes", format!("must be at most {MAX_SCOPES}")));
    }
    let granted = |text: &String| client.config.scopes.iter().find(|s| s.as_str() == text).cloned();
    let found: Option<Vec<Scope>> = asked.iter().map(granted).collect();
    found.ok_or_else(|| Error::invalid("scopes", "must contain only scopes that the client may ask for"))
}

/// The audience asked for, if the client may ask for it; empty asks for the default.
pub(super) fn audience_of<'a>(client: &'a Client, asked: &str) -> Result<&'a Audience> {
    let problem = if asked.is_empty() {
        "must not be empty: the client has no default audience"
    } else {
        "must be an audience that the client may ask for"
    };
    client.audience(asked).ok_or_else(|| Error::invalid("audience", problem))
}
