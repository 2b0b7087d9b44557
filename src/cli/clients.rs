//! `chancery client …`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
use crate::{
    domain::{
        client::{ClaimSource, Client as DomainClient},
        scope::{Audience, Scope},
    },
    secret::ClientSecret,
    service::{Admin, NewClientRequest, Service},
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
    /// Show a client.
    Show {
        /// Client id.
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Disable a client, so that it gets no more tokens.
    Disable {
        /// Client id.
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Replace a client's secret and print the new one, once.
    RotateSecret {
        /// Client id.
        id: String,
        /// How long the previous secret stays valid, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
        overlap: i64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Enable a client again.
    Enable {
        /// Client id.
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Create {
    /// Client id.
    id: String,
    /// Public client, which cannot keep a secret: a browser, mobile or desktop application.
    #[arg(long)]
    public: bool,
    /// First-party client, which may ask your users for their passwords.
    #[arg(long)]
    first_party: bool,
    /// Grant it may use: `direct_login`, `refresh_token` or `client_credentials` [default: those that fit its kind]
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
    /// Lifetime of its access tokens, in seconds [default: 300]
    #[arg(long, value_name = "SECONDS")]
    token_lifetime: Option<i64>,
    /// Claim in its users' tokens: a path into the user's attributes, or a fixed text in quotes.
    #[arg(long = "claim", value_name = "NAME=PATH")]
    claims: Vec<String>,
    /// Let people open accounts through it.
    #[arg(long)]
    registration: bool,
    /// Require its users to have a verified email address.
    #[arg(long)]
    require_email: bool,
    /// Target of links in mails, such as `https://shop.example/{kind}?token={token}`.
    #[arg(long, value_name = "URL")]
    link_template: Option<String>,
    /// Name by which its users know it, as mails show it [default: its id]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    display_name: String,
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

impl Client {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List { json, database } => {
                let service = database.open_service().await?;
                let clients = service.clients.list(&Admin::command());
                if json {
                    return clients.iter().try_for_each(|c| output::json(&client_json(&service, c)));
                }
                let row = |c: &DomainClient| {
                    let kind = if c.secret.is_some() { "confidential" } else { "public" };
                    let state = if c.disabled_at.is_some() { "disabled" } else { "enabled" };
                    let default = c.config.audiences.first().map(ToString::to_string).unwrap_or_default();
                    vec![c.id.to_string(), kind.to_owned(), default, c.config.algorithm.to_string(), state.to_owned()]
                };
                let rows: Vec<_> = clients.iter().map(|c| row(c)).collect();
                output::table(&["ID", "KIND", "AUDIENCE", "ALG", "STATE"], &rows)
            }
            Self::Show { id, database } => {
                let service = database.open_service().await?;
                let client = service.clients.get(&Admin::command(), &id)?;
                output::pretty_json(&client_json(&service, &client))
            }
            Self::Disable { id, database } => {
                let changed = database.open_service().await?.clients.set_disabled(&Admin::command(), &id, true).await?;
                output::line(&format!("{id} {}", if changed { "is disabled" } else { "was already disabled" }))
            }
            Self::RotateSecret { id, overlap, json, database } => {
                let service = database.open_service().await?;
                let rotated = service.clients.rotate_secret(&Admin::command(), &id, Ttl::from_secs(overlap)).await;
                let (secret, until) = rotated?;
                if json {
                    return output::json(&json!({
                        "client_secret": secret.expose(),
                        "previous_secret_expire_time": until.to_string(),
                    }));
                }
                output::line(&format!("secret, shown only once: {}", secret.expose()))?;
                output::line(&format!("the previous secret is valid until {until}"))
            }
            Self::Enable { id, database } => {
                let changed =
                    database.open_service().await?.clients.set_disabled(&Admin::command(), &id, false).await?;
                output::line(&format!("{id} {}", if changed { "is enabled" } else { "was already enabled" }))
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
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
            token_lifetime: self.token_lifetime,
            claims: self.claims,
            trusted_end_user: self.trusted_end_user,
            display_name: self.display_name,
            secret: None,
            roles: self.roles,
            registration: self.registration,
            require_email: self.require_email,
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
}

/// A client as a `chancery.v1.Client` in JSON.
fn client_json(service: &Service, client: &DomainClient) -> Value {
    let config = &client.config;
    let grants: Vec<_> = config.grants.iter().map(|g| output::constant("GRANT", g.as_str())).collect();
    let claim = |source: &ClaimSource| match source {
        ClaimSource::Attribute(path) => path.clone(),
        ClaimSource::Literal(text) => format!("\"{text}\""),
    };
    let claims: BTreeMap<_, _> = config.claim_map.iter().map(|(name, source)| (name, claim(source))).collect();
    let previous = client.previous_secret.map(|(_, until)| until).filter(|until| *until > service.now());
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
        "token_lifetime": format!("{}s", config.token_lifetime.seconds()),
        "claims": claims,
        "registration": config.registration,
        "require_email": config.require_email,
        "link_template": config.link_template,
        "trusted_end_user": config.trusted_end_user,
        "display_name": client.display_name(),
        "disable_time": client.disabled_at.map(|t| t.to_string()),
        "create_time": client.created_at.to_string(),
        "previous_secret_expire_time": previous.map(|t| t.to_string()),
        "etag": format!("\"{}\"", client.revision),
    })
}
