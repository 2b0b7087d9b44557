//! `chancery role …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
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
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Replace a role's permissions or description.
    Update {
        /// Name or id of the role.
        role: String,
        /// Permission; the ones given replace all previous ones.
        #[arg(long = "permission", value_name = "P")]
        permissions: Option<Vec<String>>,
        /// Description of the role.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
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
    /// Show a role with its permissions.
    Show {
        /// Name or id of the role.
        role: String,
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
    /// Assign a role to a user; it takes effect at the next token.
    Assign {
        /// Name or id of the role.
        role: String,
        /// User, by id, name or address.
        user: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Take a role away from a user.
    Unassign {
        /// Name or id of the role.
        role: String,
        /// User, by id, name or address.
        user: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl Role {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = Admin::command();
        match self {
            Self::Create { name, permissions, description, database } => {
                let request = NewRoleRequest { name, description, permissions, creation: None };
                let role = database.open_service().await?.roles.create(&admin, request).await?;
                output::line(&format!("created {} with the id {}", role.name, role.id))
            }
            Self::Update { role, permissions, description, database } => {
                let patch = RolePatch { description, permissions };
                let role = database.open_service().await?.roles.update(&admin, &role, patch, None).await?;
                output::line(&format!("changed {}", role.name))
            }
            Self::List { json, database } => list(&database.open_service().await?, json),
            Self::Show { role, database } => {
                let service = database.open_service().await?;
                let role = service.roles.get(&Admin::command(), &role)?;
                output::pretty_json(&role_json(&service, &role))
            }
            Self::Delete { role, database } => {
                database.open_service().await?.roles.delete(&admin, &role).await?;
                output::line(&format!("deleted {role}"))
            }
            Self::Assign { role, user, database } => set_role(&database, &role, &user, true).await,
            Self::Unassign { role, user, database } => set_role(&database, &role, &user, false).await,
        }
    }
}

async fn set_role(database: &DatabaseArgs, role: &str, user: &str, given: bool) -> anyhow::Result<()> {
    let changed = database.open_service().await?.users.set_role(&Admin::command(), user, role, given).await?;
    output::line(&match (given, changed) {
        (true, true) => format!("{user} now has the role {role}"),
        (true, false) => format!("{user} already had the role {role}"),
        (false, true) => format!("{user} no longer has the role {role}"),
        (false, false) => format!("{user} did not have the role {role}"),
    })
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
        "create_time": role.created_at.to_string(),
        "update_time": role.updated_at.to_string(),
        "etag": format!("\"{}\"", role.revision),
    })
}
