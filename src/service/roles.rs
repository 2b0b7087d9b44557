//! Roles: creating, changing and finding them.

use serde_json::json;

use super::{
    Admin, Service,
    creations::{Created, Creation},
};
use crate::{
    domain::{
        audit::AuditKind,
        feed::{Change, ChangeKind},
        role::{BuiltIn, MAX_DESCRIPTION, MAX_PERMISSIONS, MAX_ROLES, Role, RoleName},
        scope::{Audience, Permission, PermissionAt},
    },
    error::{Error, Result, Violation},
    id::RoleId,
    store::Tx,
    time::Timestamp,
};

/// A role to be created.
#[derive(Debug, Default)]
pub struct NewRoleRequest {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its permissions: `P` of this server's own audience, `P@A` of another.
    pub permissions: Vec<String>,
    /// The caller's id for this call, if it may be repeated.
    pub creation: Option<Creation>,
}

/// What is to change of a role; nothing else does.
#[derive(Debug, Default)]
pub struct RolePatch {
    /// What it is for.
    pub description: Option<String>,
    /// All its permissions.
    pub permissions: Option<Vec<String>>,
}

impl Service {
    /// Creates a role.
    ///
    /// # Errors
    /// Every wrong field at once; [`Error::Exists`]; a permission that the caller lacks.
    pub async fn role_create(&self, admin: &Admin, request: NewRoleRequest) -> Result<Role> {
        let mut wrong = Vec::new();
        let name = request.name.parse::<RoleName>();
        if let Err(problem) = &name {
            wrong.push(Violation { field: "name".into(), description: problem.to_string() });
        }
        let permissions = self.role_permissions(&request.permissions, &mut wrong);
        check_description(&request.description, &mut wrong);
        let (Ok(name), true) = (name, wrong.is_empty()) else { return Err(Error::Invalid(wrong)) };
        self.covers_permissions(admin, &permissions)?;
        let now = self.now();
        let id = RoleId::new(now, &*self.entropy);
        let (built_in, revision, description) = (None, 1, request.description);
        let role = Role { id, name, description, permissions, built_in, revision, created_at: now, updated_at: now };
        let mut tx = self.store.write().await?;
        if let Some(creation) = &request.creation {
            let created = self.creation(&mut tx, admin, ("CreateRole", creation), role.id.as_str()).await?;
            if let Created::Before(id) = created {
                return self.role_find(&id);
            }
        }
        if !tx.role_insert(&role).await? {
            return Err(Error::Exists("role", role.name.to_string()));
        }
        self.ensure_audiences(&mut tx, &role.permissions, now).await?;
        self.role_changed(&mut tx, admin, &role, AuditKind::RoleCreated, now).await?;
        self.committed(tx).await?;
        Ok(role)
    }

    /// Changes a role, provided it is still at `revision`, if one is given. Tokens know it from their next
    /// issue on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`]; built-in roles do not change; a permission that the caller
    /// lacks, among the old or the new.
    pub async fn role_update(
        &self,
        admin: &Admin,
        name: &str,
        patch: RolePatch,
        revision: Option<i64>,
    ) -> Result<Role> {
        self.live.confirm().await?;
        let old = self.role_find(name)?;
        refuse_built_in(&old)?;
        if revision.is_some_and(|r| r != old.revision) {
            return Err(Error::Changed);
        }
        let (mut wrong, mut role) = (Vec::new(), old.clone());
        if let Some(description) = patch.description {
            check_description(&description, &mut wrong);
            role.description = description;
        }
        if let Some(permissions) = &patch.permissions {
            role.permissions = self.role_permissions(permissions, &mut wrong);
        }
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        self.covers_role(admin, &old)?;
        self.covers_permissions(admin, &role.permissions)?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        if !tx.role_update(&role, now).await? {
            return Err(if revision.is_some() { Error::Changed } else { Error::Conflict });
        }
        self.ensure_audiences(&mut tx, &role.permissions, now).await?;
        self.role_changed(&mut tx, admin, &role, AuditKind::RoleUpdated, now).await?;
        self.committed(tx).await?;
        self.role_find(role.id.as_str())
    }

    /// Deletes a role that nobody has.
    ///
    /// # Errors
    /// [`Error::NotFound`]; somebody has it, or it is built in.
    pub async fn role_delete(&self, admin: &Admin, name: &str) -> Result<()> {
        let role = self.role_find(name)?;
        refuse_built_in(&role)?;
        self.covers_role(admin, &role)?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        let holder = tx.clients_all().await?.into_iter().find(|c| c.config.roles.contains(&role.id));
        if let Some(client) = holder {
            return Err(Error::Precondition(format!("the client {} has the role", client.id)));
        }
        if !tx.role_delete(&role.id).await? {
            return Err(Error::Precondition("a user has the role; take it away first".to_owned()));
        }
        self.role_changed(&mut tx, admin, &role, AuditKind::RoleDeleted, now).await?;
        self.committed(tx).await
    }

