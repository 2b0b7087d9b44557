//! `chancery role …`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DatabaseArgs, arguments, output};
use crate::{
    domain::role::Role as DomainRole,
    service::{Admin, NewRoleRequest, RolePatch, Service},
};

#[derive(Debug, Subcommand)]
pub(super) enum Role {
    /// Create a role: a named set of permissions.
    Create {
        /// Name of the role.
        name: String,
        /// Permission: `P` at this server, `P@A` at the audience A.
        #[arg(long = "permission", value_name = "P")]
        permissions: Vec<String>,
        /// Description of the role.
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// Let it count only for users who have signed in with two factors.
        #[arg(long)]
        require_mfa: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Replace a role's permissions or description.
    Update {
        /// Name or id of the role.
        role: String,
        /// Permission; the ones given replace all previous ones.
        #[arg(long = "permission", value_name = "P", conflicts_with = "no_permissions")]
        permissions: Option<Vec<String>>,
        /// Take all permissions out of the role.
        #[arg(long)]
        no_permissions: bool,
        /// Description of the role.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Let it count only for users who have signed in with two factors, or no longer. A built-in role can be changed
        /// in this alone.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        require_mfa: Option<bool>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List roles.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Show a role with its permissions, as JSON.
    Show {
        /// Name or id of the role.
        role: String,
        /// Print it on one line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Delete a role that nobody has.
    Delete {
        /// Name or id of the role.
        role: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Assign a role to a user or a client; it takes effect at the next token.
    Assign(Holder),
    /// Take a role away from a user or a client.
    Unassign(Holder),
}

#[derive(Args, Debug)]
pub(super) struct Holder {
    /// Name or id of the role.
    role: String,
    /// User, by id, name or address.
    #[arg(conflicts_with = "client")]
    user: Option<String>,
    /// Client, instead of a user.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Role {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = Admin::command();
        match self {
            Self::Create { name, permissions, description, require_mfa, json, database } => {
                let request = NewRoleRequest { name, description, permissions, require_mfa, creation: None };
                let service = database.open_service().await?;
                let role = service.roles.create(&admin, request).await?;
                let text = format!("created {} with the id {}", role.name, role.id);
                if json { output::json(&role_json(&service, &role)) } else { output::line(&text) }
            }
            Self::Update { role, permissions, no_permissions, description, require_mfa, json, database } => {
                let permissions = if no_permissions { Some(Vec::new()) } else { permissions };
                if permissions.is_none() && description.is_none() && require_mfa.is_none() {
                    let text = "nothing to change: give --permission, --no-permissions, --description or --require-mfa";
                    return Err(arguments::usage(text.to_owned()).into());
                }
                let patch = RolePatch { description, permissions, require_mfa };
                let service = database.open_service().await?;
                let role = service.roles.update(&admin, &role, patch, None).await?;
                let text = format!("changed {}", role.name);
                if json { output::json(&role_json(&service, &role)) } else { output::line(&text) }
            }
            Self::List { json, database } => list(&database.open_service().await?, json),
            Self::Show { role, json, database } => {
                let service = database.open_service().await?;
                let role = service.roles.get(&Admin::command(), &role)?;
                output::document(&role_json(&service, &role), json)
            }
            Self::Delete { role, database } => {
                database.open_service().await?.roles.delete(&admin, &role).await?;
                output::line(&format!("deleted {role}"))
            }
            Self::Assign(holder) => holder.set_role(true).await,
            Self::Unassign(holder) => holder.set_role(false).await,
        }
    }
}

impl Holder {
    async fn set_role(self, given: bool) -> anyhow::Result<()> {
        let Self { role, user, client, database } = self;
        if user.is_none() && client.is_none() {
            return Err(arguments::usage("give a <USER>, or a client with --client".to_owned()).into());
        }
        let (service, admin) = (database.open_service().await?, Admin::command());
        let (holder, changed) = if let Some(client) = client {
            let changed = service.clients.set_role(&admin, &client, &role, given).await?;
            (client, changed)
        } else {
            let user = user.unwrap_or_default();
            let changed = service.users.set_role(&admin, &user, &role, given).await?;
            (user, changed)
        };
        output::line(&match (given, changed) {
            (true, true) => format!("{holder} now has the role {role}"),
            (true, false) => format!("{holder} already had the role {role}"),
            (false, true) => format!("{holder} no longer has the role {role}"),
            (false, false) => format!("{holder} did not have the role {role}"),
        })
    }
}

fn list(service: &Service, json: bool) -> anyhow::Result<()> {
    let roles = service.roles.list(&Admin::command());
    if json {
        return roles.iter().try_for_each(|r| output::json(&role_json(service, r)));
    }
    let kind = |r: &DomainRole| if r.built_in.is_some() { "built in" } else { "" };
    let row = |r: &DomainRole| vec![r.name.to_string(), r.id.to_string(), kind(r).to_owned(), r.description.clone()];
    output::table(&["NAME", "ID", "KIND", "DESCRIPTION"], &roles.iter().map(row).collect::<Vec<_>>())
}

/// A role as a `chancery.v1.Role` in JSON.
fn role_json(service: &Service, role: &DomainRole) -> Value {
    json!({
        "role_id": role.id,
        "name": role.name,
        "description": role.description,
        "permissions": service.roles.permission_names_of(role),
        "built_in": role.built_in.is_some(),
        "require_mfa": role.require_mfa,
        "create_time": role.created_at.to_string(),
        "update_time": role.updated_at.to_string(),
        "etag": format!("\"{}\"", role.revision),
    })
}
