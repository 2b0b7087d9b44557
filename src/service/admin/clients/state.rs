//! Gives clients new secrets, disables and deletes them.

use serde_json::json;

use super::{ChangeRecord, Clients};
use crate::{
    domain::{audit::AuditKind, feed::ChangeKind, session::RevokedCause},
    error::{Error, Result},
    secret::ClientSecret,
    service::access::Admin,
    store::{By, Revoke},
    time::{Timestamp, Ttl},
};

/// Maximum time that a replaced secret may stay valid.
const MAX_OVERLAP: Ttl = Ttl::from_days(30);

impl Clients {
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
}
