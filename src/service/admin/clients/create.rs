//! Registers clients.

use serde_json::json;

use super::{
    ChangeRecord, Clients, NewClientRequest,
    check::{claim_map, display_name, grants, link_template, permissions, refuse_own_rights, trusted_end_user},
    guest_data::guest_data,
    lifetimes::{Lifetimes, new_lifetimes},
    pages::new_pages,
    scripts::new_scripts,
};
use crate::{
    domain::{
        audit::AuditKind,
        client::{Client, ClientConfig, ClientId},
        feed::ChangeKind,
        keys::Algorithm,
        later::Later,
        scope::{Audience, Scope, without_repeats},
        session::RevokedCause,
    },
    error::{Error, Result, Violations},
    secret::ClientSecret,
    service::{access::Admin, admin::creations::CreationStatus, runtime::Snapshot},
    store::{By, Revoke},
    time::{Timestamp, Ttl},
};

impl Clients {
    /// Registers a client; returns its secret, once, unless it is public.
    ///
    /// # Errors
    /// Reports every invalid field at once; [`Error::Exists`] if the id is a client's or a user's subject.
    pub async fn create(&self, admin: &Admin, request: NewClientRequest) -> Result<(Client, Option<ClientSecret>)> {
        let now = self.live.now();
        let (id, config) = self.new_client(&request)?;
        self.check_covers(admin, &config)?;
        let serves: Vec<Audience> = request.serves.iter().filter_map(|a| a.parse().ok()).collect();
        let given = request.secret;
        let from_file = given.as_ref().map(ClientSecret::hash);
        let secret = (!request.public).then(|| given.unwrap_or_else(|| ClientSecret::generate(&*self.entropy)));
        let hash = secret.as_ref().map(ClientSecret::hash);
        let status = Some(self.lists.next_index(now).await?);
        let (previous_secret, revision) = (None, 1);
        let mut client =
            Client { id, secret: hash, config, disabled_at: None, created_at: now, status, previous_secret, revision };
        self.token_fit.check_client(&client, "client").await?;
        let mut tx = admin.write(&self.store, &self.live).await?;
        if let Some(creation) = &request.creation {
            let created = creation.record(&mut tx, admin, "CreateClient", client.id.as_str(), now).await?;
            if let CreationStatus::Repeated(id) = created {
                return self.existing_client(&id);
            }
        }
        let inserted = tx.client_insert(&client).await;
        if !self.unless_site_is_taken(inserted, &client).await? {
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
        if let Some(hash) = from_file.filter(|_| !request.public) {
            tx.declared_secret_note(&client.id, hash, now).await?;
        }
        let record = ChangeRecord { audit: AuditKind::ClientCreated, change: ChangeKind::Client, details: json!({}) };
        self.record_change(&mut tx, admin, &client.id, record).await?;
        if request.disabled {
            // In the same transaction, so that nobody can use it in between.
            let settings = self.live.snapshot().settings.clone();
            let by = By { actor: &admin.actor, cause: RevokedCause::Administrator, settings: &settings, now };
            tx.revoke(Revoke::Client(&client.id), &by).await?;
            (client.disabled_at, client.revision) = (Some(now), revision + 1);
        }
        self.live.commit(tx).await?;
        self.warn_of_no_audience(&client);
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

    fn new_client(&self, request: &NewClientRequest) -> Result<(ClientId, ClientConfig)> {
        let mut violations = Violations::default();
        let (snapshot, now) = (self.live.snapshot(), self.live.now());
        let sites = Some(&*snapshot);
        let surroundings = Surroundings { issuer: self.live.issuer(), ceiling: self.ceiling(), now, sites };
        let read = read(&mut violations, request, &surroundings);
        let roles = violations.absorb(self.roles.ids(&request.roles))?;
        violations.into_result(())?;
        let (id, config) = read.ok_or_else(|| Error::invalid("client_id", "must be given"))?;
        Ok((id, ClientConfig { roles, ..config }))
    }
}

/// What a new client is checked against.
struct Surroundings<'a> {
    issuer: &'a str,
    ceiling: Ttl,
    now: Timestamp,
    /// Whose site is whose; without it, nobody looks.
    sites: Option<&'a Snapshot>,
}

/// The configuration of a client to be created with this request, but for its roles. Asks neither the database nor the
/// memory: whether its site is another client's is not looked at.
///
/// # Errors
/// Reports every invalid field at once.
pub fn check_new_client(request: &NewClientRequest, issuer: &str, ceiling: Ttl) -> Result<ClientConfig> {
    let mut violations = Violations::default();
    let surroundings = Surroundings { issuer, ceiling, now: Timestamp::from_millis(0), sites: None };
    let read = read(&mut violations, request, &surroundings);
    violations.into_result(())?;
    read.map(|(_, config)| config).ok_or_else(|| Error::invalid("client_id", "must be given"))
}

/// Reads what is asked for a client, but for its roles.
fn read(
    violations: &mut Violations,
    request: &NewClientRequest,
    &Surroundings { issuer, ceiling, now, sites }: &Surroundings<'_>,
) -> Option<(ClientId, ClientConfig)> {
    let id = violations.parse::<ClientId>("client_id", std::slice::from_ref(&request.id)).pop();
    let grants = grants(violations, request);
    let mut audiences: Vec<Audience> = violations.parse("audiences", &request.audiences);
    let _: Vec<Audience> = violations.parse("serves", &request.serves);
    if request.audiences.is_empty() {
        audiences = violations.parse("audiences", &[issuer.to_owned()]);
    }
    let algorithm =
        request.algorithm.as_ref().map(|a| violations.parse::<Algorithm>("algorithm", std::slice::from_ref(a)));
    let asked = Lifetimes::<Option<i64>> {
        token: request.token_lifetime,
        idle: request.session_idle,
        absolute: request.session_absolute,
    };
    let lifetimes = new_lifetimes(violations, asked, ceiling);
    if request.public {
        refuse_own_rights(violations, &request.permissions, &request.roles);
    }
    let pages = new_pages(violations, request, sites);
    let scripts = new_scripts(violations, request);
    let config = ClientConfig {
        first_party: request.first_party,
        grants,
        scopes: without_repeats(violations.parse::<Scope>("scopes", &request.scopes)),
        permissions: permissions(violations, &request.permissions, issuer),
        roles: Vec::new(),
        audiences: without_repeats(audiences),
        algorithm: algorithm.and_then(|mut a| a.pop()).unwrap_or(Algorithm::Rs256),
        token_lifetime: lifetimes.token,
        previous_token_lifetime: None,
        token_lifetimes_noted_since: Some(now),
        session_idle: lifetimes.idle,
        session_absolute: lifetimes.absolute,
        claim_map: claim_map(violations, &request.claims),
        trusted_end_user: trusted_end_user(violations, request.public, request.trusted_end_user),
        registration: request.registration,
        require_email: request.require_email,
        require_mfa: request.require_mfa,
        link_template: link_template(violations, request.link_template.as_deref()),
        display_name: display_name(violations, &request.display_name),
        site: pages.site,
        logo_uri: pages.logo_uri,
        accent_color: pages.accent_color,
        cors_origins: scripts.cors_origins,
        browser_tokens: scripts.browser_tokens,
        guest_data: guest_data(violations, &request.guest_data),
        later: Later::default(),
    };
    id.map(|id| (id, config))
}
