//! `chancery client update`.

use clap::Args;

use super::{DIRECT_LOGIN, GUEST, REFRESH_TOKEN, client_json, refuse_useless};
use crate::{
    cli::{DatabaseArgs, arguments, output},
    domain::client::{Client, Grant},
    service::{Admin, ClientPatch},
    time::Ttl,
};

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(in crate::cli) struct Update {
    /// Client id.
    id: String,
    /// Grant it may use: `direct_login`, `refresh_token`, `client_credentials` or `guest`; those given replace all.
    #[arg(long = "grant", value_name = "G")]
    grants: Vec<String>,
    /// Audience its tokens may be for; those given replace all, the first is the default.
    #[arg(long = "audience", value_name = "A")]
    audiences: Vec<String>,
    /// Scope it may ask for; those given replace all.
    #[arg(long = "scope", value_name = "S", conflicts_with = "no_scopes")]
    scopes: Vec<String>,
    /// Take all scopes away.
    #[arg(long)]
    no_scopes: bool,
    /// Permission of its own tokens: `P` at this server, `P@A` at the audience A; those given replace all.
    #[arg(long = "permission", value_name = "P", conflicts_with = "no_permissions")]
    permissions: Vec<String>,
    /// Take all permissions away.
    #[arg(long)]
    no_permissions: bool,
    /// Algorithm that signs its access tokens: RS256, ES256 or `EdDSA`.
    #[arg(long, value_name = "ALG")]
    alg: Option<String>,
    /// Lifetime of its access tokens: seconds, or such as 10m.
    #[arg(long, value_name = "TIME")]
    token_lifetime: Option<Ttl>,
    /// How long sessions that are opened from now on may be idle: seconds, or such as 12h or 7d.
    #[arg(long, value_name = "TIME")]
    session_idle: Option<Ttl>,
    /// How long sessions that are opened from now on may last, however often they are refreshed.
    #[arg(long, value_name = "TIME")]
    session_absolute: Option<Ttl>,
    /// Claim in its users' tokens: a path into the user's attributes, or a fixed text in quotes; those given replace
    /// all.
    #[arg(long = "claim", value_name = "NAME=PATH", conflicts_with = "no_claims")]
    claims: Vec<String>,
    /// Map no claims.
    #[arg(long)]
    no_claims: bool,
    /// Let people open accounts through it, or no longer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    registration: Option<bool>,
    /// Require its users to have a verified email address, or no longer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_email: Option<bool>,
    /// Require its users to sign in with two factors, or no longer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_mfa: Option<bool>,
    /// Target of links in mails, such as `https://shop.example/{kind}?token={token}`; an empty one removes it.
    #[arg(long, value_name = "URL")]
    link_template: Option<String>,
    /// Name by which its users know it, as mails show it; an empty one makes it the id.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Where its sign-in pages stand, such as `https://shop.example/auth`; an empty one removes them.
    #[arg(long, value_name = "URL")]
    site: Option<String>,
    /// Where people go who signed in without having asked for a page; an empty one makes it /
    #[arg(long, value_name = "PATH")]
    site_home: Option<String>,
    /// Its picture on the pages: an https URL, or a path at its site; an empty one removes it.
    #[arg(long, value_name = "URL")]
    logo_uri: Option<String>,
    /// Colour of buttons and links on its pages; an empty one is the usual one.
    #[arg(long, value_name = "#RRGGBB")]
    accent_color: Option<String>,
    /// Origin whose pages may call this server in its name, such as `https://app.example`; those given replace all.
    #[arg(long = "cors-origin", value_name = "ORIGIN", conflicts_with = "no_cors_origins")]
    cors_origins: Vec<String>,
    /// Let no pages call this server in its name.
    #[arg(long)]
    no_cors_origins: bool,
    /// Give access tokens to scripts at its site, or no longer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    browser_tokens: Option<bool>,
    /// What becomes of the data of guests who sign in at its site, where the account has some too: `keep_guest`,
    /// `keep_account` or `return_both`; those given replace all.
    #[arg(long = "guest-data", value_name = "NAMESPACE=POLICY", conflicts_with = "no_guest_data")]
    guest_data: Vec<String>,
    /// Keep the data of guests who sign in, in every namespace.
    #[arg(long)]
    no_guest_data: bool,
    /// Trust what it says about its users' addresses and browsers, or no longer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    trusted_end_user: Option<bool>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Update {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<()> {
        let Self { id, json, database, .. } = &self;
        let patch = self.patch();
        if patch.is_empty() {
            let text = "nothing to change: give at least one of the flags that `chancery client update --help` lists";
            return Err(arguments::usage(text.to_owned()).into());
        }
        let service = database.open_service().await?;
        refuse_useless_for(&*service.clients.get(&Admin::command(), id)?, &patch)?;
        let client = service.clients.update(&Admin::command(), id, &patch, None).await?;
        if *json { output::json(&client_json(&service, &client)) } else { output::line(&format!("changed {id}")) }
    }

    fn patch(&self) -> ClientPatch {
        let list = |given: &Vec<String>, none: bool| (none || !given.is_empty()).then(|| given.clone());
        ClientPatch {
            grants: list(&self.grants, false),
            audiences: list(&self.audiences, false),
            scopes: list(&self.scopes, self.no_scopes),
            permissions: list(&self.permissions, self.no_permissions),
            algorithm: self.alg.clone(),
            token_lifetime: self.token_lifetime.map(Ttl::seconds),
            session_idle: self.session_idle.map(Ttl::seconds),
            session_absolute: self.session_absolute.map(Ttl::seconds),
            claims: list(&self.claims, self.no_claims),
            registration: self.registration,
            require_email: self.require_email,
            require_mfa: self.require_mfa,
            link_template: self.link_template.clone(),
            trusted_end_user: self.trusted_end_user,
            display_name: self.display_name.clone(),
            site: self.site.clone(),
            site_home: self.site_home.clone(),
            logo_uri: self.logo_uri.clone(),
            accent_color: self.accent_color.clone(),
            cors_origins: list(&self.cors_origins, self.no_cors_origins),
            browser_tokens: self.browser_tokens,
            guest_data: list(&self.guest_data, self.no_guest_data),
        }
    }
}

/// Refuses what only a client that signs users in can use, for one that will not.
fn refuse_useless_for(client: &Client, patch: &ClientPatch) -> anyhow::Result<()> {
    let signs_in = match &patch.grants {
        Some(grants) => grants.iter().any(|g| g == DIRECT_LOGIN || g == GUEST),
        None => client.may(Grant::DirectLogin) || client.may(Grant::Guest),
    };
    // The pages of a site sign people in without a grant.
    let has_site = patch.site.as_ref().map_or(client.config.site.is_some(), |site| !site.is_empty());
    if signs_in || has_site {
        return Ok(());
    }
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
    let refreshes = patch.grants.as_ref().is_some_and(|grants| grants.iter().any(|g| g == REFRESH_TOKEN));
    let given = [
        ("--grant refresh_token", refreshes),
        ("--session-idle", patch.session_idle.is_some()),
        ("--session-absolute", patch.session_absolute.is_some()),
        ("--claim", some(&patch.claims)),
        ("--registration", patch.registration == Some(true)),
        ("--require-email", patch.require_email == Some(true)),
        ("--require-mfa", patch.require_mfa == Some(true)),
        ("--link-template", patch.link_template.as_ref().is_some_and(|t| !t.is_empty())),
        ("--trusted-end-user", patch.trusted_end_user == Some(true)),
        ("--display-name", patch.display_name.as_ref().is_some_and(|n| !n.is_empty())),
    ];
    refuse_useless(&given, "--grant direct_login")
}
