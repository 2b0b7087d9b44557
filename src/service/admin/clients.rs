//! Client administration.

mod check;
mod lifetimes;

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use self::{
    check::{claim_map, display_name, grants, link_template, refuse_own_rights, trusted_end_user},
    lifetimes::{Lifetimes, change_lifetimes, new_lifetimes},
};
use super::{
    creations::{CreationKey, CreationStatus},
    roles::Roles,
};
use crate::{
    domain::{
        audit::AuditKind,
        client::{Client, ClientConfig, ClientId},
        feed::ChangeKind,
        keys::Algorithm,
        later::Later,
        role::MAX_ROLES,
        scope::{Audience, PermissionAt, Scope, without_repeats},
        session::RevokedCause,
    },
    entropy::Entropy,
    error::{Error, Result, Violations},
    id::RoleId,
    secret::ClientSecret,
    service::{
        access::Admin,
        people::TokenFit,
        runtime::{Live, Runtime},
        tokens::StatusLists,
    },
    store::{By, Revoke, Store, Tx},
    time::{Timestamp, Ttl},
};

/// Maximum time that a replaced secret may stay valid.
const MAX_OVERLAP: Ttl = Ttl::from_days(30);

/// A client to register, as an operator describes it.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, as operators write them")]
pub struct NewClientRequest {
    /// Its id.
    pub id: String,
    /// Whether it has no secret.
    pub public: bool,
    /// Whether the deployment's owner runs it.
    pub first_party: bool,
    /// Its grants; empty means the defaults.
    pub grants: Vec<String>,
    /// The audiences it may request; the first is its default.
    pub audiences: Vec<String>,
    /// The audiences it serves.
    pub serves: Vec<String>,
    /// The scopes it may request.
    pub scopes: Vec<String>,
    /// Its permissions: `P` at this server's own audience, `P@A` at another audience.
    pub permissions: Vec<String>,
    /// Its roles, by id or name.
    pub roles: Vec<String>,
    /// The algorithm of its tokens.
    pub algorithm: Option<String>,
    /// The lifetime of its access tokens, in seconds.
    pub token_lifetime: Option<i64>,
    /// How long one of its sessions may be idle, in seconds.
    pub session_idle: Option<i64>,
    /// How long one of its sessions may last, in seconds.
    pub session_absolute: Option<i64>,
    /// Claims: `NAME=PATH`, or `NAME="TEXT"` for a fixed text.
    pub claims: Vec<String>,
    /// Whether it allows registration.
    pub registration: bool,
    /// Whether its users must have a verified address.
    pub require_email: bool,
    /// The URL template of links in mails, with `{token}` and optionally `{kind}`.
    pub link_template: Option<String>,
    /// The name by which its users know it; empty means its id.
    pub display_name: String,
    /// Whether the end-user data it reports is trusted.
    pub trusted_end_user: bool,
    /// A secret to use instead of a generated one; only for the fixed client of `serve --dev`.
    pub secret: Option<ClientSecret>,
    /// The caller's request id, if the call may be retried.
    pub creation: Option<CreationKey>,
}

/// A change of a client; absent fields stay as they are.
#[derive(Debug, Default)]
pub struct ClientPatch {
    /// Its grants.
    pub grants: Option<Vec<String>>,
    /// The audiences it may request; the first is its default.
    pub audiences: Option<Vec<String>>,
    /// The scopes it may request.
    pub scopes: Option<Vec<String>>,
    /// Its permissions.
    pub permissions: Option<Vec<String>>,
    /// The algorithm of its tokens.
    pub algorithm: Option<String>,
    /// The lifetime of its access tokens, in seconds.
    pub token_lifetime: Option<i64>,
    /// How long one of its sessions may be idle, in seconds; counts for sessions opened from now on.
    pub session_idle: Option<i64>,
    /// How long one of its sessions may last, in seconds; counts for sessions opened from now on.
    pub session_absolute: Option<i64>,
    /// Claims of its users' tokens.
    pub claims: Option<Vec<String>>,
    /// Whether it allows registration.
    pub registration: Option<bool>,
    /// Whether its users must have a verified address.
    pub require_email: Option<bool>,
    /// The URL template of links in mails; empty removes it.
    pub link_template: Option<String>,
    /// Whether the end-user data it reports is trusted.
    pub trusted_end_user: Option<bool>,
    /// The name by which its users know it; empty means its id.
    pub display_name: Option<String>,
}

