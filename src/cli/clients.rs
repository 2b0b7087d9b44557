//! `chancery client …`.

mod create;
mod update;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::{create::Create, update::Update};
use super::{DatabaseArgs, arguments, output};
use crate::{
    domain::{
        branding::LogoUri,
        client::{ClaimSource, Client as DomainClient, Grant},
        guest::GuestDataPolicy,
        scope::{Audience, Scope},
        site::{Site, WebOrigin},
    },
    service::{Admin, Service},
    time::Ttl,
};

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Register a client and print its secret, once.
    Create(Box<Create>),
    /// List clients.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Show a client, as JSON.
    Show {
        /// Client id.
        id: String,
        /// Print it on one line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Change a client. What is not given stays as it is.
    Update(Box<Update>),
    /// Disable a client, so that it gets no more tokens.
    Disable(Named),
    /// Enable a client again.
    Enable(Named),
    /// Delete a client that has no sessions and was disabled so long ago that all its tokens have expired.
    Delete(Named),
    /// Replace a client's secret and print the new one, once.
    RotateSecret {
        /// Client id.
        id: String,
        /// How long the previous secret stays valid: seconds, or such as 12h or 7d.
        #[arg(long, value_name = "TIME", default_value = "1d")]
        overlap: Ttl,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Args, Debug)]
pub(super) struct Named {
    /// Client id.
    id: String,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Client {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::Update(update) => update.run().await,
            Self::List { json, database } => list(&database.open_service().await?, json),
            Self::Show { id, json, database } => {
                let service = database.open_service().await?;
                let client = service.clients.get(&Admin::command(), &id)?;
                output::document(&client_json(&service, &client), json)
            }
            Self::Disable(Named { id, database }) => {
                let changed = database.open_service().await?.clients.set_disabled(&Admin::command(), &id, true).await?;
                output::line(&format!("{id} {}", if changed { "is disabled" } else { "was already disabled" }))
            }
            Self::Enable(Named { id, database }) => {
                let changed =
                    database.open_service().await?.clients.set_disabled(&Admin::command(), &id, false).await?;
                output::line(&format!("{id} {}", if changed { "is enabled" } else { "was already enabled" }))
            }
            Self::Delete(Named { id, database }) => {
                database.open_service().await?.clients.delete(&Admin::command(), &id).await?;
                output::line(&format!("deleted {id}"))
            }
            Self::RotateSecret { id, overlap, json, database } => rotate_secret(&id, overlap, json, &database).await,
        }
    }
}

fn list(service: &Service, json: bool) -> anyhow::Result<()> {
    let clients = service.clients.list(&Admin::command());
    if json {
        return clients.iter().try_for_each(|c| output::json(&client_json(service, c)));
    }
    let row = |c: &DomainClient| {
        let kind = if c.secret.is_some() { "confidential" } else { "public" };
        let state = if c.disabled_at.is_some() { "disabled" } else { "enabled" };
        let default = c.config.audiences.first().map(ToString::to_string).unwrap_or_default();
        let site = c.config.site.as_ref().map(Site::to_string).unwrap_or_default();
        vec![c.id.to_string(), kind.to_owned(), default, c.config.algorithm.to_string(), state.to_owned(), site]
    };
    let rows: Vec<_> = clients.iter().map(|c| row(c)).collect();
    output::table(&["ID", "KIND", "AUDIENCE", "ALG", "STATE", "SITE"], &rows)
}

async fn rotate_secret(id: &str, overlap: Ttl, json: bool, database: &DatabaseArgs) -> anyhow::Result<()> {
    let service = database.open_service().await?;
    let (secret, until) = service.clients.rotate_secret(&Admin::command(), id, overlap).await?;
    if json {
        return output::json(&json!({
            "client_secret": secret.expose(),
            "previous_secret_expire_time": until.to_string(),
        }));
    }
    output::line(&format!("secret, shown only once: {}", secret.expose()))?;
    output::line(&format!("the previous secret is valid until {until}"))
}

/// Refuses flags that do nothing for a client that signs nobody in. Each is a flag with whether it was given.
fn refuse_useless(given: &[(&str, bool)], needs: &str) -> anyhow::Result<()> {
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(arguments::useless(flag, needs).into()),
        None => Ok(()),
    }
}

/// The name of the grant without which there are no users to sign in.
const DIRECT_LOGIN: &str = Grant::DirectLogin.as_str();

/// The name of the grant by which their sessions go on.
const REFRESH_TOKEN: &str = Grant::RefreshToken.as_str();

/// The name of the grant by which it has guests.
const GUEST: &str = Grant::Guest.as_str();

/// A client as a `chancery.v1.Client` in JSON.
fn client_json(service: &Service, client: &DomainClient) -> Value {
    let config = &client.config;
    let grants: Vec<_> = config.grants.iter().map(|g| output::constant("GRANT", g.as_str())).collect();
    let claim = |source: &ClaimSource| match source {
        ClaimSource::Attribute(path) => path.clone(),
        ClaimSource::Literal(text) => format!("\"{text}\""),
    };
    let claims: BTreeMap<_, _> = config.claim_map.iter().map(|(name, source)| (name, claim(source))).collect();
    let policy = |policy: GuestDataPolicy| output::constant("GUEST_DATA_POLICY", policy.as_str());
    let guest_data: BTreeMap<_, _> = config.guest_data.iter().map(|(name, of)| (name, policy(*of))).collect();
    let previous = client.previous_secret.map(|(_, until)| until).filter(|until| *until > service.now());
    let seconds = |ttl: Ttl| format!("{}s", ttl.seconds());
    json!({
        "client_id": client.id.as_str(),
        "public": client.secret.is_none(),
        "first_party": config.first_party,
        "grants": grants,
        "audiences": config.audiences.iter().map(Audience::as_str).collect::<Vec<_>>(),
        "serves": service.clients.served_by(client.id.as_str()),
        "scopes": config.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "permissions": service.roles.permission_names(&config.permissions),
        "roles": service.roles.names(&config.roles),
        "algorithm": output::constant("SIGNATURE_ALGORITHM", config.algorithm.as_str()),
        "token_lifetime": seconds(config.token_lifetime),
        "session_idle": seconds(config.session_idle),
        "session_absolute": seconds(config.session_absolute),
        "claims": claims,
        "registration": config.registration,
        "require_email": config.require_email,
        "require_mfa": config.require_mfa,
        "link_template": config.link_template,
        "trusted_end_user": config.trusted_end_user,
        "display_name": client.display_name(),
        "site": config.site.as_ref().map(Site::to_string),
        "site_home": config.site.as_ref().map(Site::home),
        "logo_uri": config.logo_uri.as_ref().map(LogoUri::as_str),
        "accent_color": config.accent_color.map(|color| color.to_string()),
        "cors_origins": config.cors_origins.iter().map(WebOrigin::as_str).collect::<Vec<_>>(),
        "browser_tokens": config.browser_tokens,
        "guest_data": guest_data,
        "disable_time": client.disabled_at.map(|t| t.to_string()),
        "create_time": client.created_at.to_string(),
        "previous_secret_expire_time": previous.map(|t| t.to_string()),
        "etag": format!("\"{}\"", client.revision),
    })
}
