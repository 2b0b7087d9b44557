//! The sites of clients, by origin.

use std::{collections::HashMap, sync::Arc};

use crate::domain::{
    client::Client,
    site::{Site, origin_of},
};

/// The enabled clients that have a site, by its origin.
#[derive(Debug, Default)]
pub(in crate::service) struct Sites(HashMap<String, (Arc<Client>, Site)>);

impl Sites {
    /// Made once whenever clients change. A disabled client has no pages.
    pub(super) fn of(clients: &HashMap<String, Arc<Client>>) -> Arc<Self> {
        let enabled = clients.values().filter(|client| client.disabled_at.is_none());
        let with_site = enabled.filter_map(|client| Some((client.config.site.clone()?, client.clone())));
        Arc::new(Self(with_site.map(|(site, client)| (site.origin().to_owned(), (client, site))).collect()))
    }

    /// The site at exactly this scheme and host, and whose it is.
    pub(super) fn at(&self, scheme: &str, authority: &str) -> Option<(Arc<Client>, Site)> {
        self.0.get(&origin_of(scheme, authority)?).cloned()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Site> {
        self.0.values().map(|(_, site)| site)
    }
}
