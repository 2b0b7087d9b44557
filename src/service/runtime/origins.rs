//! The origins of pages that call this server in the name of clients.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::domain::{client::Client, site::WebOrigin};

/// The origins that enabled clients have declared, as browsers send them.
#[derive(Debug, Default)]
pub(in crate::service) struct Origins(HashSet<String>);

impl Origins {
    /// Made once whenever clients change. Nobody calls in the name of a disabled client.
    pub(super) fn of(clients: &HashMap<String, Arc<Client>>) -> Arc<Self> {
        let enabled = clients.values().filter(|client| client.disabled_at.is_none());
        let declared = enabled.flat_map(|client| &client.config.cors_origins);
        Arc::new(Self(declared.map(WebOrigin::to_string).collect()))
    }

    pub(in crate::service) fn contains(&self, origin: &str) -> bool {
        self.0.contains(origin)
    }
}
