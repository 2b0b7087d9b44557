//! Clients: the applications and services registered with this server.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    audit::Actor,
    branding::{AccentColor, LogoUri},
    guest::GuestDataPolicy,
    keys::Algorithm,
    later::Later,
    scope::{Audience, PermissionAt, Scope},
    site::{Site, WebOrigin},
    status_list::StatusIndex,
    text::Label,
};
use crate::{
    id::{RoleId, looks_generated},
    secret::ClientSecretHash,
    time::{Timestamp, Ttl},
};

/// A client's id, chosen by the operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(String);

/// Why a text is not a client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientIdError {
    /// The length or a character is wrong.
    #[error("must be 1 to 64 characters of [A-Za-z0-9._-], the first a letter or digit")]
    Form,
    /// The audit log uses it for something else.
    #[error("is reserved")]
    Reserved,
    /// It could be mistaken for a generated id (RFC 9700 §4.15).
    #[error("must not look like a generated id")]
    LooksGenerated,
}

impl ClientId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps an id read from the database, without checking it.
    #[must_use]
    pub fn from_database(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for ClientId {
    type Err = ClientIdError;
    fn from_str(text: &str) -> Result<Self, ClientIdError> {
        let form = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if Actor::RESERVED.contains(&text) {
            return Err(ClientIdError::Reserved);
        }
        match (form, looks_generated(text)) {
            (false, _) => Err(ClientIdError::Form),
            (_, true) => Err(ClientIdError::LooksGenerated),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A way in which a client may obtain tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// The Login call; first-party clients only.
    DirectLogin,
    /// Refresh tokens.
    RefreshToken,
    /// Tokens for the client itself; confidential clients only.
    ClientCredentials,
    /// Sessions of guests, who have no account.
    Guest,
}

impl Grant {
    /// The name on the command line and in metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DirectLogin => "direct_login",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::Guest => "guest",
        }
    }
}

impl FromStr for Grant {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::DirectLogin, Self::RefreshToken, Self::ClientCredentials, Self::Guest];
        let found = all.into_iter().find(|g| g.as_str() == text);
        found.ok_or_else(|| "must be direct_login, refresh_token, client_credentials or guest".to_owned())
    }
}

/// Where a mapped claim's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimSource {
    /// A path into the user's attributes, such as `address.country`.
    Attribute(String),
    /// A fixed text.
    Literal(String),
}

/// Everything about a client except its id, secret and dates; stored as one JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, as operators write them")]
pub struct ClientConfig {
    /// Whether it belongs to the deployment's owner.
    pub first_party: bool,
    /// How it may obtain tokens.
    pub grants: Vec<Grant>,
    /// The audiences it may request; the first is the default.
    pub audiences: Vec<Audience>,
    /// The scopes it may request.
    pub scopes: Vec<Scope>,
    /// The permissions in its own tokens.
    pub permissions: Vec<PermissionAt>,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<RoleId>,
    /// The algorithm its tokens are signed with.
    pub algorithm: Algorithm,
    /// The lifetime of its access tokens.
    pub token_lifetime: Ttl,
    /// The lifetime before the last change, and the time of that change.
    #[serde(default)]
    pub previous_token_lifetime: Option<(Ttl, Timestamp)>,
    /// Since when every change of the lifetime is noted here. A release that did not know of notes leaves nothing.
    #[serde(default)]
    pub token_lifetimes_noted_since: Option<Timestamp>,
    /// How long one of its sessions may be idle.
    pub session_idle: Ttl,
    /// How long one of its sessions may last at most.
    pub session_absolute: Ttl,
    /// Extra claims in its users' tokens.
    pub claim_map: BTreeMap<String, ClaimSource>,
    /// Whether the end user's address that it reports is trusted.
    pub trusted_end_user: bool,
    /// Whether people may register accounts through it.
    #[serde(default)]
    pub registration: bool,
    /// Whether its users must have a verified email address.
    #[serde(default)]
    pub require_email: bool,
    /// Whether its users must sign in with two factors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_mfa: bool,
    /// Template for links in mails: `{token}` is replaced by the secret, `{kind}` by the purpose.
    #[serde(default)]
    pub link_template: Option<String>,
    /// The name by which its users know it, if that is not its id.
    #[serde(default)]
    pub display_name: Option<Label>,
    /// Where its sign-in pages stand; first-party clients only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Its picture on the pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<LogoUri>,
    /// The colour of its pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accent_color: Option<AccentColor>,
    /// The origins whose pages may call this server in its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cors_origins: Vec<WebOrigin>,
    /// Whether scripts at its site get access tokens for the user who is signed in there.
    #[serde(default)]
    pub browser_tokens: bool,
    /// What becomes of the data of guests who sign in at its site, by namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guest_data: BTreeMap<String, GuestDataPolicy>,
    /// Members of later releases.
    #[serde(flatten)]
    pub later: Later,
}

