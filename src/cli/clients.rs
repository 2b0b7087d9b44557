//! `chancery client …`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Place, output};
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
    /// Register a client; prints its secret once.
    Create(Box<Create>),
    /// List clients.
    List {
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show a client.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Disable a client: it gets no more tokens.
    Disable {
        /// Its id.
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Give a client a new secret; prints it once.
    RotateSecret {
        /// Its id.
        id: String,
        /// How long the secret before still counts, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
        overlap: i64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Enable a client again.
    Enable {
        /// Its id.
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Create {
    /// Its id.
    id: String,
    /// It cannot keep a secret: a browser, mobile or desktop application.
    #[arg(long)]
    public: bool,
    /// It belongs to whoever runs this server, and may ask users for their passwords.
    #[arg(long)]
    first_party: bool,
    /// `direct_login`, `refresh_token` or `client_credentials`; by default what fits.
    #[arg(long = "grant", value_name = "G")]
    grants: Vec<String>,
    /// A resource server that its tokens may be for; the first is the default.
    #[arg(long = "audience", value_name = "A")]
    audiences: Vec<String>,
    /// An audience that it is itself.
    #[arg(long = "serves", value_name = "A")]
    serves: Vec<String>,
    /// A scope that it may ask for.
    #[arg(long = "scope", value_name = "S")]
    scopes: Vec<String>,
    /// A permission of its own tokens at this server, or `P@A` at another audience.
    #[arg(long = "permission", value_name = "P")]
    permissions: Vec<String>,
    /// A role of the client itself.
    #[arg(long = "role", value_name = "R")]
    roles: Vec<String>,
    /// RS256, ES256 or `EdDSA` [default: RS256]
    #[arg(long, value_name = "ALG")]
    alg: Option<String>,
    /// How long its access tokens live [default: 300]
    #[arg(long, value_name = "SECONDS")]
    token_lifetime: Option<i64>,
    /// A claim of its users' tokens: a path into the user's attributes, or a fixed text in quotes.
    #[arg(long = "claim", value_name = "NAME=PATH")]
    claims: Vec<String>,
    /// People may open accounts through it.
    #[arg(long)]
    registration: bool,
    /// Its users must have a verified email address.
    #[arg(long)]
    require_email: bool,
    /// Where links in mails lead, such as `https://shop.example/{kind}?token={token}`.
    #[arg(long, value_name = "URL")]
    link_template: Option<String>,
    /// What it says about its users' addresses and browsers is believed, and they are limited by that; for
    /// confidential clients alone.
    #[arg(long)]
    trusted_end_user: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Client {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List { json, place } => {
                let service = place.service().await?;
                let clients = service.clients_list();
                if json {
                    return clients.iter().try_for_each(|c| output::json(&describe(&service, c)));
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
            Self::Show { id, place } => {
                let service = place.service().await?;
                let client = service.client_find(&id)?;
                output::pretty_json(&describe(&service, &client))
            }
            Self::Disable { id, place } => {
                let changed = place.service().await?.client_set_disabled(&Admin::command(), &id, true).await?;
                output::line(&format!("{id} {}", if changed { "is disabled" } else { "was disabled before" }))
            }
            Self::RotateSecret { id, overlap, json, place } => {
                let service = place.service().await?;
                let rotated = service.client_rotate_secret(&Admin::command(), &id, Ttl::from_secs(overlap)).await;
                let (secret, until) = rotated?;
                if json {
                    return output::json(&json!({
                        "client_secret": secret.expose(),
                        "previous_secret_expire_time": until.to_string(),
                    }));
                }
                output::line(&format!("secret, shown only now: {}", secret.expose()))?;
                output::line(&format!("the one before counts until {until}"))
            }
            Self::Enable { id, place } => {
                let changed = place.service().await?.client_set_disabled(&Admin::command(), &id, false).await?;
                output::line(&format!("{id} {}", if changed { "is enabled again" } else { "was not disabled" }))
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let service = self.place.service().await?;
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
            secret: None,
            roles: self.roles,
            registration: self.registration,
            require_email: self.require_email,
            link_template: self.link_template,
            creation: None,
        };
        let (client, secret) = service.client_create(&Admin::command(), request).await?;
        if self.json {
            let secret = secret.as_ref().map(ClientSecret::expose);
            return output::json(&json!({ "client": describe(&service, &client), "client_secret": secret }));
        }
        output::line(&format!("created {}", client.id))?;
        match secret {
            Some(secret) => output::line(&format!("secret, shown only now: {}", secret.expose())),
            None => Ok(()),
        }
    }
}

/// A `chancery.v1.Client`.
fn describe(service: &Service, client: &DomainClient) -> Value {
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
        "serves": service.audiences_served(client.id.as_str()),
        "scopes": config.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "permissions": service.permission_names(&config.permissions),
        "roles": service.role_names(&config.roles),
        "algorithm": output::constant("SIGNATURE_ALGORITHM", config.algorithm.as_str()),
        "token_lifetime": format!("{}s", config.token_lifetime.seconds()),
        "claims": claims,
        "registration": config.registration,
        "require_email": config.require_email,
        "link_template": config.link_template,
        "trusted_end_user": config.trusted_end_user,
        "disable_time": client.disabled_at.map(|t| t.to_string()),
        "create_time": client.created_at.to_string(),
        "previous_secret_expire_time": previous.map(|t| t.to_string()),
        "etag": format!("\"{}\"", client.revision),
    })
}
