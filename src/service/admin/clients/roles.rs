//! Assigns roles to clients.

use serde_json::json;

use super::{ChangeRecord, Clients};
use crate::{
    domain::{audit::AuditKind, client::Client, feed::ChangeKind, role::MAX_ROLES},
    error::{Error, Result},
    service::access::Admin,
};

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
