//! Immediate revocation of a signing key that may be compromised.

use super::SigningKeys;
use crate::{
    domain::{
        keys::{ForeignKey, KeyState},
        session::RevokedCause,
        settings::{JWKS_MAX_AGE, JWKS_STALE_IF_ERROR},
    },
    error::{Error, Result},
    service::access::Admin,
    store::{By, Revoke},
    time::Timestamp,
};

/// The result of revoking a key.
#[derive(Clone, Debug)]
pub struct KeyRevocation {
    /// The revoked key.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// When all verifiers that only cache the JWKS will have dropped the key and fetched its successor.
    pub safe_from: Timestamp,
}

impl SigningKeys {
    /// Revokes a signing key by `kid` or id. It leaves the JWKS immediately, and every token signed with it becomes
    /// invalid. If it was active, its successor takes over.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the keys were changed concurrently.
    pub async fn revoke(&self, admin: &Admin, name: &str) -> Result<KeyRevocation> {
        self.live.confirm().await?;
        let snapshot = self.live.snapshot();
        let stored = &snapshot.ring.stored;
        if let Some(key) = snapshot.ring.foreign.iter().find(|k| k.kid == name) {
            return self.revoke_foreign(admin, key).await;
        }
        let found = stored.iter().find(|k| k.kid == name || k.id.as_str() == name);
        let key = found.ok_or_else(|| Error::NotFound("signing key", name.to_owned()))?;
        let next = stored.iter().find(|k| k.algorithm == key.algorithm && k.state == KeyState::Next);
        let now = self.live.now();
        let mut new_keys = Vec::new();
        if key.state != KeyState::Retired {
            new_keys.push(self.new_key(key.algorithm, KeyState::Next, now).await?);
        }
        let rotate_at = now.plus(snapshot.settings.rotation_period);
        if key.state == KeyState::Active && next.is_none() {
            let mut active = self.new_key(key.algorithm, KeyState::Active, now).await?;
            active.rotate_at = Some(rotate_at);
            new_keys.push(active);
        }
        let mut tx = admin.write(&self.store, &self.live).await?;
        let what = Revoke::Key { id: &key.id, kid: &key.kid, state: key.state };
        let by = By { actor: &admin.actor, cause: RevokedCause::Administrator, settings: &snapshot.settings, now };
        let mut won = tx.revoke(what, &by).await? == 1;
        if let (KeyState::Active, Some(next)) = (key.state, next) {
            won = won && tx.key_activate(&next.id, now, rotate_at).await?;
        }
        for key in &new_keys {
            won = won && tx.key_insert(key).await?;
        }
        if !won {
            return Err(Error::Conflict);
        }
        self.live.commit(tx).await?;
        Ok(self.key_revocation(&key.kid, key.algorithm.as_str()))
    }

    /// Revokes another issuer's key: it is no longer published.
    async fn revoke_foreign(&self, admin: &Admin, key: &ForeignKey) -> Result<KeyRevocation> {
        let (now, settings) = (self.live.now(), self.live.snapshot().settings.clone());
        let by = By { actor: &admin.actor, cause: RevokedCause::Administrator, settings: &settings, now };
        let mut tx = admin.write(&self.store, &self.live).await?;
        if tx.revoke(Revoke::ForeignKey(&key.kid), &by).await? == 0 {
            return Err(Error::Conflict);
        }
        self.live.commit(tx).await?;
        Ok(self.key_revocation(&key.kid, key.algorithm()))
    }

    fn key_revocation(&self, kid: &str, algorithm: &str) -> KeyRevocation {
        let within = self.live.snapshot().settings.confirm_within;
        let safe_from = self.live.now().plus(within).plus(JWKS_MAX_AGE).plus(JWKS_STALE_IF_ERROR);
        KeyRevocation { kid: kid.to_owned(), algorithm: algorithm.to_owned(), safe_from }
    }
}