/// The clients of this deployment.
pub struct Clients {
    store: Store,
    live: Arc<Live>,
    entropy: Arc<dyn Entropy>,
    lists: StatusLists,
    roles: Roles,
    token_fit: TokenFit,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

/// The audit event and feed entry of a change to a client.
struct ChangeRecord {
    audit: AuditKind,
    change: ChangeKind,
    details: Value,
}

impl Clients {
    pub(in crate::service) fn new(runtime: Runtime, lists: StatusLists, roles: Roles, token_fit: TokenFit) -> Self {
        let Runtime { store, live, entropy, .. } = runtime;
        Self { store, live, entropy, lists, roles, token_fit }
    }

    /// Registers a client; returns its secret, once, unless it is public.
    ///
    /// # Errors
    /// Reports every invalid field at once; [`Error::Exists`] if the id is a client's or a user's subject.
    pub async fn create(&self, admin: &Admin, request: NewClientRequest) -> Result<(Client, Option<ClientSecret>)> {
        let now = self.live.now();
        let (id, config) = self.check_new_client(&request)?;
        self.check_covers(admin, &config)?;
        let serves: Vec<Audience> = request.serves.iter().filter_map(|a| a.parse().ok()).collect();
        let given = request.secret;
        let secret = (!request.public).then(|| given.unwrap_or_else(|| ClientSecret::generate(&*self.entropy)));
        let hash = secret.as_ref().map(ClientSecret::hash);
        let status = Some(self.lists.next_index(now).await?);
        let (previous_secret, revision) = (None, 1);
        let client =
            Client { id, secret: hash, config, disabled_at: None, created_at: now, status, previous_secret, revision };
        self.token_fit.check_client(&client, "client").await?;
        let mut tx = admin.write(&self.store, &self.live).await?;
        if let Some(creation) = &request.creation {
            let created = creation.record(&mut tx, admin, "CreateClient", client.id.as_str(), now).await?;
            if let CreationStatus::Repeated(id) = created {
                return self.existing_client(&id);
            }
        }
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
        let record = ChangeRecord { audit: AuditKind::ClientCreated, change: ChangeKind::Client, details: json!({}) };
        self.record_change(&mut tx, admin, &client.id, record).await?;
        self.live.commit(tx).await?;
        Ok((client, secret))
    }

    /// The result of a retried creation: a secret is never returned twice.
    fn existing_client(&self, id: &str) -> Result<(Client, Option<ClientSecret>)> {
        let client = self.live.client(id)?;
        if client.secret.is_some() {
            return Err(Error::Exists("client", id.to_owned()));
        }
        Ok(((*client).clone(), None))
    }

    /// Fails if this configuration grants permissions at this server that the caller lacks.
    fn check_covers(&self, admin: &Admin, config: &ClientConfig) -> Result<()> {
        let snapshot = self.live.snapshot();
        admin.check_permissions(&snapshot, &config.permissions)?;
        admin.check_roles(&snapshot, &config.roles)
    }

    fn check_new_client(&self, request: &NewClientRequest) -> Result<(ClientId, ClientConfig)> {
        let mut violations = Violations::default();
        let id = violations.parse::<ClientId>("client_id", std::slice::from_ref(&request.id)).pop();
        let grants = grants(&mut violations, request);
        let mut audiences: Vec<Audience> = violations.parse("audiences", &request.audiences);
        let _: Vec<Audience> = violations.parse("serves", &request.serves);
        if request.audiences.is_empty() {
            audiences = violations.parse("audiences", &[self.live.issuer().to_owned()]);
        }
        let algorithm =
            request.algorithm.as_ref().map(|a| violations.parse::<Algorithm>("algorithm", std::slice::from_ref(a)));
        let asked = Lifetimes::<Option<i64>> {
            token: request.token_lifetime,
            idle: request.session_idle,
            absolute: request.session_absolute,
        };
        let lifetimes = new_lifetimes(&mut violations, asked, self.ceiling());
        if request.public {
            refuse_own_rights(&mut violations, &request.permissions, &request.roles);
        }
        let config = ClientConfig {
            first_party: request.first_party,
            grants,
            scopes: without_repeats(violations.parse::<Scope>("scopes", &request.scopes)),
            permissions: self.permissions(&mut violations, &request.permissions),
            roles: self.client_roles(&mut violations, &request.roles),
            audiences: without_repeats(audiences),
            algorithm: algorithm.and_then(|mut a| a.pop()).unwrap_or(Algorithm::Rs256),
            token_lifetime: lifetimes.token,
            previous_token_lifetime: None,
            token_lifetimes_noted_since: Some(self.live.now()),
            session_idle: lifetimes.idle,
            session_absolute: lifetimes.absolute,
            claim_map: claim_map(&mut violations, &request.claims),
            trusted_end_user: trusted_end_user(&mut violations, request.public, request.trusted_end_user),
            registration: request.registration,
            require_email: request.require_email,
            link_template: link_template(&mut violations, request.link_template.as_deref()),
            display_name: display_name(&mut violations, &request.display_name),
            later: Later::default(),
        };
        violations.into_result(())?;
        id.map(|id| (id, config)).ok_or_else(|| Error::invalid("client_id", "must be given"))
    }

