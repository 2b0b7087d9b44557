//! Changes what clients declare.

use std::sync::Arc;

use serde_json::json;

use super::{
    ChangeRecord, ClientPatch, Clients, NewClientRequest,
    check::{claim_map, display_name, grants, link_template, permissions, refuse_own_rights, trusted_end_user},
    guest_data::guest_data,
    lifetimes::{Lifetimes, change_lifetimes},
    pages::change_pages,
    scripts::change_scripts,
};
use crate::{
    domain::{
        audit::AuditKind,
        client::{Client, ClientConfig},
        feed::ChangeKind,
        scope::{Scope, without_repeats},
    },
    error::{Error, Result, Violations},
    service::access::Admin,
};

impl Clients {
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
        let configured = tx.client_configure(&old.id, &config, old.revision, now).await;
        let changed = Client { config: config.clone(), ..(*old).clone() };
        if !self.unless_site_is_taken(configured, &changed).await? {
            return Err(if revision.is_some() { Error::Changed } else { Error::Conflict });
        }
        for audience in &config.audiences {
            tx.audience_ensure(audience, now).await?;
        }
        let details = json!({ "changed": patch.changed_fields() });
        let record = ChangeRecord { audit: AuditKind::ClientUpdated, change: ChangeKind::Client, details };
        self.record_change(&mut tx, admin, &old.id, record).await?;
        self.live.commit(tx).await?;
        if patch.site.is_some() || patch.audiences.is_some() {
            self.warn_of_no_audience(&changed);
        }
        self.live.client(id)
    }

    pub(super) fn patched(&self, old: &Client, patch: &ClientPatch) -> Result<ClientConfig> {
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
            config.permissions = permissions(&mut violations, texts, self.live.issuer());
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
        config.require_mfa = patch.require_mfa.unwrap_or(config.require_mfa);
        if let Some(template) = &patch.link_template {
            config.link_template = link_template(&mut violations, Some(template));
        }
        if let Some(trusted) = patch.trusted_end_user {
            config.trusted_end_user = trusted_end_user(&mut violations, public, trusted);
        }
        if let Some(name) = &patch.display_name {
            config.display_name = display_name(&mut violations, name).filter(|name| name.as_str() != old.id.as_str());
        }
        if let Some(texts) = &patch.guest_data {
            config.guest_data = guest_data(&mut violations, texts);
        }
        change_pages(&mut violations, patch, &mut config, (old, &self.live.snapshot()));
        change_scripts(&mut violations, patch, &mut config, &old.config);
        violations.into_result(config)
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
            ("require_mfa", self.require_mfa.is_some()),
            ("link_template", self.link_template.is_some()),
            ("trusted_end_user", self.trusted_end_user.is_some()),
            ("display_name", self.display_name.is_some()),
            ("site", self.site.is_some()),
            ("site_home", self.site_home.is_some()),
            ("logo_uri", self.logo_uri.is_some()),
            ("accent_color", self.accent_color.is_some()),
            ("cors_origins", self.cors_origins.is_some()),
            ("browser_tokens", self.browser_tokens.is_some()),
            ("guest_data", self.guest_data.is_some()),
        ];
        all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }
}
