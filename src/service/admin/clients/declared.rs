//! What files say about clients besides their configuration: the secret, and whose audiences they serve.

use serde_json::json;

use super::{ChangeRecord, Clients};
use crate::{
    domain::{audit::AuditKind, client::ClientId, feed::ChangeKind, scope::Audience},
    error::{Error, Result},
    secret::ClientSecretHash,
    service::access::Admin,
    time::Ttl,
};

impl Clients {
    /// Gives a client the secret that a file has for it, unless it has or had it already: then nothing changes, so that
    /// processes with an old and a new file do not undo each other's change. The present secret stays valid for `overlap`.
    /// Returns whether it was given.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the client is public.
    pub async fn take_secret(&self, admin: &Admin, id: &str, secret: ClientSecretHash, overlap: Ttl) -> Result<bool> {
        self.live.confirm().await?;
        let client = self.live.client(id)?;
        self.check_covers(admin, &client.config)?;
        let Some(present) = client.secret else {
            return Err(Error::Precondition("the client is public and has no secret".to_owned()));
        };
        let now = self.live.now();
        let until = now.plus(overlap);
        let mut tx = admin.write(&self.store, &self.live).await?;
        if !tx.client_take_secret(&client.id, secret, until, now).await? {
            return Ok(false);
        }
        // The one before may come back by an old file; it is remembered even if nobody noted it so far.
        tx.declared_secret_note(&client.id, present, now).await?;
        tx.declared_secret_note(&client.id, secret, now).await?;
        let details = json!({ "previous_counts_until": until.to_string() });
        let record = ChangeRecord { audit: AuditKind::ClientSecretRotated, change: ChangeKind::Client, details };
        self.record_change(&mut tx, admin, &client.id, record).await?;
        self.live.commit(tx).await?;
        Ok(true)
    }

    /// Makes sure that an audience exists, and gives it another owner, or none.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it has another owner than `from`.
    pub async fn pass_audience(&self, admin: &Admin, name: &str, from: Option<&str>, to: Option<&str>) -> Result<()> {
        self.live.confirm().await?;
        let audience: Audience = name.parse().map_err(|problem| Error::invalid("audience", format!("{problem}")))?;
        for id in [from, to].into_iter().flatten() {
            // The owner may be deleted: then its audience is nobody's.
            if let Ok(client) = self.live.client(id) {
                self.check_covers(admin, &client.config)?;
            }
        }
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        let is_new = tx.audience_ensure(&audience, now).await?;
        if from == to {
            return if is_new { tx.commit().await.map(|_| ()) } else { Ok(()) };
        }
        if !tx.audience_pass(name, from, to).await? {
            return Err(Error::Conflict);
        }
        for id in [from, to].into_iter().flatten() {
            let details = json!({ "changed": ["serves"], "audience": name });
            let record = ChangeRecord { audit: AuditKind::ClientUpdated, change: ChangeKind::Client, details };
            let id: ClientId = ClientId::from_database(id.to_owned());
            self.record_change(&mut tx, admin, &id, record).await?;
        }
        self.live.commit(tx).await
    }
}
