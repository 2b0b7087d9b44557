//! `chancery client create`.

use clap::Args;
use serde_json::json;

use super::{DIRECT_LOGIN, GUEST, REFRESH_TOKEN, client_json, refuse_useless};
use crate::{
    cli::{DatabaseArgs, output},
    secret::ClientSecret,
    service::{Admin, NewClientRequest},
    time::Ttl,
};

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(in crate::cli) struct Create {
    /// Client id.
    id: String,
    /// Public client, which cannot keep a secret: a browser, mobile or desktop application.
    #[arg(long)]
    public: bool,
    /// First-party client, which may ask your users for their passwords.
    #[arg(long)]
    first_party: bool,
    /// Grant it may use: `direct_login`, `refresh_token`, `client_credentials` or `guest` [default: those that fit its kind]
    #[arg(long = "grant", value_name = "G")]
    grants: Vec<String>,
    /// Audience its tokens may be for; repeat it for more, the first is the default.
    #[arg(long = "audience", value_name = "A")]
    audiences: Vec<String>,
    /// Audience that this client itself serves.
    #[arg(long = "serves", value_name = "A")]
    serves: Vec<String>,
    /// Scope it may ask for.
    #[arg(long = "scope", value_name = "S")]
    scopes: Vec<String>,
    /// Permission of its own tokens: `P` at this server, `P@A` at the audience A.
    #[arg(long = "permission", value_name = "P")]
    permissions: Vec<String>,
    /// Role of the client itself.
    #[arg(long = "role", value_name = "R")]
    roles: Vec<String>,
    /// Algorithm that signs its access tokens: RS256, ES256 or `EdDSA` [default: RS256]
    #[arg(long, value_name = "ALG")]
    alg: Option<String>,
    /// Lifetime of its access tokens: seconds, or such as 10m [default: 5m, or as long as a session may be idle if
    /// that is less]
    #[arg(long, value_name = "TIME")]
    token_lifetime: Option<Ttl>,
    /// How long its users' sessions may be idle: seconds, or such as 12h or 7d [default: 7d, or as long as
    /// a session may last if that is less]
    #[arg(long, value_name = "TIME")]
    session_idle: Option<Ttl>,
    /// How long its users' sessions may last, however often they are refreshed [default: 30d, or as long as a
    /// session may be idle if that is more]
    #[arg(long, value_name = "TIME")]
    session_absolute: Option<Ttl>,
    /// Claim in its users' tokens: a path into the user's attributes, or a fixed text in quotes.
    #[arg(long = "claim", value_name = "NAME=PATH")]
    claims: Vec<String>,
    /// Let people open accounts through it.
    #[arg(long)]
    registration: bool,
    /// Require its users to have a verified email address.
    #[arg(long)]
    require_email: bool,
    /// Require its users to sign in with two factors.
    #[arg(long)]
    require_mfa: bool,
    /// Target of links in mails, such as `https://shop.example/{kind}?token={token}`.
    #[arg(long, value_name = "URL")]
    link_template: Option<String>,
    /// Name by which its users know it, as mails show it [default: its id]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    display_name: String,
    /// Where its sign-in pages stand, such as `https://shop.example/auth`; for first-party clients.
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    site: String,
    /// Where people go who signed in without having asked for a page [default: /]
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    site_home: String,
    /// Its picture on the pages: an https URL, or a path at its site.
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    logo_uri: String,
    /// Colour of buttons and links on its pages.
    #[arg(long, value_name = "#RRGGBB", default_value = "", hide_default_value = true)]
    accent_color: String,
    /// Origin whose pages may call this server in its name, such as `https://app.example`; repeat it for more.
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    cors_origins: Vec<String>,
    /// Give access tokens to scripts at its site, for pages without a server of their own.
    #[arg(long)]
    browser_tokens: bool,
    /// What becomes of the data of guests who sign in at its site, where the account has some too: `keep_guest` (the
    /// default), `keep_account` or `return_both`; repeat it for more namespaces.
    #[arg(long = "guest-data", value_name = "NAMESPACE=POLICY")]
    guest_data: Vec<String>,
    /// Trust what it says about its users' addresses and browsers, and limit users by that; for confidential
    /// clients only.
    #[arg(long)]
    trusted_end_user: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Create {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<()> {
        self.refuse_useless()?;
        let service = self.database.open_service().await?;
        let request = NewClientRequest {
            id: self.id,
            public: self.public,
            first_party: self.first_party,
            grants: self.grants,
            audiences: self.audiences,
            serves: self.serves,
            scopes: self.scopes,
            permissions: self.permissions,
            algorithm: self.alg,
            token_lifetime: self.token_lifetime.map(Ttl::seconds),
            session_idle: self.session_idle.map(Ttl::seconds),
            session_absolute: self.session_absolute.map(Ttl::seconds),
            claims: self.claims,
            trusted_end_user: self.trusted_end_user,
            display_name: self.display_name,
            site: self.site,
            site_home: self.site_home,
            logo_uri: self.logo_uri,
            accent_color: self.accent_color,
            cors_origins: self.cors_origins,
            browser_tokens: self.browser_tokens,
            guest_data: self.guest_data,
            disabled: false,
            secret: None,
            roles: self.roles,
            registration: self.registration,
            require_email: self.require_email,
            require_mfa: self.require_mfa,
            link_template: self.link_template,
            creation: None,
        };
        let (client, secret) = service.clients.create(&Admin::command(), request).await?;
        if self.json {
            // Scripts expect `client_id` and `client_secret` at the same level.
            let mut printed = client_json(&service, &client);
            if let Some(members) = printed.as_object_mut() {
                members.insert("client_secret".to_owned(), json!(secret.as_ref().map(ClientSecret::expose)));
            }
            return output::json(&printed);
        }
        output::line(&format!("created {}", client.id))?;
        match secret {
            Some(secret) => output::line(&format!("secret, shown only once: {}", secret.expose())),
            None => Ok(()),
        }
    }

    /// Refuses what only a client that signs users in can use, for one that cannot.
    fn refuse_useless(&self) -> anyhow::Result<()> {
        let guests = self.grants.iter().any(|g| g == GUEST);
        let refreshes = self.grants.iter().any(|g| g == REFRESH_TOKEN);
        let given = [
            ("--grant refresh_token", refreshes),
            ("--session-idle", self.session_idle.is_some()),
            ("--session-absolute", self.session_absolute.is_some()),
            ("--claim", !self.claims.is_empty()),
            ("--registration", self.registration),
            ("--require-email", self.require_email),
            ("--require-mfa", self.require_mfa),
            ("--link-template", self.link_template.is_some()),
            ("--trusted-end-user", self.trusted_end_user),
            ("--display-name", !self.display_name.is_empty()),
        ];
        if !self.first_party && !guests {
            refuse_useless(&given, "--first-party")?;
        }
        // The pages of a site sign people in without a grant.
        let signs_nobody_in = self.site.is_empty() && !guests && !self.grants.iter().any(|g| g == DIRECT_LOGIN);
        if !self.grants.is_empty() && signs_nobody_in {
            refuse_useless(&given, "--grant direct_login")?;
        }
        Ok(())
    }
}
