//! `chancery role …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Place, output};
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
        place: Place,
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
        place: Place,
    },
    /// List roles.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show a role with its permissions.
    Show {
        /// Name or id of the role.
        role: String,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a role that nobody has.
    Delete {
        /// Name or id of the role.
        role: String,
        #[command(flatten)]
        place: Place,
    },
    /// Assign a role to a user; it takes effect at the next token.
    Assign {
        /// Name or id of the role.
        role: String,
        /// User, by id, name or address.
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Take a role away from a user.
    Unassign {
        /// Name or id of the role.
        role: String,
        /// User, by id, name or address.
        user: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Role {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = Admin::command();
        match self {
            Self::Create { name, permissions, description, place } => {
                let request = NewRoleRequest { name, description, permissions, creation: None };
                let role = place.service().await?.roles.create(&admin, request).await?;
                output::line(&format!("created {} with the id {}", role.name, role.id))
            }
            Self::Update { role, permissions, description, place } => {
                let patch = RolePatch { description, permissions };
                let role = place.service().await?.roles.update(&admin, &role, patch, None).await?;
                output::line(&format!("changed {}", role.name))
            }
            Self::List { json, place } => list(&place.service().await?, json),
            Self::Show { role, place } => {
                let service = place.service().await?;
                let role = service.roles.get(&Admin::command(), &role)?;
                output::pretty_json(&describe(&service, &role))
            }
            Self::Delete { role, place } => {
                place.service().await?.roles.delete(&admin, &role).await?;
                output::line(&format!("deleted {role}"))
            }
            Self::Assign { role, user, place } => set(&place, &role, &user, true).await,
            Self::Unassign { role, user, place } => set(&place, &role, &user, false).await,
        }
    }
}

async fn set(place: &Place, role: &str, user: &str, given: bool) -> anyhow::Result<()> {
    let changed = place.service().await?.users.set_role(&Admin::command(), user, role, given).await?;
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
        return roles.iter().try_for_each(|r| output::json(&describe(service, r)));
    }
    let kind = |r: &DomainRole| if r.built_in.is_some() { "built in" } else { "" };
    let row = |r: &DomainRole| vec![r.name.to_string(), r.id.to_string(), kind(r).to_owned(), r.description.clone()];
    output::table(&["NAME", "ID", "KIND", "DESCRIPTION"], &roles.iter().map(row).collect::<Vec<_>>())
}

/// A `chancery.v1.Role`.
fn describe(service: &Service, role: &DomainRole) -> Value {
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