    fn permissions(&self, violations: &mut Violations, texts: &[String]) -> Vec<PermissionAt> {
        let mut out = Vec::new();
        for text in texts {
            match self.roles.permission_at(text) {
                Some(permission) => out.push(permission),
                None => violations.add("permissions", format!("{text:?} must be PERMISSION or PERMISSION@AUDIENCE")),
            }
        }
        without_repeats(out)
    }

    fn client_roles(&self, violations: &mut Violations, names: &[String]) -> Vec<RoleId> {
        violations.absorb(self.roles.ids(names)).unwrap_or_default()
    }

    /// Every client, by id.
    #[must_use]
    pub fn list(&self, _: &Admin) -> Vec<Arc<Client>> {
        let snapshot = self.live.snapshot();
        let mut all: Vec<Arc<Client>> = snapshot.clients.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The audiences that a client serves, sorted.
    #[must_use]
    pub fn served_by(&self, id: &str) -> Vec<String> {
        self.live.snapshot().served_audiences.get(id).cloned().unwrap_or_default()
    }

    /// A client by id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, _: &Admin, id: &str) -> Result<Arc<Client>> {
        self.live.client(id)
    }

    /// Changes a client. If `revision` is given, the client must still be at it. What is the same already changes
    /// nothing.
    ///
    /// # Errors
    /// Reports every invalid field at once; [`Error::NotFound`], [`Error::Changed`]; the old or the new configuration
    /// has permissions that the caller lacks.
    pub async fn update(
        &self,
        admin: &Admin,
        id: &str,
        patch: &ClientPatch,
        revision: Option<i64>,
    ) -> Result<Arc<Client>> {
        self.live.confirm().await?;
        let old = self.live.client(id)?;
        if revision.is_some_and(|r| r != old.revision) {
            return Err(Error::Changed);
        }
        let config = self.patched(&old, patch)?;
        self.check_covers(admin, &old.config)?;
        self.check_covers(admin, &config)?;
        if config == old.config {
            return Ok(old);
        }
        if let Some(field) = patch.enlarging_field() {
            self.token_fit.check_client(&Client { config: config.clone(), ..(*old).clone() }, field).await?;
        }
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        if !tx.client_configure(&old.id, &config, old.revision, now).await? {
            return Err(if revision.is_some() { Error::Changed } else { Error::Conflict });
        }
        for audience in &config.audiences {
            tx.audience_ensure(audience, now).await?;
        }
        let details = json!({ "changed": patch.changed_fields() });
        let record = ChangeRecord { audit: AuditKind::ClientUpdated, change: ChangeKind::Client, details };
        self.record_change(&mut tx, admin, &old.id, record).await?;
        self.live.commit(tx).await?;
        self.live.client(id)
    }

