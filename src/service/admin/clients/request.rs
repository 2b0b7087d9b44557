//! What is asked for a client: a new one, or a change.

use crate::{secret::ClientSecret, service::admin::creations::CreationKey};

/// A client to register, as an operator describes it.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, as operators write them")]
pub struct NewClientRequest {
    /// Its id.
    pub id: String,
    /// Whether it has no secret.
    pub public: bool,
    /// Whether the deployment's owner runs it.
    pub first_party: bool,
    /// Its grants; empty means the defaults.
    pub grants: Vec<String>,
    /// The audiences it may request; the first is its default.
    pub audiences: Vec<String>,
    /// The audiences it serves.
    pub serves: Vec<String>,
    /// The scopes it may request.
    pub scopes: Vec<String>,
    /// Its permissions: `P` at this server's own audience, `P@A` at another audience.
    pub permissions: Vec<String>,
    /// Its roles, by id or name.
    pub roles: Vec<String>,
    /// The algorithm of its tokens.
    pub algorithm: Option<String>,
    /// The lifetime of its access tokens, in seconds.
    pub token_lifetime: Option<i64>,
    /// How long one of its sessions may be idle, in seconds.
    pub session_idle: Option<i64>,
    /// How long one of its sessions may last, in seconds.
    pub session_absolute: Option<i64>,
    /// Claims: `NAME=PATH`, or `NAME="TEXT"` for a fixed text.
    pub claims: Vec<String>,
    /// Whether it allows registration.
    pub registration: bool,
    /// Whether its users must have a verified address.
    pub require_email: bool,
    /// Whether its users must sign in with two factors.
    pub require_mfa: bool,
    /// The URL template of links in mails, with `{token}` and optionally `{kind}`.
    pub link_template: Option<String>,
    /// The name by which its users know it; empty means its id.
    pub display_name: String,
    /// Whether the end-user data it reports is trusted.
    pub trusted_end_user: bool,
    /// The URL below which its sign-in pages stand; empty means it has none.
    pub site: String,
    /// Where people go who asked for no page; empty means `/`.
    pub site_home: String,
    /// Its picture on the pages; empty means none.
    pub logo_uri: String,
    /// The colour of its pages; empty means the usual one.
    pub accent_color: String,
    /// The origins whose pages may call this server in its name.
    pub cors_origins: Vec<String>,
    /// Whether scripts at its site get access tokens.
    pub browser_tokens: bool,
    /// What becomes of the data of guests who sign in at its site: `NAMESPACE=POLICY`.
    pub guest_data: Vec<String>,
    /// Whether it is disabled from the start.
    pub disabled: bool,
    /// A secret to use instead of a generated one: that of a file that is applied, or of the fixed client of
    /// `serve --dev`.
    pub secret: Option<ClientSecret>,
    /// The caller's request id, if the call may be retried.
    pub creation: Option<CreationKey>,
}

/// A change of a client; absent fields stay as they are.
#[derive(Debug, Default)]
pub struct ClientPatch {
    /// Its grants.
    pub grants: Option<Vec<String>>,
    /// The audiences it may request; the first is its default.
    pub audiences: Option<Vec<String>>,
    /// The scopes it may request.
    pub scopes: Option<Vec<String>>,
    /// Its permissions.
    pub permissions: Option<Vec<String>>,
    /// The algorithm of its tokens.
    pub algorithm: Option<String>,
    /// The lifetime of its access tokens, in seconds.
    pub token_lifetime: Option<i64>,
    /// How long one of its sessions may be idle, in seconds; counts for sessions opened from now on.
    pub session_idle: Option<i64>,
    /// How long one of its sessions may last, in seconds; counts for sessions opened from now on.
    pub session_absolute: Option<i64>,
    /// Claims of its users' tokens.
    pub claims: Option<Vec<String>>,
    /// Whether it allows registration.
    pub registration: Option<bool>,
    /// Whether its users must have a verified address.
    pub require_email: Option<bool>,
    /// Whether its users must sign in with two factors.
    pub require_mfa: Option<bool>,
    /// The URL template of links in mails; empty removes it.
    pub link_template: Option<String>,
    /// Whether the end-user data it reports is trusted.
    pub trusted_end_user: Option<bool>,
    /// The name by which its users know it; empty means its id.
    pub display_name: Option<String>,
    /// The URL below which its sign-in pages stand; empty removes it.
    pub site: Option<String>,
    /// Where people go who asked for no page; empty means `/`.
    pub site_home: Option<String>,
    /// Its picture on the pages; empty removes it.
    pub logo_uri: Option<String>,
    /// The colour of its pages; empty means the usual one.
    pub accent_color: Option<String>,
    /// The origins whose pages may call this server in its name.
    pub cors_origins: Option<Vec<String>>,
    /// Whether scripts at its site get access tokens.
    pub browser_tokens: Option<bool>,
    /// What becomes of the data of guests who sign in at its site: `NAMESPACE=POLICY`.
    pub guest_data: Option<Vec<String>>,
}