    /// Every role, by id.
    #[must_use]
    pub fn roles_list(&self) -> Vec<Role> {
        let mut all: Vec<Role> = self.live.snapshot().roles.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// A role by id or name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn role_find(&self, name: &str) -> Result<Role> {
        let snapshot = self.live.snapshot();
        let found = snapshot.roles.values().find(|r| r.id.as_str() == name || r.name.as_str() == name);
        found.cloned().ok_or_else(|| Error::NotFound("role", name.to_owned()))
    }

    /// The permissions of a role: `P` at this server's own audience, `P@A` at another.
    #[must_use]
    pub fn role_permission_names(&self, role: &Role) -> Vec<String> {
        let built_in = role.built_in.map_or(&[][..], BuiltIn::permissions).iter().map(|p| (*p).to_owned());
        built_in.chain(self.permission_names(&role.permissions)).collect()
    }

    /// `P` at this server's own audience, `P@A` at another.
    #[must_use]
    pub fn permission_names(&self, permissions: &[PermissionAt]) -> Vec<String> {
        let name = |p: &PermissionAt| match p.audience.as_str() {
            own if own == self.issuer() => p.permission.to_string(),
            other => format!("{}@{other}", p.permission),
        };
        let mut names: Vec<String> = permissions.iter().map(name).collect();
        names.sort();
        names
    }

    /// The names of roles by their ids; those that are gone have none.
    #[must_use]
    pub fn role_names(&self, ids: &[RoleId]) -> Vec<String> {
        let snapshot = self.live.snapshot();
        ids.iter().filter_map(|id| snapshot.roles.get(id)).map(|r| r.name.to_string()).collect()
    }

    /// The roles of these ids or names.
    pub(super) fn roles_named(&self, names: &[String]) -> Result<Vec<RoleId>> {
        if names.len() > MAX_ROLES {
            return Err(Error::invalid("roles", format!("must be at most {MAX_ROLES}")));
        }
        let mut ids = Vec::new();
        for name in names {
            let role = self.role_find(name).map_err(|_| Error::invalid("roles", format!("{name:?} is no role")))?;
            ids.push(role.id);
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    fn role_permissions(&self, texts: &[String], wrong: &mut Vec<Violation>) -> Vec<PermissionAt> {
        let mut wrong = |description| wrong.push(Violation { field: "permissions".into(), description });
        if texts.len() > MAX_PERMISSIONS {
            wrong(format!("must be at most {MAX_PERMISSIONS}"));
        }
        let mut out = Vec::new();
        for text in texts {
            match self.permission_at(text) {
                Some(permission) => out.push(permission),
                None => wrong(format!("{text:?} must be PERMISSION or PERMISSION@AUDIENCE")),
            }
        }
        out.sort();
        out.dedup();
        out
    }

    /// `P` of this server's own audience, `P@A` of another.
    pub(super) fn permission_at(&self, text: &str) -> Option<PermissionAt> {
        let (permission, audience) = text.split_once('@').unwrap_or((text, self.issuer()));
        let (permission, audience) = (permission.parse::<Permission>(), audience.parse::<Audience>());
        permission.ok().zip(audience.ok()).map(|(permission, audience)| PermissionAt { audience, permission })
    }

    async fn ensure_audiences(&self, tx: &mut Tx, permissions: &[PermissionAt], now: Timestamp) -> Result<()> {
        for permission in permissions {
            tx.audience_ensure(&permission.audience, now).await?;
        }
        Ok(())
    }

    async fn role_changed(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        role: &Role,
        kind: AuditKind,
        now: Timestamp,
    ) -> Result<()> {
        let permissions: Vec<_> = role.permissions.iter().map(|p| format!("{}@{}", p.permission, p.audience)).collect();
        let details = json!({ "name": role.name, "permissions": permissions });
        tx.audit(now, kind, &admin.actor, role.id.as_str(), details).await?;
        let ends_at = now.plus(self.live.snapshot().settings.revocation_ttl(now));
        let subject = role.id.as_str().to_owned();
        tx.change(Change { kind: ChangeKind::Role, subject, at: now, ends_at, status: None });
        Ok(())
    }

    /// Commits a change of what every process holds in memory, and takes it over here.
    pub(super) async fn committed(&self, tx: Tx) -> Result<()> {
        tx.commit().await?;
        self.live.confirm().await
    }
}

fn check_description(text: &str, wrong: &mut Vec<Violation>) {
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control) {
        let description = format!("must be at most {MAX_DESCRIPTION} characters without control characters");
        wrong.push(Violation { field: "description".into(), description });
    }
}

fn refuse_built_in(role: &Role) -> Result<()> {
    if role.built_in.is_none() {
        return Ok(());
    }
    Err(Error::Precondition(format!("the role {} is built in and stays as it is", role.name)))
}
