//! Roles, and their assignment to users.

use sqlx::types::Json;

use super::{
    engine::{Sql, Tx, all, execute},
    failure::corrupt,
};
use crate::{
    domain::{
        role::{BuiltIn, MAX_ROLES, Role, RoleName},
        scope::PermissionAt,
    },
    error::{Error, Result},
    id::{RoleId, UserId},
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct RoleRow {
    id: String,
    name: String,
    description: String,
    permissions: Json<Vec<PermissionAt>>,
    built_in: Option<String>,
    require_mfa: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<RoleRow> for Role {
    type Error = Error;
    fn try_from(row: RoleRow) -> Result<Self> {
        let bad = |column| corrupt("roles", column, &row.id);
        let built_in = row.built_in.as_deref().map(|b| BuiltIn::parse(b).ok_or_else(|| bad("built_in")));
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            built_in: built_in.transpose()?,
            name: RoleName::from_database(row.name),
            description: row.description,
            permissions: row.permissions.0,
            require_mfa: row.require_mfa != 0,
            revision: row.revision,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}

impl Tx {
    /// Adds a role. Returns whether its name was free.
    pub async fn role_insert(&mut self, role: &Role) -> Result<bool> {
        const SQL: &str = "INSERT INTO roles (id, name, description, permissions, built_in, revision, created_at, \
            updated_at, require_mfa) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING";
        let added = execute!(
            self,
            SQL,
            role.id.as_str(),
            role.name.as_str(),
            &role.description,
            Json(&role.permissions),
            role.built_in.map(BuiltIn::as_str),
            role.revision,
            role.created_at.millis(),
            role.updated_at.millis(),
            i64::from(role.require_mfa)
        )?;
        Ok(added == 1)
    }

    /// Every role, sorted by id.
    pub async fn roles_all(&mut self) -> Result<Vec<Role>> {
        const SQL: &str = "SELECT id, name, description, permissions, built_in, require_mfa, revision, created_at, updated_at \
            FROM roles ORDER BY id";
        all!(self, RoleRow, SQL)?.into_iter().map(Role::try_from).collect()
    }

    /// Replaces a role's description, permissions and demand of two factors if it is still at this revision. Returns whether it was.
    pub async fn role_update(&mut self, role: &Role, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE roles SET description = $2, permissions = $3, revision = revision + 1, \
            updated_at = $5, require_mfa = $6 WHERE id = $1 AND revision = $4";
        let (id, permissions, mfa) = (role.id.as_str(), Json(&role.permissions), i64::from(role.require_mfa));
        Ok(execute!(self, SQL, id, &role.description, permissions, role.revision, now.millis(), mfa)? == 1)
    }

    /// Deletes a role that no user has, unless it is built in. Returns whether it was deleted.
    pub async fn role_delete(&mut self, id: &RoleId) -> Result<bool> {
        const SQL: &str = "DELETE FROM roles WHERE id = $1 AND built_in IS NULL \
            AND NOT EXISTS (SELECT 1 FROM user_roles WHERE role_id = $1)";
        Ok(execute!(self, SQL, id.as_str())? == 1)
    }

    /// Assigns a role to a user, unless the user has the maximum number already. Returns whether it was added.
    pub async fn user_role_add(&mut self, user: &UserId, role: &RoleId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "INSERT INTO user_roles (user_id, role_id, assigned_at) SELECT $1, $2, $3 \
            WHERE (SELECT count(*) FROM user_roles WHERE user_id = $1) < $4 ON CONFLICT DO NOTHING";
        let most = i64::try_from(MAX_ROLES).unwrap_or(i64::MAX);
        Ok(execute!(self, SQL, user.as_str(), role.as_str(), now.millis(), most)? == 1)
    }

    /// Removes a role from a user. Returns whether the user had it.
    pub async fn user_role_remove(&mut self, user: &UserId, role: &RoleId) -> Result<bool> {
        const SQL: &str = "DELETE FROM user_roles WHERE user_id = $1 AND role_id = $2";
        Ok(execute!(self, SQL, user.as_str(), role.as_str())? == 1)
    }

    /// The roles of a user, sorted by id.
    pub async fn roles_of_user(&mut self, user: &UserId) -> Result<Vec<RoleId>> {
        const SQL: &str = "SELECT role_id FROM user_roles WHERE user_id = $1 ORDER BY role_id";
        let rows = all!(self, (String,), SQL, user.as_str())?;
        rows.into_iter().map(|(id,)| id.parse().map_err(|_| corrupt("user_roles", "role_id", &id))).collect()
    }

    /// Pairs of user and role for these users, sorted by id.
    pub async fn roles_of_users(&mut self, users: &[UserId]) -> Result<Vec<(String, RoleId)>> {
        const SQL: Sql = Sql {
            sqlite: "SELECT user_id, role_id FROM user_roles WHERE user_id IN (SELECT value FROM json_each($1)) \
                ORDER BY user_id, role_id",
            postgres: "SELECT user_id, role_id FROM user_roles WHERE user_id IN \
                (SELECT jsonb_array_elements_text($1)) ORDER BY user_id, role_id",
        };
        let rows = all!(self, (String, String), SQL, Json(users))?;
        let parse = |id: String| id.parse().map_err(|_| corrupt("user_roles", "role_id", &id));
        rows.into_iter().map(|(user, role)| Ok((user, parse(role)?))).collect()
    }

    /// Sets the roles of a user's sessions that are not revoked. Returns their number.
    pub async fn sessions_set_roles(&mut self, user: &UserId, roles: &[RoleId]) -> Result<u64> {
        const SQL: &str = "UPDATE sessions SET roles = $2 WHERE user_id = $1 AND revoked_at IS NULL";
        execute!(self, SQL, user.as_str(), Json(roles))
    }
}