    fn patched(&self, old: &Client, patch: &ClientPatch) -> Result<ClientConfig> {
        let mut violations = Violations::default();
        let mut config = old.config.clone();
        let (public, first_party) = (old.secret.is_none(), config.first_party);
        if let Some(texts) = &patch.grants {
            let kind = NewClientRequest { public, first_party, grants: texts.clone(), ..NewClientRequest::default() };
            config.grants = grants(&mut violations, &kind);
        }
        if let Some(texts) = &patch.audiences {
            config.audiences = without_repeats(violations.parse("audiences", texts));
            if texts.is_empty() {
                violations.add("audiences", "must not be empty");
            }
        }
        if let Some(texts) = &patch.scopes {
            config.scopes = without_repeats(violations.parse::<Scope>("scopes", texts));
        }
        if let Some(texts) = &patch.permissions {
            config.permissions = self.permissions(&mut violations, texts);
            if public {
                refuse_own_rights(&mut violations, texts, &[]);
            }
        }
        if let Some(text) = &patch.algorithm {
            config.algorithm =
                violations.parse("algorithm", std::slice::from_ref(text)).pop().unwrap_or(config.algorithm);
        }
        let asked = Lifetimes::<Option<i64>> {
            token: patch.token_lifetime,
            idle: patch.session_idle,
            absolute: patch.session_absolute,
        };
        change_lifetimes(&mut violations, asked, &mut config, (self.ceiling(), self.live.now()));
        if let Some(texts) = &patch.claims {
            config.claim_map = claim_map(&mut violations, texts);
        }
        config.registration = patch.registration.unwrap_or(config.registration);
        config.require_email = patch.require_email.unwrap_or(config.require_email);
        if let Some(template) = &patch.link_template {
            config.link_template = link_template(&mut violations, Some(template));
        }
        if let Some(trusted) = patch.trusted_end_user {
            config.trusted_end_user = trusted_end_user(&mut violations, public, trusted);
        }
        if let Some(name) = &patch.display_name {
            config.display_name = display_name(&mut violations, name).filter(|name| name.as_str() != old.id.as_str());
        }
        violations.into_result(config)
    }

    /// Gives a confidential client a new secret; the previous one stays valid for `overlap`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the client is public; the client has permissions that the caller lacks.
    pub async fn rotate_secret(&self, admin: &Admin, id: &str, overlap: Ttl) -> Result<(ClientSecret, Timestamp)> {
        if overlap < Ttl::from_secs(0) || overlap > MAX_OVERLAP {
            return Err(Error::invalid("overlap", format!("must be 0 to {} seconds", MAX_OVERLAP.seconds())));
        }
        self.live.confirm().await?;
        let client = self.live.client(id)?;
        self.check_covers(admin, &client.config)?;
        let secret = ClientSecret::generate(&*self.entropy);
        let now = self.live.now();
        let until = now.plus(overlap);
        let mut tx = admin.write(&self.store, &self.live).await?;
        if !tx.client_set_secret(&client.id, secret.hash(), until, now).await? {
            return Err(Error::Precondition("the client is public and has no secret".to_owned()));
        }
        let details = json!({ "previous_counts_until": until.to_string() });
        let record = ChangeRecord { audit: AuditKind::ClientSecretRotated, change: ChangeKind::Client, details };
        self.record_change(&mut tx, admin, &client.id, record).await?;
        self.live.commit(tx).await?;
        Ok((secret, until))
    }

    /// Disables or enables a client; returns whether anything changed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the client has permissions that the caller lacks.
    pub async fn set_disabled(&self, admin: &Admin, id: &str, disabled: bool) -> Result<bool> {
        let client = self.live.client(id)?;
        self.check_covers(admin, &client.config)?;
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        let changed = if disabled {
            let settings = self.live.snapshot().settings.clone();
            let by = By { actor: &admin.actor, cause: RevokedCause::Administrator, settings: &settings, now };
            tx.revoke(Revoke::Client(&client.id), &by).await? == 1
        } else {
            let changed = tx.client_enable(&client.id, now).await?;
            if changed {
                let (audit, change) = (AuditKind::ClientEnabled, ChangeKind::ClientEnabled);
                self.record_change(&mut tx, admin, &client.id, ChangeRecord { audit, change, details: json!({}) })
                    .await?;
            }
            changed
        };
        if changed {
            self.live.commit(tx).await?;
        }
        Ok(changed)
    }

