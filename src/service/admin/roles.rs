//! Role administration.

use std::{fmt, sync::Arc};

use serde_json::json;

use super::creations::{CreationKey, CreationStatus};
use crate::{
    domain::{
        audit::AuditKind,
        feed::ChangeKind,
        role::{BuiltIn, MAX_DESCRIPTION, MAX_PERMISSIONS, MAX_ROLES, Role, RoleName},
        scope::{Audience, Permission, PermissionAt},
        text::Label,
    },
    entropy::Entropy,
    error::{Error, Result, Violations},
    id::RoleId,
    service::{
        access::Admin,
        people::TokenFit,
        runtime::{Live, Runtime},
    },
    store::{Store, Tx},
    time::Timestamp,
};

/// A role to create.
#[derive(Debug, Default)]
pub struct NewRoleRequest {
    /// Name of the role.
    pub name: String,
    /// Description of the role.
    pub description: String,
    /// Its permissions: `P` at this server's own audience, `P@A` at another audience.
    pub permissions: Vec<String>,
    /// Whether it counts only in sessions with two factors.
    pub require_mfa: bool,
    /// The caller's request id, if the call may be retried.
    pub creation: Option<CreationKey>,
}

/// A change of a role; absent fields stay as they are.
#[derive(Debug, Default)]
pub struct RolePatch {
    /// Description of the role.
    pub description: Option<String>,
    /// The full list of its permissions.
    pub permissions: Option<Vec<String>>,
    /// Whether it counts only in sessions with two factors.
    pub require_mfa: Option<bool>,
}

/// The roles of this deployment. Cheap to clone.
#[derive(Clone)]
pub struct Roles {
    store: Store,
    live: Arc<Live>,
    entropy: Arc<dyn Entropy>,
    token_fit: TokenFit,
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roles")
    }
}

impl Roles {
    pub(in crate::service) fn new(runtime: Runtime, token_fit: TokenFit) -> Self {
        let Runtime { store, live, entropy, .. } = runtime;
        Self { store, live, entropy, token_fit }
    }

    /// Creates a role.
    ///
    /// # Errors
    /// Reports every invalid field at once; [`Error::Exists`]; the caller lacks a permission.
    pub async fn create(&self, admin: &Admin, request: NewRoleRequest) -> Result<Role> {
        let (name, permissions) = new_role(&request, self.live.issuer())?;
        admin.check_permissions(&self.live.snapshot(), &permissions)?;
        let now = self.live.now();
        let id = RoleId::new(now, &*self.entropy);
        let (built_in, revision, description, require_mfa) = (None, 1, request.description, request.require_mfa);
        let (created_at, updated_at) = (now, now);
        let role = Role { id, name, description, permissions, built_in, require_mfa, revision, created_at, updated_at };
        self.token_fit.check_new_role(&role)?;
        let mut tx = admin.write(&self.store, &self.live).await?;
        if let Some(creation) = &request.creation {
            let created = creation.record(&mut tx, admin, "CreateRole", role.id.as_str(), now).await?;
            if let CreationStatus::Repeated(id) = created {
                return self.find(&id);
            }
        }
        if !tx.role_insert(&role).await? {
            return Err(Error::Exists("role", role.name.to_string()));
        }
        ensure_audiences(&mut tx, &role.permissions, now).await?;
        self.record_change(&mut tx, admin, &role, AuditKind::RoleCreated, now).await?;
        self.live.commit(tx).await?;
        Ok(role)
    }

