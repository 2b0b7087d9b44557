//! Creating and administering users.

pub(super) mod check;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::check::{check_new_user, check_patch};
use super::{
    Admin, Service,
    creations::{Created, Creation},
    sign_in::{hash_failure, mapped_claims},
};
use crate::{
    domain::{
        audit::AuditKind,
        feed::{Change, ChangeKind},
        login::{Login, LoginKind},
        password_policy::PasswordPolicy,
        session::RevokedCause,
        user::User,
    },
    error::{Error, Result},
    id::{RoleId, SessionId, UserId},
    passwords::Phc,
    secret::Password,
    store::{By, NewUser, Revoke, SessionFilter, Tx, UserFilter},
    time::Timestamp,
};

/// Most sessions that one call names.
const MAX_SESSION_IDS: usize = 100;

/// A user to be created.
#[derive(Debug, Default)]
pub struct NewUserRequest {
    /// The user name; empty for none.
    pub name: String,
    /// Addresses that are known to be the user's.
    pub emails: Vec<String>,
    /// The `sub` of tokens; the id if none is chosen.
    pub subject: Option<String>,
    /// The password; none if the user is to choose one.
    pub password: Option<Password>,
    /// Facts that claim maps may select.
    pub attributes: Map<String, Value>,
    /// Roles, by id or name.
    pub roles: Vec<String>,
    /// The caller's id for this call, if it may be repeated.
    pub creation: Option<Creation>,
}

/// What is to change of a user; nothing else does.
#[derive(Debug, Default)]
pub struct UserPatch {
    /// The user name; empty takes it away.
    pub name: Option<String>,
    /// Every address, all known to be the user's.
    pub emails: Option<Vec<String>>,
    /// All attributes.
    pub attributes: Option<Map<String, Value>>,
}

/// A user as administrators see it.
#[derive(Clone, Debug)]
pub struct UserView {
    /// The user.
    pub user: User,
    /// What the user may type to sign in: the name first, then the addresses.
    pub logins: Vec<String>,
    /// The user's roles, by id.
    pub roles: Vec<RoleId>,
}

impl Service {
    /// Creates a user.
    ///
    /// # Errors
    /// Every wrong field at once; [`Error::Exists`] if a name is taken.
    pub async fn user_create(&self, admin: &Admin, request: NewUserRequest) -> Result<User> {
        let logins = check_new_user(&request)?;
        let roles = self.roles_named(&request.roles)?;
        self.covers_roles(admin, &roles)?;
        let password = match request.password {
            Some(password) => Some(self.passwords.hash(password).await.map_err(hash_failure)?),
            None => None,
        };
        let now = self.now();
        let id = UserId::new(now, &*self.entropy);
        let mut tx = self.store.write().await?;
        if let Some(creation) = &request.creation {
            let created = self.creation(&mut tx, admin, ("CreateUser", creation), id.as_str()).await?;
            if let Created::Before(id) = created {
                return self.created_before(&mut tx, &id).await;
            }
        }
        let subject = request.subject.unwrap_or_else(|| id.as_str().to_owned());
        let attributes = request.attributes;
        let user = User { id, subject, attributes, security_version: 1, disabled_at: None, created_at: now };
        let new = NewUser { user, logins, password };
        match tx.user_insert(&new).await? {
            Some("subject") => return Err(Error::Exists("subject", new.user.subject)),
            Some(_) => return Err(Error::Exists("login", request.name)),
            None => {}
        }
        for role in &roles {
            tx.user_role_add(&new.user.id, role, now).await?;
        }
        let details = json!({ "id": new.user.id.as_str(), "roles": roles });
        tx.audit(now, AuditKind::UserCreated, &admin.actor, &new.user.subject, details).await?;
        tx.commit().await?;
        Ok(new.user)
    }

    async fn created_before(&self, tx: &mut Tx, id: &str) -> Result<User> {
        let user = match id.parse() {
            Ok(id) => tx.user_by_id(&id).await?,
            Err(_) => None,
        };
        user.ok_or_else(|| Error::NotFound("user", id.to_owned()))
    }

