//! Rotation of signing keys, on schedule and on request.

use std::sync::Arc;

use serde_json::json;

use super::SigningKeys;
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        feed::ChangeKind,
        keys::{Algorithm, KeyState, KeyStep, PUBLISH_AHEAD, StoredKey, due},
        settings::Settings,
    },
    entropy::Entropy,
    error::{Error, Result},
    keys::{KeyKind, SealingKey, generate},
    service::access::Admin,
    time::Timestamp,
};

/// When a key will start to sign.
#[derive(Clone, Debug)]
pub struct RotationPlan {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The key that takes over.
    pub kid: String,
    /// When it starts to sign.
    pub at: Timestamp,
}

impl SigningKeys {
    /// Runs every rotation step that is due; returns how many were done. Several processes may do so at once: each
    /// step is a compare-and-swap, and the losers do nothing.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn rotate_due(&self) -> Result<usize> {
        let mut done = 0;
        self.live.confirm().await?;
        let now = self.live.now();
        let snapshot = self.live.snapshot();
        for step in due(&snapshot.ring.stored, &snapshot.ring.foreign, &snapshot.settings, now) {
            done += usize::from(self.run_step(&step, now).await?);
        }
        Ok(done)
    }

    async fn run_step(&self, step: &KeyStep, now: Timestamp) -> Result<bool> {
        // The key is generated before the transaction, which blocks other writers.
        let new = match step {
            KeyStep::Create(algorithm) | KeyStep::Activate { algorithm, .. } => {
                Some(self.new_key(*algorithm, KeyState::Next, now).await?)
            }
            KeyStep::Remove(_) | KeyStep::Forget(_) => None,
        };
        let settings = self.live.snapshot().settings.clone();
        let mut tx = self.store.write().await?;
        let (won, subject) = match step {
            KeyStep::Create(algorithm) => (true, algorithm.as_str().to_owned()),
            KeyStep::Activate { next, active, .. } => {
                let retired = match active {
                    Some(active) => tx.key_retire(active, now).await?,
                    None => true,
                };
                let rotate_at = now.plus(settings.rotation_period);
                (retired && tx.key_activate(next, now, rotate_at).await?, next.as_str().to_owned())
            }
            KeyStep::Remove(id) => (tx.key_delete(id, KeyState::Retired).await?, id.as_str().to_owned()),
            KeyStep::Forget(kid) => (tx.foreign_key_delete(kid, now).await?, kid.clone()),
        };
        let won = won && if let Some(key) = &new { tx.key_insert(key).await? } else { true };
        if !won {
            return Ok(false);
        }
        tx.audit(now, AuditKind::KeysRotated, &Actor::system(), &subject, json!({ "step": step_name(step) })).await?;
        tx.change(self.live.change(ChangeKind::Keys, &subject, now));
        self.live.commit(tx).await?;
        Ok(true)
    }

    /// Generates a key off the async runtime: RSA takes a large part of a second.
    pub(super) async fn new_key(&self, algorithm: Algorithm, state: KeyState, now: Timestamp) -> Result<StoredKey> {
        let (sealing, entropy) = (self.sealing.clone(), self.entropy.clone());
        let kind = KeyKind { algorithm, rsa_bits: self.live.snapshot().settings.rsa_bits };
        let make = move || generate(kind, state, sealing.in_use(), &*entropy, now);
        tokio::task::spawn_blocking(make).await.map_err(|e| Error::Internal(Box::new(e)))?
    }

    /// Moves the next rotation to the earliest time that the publication lead time allows.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn rotate_early(&self, admin: &Admin, only: Option<Algorithm>) -> Result<Vec<RotationPlan>> {
        self.rotate_due().await?;
        let now = self.live.now();
        let snapshot = self.live.snapshot();
        let mut tx = admin.write(&self.store, &self.live).await?;
        let mut plans = Vec::new();
        for next in snapshot.ring.stored.iter().filter(|k| k.state == KeyState::Next) {
            if only.is_some_and(|a| a != next.algorithm) {
                continue;
            }
            let at = now.max(next.created_at.plus(PUBLISH_AHEAD));
            let same = |k: &&StoredKey| k.state == KeyState::Active && k.algorithm == next.algorithm;
            if let Some(active) = snapshot.ring.stored.iter().find(same) {
                tx.key_rotate_at(&active.id, at).await?;
            }
            plans.push(RotationPlan { algorithm: next.algorithm, kid: next.kid.clone(), at });
        }
        tx.change(self.live.change(ChangeKind::Keys, "rotate", now));
        self.live.commit(tx).await?;
        self.rotate_due().await?;
        Ok(plans)
    }
}

fn step_name(step: &KeyStep) -> &'static str {
    match step {
        KeyStep::Create(_) => "create",
        KeyStep::Activate { .. } => "activate",
        KeyStep::Remove(_) => "remove",
        KeyStep::Forget(_) => "forget",
    }
}

/// Generates the first keys of an empty database. They sign immediately, because no cache can hold an older set. Each
/// algorithm's successor is published with them.
pub(in crate::service) fn first_keys(
    settings: &Settings,
    sealing: &SealingKey,
    entropy: &Arc<dyn Entropy>,
    now: Timestamp,
) -> Result<Vec<StoredKey>> {
    let mut keys = Vec::new();
    for algorithm in Algorithm::ALL {
        let kind = KeyKind { algorithm, rsa_bits: settings.rsa_bits };
        let mut active = generate(kind, KeyState::Active, sealing, &**entropy, now)?;
        active.rotate_at = Some(now.plus(settings.rotation_period));
        keys.push(active);
        keys.push(generate(kind, KeyState::Next, sealing, &**entropy, now)?);
    }
    Ok(keys)
}