    /// Changes a role. If `revision` is given, the role must still be at it. The change takes effect in tokens issued
    /// afterwards. What is the same already changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`]; the role is built in; the caller lacks an old or a new permission.
    pub async fn update(&self, admin: &Admin, name: &str, patch: RolePatch, revision: Option<i64>) -> Result<Role> {
        self.live.confirm().await?;
        let old = self.find(name)?;
        if patch.description.is_some() || patch.permissions.is_some() {
            refuse_built_in(&old)?;
        }
        if revision.is_some_and(|r| r != old.revision) {
            return Err(Error::Changed);
        }
        let (mut violations, mut role) = (Violations::default(), old.clone());
        if let Some(description) = patch.description {
            check_description(&description, &mut violations);
            role.description = description;
        }
        if let Some(permissions) = &patch.permissions {
            role.permissions = role_permissions(permissions, self.live.issuer(), &mut violations);
        }
        role.require_mfa = patch.require_mfa.unwrap_or(old.require_mfa);
        violations.into_result(())?;
        admin.check_role(&self.live.snapshot(), &old)?;
        admin.check_permissions(&self.live.snapshot(), &role.permissions)?;
        let same = role.description == old.description && role.require_mfa == old.require_mfa;
        if same && same_permissions(&role.permissions, &old.permissions) {
            return Ok(old);
        }
        if role.permissions.iter().any(|permission| !old.permissions.contains(permission)) {
            self.token_fit.check_changed_role(&role).await?;
        }
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        if !tx.role_update(&role, now).await? {
            return Err(if revision.is_some() { Error::Changed } else { Error::Conflict });
        }
        ensure_audiences(&mut tx, &role.permissions, now).await?;
        self.record_change(&mut tx, admin, &role, AuditKind::RoleUpdated, now).await?;
        self.live.commit(tx).await?;
        self.find(role.id.as_str())
    }

    /// Deletes a role that is not assigned to anyone.
    ///
    /// # Errors
    /// [`Error::NotFound`]; it is assigned, or built in.
    pub async fn delete(&self, admin: &Admin, name: &str) -> Result<()> {
        let role = self.find(name)?;
        refuse_built_in(&role)?;
        admin.check_role(&self.live.snapshot(), &role)?;
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        let holder = tx.clients_all().await?.into_iter().find(|c| c.config.roles.contains(&role.id));
        if let Some(client) = holder {
            return Err(Error::Precondition(format!("the client {} has the role; take it away first", client.id)));
        }
        if !tx.role_delete(&role.id).await? {
            return Err(Error::Precondition("a user has the role; take it away first".to_owned()));
        }
        self.record_change(&mut tx, admin, &role, AuditKind::RoleDeleted, now).await?;
        self.live.commit(tx).await
    }

    /// All roles, in id order.
    #[must_use]
    pub fn list(&self, _: &Admin) -> Vec<Role> {
        let mut all: Vec<Role> = self.live.snapshot().roles.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// A role by id or name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, _: &Admin, name: &str) -> Result<Role> {
        self.find(name)
    }

    /// A role by id or name.
    pub(in crate::service) fn find(&self, name: &str) -> Result<Role> {
        let snapshot = self.live.snapshot();
        let found = snapshot.roles.values().find(|r| r.id.as_str() == name || r.name.as_str() == name);
        found.cloned().ok_or_else(|| Error::NotFound("role", name.to_owned()))
    }

    /// The permissions of a role: `P` at this server's own audience, `P@A` at another audience.
    #[must_use]
    pub fn permission_names_of(&self, role: &Role) -> Vec<String> {
        let built_in = role.built_in.map_or(&[][..], BuiltIn::permissions).iter().map(|p| (*p).to_owned());
        built_in.chain(self.permission_names(&role.permissions)).collect()
    }

    /// The names of permissions: `P` at this server's own audience, `P@A` at another audience.
    #[must_use]
    pub fn permission_names(&self, permissions: &[PermissionAt]) -> Vec<String> {
        permission_names(permissions, self.live.issuer())
    }

    /// The names of roles by id; deleted roles are skipped.
    #[must_use]
    pub fn names(&self, ids: &[RoleId]) -> Vec<String> {
        let snapshot = self.live.snapshot();
        ids.iter().filter_map(|id| snapshot.roles.get(id)).map(|r| r.name.to_string()).collect()
    }

