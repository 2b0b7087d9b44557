//! Registering and administering clients.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::Service;
use crate::{
    domain::{
        audit::AuditKind,
        client::{ClaimSource, Client, ClientConfig, ClientId, Grant, RESERVED_CLAIMS},
        feed::{Change, ChangeKind},
        keys::Algorithm,
        scope::{Audience, Permission, PermissionAt, Scope},
        session::RevokedCause,
    },
    error::{Error, Result, Violation},
    secret::ClientSecret,
    store::{By, Revoke, Tx},
    time::{Timestamp, Ttl},
};

/// A client to be registered, as an operator writes it.
#[derive(Debug, Default)]
pub struct NewClientRequest {
    /// Its id.
    pub id: String,
    /// Whether it has no secret.
    pub public: bool,
    /// Whether it belongs to the deployment's owner.
    pub first_party: bool,
    /// Its grants; empty for the usual ones.
    pub grants: Vec<String>,
    /// The audiences it may ask for; the first is its default.
    pub audiences: Vec<String>,
    /// The audiences it owns.
    pub serves: Vec<String>,
    /// The scopes it may ask for.
    pub scopes: Vec<String>,
    /// Its permissions: `P` of this server's own audience, `P@A` of another.
    pub permissions: Vec<String>,
    /// The algorithm of its tokens.
    pub algorithm: Option<String>,
    /// The lifetime of its access tokens, in seconds.
    pub token_lifetime: Option<i64>,
    /// Claims: `NAME=PATH`, or `NAME="TEXT"` for a fixed text.
    pub claims: Vec<String>,
    /// A secret to use instead of a generated one; only for the fixed client of `serve --dev`.
    pub secret: Option<ClientSecret>,
}

/// Collects what is wrong, so that all of it is told at once.
struct Checked {
    violations: Vec<Violation>,
}

impl Checked {
    fn wrong(&mut self, field: &'static str, description: impl Into<String>) {
        self.violations.push(Violation { field, description: description.into() });
    }

    fn parse<T: std::str::FromStr>(&mut self, field: &'static str, texts: &[String]) -> Vec<T>
    where
        T::Err: std::fmt::Display,
    {
        let mut out = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(value) => out.push(value),
                Err(problem) => self.wrong(field, format!("{text:?} {problem}")),
            }
        }
        out
    }
}

impl Service {
    /// Registers a client; gives its secret, once, unless it is public.
    ///
    /// # Errors
    /// Every wrong field at once; [`Error::Exists`] if the id is a client's or a user's subject.
    pub async fn client_create(&self, request: NewClientRequest) -> Result<(Client, Option<ClientSecret>)> {
        let now = self.now();
        let (id, config) = self.check_new_client(&request)?;
        let serves: Vec<Audience> = request.serves.iter().filter_map(|a| a.parse().ok()).collect();
        let given = request.secret;
        let secret = (!request.public).then(|| given.unwrap_or_else(|| ClientSecret::generate(&*self.entropy)));
        let hash = secret.as_ref().map(ClientSecret::hash);
        let status = Some(self.next_status(now).await?);
        let client = Client { id, secret: hash, config, disabled_at: None, created_at: now, status };
        let mut tx = self.store.write().await?;
        if !tx.client_insert(&client).await? {
            return Err(Error::Exists("client or subject", client.id.as_str().to_owned()));
        }
        for audience in client.config.audiences.iter().chain(&serves) {
            tx.audience_ensure(audience, now).await?;
        }
        for audience in &serves {
            if !tx.audience_own(audience, &client.id).await? {
                return Err(Error::invalid("serves", format!("{audience} is served by another client")));
            }
        }
        self.client_changed(&mut tx, &client.id, AuditKind::ClientCreated, ChangeKind::Client, now).await?;
        tx.commit().await?;
        self.live.confirm().await?;
        Ok((client, secret))
    }

    fn check_new_client(&self, r: &NewClientRequest) -> Result<(ClientId, ClientConfig)> {
        let mut c = Checked { violations: Vec::new() };
        let id = c.parse::<ClientId>("client_id", std::slice::from_ref(&r.id)).pop();
        let grants = grants(&mut c, r);
        let mut audiences: Vec<Audience> = c.parse("audience", &r.audiences);
        let _: Vec<Audience> = c.parse("serves", &r.serves);
        if r.audiences.is_empty() {
            audiences = c.parse("issuer", &[self.issuer().to_owned()]);
        }
        let algorithm = r.algorithm.as_ref().map(|a| c.parse::<Algorithm>("alg", std::slice::from_ref(a)));
        let ceiling = self.live.snapshot().settings.access_token_lifetime_ceiling;
        let lifetime = r.token_lifetime.map_or(ClientConfig::TOKEN_LIFETIME, Ttl::from_secs);
        if lifetime < Ttl::from_secs(1) || lifetime > ceiling {
            c.wrong("token_lifetime", format!("must be 1 to {} seconds", ceiling.seconds()));
        }
        let config = ClientConfig {
            first_party: r.first_party,
            grants,
            scopes: c.parse::<Scope>("scope", &r.scopes),
            permissions: self.permissions(&mut c, &r.permissions),
            audiences,
            algorithm: algorithm.and_then(|mut a| a.pop()).unwrap_or(Algorithm::Rs256),
            token_lifetime: lifetime,
            session_idle: ClientConfig::SESSION_IDLE,
            session_absolute: ClientConfig::SESSION_ABSOLUTE,
            claim_map: claim_map(&mut c, &r.claims),
            trusted_end_user: false,
        };
        match (id, c.violations.is_empty()) {
            (Some(id), true) => Ok((id, config)),
            _ => Err(Error::Invalid(c.violations)),
        }
    }

