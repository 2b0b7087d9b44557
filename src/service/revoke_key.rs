//! Revoking a signing key at once, because somebody else may have it.

use super::{Admin, Service};
use crate::{
    domain::{
        keys::{ForeignKey, KeyState},
        session::RevokedCause,
        settings::{JWKS_MAX_AGE, JWKS_STALE_IF_ERROR},
    },
    error::{Error, Result},
    store::{By, Revoke},
    time::Timestamp,
};

/// What revoking a key did.
#[derive(Clone, Debug)]
pub struct KeyRevocation {
    /// The key that is gone.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// From when verifiers that only cache the JWKS have dropped it and have its successor.
    pub safe_from: Timestamp,
}

impl Service {
    /// Revokes a signing key, by `kid` or id: it leaves the JWKS at once and every token signed with it
    /// is dead. If it was signing, its successor signs from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if another change of the keys came first.
    pub async fn key_revoke(&self, admin: &Admin, name: &str) -> Result<KeyRevocation> {
        self.live.confirm().await?;
        let snapshot = self.live.snapshot();
        let stored = &snapshot.ring.stored;
        if let Some(key) = snapshot.ring.foreign.iter().find(|k| k.kid == name) {
            return self.foreign_key_revoke(admin, key).await;
        }
        let found = stored.iter().find(|k| k.kid == name || k.id.as_str() == name);
        let key = found.ok_or_else(|| Error::NotFound("signing key", name.to_owned()))?;
        let next = stored.iter().find(|k| k.algorithm == key.algorithm && k.state == KeyState::Next);
        let now = self.now();
        let mut made = Vec::new();
        if key.state != KeyState::Retired {
            made.push(self.new_key(key.algorithm, KeyState::Next, now).await?);
        }
        let rotate_at = now.plus(snapshot.settings.rotation_period);
        if key.state == KeyState::Active && next.is_none() {
            let mut active = self.new_key(key.algorithm, KeyState::Active, now).await?;
            active.rotate_at = Some(rotate_at);
            made.push(active);
        }
        let mut tx = self.store.write().await?;
        let what = Revoke::Key { id: &key.id, kid: &key.kid, state: key.state };
        let by = By { actor: &admin.actor, cause: RevokedCause::Administrator, settings: &snapshot.settings, now };
        let mut won = tx.revoke(what, &by).await? == 1;
        if let (KeyState::Active, Some(next)) = (key.state, next) {
            won = won && tx.key_activate(&next.id, now, rotate_at).await?;
        }
        for key in &made {
            won = won && tx.key_insert(key).await?;
        }
        if !won {
            return Err(Error::Conflict);
        }
        tx.commit().await?;
        self.live.confirm().await?;
        Ok(self.key_revoked(&key.kid, key.algorithm.as_str()))
    }

    /// The same for a key of another issuer: it is published no more.
    async fn foreign_key_revoke(&self, admin: &Admin, key: &ForeignKey) -> Result<KeyRevocation> {
        let (now, settings) = (self.now(), self.live.snapshot().settings.clone());
        let by = By { actor: &admin.actor, cause: RevokedCause::Administrator, settings: &settings, now };
        let mut tx = self.store.write().await?;
        if tx.revoke(Revoke::ForeignKey(&key.kid), &by).await? == 0 {
            return Err(Error::Conflict);
        }
        tx.commit().await?;
        self.live.confirm().await?;
        Ok(self.key_revoked(&key.kid, key.algorithm()))
    }

    fn key_revoked(&self, kid: &str, algorithm: &str) -> KeyRevocation {
        let within = self.live.snapshot().settings.confirm_within;
        let safe_from = self.now().plus(within).plus(JWKS_MAX_AGE).plus(JWKS_STALE_IF_ERROR);
        KeyRevocation { kid: kid.to_owned(), algorithm: algorithm.to_owned(), safe_from }
    }
}
