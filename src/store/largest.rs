//! The users whose tokens are the largest.

use sqlx::types::Json;

use super::{
    engine::{Sql, Tx, all},
    users::{UserRow, user_columns},
};
use crate::{domain::user::User, error::Result, id::RoleId};

#[derive(sqlx::FromRow)]
struct WithRolesRow {
    #[sqlx(flatten)]
    user: UserRow,
    roles: Json<Vec<RoleId>>,
}

macro_rules! longest_tokens {
    ($roles:literal, $length:literal) => {
        concat!(
            "SELECT ",
            user_columns!("c."),
            ", c.roles FROM (SELECT ",
            user_columns!("u."),
            ", u.roles, row_number() OVER (PARTITION BY u.roles ORDER BY ",
            $length,
            " DESC, u.id) AS place FROM (SELECT ",
            user_columns!("a."),
            ", coalesce((SELECT ",
            $roles,
            " FROM user_roles r WHERE r.user_id = a.id), '[]') AS roles FROM users a WHERE a.deleted_at IS NULL \
             AND (CAST($1 AS TEXT) IS NULL OR a.id IN (SELECT user_id FROM user_roles WHERE role_id = $1))) AS u) AS c \
             WHERE c.place = 1 ORDER BY c.id LIMIT $2"
        )
    };
}

const LONGEST_TOKENS: Sql = Sql {
    sqlite: longest_tokens!(
        "json_group_array(r.role_id ORDER BY r.role_id)",
        "length(u.subject) + length(u.attributes)"
    ),
    postgres: longest_tokens!(
        "jsonb_agg(r.role_id ORDER BY r.role_id)",
        "length(u.subject) + length(CAST(u.attributes AS TEXT))"
    ),
};

impl Tx {
    /// For each combination of roles, the user who has it and has the longest subject and attributes together, with the combination: of all
    /// users, or of those with this role. At most `limit`.
    pub async fn users_with_longest_tokens(
        &mut self,
        role: Option<&RoleId>,
        limit: i64,
    ) -> Result<Vec<(User, Vec<RoleId>)>> {
        let rows = all!(self, WithRolesRow, LONGEST_TOKENS, role.map(RoleId::as_str), limit)?;
        rows.into_iter().map(|row| Ok((row.user.try_into()?, row.roles.0))).collect()
    }
}