    fn permissions(&self, c: &mut Checked, texts: &[String]) -> Vec<PermissionAt> {
        let mut out = Vec::new();
        for text in texts {
            let (permission, audience) = text.split_once('@').unwrap_or((text, self.issuer()));
            match (permission.parse::<Permission>(), audience.parse::<Audience>()) {
                (Ok(permission), Ok(audience)) => out.push(PermissionAt { audience, permission }),
                _ => c.wrong("permission", format!("{text:?} must be PERMISSION or PERMISSION@AUDIENCE")),
            }
        }
        out
    }

    /// Every client, by id.
    #[must_use]
    pub fn clients_list(&self) -> Vec<Arc<Client>> {
        let snapshot = self.live.snapshot();
        let mut all: Vec<Arc<Client>> = snapshot.clients.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// A client by id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn client_find(&self, id: &str) -> Result<Arc<Client>> {
        let found = self.live.snapshot().clients.get(id).cloned();
        found.ok_or_else(|| Error::NotFound("client", id.to_owned()))
    }

    /// Disables or enables a client; says whether that changed anything.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn client_set_disabled(&self, id: &str, disabled: bool) -> Result<bool> {
        let client = self.client_find(id)?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        let changed = if disabled {
            let settings = self.live.snapshot().settings.clone();
            let by = By { actor: "command", cause: RevokedCause::Administrator, settings: &settings, now };
            tx.revoke(Revoke::Client(&client.id), &by).await? == 1
        } else {
            let changed = tx.client_enable(&client.id, now).await?;
            if changed {
                let (audit, kind) = (AuditKind::ClientEnabled, ChangeKind::ClientEnabled);
                self.client_changed(&mut tx, &client.id, audit, kind, now).await?;
            }
            changed
        };
        tx.commit().await?;
        self.live.confirm().await?;
        Ok(changed)
    }

    async fn client_changed(
        &self,
        tx: &mut Tx,
        id: &ClientId,
        audit: AuditKind,
        kind: ChangeKind,
        now: Timestamp,
    ) -> Result<()> {
        tx.audit(now, audit, "command", id.as_str(), json!({})).await?;
        let ends_at = now.plus(self.live.snapshot().settings.revocation_ttl(now));
        tx.change(Change { kind, subject: id.as_str().to_owned(), at: now, ends_at, status: None });
        Ok(())
    }
}

/// The grants asked for, or the usual ones; each must fit the client's kind.
fn grants(c: &mut Checked, r: &NewClientRequest) -> Vec<Grant> {
    let mut grants: Vec<Grant> = c.parse("grant", &r.grants);
    if r.grants.is_empty() {
        if !r.public {
            grants.push(Grant::ClientCredentials);
        }
        if r.first_party {
            grants.extend([Grant::DirectLogin, Grant::RefreshToken]);
        }
    }
    if r.public && grants.contains(&Grant::ClientCredentials) {
        c.wrong("grant", "client_credentials needs a confidential client; leave out --public");
    }
    if !r.first_party && grants.contains(&Grant::DirectLogin) {
        c.wrong("grant", "direct_login is for first-party clients; add --first-party");
    }
    if grants.is_empty() && r.grants.is_empty() {
        c.wrong("grant", "a public client that is not first-party needs a --grant");
    }
    grants
}

fn claim_map(c: &mut Checked, texts: &[String]) -> BTreeMap<String, ClaimSource> {
    let mut map = BTreeMap::new();
    for text in texts {
        let Some((name, source)) = text.split_once('=').filter(|(n, s)| !n.is_empty() && !s.is_empty()) else {
            c.wrong("claim", format!("{text:?} must be NAME=PATH or NAME=\"TEXT\""));
            continue;
        };
        if RESERVED_CLAIMS.contains(&name) {
            c.wrong("claim", format!("{name} is set by the server and cannot be mapped"));
            continue;
        }
        let literal = source.strip_prefix('"').and_then(|s| s.strip_suffix('"'));
        let source = literal
            .map_or_else(|| ClaimSource::Attribute(source.to_owned()), |text| ClaimSource::Literal(text.to_owned()));
        map.insert(name.to_owned(), source);
    }
    map
}