    /// Deletes a client that has no sessions and has been disabled long enough for its tokens to have expired. Its id
    /// stays reserved.
    ///
    /// # Errors
    /// [`Error::NotFound`]; it has not been disabled long enough, or has sessions; the client has permissions that
    /// the caller lacks.
    pub async fn delete(&self, admin: &Admin, id: &str) -> Result<()> {
        let client = self.live.client(id)?;
        self.check_covers(admin, &client.config)?;
        let now = self.live.now();
        let wait = self.live.snapshot().settings.revocation_ttl(now);
        let mut tx = admin.write(&self.store, &self.live).await?;
        tx.audiences_disown(&client.id).await?;
        if !tx.client_delete(&client.id, now.minus(wait)).await? {
            let minutes = wait.seconds() / 60 + 1;
            let text = format!(
                "a client must be disabled for {minutes} minutes and have no sessions left before it is deleted"
            );
            return Err(Error::Precondition(text));
        }
        let record = ChangeRecord { audit: AuditKind::ClientDeleted, change: ChangeKind::Client, details: json!({}) };
        self.record_change(&mut tx, admin, &client.id, record).await?;
        self.live.commit(tx).await
    }

    async fn record_change(&self, tx: &mut Tx, admin: &Admin, id: &ClientId, record: ChangeRecord) -> Result<()> {
        let now = self.live.now();
        tx.audit(now, record.audit, &admin.actor, id.as_str(), record.details).await?;
        tx.change(self.live.change(record.change, id.as_str(), now));
        Ok(())
    }

    /// The longest lifetime of a token.
    fn ceiling(&self) -> Ttl {
        self.live.snapshot().settings.access_token_lifetime_ceiling
    }
}

impl ClientPatch {
    /// The first changed field that can make tokens larger.
    fn enlarging_field(&self) -> Option<&'static str> {
        const FIELDS: [&str; 6] = ["permissions", "claims", "scopes", "audiences", "algorithm", "grants"];
        let changed = self.changed_fields();
        FIELDS.into_iter().find(|field| changed.contains(field))
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed_fields().is_empty()
    }

    /// The names of the changed fields, for the audit log.
    fn changed_fields(&self) -> Vec<&'static str> {
        let all = [
            ("grants", self.grants.is_some()),
            ("audiences", self.audiences.is_some()),
            ("scopes", self.scopes.is_some()),
            ("permissions", self.permissions.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("token_lifetime", self.token_lifetime.is_some()),
            ("session_idle", self.session_idle.is_some()),
            ("session_absolute", self.session_absolute.is_some()),
            ("claims", self.claims.is_some()),
            ("registration", self.registration.is_some()),
            ("require_email", self.require_email.is_some()),
            ("link_template", self.link_template.is_some()),
            ("trusted_end_user", self.trusted_end_user.is_some()),
            ("display_name", self.display_name.is_some()),
        ];
        all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }
}

impl Clients {
    /// Assigns a role to a client or removes it; returns whether anything changed. It takes effect in the client's
    /// next tokens.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the role or the client has permissions that the caller lacks.
    pub async fn set_role(&self, admin: &Admin, id: &str, role: &str, given: bool) -> Result<bool> {
        self.live.confirm().await?;
        let role = self.roles.find(role)?;
        admin.check_role(&self.live.snapshot(), &role)?;
        let client = self.live.client(id)?;
        self.check_covers(admin, &client.config)?;
        let mut config = client.config.clone();
        match (config.roles.iter().position(|r| *r == role.id), given) {
            (Some(_), true) | (None, false) => return Ok(false),
            (None, true) if config.roles.len() >= MAX_ROLES => {
                return Err(Error::Precondition("the client has as many roles as there may be".to_owned()));
            }
            (None, true) => {
                config.roles.push(role.id.clone());
                config.roles.sort();
            }
            (Some(at), false) => {
                config.roles.remove(at);
            }
        }
        if given {
            let changed = Client { config: config.clone(), ..(*client).clone() };
            self.token_fit.check_client(&changed, "role_id").await?;
        }
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        if given && client.secret.is_none() {
            return Err(Error::Precondition("a public client has no tokens of its own, so it has no roles".to_owned()));
        }
        if !tx.client_configure(&client.id, &config, client.revision, now).await? {
            return Err(Error::Conflict);
        }
        let audit = if given { AuditKind::RoleAssigned } else { AuditKind::RoleUnassigned };
        let details = json!({ "role": role.name, "role_id": role.id });
        self.record_change(&mut tx, admin, &client.id, ChangeRecord { audit, change: ChangeKind::Client, details })
            .await?;
        self.live.commit(tx).await?;
        Ok(true)
    }
}
