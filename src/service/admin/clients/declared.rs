//! What files say about clients besides their configuration: the secret, and whose audiences they serve.

use serde_json::json;

use super::{ChangeRecord, ClientPatch, Clients};
use crate::{
    domain::{
        audit::AuditKind,
        client::ClientId,
        declared::{Declared, DeclaredKind},
        feed::ChangeKind,
        scope::Audience,
        session::RevokedCause,
    },
    error::{Error, Result},
    secret::ClientSecretHash,
    service::access::Admin,
    store::{By, Revoke},
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

    /// Takes away a client that an applied file named: it is disabled, and its site is free for the client that takes its
    /// place. All at once, so that a file that names it again brings it back, whatever fails.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if somebody changes it at the same time.
    pub async fn prune(&self, admin: &Admin, id: &str) -> Result<()> {
        self.live.confirm().await?;
        let old = self.live.client(id)?;
        self.check_covers(admin, &old.config)?;
        let patch = ClientPatch { site: Some(String::new()), browser_tokens: Some(false), ..ClientPatch::default() };
        let config = self.patched(&old, &patch)?;
        let (now, settings) = (self.live.now(), self.live.snapshot().settings.clone());
        let mut tx = admin.write(&self.store, &self.live).await?;
        if config != old.config {
            if !tx.client_configure(&old.id, &config, old.revision, now).await? {
                return Err(Error::Conflict);
            }
            let details = json!({ "changed": ["site", "browser_tokens"] });
            let record = ChangeRecord { audit: AuditKind::ClientUpdated, change: ChangeKind::Client, details };
            self.record_change(&mut tx, admin, &old.id, record).await?;
        }
        let by = By { actor: &admin.actor, cause: RevokedCause::Administrator, settings: &settings, now };
        tx.revoke(Revoke::Client(&old.id), &by).await?;
        let noted = Declared { kind: DeclaredKind::Client, name: id.to_owned(), pruned: true };
        tx.declared_note(&noted, now).await?;
        self.live.commit(tx).await
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