impl ClientConfig {
    /// Maximum length of a display name, in characters.
    pub const MAX_DISPLAY_NAME: usize = 64;
    /// Maximum number of origins whose pages may call this server in a client's name.
    pub const MAX_CORS_ORIGINS: usize = 16;
    /// Default access token lifetime.
    pub const TOKEN_LIFETIME: Ttl = Ttl::from_secs(300);
    /// Default for the idle time of sessions.
    pub const SESSION_IDLE: Ttl = Ttl::from_days(7);
    /// Default for the maximum age of sessions.
    pub const SESSION_ABSOLUTE: Ttl = Ttl::from_days(30);
    /// The longest that a session may last.
    pub const MAX_SESSION: Ttl = Ttl::from_days(400);

    /// The audiences of the tokens for the application at its site: never the issuer, at which an application could act
    /// in the user's name.
    pub fn application_audiences(&self, issuer: &str) -> impl Iterator<Item = &Audience> {
        self.audiences.iter().filter(move |audience| audience.as_str() != issuer)
    }
}

/// A registered client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The id.
    pub id: ClientId,
    /// The hash of its secret; a public client has none.
    pub secret: Option<ClientSecretHash>,
    /// The configuration.
    pub config: ClientConfig,
    /// When it was disabled, if it is.
    pub disabled_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The position of its bit in the status lists.
    pub status: Option<StatusIndex>,
    /// The hash of the previous secret, and when that expires.
    pub previous_secret: Option<(ClientSecretHash, Timestamp)>,
    /// Increases with every change.
    pub revision: i64,
}

impl Client {
    /// Whether a secret with this hash authenticates the client.
    #[must_use]
    pub fn accepts(&self, presented: &ClientSecretHash, now: Timestamp) -> bool {
        let current = self.secret.is_some_and(|hash| hash.matches(presented));
        let previous = self.previous_secret.filter(|(_, until)| now < *until);
        // Always compare both: the time taken must reveal nothing.
        current | previous.is_some_and(|(hash, _)| hash.matches(presented))
    }

    /// The name by which its users know it.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.config.display_name.as_ref().map_or(self.id.as_str(), Label::as_str)
    }

    /// Whether pages of this origin, as browsers send it, may call this server in the client's name.
    #[must_use]
    pub fn declares_origin(&self, origin: &str) -> bool {
        self.config.cors_origins.iter().any(|declared| declared.as_str() == origin)
    }

    /// Whether the client may use this grant.
    #[must_use]
    pub fn may(&self, grant: Grant) -> bool {
        self.config.grants.contains(&grant)
    }

    /// Whether the address and user agent that it reports for the end user are trusted. A public client's are not:
    /// anybody could make requests in its name.
    #[must_use]
    pub fn may_report_end_user(&self) -> bool {
        self.secret.is_some() && self.config.trusted_end_user
    }

    /// The audience for a token: the requested one, or the default if none is. Nothing if the client may not use it.
    #[must_use]
    pub fn audience(&self, asked: &str) -> Option<&Audience> {
        match asked {
            "" => self.config.audiences.first(),
            _ => self.config.audiences.iter().find(|a| a.as_str() == asked),
        }
    }

    /// The permissions in its own tokens for an audience.
    #[must_use]
    pub fn permissions_at(&self, audience: &str) -> Vec<String> {
        let of_audience = self.config.permissions.iter().filter(|p| p.audience.as_str() == audience);
        of_audience.map(|p| p.permission.as_str().to_owned()).collect()
    }
}

/// Claims that a claim map must not set: registered claims, and those this server sets itself.
pub const RESERVED_CLAIMS: [&str; 28] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "entitlements",
    "roles",
    "groups",
    "sid",
    "auth_time",
    "amr",
    "acr",
    "azp",
    "nonce",
    "cnf",
    "act",
    "may_act",
    "status",
    "events",
    "txn",
    "token_use",
    "at_hash",
    "c_hash",
    "sub_id",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j20_a_client_id_never_looks_like_a_generated_id() {
        assert!("orders-service".parse::<ClientId>().is_ok());
        assert_eq!("usr_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse::<ClientId>(), Err(ClientIdError::LooksGenerated));
        for bad in ["", "-x", "a b", "a:b", "é", "a\0"] {
            assert_eq!(bad.parse::<ClientId>(), Err(ClientIdError::Form), "{bad:?}");
        }
    }
}
