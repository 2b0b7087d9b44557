//! What an entry of each kind may say: the names are those of the administrators' API.

use super::value::Form;

/// A key of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
}

const fn key(name: &'static str, form: Form) -> Key {
    Key { name, form }
}

/// A kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Audience,
    Role,
    Client,
    User,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Audience, Self::Role, Self::Client, Self::User];

    /// The name of its tables.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Role => "role",
            Self::Client => "client",
            Self::User => "user",
        }
    }

    /// The key that tells one from another.
    pub(super) const fn identity(self) -> &'static str {
        match self {
            Self::Client => "client_id",
            Self::Audience | Self::Role | Self::User => "name",
        }
    }

    pub(super) const fn keys(self) -> &'static [Key] {
        match self {
            Self::Audience => &AUDIENCE,
            Self::Role => &ROLE,
            Self::Client => &CLIENT,
            Self::User => &USER,
        }
    }

    /// The key of this name.
    pub(super) fn key(self, name: &str) -> Option<Key> {
        self.keys().iter().find(|key| key.name == name).copied()
    }
}

const AUDIENCE: [Key; 2] = [key("name", Form::Text), key("owner", Form::Text)];

const ROLE: [Key; 4] = [
    key("name", Form::Text),
    key("description", Form::Text),
    key("permissions", Form::List),
    key("require_mfa", Form::Switch),
];

/// In the order in which they are exported.
const CLIENT: [Key; 28] = [
    key("client_id", Form::Text),
    key("public", Form::Switch),
    key("first_party", Form::Switch),
    key("display_name", Form::Text),
    key("grants", Form::List),
    key("audiences", Form::List),
    key("serves", Form::List),
    key("scopes", Form::List),
    key("permissions", Form::List),
    key("roles", Form::List),
    key("algorithm", Form::Text),
    key("token_lifetime", Form::Length),
    key("session_idle", Form::Length),
    key("session_absolute", Form::Length),
    key("registration", Form::Switch),
    key("require_email", Form::Switch),
    key("require_mfa", Form::Switch),
    key("link_template", Form::Text),
    key("trusted_end_user", Form::Switch),
    key("site", Form::Text),
    key("site_home", Form::Text),
    key("logo_uri", Form::Text),
    key("accent_color", Form::Text),
    key("cors_origins", Form::List),
    key("browser_tokens", Form::Switch),
    key("disabled", Form::Switch),
    key("claims", Form::Table),
    key("guest_data", Form::Table),
];

/// The file with a client's secret. It is no value: it is read, and neither shown nor exported.
pub(super) const SECRET_FILE: &str = "secret_file";
/// The file with the password of a new user.
pub(super) const PASSWORD_FILE: &str = "password_file";

const USER: [Key; 5] = [
    key("name", Form::Text),
    key("emails", Form::List),
    key("subject", Form::Text),
    key("language", Form::Text),
    key("roles", Form::List),
];

/// What may be said of the issuer's own client. The rest is the server's.
pub(super) const OF_ACCOUNT_CLIENT: [&str; 14] = [
    "client_id",
    "display_name",
    "session_idle",
    "session_absolute",
    "registration",
    "require_email",
    "require_mfa",
    "link_template",
    "site_home",
    "logo_uri",
    "accent_color",
    "cors_origins",
    "claims",
    "guest_data",
];

/// What stands for the issuer as an audience, so that one file serves several deployments.
pub(super) const ISSUER: &str = "$issuer";
