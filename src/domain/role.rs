//! Roles: named sets of permissions that are assigned to users and clients.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{permission, scope::PermissionAt};
use crate::{id::RoleId, time::Timestamp};

/// Maximum number of roles of a user or client. Every session's row lists them.
pub const MAX_ROLES: usize = 64;
/// Maximum number of permissions in a role.
pub const MAX_PERMISSIONS: usize = 256;
/// Maximum length of a description, in characters.
pub const MAX_DESCRIPTION: usize = 256;

/// A role's name, as it appears in the claim `roles`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoleName(String);

/// Why a text is not a role name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 characters of [a-z0-9._-], the first a letter or digit")]
pub struct RoleNameError;

impl RoleName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps a name read from the database, without checking it.
    #[must_use]
    pub fn from_database(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for RoleName {
    type Err = RoleNameError;
    fn from_str(text: &str) -> Result<Self, RoleNameError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let good = (1..=64).contains(&text.len())
            && text.bytes().all(allowed)
            && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if good { Ok(Self(text.to_owned())) } else { Err(RoleNameError) }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A role that exists in every deployment. Its permissions are defined by this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// May do everything on this server.
    Administrator,
    /// May administer users and read the audit log.
    UserAdministrator,
    /// May read everything and change nothing.
    Auditor,
}

impl BuiltIn {
    const ALL: [Self; 3] = [Self::Administrator, Self::UserAdministrator, Self::Auditor];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::UserAdministrator => "user_administrator",
            Self::Auditor => "auditor",
        }
    }

    /// The built-in role with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.as_str() == text)
    }

    /// Its permissions on this server.
    #[must_use]
    pub const fn permissions(self) -> &'static [&'static str] {
        use permission as p;
        match self {
            Self::Administrator => &permission::OWN,
            Self::UserAdministrator => &[p::USERS_READ, p::USERS_WRITE, p::ROLES_READ, p::AUDIT_READ],
            Self::Auditor => {
                &[p::USERS_READ, p::CLIENTS_READ, p::ROLES_READ, p::AUDIT_READ, p::KEYS_READ, p::REVOCATIONS_READ]
            }
        }
    }
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The id.
    pub id: RoleId,
    /// The name; it is unique.
    pub name: RoleName,
    /// What it is for.
    pub description: String,
    /// Its permissions. None are stored for a built-in role.
    pub permissions: Vec<PermissionAt>,
    /// Which built-in role it is, if it is one.
    pub built_in: Option<BuiltIn>,
    /// Whether it counts only in sessions with two factors.
    pub require_mfa: bool,
    /// Increases with every change.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Role {
    /// Its permissions for an audience. `issuer` is this server's own audience.
    pub fn permissions_at<'a>(&'a self, audience: &'a str, issuer: &str) -> impl Iterator<Item = &'a str> {
        let own = self.built_in.filter(|_| audience == issuer).map_or(&[][..], BuiltIn::permissions);
        let kept = self.permissions.iter().filter(move |p| p.audience.as_str() == audience);
        own.iter().copied().chain(kept.map(|p| p.permission.as_str()))
    }
}

/// The effective permissions and roles for one audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entitled {
    /// The permissions, sorted and without duplicates.
    pub permissions: Vec<String>,
    /// The sorted names of the roles that grant a permission there.
    pub roles: Vec<String>,
}

impl Entitled {
    /// Combines these roles with the permissions that the holder has directly.
    pub fn of<'a>(roles: impl Iterator<Item = &'a Role>, own: Vec<String>, audience: &str, issuer: &str) -> Self {
        let (mut permissions, mut names) = (BTreeSet::from_iter(own), BTreeSet::new());
        for role in roles {
            let mut found = false;
            for permission in role.permissions_at(audience, issuer) {
                found = true;
                if !permissions.contains(permission) {
                    permissions.insert(permission.to_owned());
                }
            }
            if found {
                names.insert(role.name.as_str().to_owned());
            }
        }
        Self { permissions: permissions.into_iter().collect(), roles: names.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example.com";

    fn role(name: &str, built_in: Option<BuiltIn>, permissions: &[(&str, &str)]) -> Role {
        let at = |(audience, permission): &(&str, &str)| PermissionAt {
            audience: audience.parse().unwrap(),
            permission: permission.parse().unwrap(),
        };
        Role {
            id: "rol_00000000000000000000000001".parse().unwrap(),
            name: name.parse().unwrap(),
            description: String::new(),
            permissions: permissions.iter().map(at).collect(),
            built_in,
            require_mfa: false,
            revision: 1,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn roles_apply_only_to_the_audiences_of_their_permissions() {
        let clerk =
            role("clerk", None, &[("orders", "orders.read"), ("orders", "orders.write"), ("stock", "stock.read")]);
        let reader = role("reader", None, &[("orders", "orders.read")]);
        let admin = role("administrator", Some(BuiltIn::Administrator), &[]);
        let all = [clerk, reader, admin];
        let at = |audience: &str| Entitled::of(all.iter(), vec!["own".into()], audience, ISSUER);
        assert_eq!(at("orders").permissions, ["orders.read", "orders.write", "own"]);
        assert_eq!(at("orders").roles, ["clerk", "reader"]);
        assert_eq!(at("stock").roles, ["clerk"]);
        assert_eq!(at("elsewhere"), Entitled { permissions: vec!["own".into()], roles: vec![] });
        assert_eq!(at(ISSUER).roles, ["administrator"]);
        assert_eq!(at(ISSUER).permissions.len(), permission::OWN.len() + 1);
    }

    #[test]
    fn a_built_in_role_has_only_permissions_that_exist() {
        for built_in in BuiltIn::ALL {
            assert!(built_in.permissions().iter().all(|p| permission::OWN.contains(p)), "{built_in:?}");
            assert_eq!(BuiltIn::parse(built_in.as_str()), Some(built_in));
        }
    }

    #[test]
    fn role_names_are_restricted() {
        assert!("user-administrator".parse::<RoleName>().is_ok());
        for bad in ["", "Admin", "a b", "-a", "é", &"a".repeat(65)] {
            assert_eq!(bad.parse::<RoleName>(), Err(RoleNameError), "{bad:?}");
        }
    }
}
