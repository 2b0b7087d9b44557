//! The settings and the issuer of the whole deployment.

mod issuer;
mod restore;
mod settings;

use std::{fmt, sync::Arc};

pub use self::settings::{Setting, SettingUnit};
use crate::{
    entropy::Entropy,
    keys::SealingKeys,
    service::runtime::{Live, Runtime},
    store::Store,
};

/// The deployment's settings and issuer.
pub struct InstanceSettings {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for InstanceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceSettings")
    }
}

impl InstanceSettings {
    pub(in crate::service) fn new(runtime: Runtime) -> Self {
        let Runtime { store, live, sealing, entropy } = runtime;
        Self { store, live, sealing, entropy }
    }
}
