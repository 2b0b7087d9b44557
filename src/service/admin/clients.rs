//! Client administration.

mod account;
mod change;
mod check;
mod create;
mod declared;
mod guest_data;
mod lifetimes;
mod pages;
mod request;
mod roles;
mod scripts;
mod state;

use std::{fmt, sync::Arc};

use serde_json::Value;

pub use self::{
    account::{ACCOUNT_CLIENT, ACCOUNT_NAME, AccountClient},
    create::check_new_client,
    request::{ClientPatch, NewClientRequest},
};
use super::roles::Roles;
use crate::{
    domain::{
        audit::AuditKind,
        client::{Client, ClientConfig, ClientId},
        feed::ChangeKind,
    },
    entropy::Entropy,
    error::Result,
    service::{
        access::Admin,
        people::TokenFit,
        runtime::{Live, Runtime},
        tokens::StatusLists,
    },
    store::{Store, Tx},
    time::Ttl,
};

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
    /// [`Error::NotFound`](crate::error::Error::NotFound).
    pub fn get(&self, _: &Admin, id: &str) -> Result<Arc<Client>> {
        self.live.client(id)
    }

    /// Fails if this configuration grants permissions at this server that the caller lacks.
    fn check_covers(&self, admin: &Admin, config: &ClientConfig) -> Result<()> {
        let snapshot = self.live.snapshot();
        admin.check_permissions(&snapshot, &config.permissions)?;
        admin.check_roles(&snapshot, &config.roles)
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