    /// Resolves ids or names of roles to ids.
    pub(super) fn ids(&self, names: &[String]) -> Result<Vec<RoleId>> {
        if names.len() > MAX_ROLES {
            return Err(Error::invalid("roles", format!("must be at most {MAX_ROLES}")));
        }
        let mut ids = Vec::new();
        for name in names {
            let role = self.find(name).map_err(|_| Error::invalid("roles", format!("{name:?} is not a role")))?;
            ids.push(role.id);
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    async fn record_change(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        role: &Role,
        kind: AuditKind,
        now: Timestamp,
    ) -> Result<()> {
        let permissions: Vec<_> = role.permissions.iter().map(|p| format!("{}@{}", p.permission, p.audience)).collect();
        let details = json!({ "name": role.name, "permissions": permissions, "require_mfa": role.require_mfa });
        tx.audit(now, kind, &admin.actor, role.id.as_str(), details).await?;
        tx.change(self.live.change(ChangeKind::Role, role.id.as_str(), now));
        Ok(())
    }
}

async fn ensure_audiences(tx: &mut Tx, permissions: &[PermissionAt], now: Timestamp) -> Result<()> {
    for permission in permissions {
        tx.audience_ensure(&permission.audience, now).await?;
    }
    Ok(())
}

/// Parses `P` at this server's own audience, or `P@A` at another audience.
pub(super) fn permission_at(text: &str, issuer: &str) -> Option<PermissionAt> {
    let (permission, audience) = text.split_once('@').unwrap_or((text, issuer));
    let (permission, audience) = (permission.parse::<Permission>(), audience.parse::<Audience>());
    permission.ok().zip(audience.ok()).map(|(permission, audience)| PermissionAt { audience, permission })
}

/// The names of permissions: `P` at this server's own audience, `P@A` at another audience; sorted.
#[must_use]
pub fn permission_names(permissions: &[PermissionAt], issuer: &str) -> Vec<String> {
    let name = |p: &PermissionAt| match p.audience.as_str() {
        own if own == issuer => p.permission.to_string(),
        other => format!("{}@{other}", p.permission),
    };
    let mut names: Vec<String> = permissions.iter().map(name).collect();
    names.sort();
    names
}

/// The permissions of a role: `P` at this server's own audience, `P@A` at another audience.
fn role_permissions(texts: &[String], issuer: &str, violations: &mut Violations) -> Vec<PermissionAt> {
    if texts.len() > MAX_PERMISSIONS {
        violations.add("permissions", format!("must be at most {MAX_PERMISSIONS}"));
    }
    let mut out = Vec::new();
    for text in texts {
        match permission_at(text, issuer) {
            Some(permission) => out.push(permission),
            None => violations.add("permissions", format!("{text:?} must be PERMISSION or PERMISSION@AUDIENCE")),
        }
    }
    out.sort();
    out.dedup();
    out
}

/// The permissions of a role that is to be created with this request.
///
/// # Errors
/// Reports every invalid field at once.
pub fn check_new_role(request: &NewRoleRequest, issuer: &str) -> Result<Vec<PermissionAt>> {
    new_role(request, issuer).map(|(_, permissions)| permissions)
}

fn new_role(request: &NewRoleRequest, issuer: &str) -> Result<(RoleName, Vec<PermissionAt>)> {
    let mut violations = Violations::default();
    let name = violations.take("name", request.name.parse::<RoleName>());
    let permissions = role_permissions(&request.permissions, issuer, &mut violations);
    check_description(&request.description, &mut violations);
    violations.into_result(())?;
    let name = name.ok_or_else(|| Error::invalid("name", "must be a role's name"))?;
    Ok((name, permissions))
}

fn check_description(text: &str, violations: &mut Violations) {
    violations.take("description", Label::parse(text, MAX_DESCRIPTION));
}

/// Whether two lists name the same permissions, in any order.
fn same_permissions(one: &[PermissionAt], other: &[PermissionAt]) -> bool {
    one.len() == other.len() && one.iter().all(|permission| other.contains(permission))
}

fn refuse_built_in(role: &Role) -> Result<()> {
    if role.built_in.is_none() {
        return Ok(());
    }
    Err(Error::Precondition(format!("the role {} is built in and cannot be changed", role.name)))
}
