//! Signing keys: rotation, revocation and publication, and temporary publication of another issuer's keys. Imports
//! `runtime` and `access`.

mod revoke;
mod rotate;
mod trust;
mod watch;

use std::{fmt, sync::Arc};

pub(in crate::service) use self::rotate::first_keys;
pub use self::{
    revoke::KeyRevocation,
    rotate::RotationPlan,
    trust::{ForeignKeyText, TrustedKeys},
    watch::KeyWatcher,
};
use super::{
    access::Admin,
    runtime::{Live, Runtime},
};
use crate::{domain::keys::StoredKey, entropy::Entropy, keys::SealingKeys, store::Store};

/// The signing keys of this deployment.
pub struct SigningKeys {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys")
    }
}

impl SigningKeys {
    pub(in crate::service) fn new(runtime: Runtime) -> Self {
        let Runtime { store, live, sealing, entropy } = runtime;
        Self { store, live, sealing, entropy }
    }

    /// All published signing keys, in order of creation.
    #[must_use]
    pub fn list(&self, _: &Admin) -> Vec<StoredKey> {
        let mut stored = self.live.snapshot().ring.stored.clone();
        stored.sort_by(|a, b| a.id.cmp(&b.id));
        stored
    }
}
