//! The issuer's own client, by which people reach their accounts.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ChangeRecord, Clients};
use crate::{
    domain::{
        audit::AuditKind,
        client::{Client, ClientConfig},
        feed::ChangeKind,
        keys::Algorithm,
        later::Later,
        site::{Site, SiteError},
        text::Label,
    },
    error::{Error, Result},
    service::access::Admin,
    store::SITE_TAKEN,
};

/// Its id.
pub const ACCOUNT_CLIENT: &str = "chancery-account";
/// The prefix of its site.
const PREFIX: &str = "/auth";
/// The name that people see.
pub const ACCOUNT_NAME: &str = "Account";

/// What became of the issuer's own client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountClient {
    /// A client has its site at the issuer's origin.
    Exists,
    /// It was created.
    Created,
    /// It was deleted once, or has its site elsewhere: nobody's pages are at the issuer's origin.
    Elsewhere,
    /// The issuer's origin cannot have a site.
    NoSite(SiteError),
}

impl Clients {
    /// Creates the issuer's own client, unless a client has its site at this origin, which is the issuer's. Once deleted, it is not
    /// created again: its id stays taken.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn ensure_account_client(
        &self,
        admin: &Admin,
        origin: &str,
        registration: bool,
    ) -> Result<AccountClient> {
        self.live.confirm().await?;
        let site = match Site::at(origin, PREFIX) {
            Ok(site) => site,
            Err(fault) => return Ok(AccountClient::NoSite(fault)),
        };
        let snapshot = self.live.snapshot();
        let key = site.key();
        if snapshot.clients.values().any(|client| client.config.site.as_ref().is_some_and(|its| its.key() == key)) {
            return Ok(AccountClient::Exists);
        }
        if snapshot.clients.contains_key(ACCOUNT_CLIENT) {
            return Ok(AccountClient::Elsewhere);
        }
        let client = self.account_client(site, registration).await?;
        let now = client.created_at;
        let mut tx = admin.write(&self.store, &self.live).await?;
        let inserted = match tx.client_insert(&client).await {
            Err(Error::Exists(SITE_TAKEN, _)) => return Ok(AccountClient::Exists),
            other => other?,
        };
        if !inserted {
            drop(tx);
            // Another process has created it in the meantime, or it was deleted once.
            self.live.confirm().await?;
            let is_there = self.live.snapshot().clients.contains_key(ACCOUNT_CLIENT);
            return Ok(if is_there { AccountClient::Exists } else { AccountClient::Elsewhere });
        }
        for audience in &client.config.audiences {
            tx.audience_ensure(audience, now).await?;
        }
        let record = ChangeRecord { audit: AuditKind::ClientCreated, change: ChangeKind::Client, details: json!({}) };
        self.record_change(&mut tx, admin, &client.id, record).await?;
        self.live.commit(tx).await?;
        Ok(AccountClient::Created)
    }

    /// It has no grants: its sign-ins are those of its pages alone, and nobody gets a token by its name.
    async fn account_client(&self, site: Site, registration: bool) -> Result<Client> {
        let now = self.live.now();
        let internal = |problem: String| Error::Internal(problem.into());
        let id = ACCOUNT_CLIENT.parse().map_err(|e| internal(format!("{e}")))?;
        let audience = self.live.issuer().parse().map_err(|e| internal(format!("{e}")))?;
        let name = Label::parse(ACCOUNT_NAME, ClientConfig::MAX_DISPLAY_NAME);
        let config = ClientConfig {
            first_party: true,
            grants: Vec::new(),
            audiences: vec![audience],
            scopes: Vec::new(),
            permissions: Vec::new(),
            roles: Vec::new(),
            algorithm: Algorithm::Rs256,
            token_lifetime: ClientConfig::TOKEN_LIFETIME.min(self.ceiling()),
            previous_token_lifetime: None,
            token_lifetimes_noted_since: Some(now),
            session_idle: ClientConfig::SESSION_IDLE,
            session_absolute: ClientConfig::SESSION_ABSOLUTE,
            claim_map: BTreeMap::new(),
            trusted_end_user: false,
            registration,
            require_email: false,
            require_mfa: false,
            link_template: None,
            display_name: Some(name.map_err(|e| internal(format!("{e}")))?),
            site: Some(site),
            logo_uri: None,
            accent_color: None,
            cors_origins: Vec::new(),
            browser_tokens: false,
            guest_data: BTreeMap::new(),
            later: Later::default(),
        };
        let status = Some(self.lists.next_index(now).await?);
        let (secret, disabled_at, previous_secret, revision) = (None, None, None, 1);
        Ok(Client { id, secret, config, disabled_at, created_at: now, status, previous_secret, revision })
    }
}