    /// A user by id, login or subject.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_find(&self, name: &str) -> Result<UserView> {
        let mut tx = self.store.read().await?;
        let user = find(&mut tx, name).await?.ok_or_else(|| Error::NotFound("user", name.to_owned()))?;
        view(&mut tx, user).await
    }

    /// The user with this subject.
    pub(super) async fn user_of_subject(&self, subject: &str) -> Result<Option<UserView>> {
        let mut tx = self.store.read().await?;
        match tx.user_by_subject(subject).await? {
            Some(user) => view(&mut tx, user).await.map(Some),
            None => Ok(None),
        }
    }

    /// Users in the order of their ids, at most `limit` after `after`.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn users_list(&self, filter: &UserFilter, after: &str, limit: i64) -> Result<Vec<UserView>> {
        let mut tx = self.store.read().await?;
        let users = tx.users_page(filter, after, limit).await?;
        let ids: Vec<UserId> = users.iter().map(|user| user.id.clone()).collect();
        let views = users.into_iter().map(|user| UserView { user, logins: Vec::new(), roles: Vec::new() });
        let mut views: BTreeMap<String, UserView> = views.map(|v| (v.user.id.as_str().to_owned(), v)).collect();
        for (id, login) in tx.logins_of_users(&ids).await? {
            views.entry(id).and_modify(|view| view.logins.push(login));
        }
        for (id, role) in tx.roles_of_users(&ids).await? {
            views.entry(id).and_modify(|view| view.roles.push(role));
        }
        Ok(views.into_values().collect())
    }

    /// Changes a user, provided it is still at `version`, if one is given.
    ///
    /// # Errors
    /// Every wrong field at once; [`Error::Exists`] if a login is taken; [`Error::Changed`].
    pub async fn user_update(
        &self,
        admin: &Admin,
        name: &str,
        patch: &UserPatch,
        version: Option<i64>,
    ) -> Result<UserView> {
        check_patch(patch)?;
        let (mut tx, found, now) = self.change_user(admin, name, version).await?;
        let id = &found.user.id;
        if let Some(name) = &patch.name {
            replace_logins(&mut tx, id, LoginKind::Name, std::slice::from_ref(name)).await?;
        }
        if let Some(emails) = &patch.emails {
            replace_logins(&mut tx, id, LoginKind::Email, emails).await?;
        }
        if let Some(attributes) = &patch.attributes {
            tx.user_set_attributes(id, attributes).await?;
            let user = User { attributes: attributes.clone(), ..found.user.clone() };
            self.remap_claims(&mut tx, &user, now).await?;
        }
        let changed = [
            ("name", patch.name.is_some()),
            ("emails", patch.emails.is_some()),
            ("attributes", patch.attributes.is_some()),
        ];
        let changed: Vec<_> = changed.iter().filter(|(_, is)| *is).map(|(field, _)| *field).collect();
        let details = json!({ "changed": changed });
        tx.audit(now, AuditKind::UserUpdated, &admin.actor, &found.user.subject, details).await?;
        let user = tx.user_by_id(id).await?.ok_or(Error::Conflict)?;
        let view = view(&mut tx, user).await?;
        tx.commit().await?;
        Ok(view)
    }

    /// Deletes a user: ends its sessions and empties its row.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`].
    pub async fn user_delete(&self, admin: &Admin, name: &str, version: Option<i64>) -> Result<usize> {
        let (mut tx, found, now) = self.change_user(admin, name, version).await?;
        let id = &found.user.id;
        tx.user_delete(id, now).await?;
        let ended = self.end_all(&mut tx, admin, id, RevokedCause::UserDeleted, now).await?;
        self.user_changed(&mut tx, admin, &found.user, AuditKind::UserDeleted, now).await?;
        tx.commit().await?;
        self.live.confirm().await?;
        Ok(ended)
    }

    /// Disables a user and ends its sessions; gives their number.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_disable(&self, admin: &Admin, name: &str) -> Result<usize> {
        let (mut tx, found, now) = self.change_user(admin, name, None).await?;
        if !tx.user_disable(&found.user.id, now).await? {
            return Ok(0);
        }
        let ended = self.end_all(&mut tx, admin, &found.user.id, RevokedCause::UserDisabled, now).await?;
        self.user_changed(&mut tx, admin, &found.user, AuditKind::UserDisabled, now).await?;
        tx.commit().await?;
        self.live.confirm().await?;
        Ok(ended)
    }

    /// Enables a user; says whether it was disabled. Its old sessions stay ended.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_enable(&self, admin: &Admin, name: &str) -> Result<bool> {
        let (mut tx, found, now) = self.change_user(admin, name, None).await?;
        if !tx.user_enable(&found.user.id, now).await? {
            return Ok(false);
        }
        self.user_changed(&mut tx, admin, &found.user, AuditKind::UserEnabled, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Sets a user's password and ends its sessions; gives their number.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what is wrong with the password.
    pub async fn user_set_password(&self, admin: &Admin, name: &str, password: Password) -> Result<usize> {
        let found = self.user_find(name).await?;
        let context: Vec<&str> = found.logins.iter().map(String::as_str).collect();
        PasswordPolicy::default()
            .check(&password, &context)
            .map_err(|problem| Error::invalid("password", problem.to_string()))?;
        let phc: Phc = self.passwords.hash(password).await.map_err(hash_failure)?;
        let (mut tx, found, now) = self.change_user(admin, name, None).await?;
        tx.password_set(&found.user.id, &phc, now).await?;
        self.limits.clear_logins(&mut tx, &found.logins).await?;
        let ended = self.end_all(&mut tx, admin, &found.user.id, RevokedCause::PasswordSet, now).await?;
        tx.audit(now, AuditKind::PasswordSet, &admin.actor, &found.user.subject, json!({})).await?;
        if tx.commit().await? {
            self.live.confirm().await?;
        }
        Ok(ended)
    }

    /// Lets a user's password count only until another is chosen, at the next sign-in.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the user has no password.
    pub async fn user_must_change_password(&self, admin: &Admin, name: &str) -> Result<()> {
        let (mut tx, found, now) = self.change_user(admin, name, None).await?;
        if !tx.password_must_change(&found.user.id).await? {
            return Err(Error::Precondition("the user has no password".to_owned()));
        }
        let details = json!({ "must_change": true });
        tx.audit(now, AuditKind::PasswordResetStarted, &admin.actor, &found.user.subject, details).await?;
        tx.commit().await.map(|_| ())
    }

    /// Gives a user a role, or takes it away; says whether that changed anything. The next tokens of the
    /// user's sessions know it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the role or the user may do what the caller may not.
    pub async fn user_set_role(&self, admin: &Admin, name: &str, role: &str, given: bool) -> Result<bool> {
        let role = self.role_find(role)?;
        self.covers_role(admin, &role)?;
        let (mut tx, found, now) = self.change_user(admin, name, None).await?;
        let id = &found.user.id;
        let (changed, kind) = if given {
            (tx.user_role_add(id, &role.id, now).await?, AuditKind::RoleAssigned)
        } else {
            (tx.user_role_remove(id, &role.id).await?, AuditKind::RoleUnassigned)
        };
        if !changed {
            if given && !found.roles.contains(&role.id) {
                return Err(Error::Precondition("the user has as many roles as there may be".to_owned()));
            }
            return Ok(false);
        }
        let roles = tx.roles_of_user(id).await?;
        tx.sessions_set_roles(id, &roles).await?;
        let details = json!({ "role": role.name, "role_id": role.id });
        tx.audit(now, kind, &admin.actor, &found.user.subject, details).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The user with exactly this `login` or `subject` that meets the filter.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn user_exactly(&self, filter: &UserFilter, field: &str, value: &str) -> Result<Option<UserView>> {
        let mut tx = self.store.read().await?;
        let user = match (field, Login::canonical_for_lookup(value)) {
            ("subject", _) => tx.user_by_subject(value).await?,
            (_, Some(canonical)) => tx.user_by_login(&canonical).await?.map(|found| found.user),
            (_, None) => None,
        };
        let Some(user) = user else { return Ok(None) };
        let view = view(&mut tx, user).await?;
        let has_role = filter.role.as_ref().is_none_or(|role| view.roles.contains(role));
        let is_so = filter.disabled.is_none_or(|disabled| view.user.disabled_at.is_some() == disabled);
        Ok((has_role && is_so && filter.accepts_logins(&view.logins)).then_some(view))
    }

    /// Ends these sessions of a user, or all if none is named; gives the number that had been live.
    ///
    /// # Errors
    /// [`Error::NotFound`]; a violation of `session_ids`.
    pub async fn user_end_sessions(&self, admin: &Admin, name: &str, ids: &[String]) -> Result<usize> {
        let ids = session_ids(ids)?;
        let (mut tx, found, now) = self.change_user(admin, name, None).await?;
        let ended = if ids.is_empty() {
            self.end_all(&mut tx, admin, &found.user.id, RevokedCause::Administrator, now).await?
        } else {
            let live = tx.sessions_of_user(&found.user.id, SessionFilter::Live(now)).await?;
            let own: Vec<_> = live.into_iter().map(|s| s.id).filter(|id| ids.contains(id)).collect();
            let settings = self.live.snapshot().settings.clone();
            let cause = RevokedCause::Administrator;
            tx.revoke(Revoke::Sessions(&own), &By { actor: &admin.actor, cause, settings: &settings, now }).await?
        };
        if tx.commit().await? {
            self.live.confirm().await?;
        }
        Ok(ended)
    }

    /// Begins a change of a user: its row is locked, and who may do more than the caller is out of reach.
    pub(super) async fn change_user(
        &self,
        admin: &Admin,
        name: &str,
        version: Option<i64>,
    ) -> Result<(Tx, UserView, Timestamp)> {
        let missing = || Error::NotFound("user", name.to_owned());
        let id = self.user_find(name).await?.user.id;
        let mut tx = self.store.write().await?;
        let now = self.now();
        if !tx.user_touch(&id, version, now).await? {
            return Err(if tx.user_by_id(&id).await?.is_some() { Error::Changed } else { missing() });
        }
        let user = tx.user_by_id(&id).await?.ok_or_else(missing)?;
        let found = view(&mut tx, user).await?;
        self.covers_roles(admin, &found.roles)?;
        Ok((tx, found, now))
    }

    /// Copies what the clients' claim maps select from the user into its live sessions.
    pub(super) async fn remap_claims(&self, tx: &mut Tx, user: &User, now: Timestamp) -> Result<()> {
        let snapshot = self.live.snapshot();
        let live = tx.sessions_of_user(&user.id, SessionFilter::Live(now)).await?;
        let clients: std::collections::BTreeSet<_> = live.into_iter().map(|s| s.client).collect();
        for id in clients {
            if let Some(client) = snapshot.clients.get(id.as_str()) {
                tx.sessions_set_claims(&user.id, &id, &mapped_claims(client, user)).await?;
            }
        }
        Ok(())
    }

    /// Ends all live sessions of a user within the transaction that changes the user.
    pub(super) async fn end_all(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        user: &UserId,
        cause: RevokedCause,
        now: Timestamp,
    ) -> Result<usize> {
        let settings = self.live.snapshot().settings.clone();
        let what = Revoke::SessionsOf { user, but: None };
        tx.revoke(what, &By { actor: &admin.actor, cause, settings: &settings, now }).await
    }

    async fn user_changed(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        user: &User,
        kind: AuditKind,
        now: Timestamp,
    ) -> Result<()> {
        tx.audit(now, kind, &admin.actor, &user.subject, json!({})).await?;
        let ends_at = now.plus(self.live.snapshot().settings.revocation_ttl(now));
        tx.change(Change {
            kind: ChangeKind::User,
            subject: user.id.as_str().to_owned(),
            at: now,
            ends_at,
            status: None,
        });
        Ok(())
    }
}

fn session_ids(texts: &[String]) -> Result<Vec<SessionId>> {
    if texts.len() > MAX_SESSION_IDS {
        return Err(Error::invalid("session_ids", format!("must be at most {MAX_SESSION_IDS}")));
    }
    let parsed: Result<Vec<SessionId>, _> = texts.iter().map(|t| t.parse()).collect();
    parsed.map_err(|e| Error::invalid("session_ids", e.to_string()))
}

async fn view(tx: &mut Tx, user: User) -> Result<UserView> {
    let logins = tx.logins_of(&user.id).await?;
    let roles = tx.roles_of_user(&user.id).await?;
    Ok(UserView { user, logins, roles })
}

async fn find(tx: &mut Tx, name: &str) -> Result<Option<User>> {
    if let Ok(id) = name.parse::<UserId>() {
        return tx.user_by_id(&id).await;
    }
    let by_login = match Login::canonical_for_lookup(name) {
        Some(canonical) => tx.user_by_login(&canonical).await?.map(|found| found.user),
        None => None,
    };
    let by_subject = tx.user_by_subject(name).await?;
    match (by_subject, by_login) {
        // People choose their names: nobody is to be taken for somebody else by one.
        (Some(one), Some(other)) if one.id != other.id => {
            Err(Error::Precondition("the name is one user's subject and another's login; use the id".to_owned()))
        }
        (by_subject, by_login) => Ok(by_subject.or(by_login)),
    }
}

/// Replaces the logins of one kind; an empty text stands for none.
async fn replace_logins(tx: &mut Tx, id: &UserId, kind: LoginKind, texts: &[String]) -> Result<()> {
    tx.logins_delete(id, kind).await?;
    for text in texts.iter().filter(|t| !t.is_empty()) {
        let login = Login::parse(text).map_err(|problem| Error::invalid("login", problem.to_string()))?;
        if !tx.login_insert(id, &login).await? {
            return Err(Error::Exists("login", text.clone()));
        }
    }
    Ok(())
}
