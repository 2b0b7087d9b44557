//! For whom passkeys are made: the host of a site. They work at its origin alone.

use webauthn_rp::request::{AsciiDomain, RpId};

use crate::domain::site::Site;

/// The longest name that is shown for it, in bytes (WebAuthn §5.4.1: authenticators may cut after 64).
const MAX_NAME: usize = 64;

/// Who asks for a passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    host: String,
    origin: String,
    name: String,
}

impl RelyingParty {
    /// The relying party of a site. `name` is what authenticators show. None where the host is an address: browsers make
    /// passkeys for names alone (WebAuthn §5.1.2, "effective domain").
    #[must_use]
    pub fn of(site: &Site, name: &str) -> Option<Self> {
        let host = site.host();
        let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        let known = AsciiDomain::try_from(host.to_owned()).is_ok_and(|domain| domain.as_ref() == host);
        if is_address || !known {
            return None;
        }
        let end = name.floor_char_boundary(MAX_NAME);
        let name = name.get(..end).filter(|name| !name.is_empty()).unwrap_or(host).to_owned();
        Some(Self { host: host.to_owned(), origin: site.origin().to_owned(), name })
    }

    /// The host, which is stored with each passkey.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The only origin at which it may be used: scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// What authenticators show.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is hashed into what authenticators sign.
    pub(super) fn id(&self) -> Option<RpId> {
        AsciiDomain::try_from(self.host.clone()).ok().map(RpId::Domain)
    }
}
