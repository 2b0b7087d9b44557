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
        /// Its name.
        name: String,
        /// A permission at this server, or `P@A` at another audience.
        #[arg(long = "permission", value_name = "P")]
        permissions: Vec<String>,
        /// What it is for.
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        #[command(flatten)]
        place: Place,
    },
    /// Replace a role's permissions or description.
    Update {
        /// Name or id.
        role: String,
        /// A permission; all that are given take the place of those before.
        #[arg(long = "permission", value_name = "P")]
        permissions: Option<Vec<String>>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List roles.
    List {
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show a role with its permissions.
    Show {
        /// Name or id.
        role: String,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a role that nobody has.
    Delete {
        /// Name or id.
        role: String,
        #[command(flatten)]
        place: Place,
    },
    /// Give a role to a user; the next tokens know it.
    Assign {
        /// Name or id.
        role: String,
        /// The user, by id, name or address.
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Take a role from a user.
    Unassign {
        /// Name or id.
        role: String,
        /// The user, by id, name or address.
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
                let role = place.service().await?.role_create(&admin, request).await?;
                output::line(&format!("created {} with the id {}", role.name, role.id))
            }
            Self::Update { role, permissions, description, place } => {
                let patch = RolePatch { description, permissions };
                let role = place.service().await?.role_update(&admin, &role, patch, None).await?;
                output::line(&format!("{} is changed", role.name))
            }
            Self::List { json, place } => list(&place.service().await?, json),
            Self::Show { role, place } => {
                let service = place.service().await?;
                let role = service.role_find(&role)?;
                output::pretty_json(&describe(&service, &role))
            }
            Self::Delete { role, place } => {
                place.service().await?.role_delete(&admin, &role).await?;
                output::line(&format!("{role} is deleted"))
            }
            Self::Assign { role, user, place } => set(&place, &role, &user, true).await,
            Self::Unassign { role, user, place } => set(&place, &role, &user, false).await,
        }
    }
}

async fn set(place: &Place, role: &str, user: &str, given: bool) -> anyhow::Result<()> {
    let changed = place.service().await?.user_set_role(&Admin::command(), user, role, given).await?;
    output::line(&match (given, changed) {
        (true, true) => format!("{user} has the role {role}"),
        (true, false) => format!("{user} had the role {role} before"),
        (false, true) => format!("{user} has no longer the role {role}"),
        (false, false) => format!("{user} did not have the role {role}"),
    })
}

fn list(service: &Service, json: bool) -> anyhow::Result<()> {
    let roles = service.roles_list();
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
        "permissions": service.role_permission_names(role),
        "built_in": role.built_in.is_some(),
        "create_time": role.created_at.to_string(),
        "update_time": role.updated_at.to_string(),
        "etag": format!("\"{}\"", role.revision),
    })
}
