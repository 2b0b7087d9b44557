//! Changing the issuer of a whole deployment, with all server processes stopped.

use serde_json::json;

use super::{Service, start::first_keys};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::ClientConfig,
        feed::{Change, ChangeKind},
        scope::{Audience, PermissionAt},
        session::RevokedCause,
    },
    error::{Error, Result},
};

impl Service {
    /// Gives the deployment another issuer: new signing keys that sign at once, every session ended, and
    /// Chancery's own audience renamed. Gives the number of sessions ended. This value goes on with the
    /// old issuer and is of no more use; so is any server process, which notices and stops signing.
    ///
    /// # Errors
    /// [`Error::Precondition`] if it is the issuer already; [`Error::Conflict`] if another change came first.
    pub async fn issuer_set(&self, issuer: &str) -> Result<u64> {
        let old = self.issuer().to_owned();
        if old == issuer {
            return Err(Error::Precondition(format!("the issuer is already {issuer}")));
        }
        let new: Audience = issuer.parse().map_err(|e| Error::invalid("issuer", format!("{e}")))?;
        let now = self.now();
        let (sealing, entropy) = (self.sealing.clone(), self.entropy.clone());
        let settings = self.live.snapshot().settings.clone();
        let make = move || first_keys(&settings, &sealing, &entropy, now);
        let keys = tokio::task::spawn_blocking(make).await.map_err(|e| Error::Internal(Box::new(e)))??;
        let mut tx = self.store.write().await?;
        if !tx.issuer_set(&old, issuer).await? {
            return Err(Error::Conflict);
        }
        // No entry in the feed for each: no token of theirs has a key any more.
        let ended = tx.sessions_end_all(RevokedCause::IssuerChanged, now).await?;
        tx.keys_delete_all().await?;
        for key in &keys {
            tx.key_insert(key).await?;
        }
        tx.audience_rename(&old, &new).await?;
        for client in tx.clients_all().await? {
            if let Some(config) = renamed(&client.config, &old, &new) {
                tx.client_configure(&client.id, &config, client.revision, now).await?;
            }
        }
        for mut role in tx.roles_all().await? {
            if rename(&mut role.permissions, &old, &new) {
                tx.role_update(&role, now).await?;
            }
        }
        let details = json!({ "from": old, "to": issuer, "sessions_ended": ended });
        tx.audit(now, AuditKind::IssuerChanged, &Actor::command(), issuer, details).await?;
        let epoch = self.live.snapshot().head.epoch.clone();
        tx.feed_new_epoch(&epoch).await?;
        let ends_at = now.plus(self.live.snapshot().settings.revocation_ttl(now));
        tx.change(Change { kind: ChangeKind::Keys, subject: "issuer".to_owned(), at: now, ends_at, status: None });
        tx.commit().await?;
        Ok(ended)
    }
}

/// The configuration with the audience `old` renamed, if it names it.
fn renamed(config: &ClientConfig, old: &str, new: &Audience) -> Option<ClientConfig> {
    let mut out = config.clone();
    for audience in &mut out.audiences {
        if audience.as_str() == old {
            audience.clone_from(new);
        }
    }
    rename(&mut out.permissions, old, new);
    (out != *config).then_some(out)
}

/// Renames the audience of permissions; says whether one had it.
fn rename(permissions: &mut [PermissionAt], old: &str, new: &Audience) -> bool {
    let mut found = false;
    for permission in permissions.iter_mut().filter(|p| p.audience.as_str() == old) {
        permission.audience.clone_from(new);
        found = true;
    }
    found
}
