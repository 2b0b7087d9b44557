//! Changes the issuer of a whole deployment, while all server processes are stopped.

use serde_json::json;

use super::InstanceSettings;
use crate::{
    domain::{
        audit::AuditKind,
        client::{Client, ClientConfig},
        feed::ChangeKind,
        scope::{Audience, PermissionAt},
        session::RevokedCause,
        site::Site,
    },
    error::{Error, Result},
    service::{access::Admin, signing_keys::first_keys},
};

impl InstanceSettings {
    /// Changes the deployment's issuer: creates new signing keys that sign immediately, ends every session, and
    /// renames Chancery's own audience. Returns how many sessions ended. This value keeps the old issuer and must not
    /// be used afterwards. A server process that still runs notices the change and stops signing.
    ///
    /// # Errors
    /// [`Error::Precondition`] if it is already the issuer; [`Error::Conflict`] if the issuer was changed
    /// concurrently.
    pub async fn set_issuer(&self, admin: &Admin, issuer: &str) -> Result<u64> {
        let old = self.live.issuer().to_owned();
        if old == issuer {
            return Err(Error::Precondition(format!("the issuer is already {issuer}")));
        }
        let new: Audience = issuer.parse().map_err(|e| Error::invalid("issuer", format!("{e}")))?;
        let now = self.live.now();
        let (sealing, entropy) = (self.sealing.clone(), self.entropy.clone());
        let settings = self.live.snapshot().settings.clone();
        let make = move || first_keys(&settings, sealing.in_use(), &entropy, now);
        let keys = tokio::task::spawn_blocking(make).await.map_err(|e| Error::Internal(Box::new(e)))??;
        let mut tx = self.store.write().await?;
        if !tx.issuer_set(&old, issuer).await? {
            return Err(Error::Conflict);
        }
        // No feed entry per session: the keys of all their tokens are gone.
        let ended = tx.sessions_end_all(RevokedCause::IssuerChanged, now).await?;
        tx.keys_delete_all().await?;
        for key in &keys {
            tx.key_insert(key).await?;
        }
        tx.audience_rename(&old, &new).await?;
        let clients = tx.clients_all().await?;
        for client in &clients {
            if let Some(config) = renamed(client, &clients, &old, &new) {
                tx.client_configure(&client.id, &config, client.revision, now).await?;
            }
        }
        for mut role in tx.roles_all().await? {
            if rename(&mut role.permissions, &old, &new) {
                tx.role_update(&role, now).await?;
            }
        }
        let details = json!({ "from": old, "to": issuer, "sessions_ended": ended });
        tx.audit(now, AuditKind::IssuerChanged, &admin.actor, issuer, details).await?;
        let epoch = self.live.snapshot().head.epoch.clone();
        tx.feed_new_epoch(&epoch).await?;
        tx.change(self.live.change(ChangeKind::Keys, "issuer", now));
        tx.commit().await?;
        Ok(ended)
    }
}

/// The configuration with the audience `old` renamed, and the issuer's own site moved; `None` if it contains neither.
fn renamed(client: &Client, all: &[Client], old: &str, new: &Audience) -> Option<ClientConfig> {
    let config = &client.config;
    let mut out = config.clone();
    if let Some(site) = &config.site
        && Site::at(old, site.prefix()).is_ok_and(|own| own.origin() == site.origin())
        && let Ok(moved) = site.moved_to(new.as_str())
        && !all.iter().any(|other| other.id != client.id && has_site(other, &moved))
    {
        out.site = Some(moved);
    }
    for audience in &mut out.audiences {
        if audience.as_str() == old {
            audience.clone_from(new);
        }
    }
    rename(&mut out.permissions, old, new);
    (out != *config).then_some(out)
}

/// Whether a client has the place of this site.
fn has_site(client: &Client, site: &Site) -> bool {
    client.config.site.as_ref().is_some_and(|its| its.key() == site.key())
}

/// Renames the audience in permissions; returns whether any had it.
fn rename(permissions: &mut [PermissionAt], old: &str, new: &Audience) -> bool {
    let mut found = false;
    for permission in permissions.iter_mut().filter(|p| p.audience.as_str() == old) {
        permission.audience.clone_from(new);
        found = true;
    }
    found
}
