//! What a client says about its pages: where they stand and how they look.

use super::{ACCOUNT_CLIENT, ClientPatch, Clients, NewClientRequest};
use crate::{
    domain::{
        branding::{AccentColor, LogoUri},
        client::{Client, ClientConfig, ClientId},
        site::Site,
    },
    error::{Error, Result, Violations},
    service::runtime::Snapshot,
    store::SITE_TAKEN,
};

/// The pages of a new client.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) site: Option<Site>,
    pub(super) logo_uri: Option<LogoUri>,
    pub(super) accent_color: Option<AccentColor>,
}

/// The pages that a request asks for. Without a snapshot, nobody looks whose site it is.
pub(super) fn new_pages(violations: &mut Violations, request: &NewClientRequest, snapshot: Option<&Snapshot>) -> Pages {
    let site = site(violations, &request.site).and_then(|site| with_home(violations, site, &request.site_home));
    if request.site.is_empty() {
        violations.require(request.site_home.is_empty(), "site_home", HOME_OF_NOTHING);
    }
    if let Some(site) = &site {
        check(violations, site, request.first_party, None, snapshot);
    }
    Pages {
        site,
        logo_uri: given(violations, "logo_uri", &request.logo_uri),
        accent_color: given(violations, "accent_color", &request.accent_color),
    }
}

/// Changes what a patch names. A client that moves to another site keeps its home.
pub(super) fn change_pages(
    violations: &mut Violations,
    patch: &ClientPatch,
    config: &mut ClientConfig,
    (client, snapshot): (&Client, &Snapshot),
) {
    if let Some(text) = &patch.logo_uri {
        config.logo_uri = given(violations, "logo_uri", text);
    }
    if let Some(text) = &patch.accent_color {
        config.accent_color = given(violations, "accent_color", text);
    }
    let home = patch.site_home.as_deref().or_else(|| config.site.as_ref().map(Site::home)).unwrap_or_default();
    let changed = match (&patch.site, &patch.site_home) {
        (None, None) => return,
        (Some(text), _) => site(violations, text),
        (None, Some(_)) => config.site.clone(),
    };
    let has_none = patch.site.as_deref().map_or(config.site.is_none(), str::is_empty);
    let home_is_given = patch.site_home.as_ref().is_some_and(|home| !home.is_empty());
    violations.require(!(has_none && home_is_given), "site_home", HOME_OF_NOTHING);
    config.site = changed.and_then(|site| with_home(violations, site, home));
    if let Some(site) = config.site.as_ref().filter(|_| patch.site.is_some()) {
        check(violations, site, config.first_party, Some(&client.id), Some(snapshot));
    }
}

const HOME_OF_NOTHING: &str = "must be empty where there is no site";

fn given<T>(violations: &mut Violations, field: &'static str, text: &str) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    if text.is_empty() { None } else { violations.take(field, text.parse()) }
}

fn site(violations: &mut Violations, text: &str) -> Option<Site> {
    given(violations, "site", text)
}

fn with_home(violations: &mut Violations, site: Site, home: &str) -> Option<Site> {
    if home.is_empty() { Some(site) } else { violations.take("site_home", site.with_home(home)) }
}

/// The scripts of a site's origin can do whatever its users can, so that is the operator's own. Cookies tell hosts apart,
/// not clients, so a host has one site.
fn check(
    violations: &mut Violations,
    site: &Site,
    first_party: bool,
    own: Option<&ClientId>,
    snapshot: Option<&Snapshot>,
) {
    violations.require(first_party, "site", "is for first-party clients");
    let Some(snapshot) = snapshot else { return };
    let key = site.key();
    let others = snapshot.clients.values().filter(|other| Some(&other.id) != own);
    let mut same = others.filter(|other| other.config.site.as_ref().is_some_and(|its| its.key() == key));
    if let Some(other) = same.next() {
        violations.add("site", format!("there is a site at {key} already, that of the client {}", other.id));
    }
}

impl Clients {
    /// Says how to go on where a client has a site, but nothing that the tokens for its application could be for. It is
    /// no error: pages alone need none, as those of the account at the issuer.
    pub(super) fn warn_of_no_audience(&self, client: &Client) {
        let ClientConfig { site, .. } = &client.config;
        let issuer = self.live.issuer();
        let own = Site::at(issuer, "/x").ok();
        let is_issuers = |site: &Site| own.as_ref().is_some_and(|own| own.origin() == site.origin());
        let has_none = client.config.application_audiences(issuer).next().is_none();
        if has_none && client.id.as_str() != ACCOUNT_CLIENT && site.as_ref().is_some_and(|site| !is_issuers(site)) {
            let id = &client.id;
            tracing::warn!(
                "the client {id} has a site, but no audience besides the issuer: /auth/check and /auth/token have no token \
                 for its application; give it one with `chancery client update {id}`"
            );
        }
    }

    /// What was written, or which client has the site, where another process has given it away in the meantime.
    pub(super) async fn unless_site_is_taken(&self, written: Result<bool>, client: &Client) -> Result<bool> {
        if !matches!(written, Err(Error::Exists(SITE_TAKEN, _))) {
            return written;
        }
        self.live.confirm().await?;
        let mut violations = Violations::default();
        if let Some(site) = &client.config.site {
            check(&mut violations, site, client.config.first_party, Some(&client.id), Some(&self.live.snapshot()));
        }
        // It was taken, and is free again.
        violations.into_result(false).and(Err(Error::Conflict))
    }
}
