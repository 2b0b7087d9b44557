//! The state of a process at one moment: what every call reads without asking the database.

mod read;

use std::{collections::HashMap, sync::Arc};

use chancery_verify::Policy;

pub(super) use self::read::{apply, load};
use super::{origins::Origins, sites::Sites};
use crate::{
    domain::{
        assurance::acr_suffices,
        client::Client,
        feed::Head,
        role::{Entitled, Role},
        session::Session,
        settings::Settings,
        site::Site,
        status_list::StatusIndex,
        token::last_token_end,
    },
    id::RoleId,
    keys::Keyring,
    time::Timestamp,
};

/// A consistent view of the state.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The issuer.
    pub issuer: Arc<str>,
    /// The last feed entry that was applied.
    pub head: Head,
    /// The shared settings.
    pub settings: Settings,
    /// Clients by id.
    pub clients: Arc<HashMap<String, Arc<Client>>>,
    /// The enabled clients that have a site, by its origin.
    pub(in crate::service) sites: Arc<Sites>,
    /// The origins that enabled clients have declared.
    pub(in crate::service) origins: Arc<Origins>,
    /// Roles by id.
    pub roles: Arc<HashMap<RoleId, Role>>,
    /// Introspection policies by client: a client may introspect tokens for the audiences it serves.
    pub introspection_policies: Arc<HashMap<String, Policy>>,
    /// The audiences each client serves, by client id, sorted.
    pub served_audiences: Arc<HashMap<String, Vec<String>>>,
    /// Signing keys.
    pub ring: Arc<Keyring>,
    /// Revoked sessions, by id.
    pub revoked_sessions: Arc<HashMap<String, Revoked>>,
    /// Revoked signing keys, by `kid`.
    pub revoked_keys: Arc<HashMap<String, Revoked>>,
}

impl Snapshot {
    /// The site at exactly this scheme and host, and the enabled client whose it is.
    #[must_use]
    pub fn site_of(&self, scheme: &str, authority: &str) -> Option<(Arc<Client>, Site)> {
        self.sites.at(scheme, authority)
    }

    /// The sites of all enabled clients, in no order.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.all()
    }

    /// The permissions and role names that these roles grant at an audience.
    pub(in crate::service) fn entitlements(&self, roles: &[RoleId], audience: &str) -> Entitled {
        if roles.is_empty() {
            return Entitled::default();
        }
        Entitled::of(roles.iter().filter_map(|id| self.roles.get(id)), Vec::new(), audience, &self.issuer)
    }

    /// The permissions and role names that a client has at an audience, from its own permissions and its roles.
    pub(in crate::service) fn client_entitlements(&self, client: &Client, audience: &str) -> Entitled {
        let roles = client.config.roles.iter().filter_map(|id| self.roles.get(id));
        Entitled::of(roles, client.permissions_at(audience), audience, &self.issuer)
    }

    /// When the last access token of a session expires.
    pub(in crate::service) fn token_end(&self, session: &Session, now: Timestamp) -> Timestamp {
        let client = self.clients.get(session.client.as_str()).map(|c| &c.config);
        last_token_end(session, client, &self.settings, now)
    }

    /// Whether any of these roles demands two factors.
    pub(in crate::service) fn roles_require_mfa(&self, roles: &[RoleId]) -> bool {
        roles.iter().filter_map(|id| self.roles.get(id)).any(|role| role.require_mfa)
    }

    /// The permissions and role names that a session with these roles and of this level has at an audience.
    pub(in crate::service) fn session_entitlements(&self, roles: &[RoleId], acr: &str, audience: &str) -> Entitled {
        // Few deployments have such a role.
        if self.roles_require_mfa(roles) {
            return self.entitlements(&self.roles_at_level(roles, acr), audience);
        }
        self.entitlements(roles, audience)
    }

    /// The roles that count in a session of this level: those that demand two factors only if it has two.
    pub(in crate::service) fn roles_at_level(&self, roles: &[RoleId], acr: &str) -> Vec<RoleId> {
        let counts = |id: &&RoleId| self.roles.get(id).is_none_or(|role| !role.require_mfa);
        if acr_suffices(acr, "2") { roles.to_vec() } else { roles.iter().filter(counts).cloned().collect() }
    }

    /// Whether any of these roles grants a permission at this server.
    pub(in crate::service) fn roles_have(&self, roles: &[RoleId], permission: &str) -> bool {
        let mut roles = roles.iter().filter_map(|id| self.roles.get(id));
        roles.any(|r| r.permissions_at(&self.issuer, &self.issuer).any(|p| p == permission))
    }

    /// Whether a client has a permission at this server, directly or through a role.
    pub(in crate::service) fn client_has(&self, client: &Client, permission: &str) -> bool {
        let own = client.config.permissions.iter();
        own.filter(|p| p.audience.as_str() == &*self.issuer).any(|p| p.permission.as_str() == permission)
            || self.roles_have(&client.config.roles, permission)
    }
}

/// When something was revoked, and when the revocation may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When it was revoked.
    pub at: Timestamp,
    /// When all affected tokens have expired on their own.
    pub ends_at: Timestamp,
    /// For a session: its index in the status lists.
    pub status: Option<StatusIndex>,
}
