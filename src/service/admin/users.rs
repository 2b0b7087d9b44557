//! User administration.

mod check;
mod factors;
mod lookup;
mod reset;
mod sessions;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value, json};

pub use self::check::check_new_user;
use self::check::check_patch;
pub use self::reset::{ResetStarted, UserPasswordReset};
use super::{
    creations::{CreationKey, CreationStatus},
    roles::Roles,
};
use crate::{
    domain::{
        audit::AuditKind,
        feed::ChangeKind,
        login::{Login, LoginKind},
        password_policy::PasswordPolicy,
        session::RevokedCause,
        user::{User, UserFilter},
    },
    entropy::Entropy,
    error::{Error, Result},
    id::UserId,
    passwords::{Passwords, Phc},
    secret::Password,
    service::{
        access::Admin,
        people::{Emails, Factors, Limits, Tickets, TokenFit, UserView, hash_error, load_view, remap_claims},
        runtime::{Live, Runtime},
        tokens::{SessionsEnded, Tokens},
    },
    store::{By, NewUser, Revoke, Store, Tx},
    time::Timestamp,
};

/// A user to be created.
#[derive(Debug, Default)]
pub struct NewUserRequest {
    /// The user name; empty means none.
    pub name: String,
    /// Verified addresses of the user.
    pub emails: Vec<String>,
    /// The `sub` of tokens; defaults to the id.
    pub subject: Option<String>,
    /// The password; `None` if the user chooses one later.
    pub password: Option<Password>,
    /// Attributes that claim maps may select.
    pub attributes: Map<String, Value>,
    /// The language in which the server writes to the user; empty means that none is known.
    pub language: String,
    /// Roles, by id or name.
    pub roles: Vec<String>,
    /// The caller's request id, if the call may be retried.
    pub creation: Option<CreationKey>,
}

/// A change of a user; absent fields stay as they are.
#[derive(Debug, Default)]
pub struct UserPatch {
    /// The user name; empty removes it.
    pub name: Option<String>,
    /// The full list of verified addresses.
    pub emails: Option<Vec<String>>,
    /// The full set of attributes.
    pub attributes: Option<Map<String, Value>>,
    /// The language in which the server writes to the user; empty removes it.
    pub language: Option<String>,
}

/// User administration.
pub struct Users {
    store: Store,
    live: Arc<Live>,
    entropy: Arc<dyn Entropy>,
    passwords: Passwords,
    limits: Limits,
    tickets: Tickets,
    emails: Emails,
    factors: Factors,
    roles: Roles,
    tokens: Arc<Tokens>,
    token_fit: TokenFit,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Users")
    }
}

/// The dependencies of user administration.
pub(in crate::service) struct UsersParts {
    pub(in crate::service) runtime: Runtime,
    pub(in crate::service) passwords: Passwords,
    pub(in crate::service) limits: Limits,
    pub(in crate::service) tickets: Tickets,
    pub(in crate::service) emails: Emails,
    pub(in crate::service) factors: Factors,
    pub(in crate::service) roles: Roles,
    pub(in crate::service) tokens: Arc<Tokens>,
    pub(in crate::service) token_fit: TokenFit,
}

/// A transaction that has locked a user's row to change it.
struct LockedUser {
    tx: Tx,
    found: UserView,
    now: Timestamp,
}

impl Users {
    pub(in crate::service) fn new(parts: UsersParts) -> Self {
        let UsersParts { runtime, passwords, limits, tickets, emails, factors, roles, tokens, token_fit } = parts;
        let Runtime { store, live, entropy, .. } = runtime;
        Self { store, live, entropy, passwords, limits, tickets, emails, factors, roles, tokens, token_fit }
    }

    /// Creates a user.
    ///
    /// # Errors
    /// Reports every invalid field at once; [`Error::Exists`] if a login or the subject is taken.
    pub async fn create(&self, admin: &Admin, request: NewUserRequest) -> Result<User> {
        let (logins, language) = check_new_user(&request)?;
        let roles = self.roles.ids(&request.roles)?;
        admin.check_roles(&self.live.snapshot(), &roles)?;
        let password = match request.password {
            Some(password) => Some(self.passwords.hash(password).await.map_err(hash_error)?),
            None => None,
        };
        let now = self.live.now();
        let id = UserId::new(now, &*self.entropy);
        let mut tx = admin.write(&self.store, &self.live).await?;
        if let Some(creation) = &request.creation {
            let created = creation.record(&mut tx, admin, "CreateUser", id.as_str(), now).await?;
            if let CreationStatus::Repeated(id) = created {
                return existing_user(&mut tx, &id).await;
            }
        }
        let subject = request.subject.unwrap_or_else(|| id.as_str().to_owned());
        let attributes = request.attributes;
        let (security_version, disabled_at) = (1, None);
        let second_factors = 0;
        let user =
            User { id, subject, attributes, language, security_version, second_factors, disabled_at, created_at: now };
        let field = match (roles.is_empty(), user.attributes.is_empty()) {
            (false, _) => "roles",
            (true, false) => "attributes",
            (true, true) => "subject",
        };
        self.token_fit.check_user(&user, &roles, field)?;
        let new = NewUser { user, logins, password };
        if let Some(taken) = tx.user_insert(&new).await? {
            return Err(taken.into());
        }
        for role in &roles {
            tx.user_role_add(&new.user.id, role, now).await?;
        }
        let details = json!({ "id": new.user.id.as_str(), "roles": roles });
        tx.audit(now, AuditKind::UserCreated, &admin.actor, &new.user.subject, details).await?;
        tx.commit().await?;
        Ok(new.user)
    }

    /// A user by id, login or subject.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, _: &Admin, name: &str) -> Result<UserView> {
        self.find(name).await
    }

    async fn find(&self, name: &str) -> Result<UserView> {
        let mut tx = self.store.read().await?;
        let user = find(&mut tx, name).await?.ok_or_else(|| Error::NotFound("user", name.to_owned()))?;
        load_view(&mut tx, user).await
    }

    /// Users in id order: at most `limit` after `after`.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn list(&self, _: &Admin, filter: &UserFilter, after: &str, limit: i64) -> Result<Vec<UserView>> {
        let mut tx = self.store.report().await?;
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

    /// Changes a user. If `version` is given, the user must still be at it. What is the same already changes nothing.
    ///
    /// # Errors
    /// Reports every invalid field at once; [`Error::Exists`] if a login is taken; [`Error::Changed`].
    pub async fn update(&self, admin: &Admin, name: &str, patch: &UserPatch, version: Option<i64>) -> Result<UserView> {
        let language = check_patch(patch)?;
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, version).await?;
        let id = &found.user.id;
        let readable = tx.user_attributes(id).await?.is_some();
        if !patch.changes(&found, readable) {
            drop(tx);
            return self.find(id.as_str()).await;
        }
        if let Some(name) = &patch.name {
            replace_logins(&mut tx, id, LoginKind::Name, std::slice::from_ref(name)).await?;
        }
        if let Some(emails) = &patch.emails {
            replace_logins(&mut tx, id, LoginKind::Email, emails).await?;
        }
        if let Some(attributes) = &patch.attributes {
            let user = User { attributes: attributes.clone(), ..found.user.clone() };
            self.token_fit.check_changed_user((&found.user, &found.roles), (&user, &found.roles), "attributes")?;
            tx.user_set_attributes(id, attributes).await?;
            remap_claims(&self.live, &mut tx, &user, now).await?;
        }
        if patch.language.is_some() {
            tx.user_set_language(id, language.as_ref()).await?;
        }
        let details = json!({ "changed": patch.changed() });
        tx.audit(now, AuditKind::UserUpdated, &admin.actor, &found.user.subject, details).await?;
        let user = tx.user_by_id(id).await?.ok_or(Error::Conflict)?;
        let view = load_view(&mut tx, user).await?;
        tx.commit().await?;
        Ok(view)
    }

    /// Deletes a user: ends its sessions and erases its data.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`].
    pub async fn delete(&self, admin: &Admin, name: &str, version: Option<i64>) -> Result<SessionsEnded> {
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, version).await?;
        let id = &found.user.id;
        tx.user_delete(id, now).await?;
        let ended = self.end_all_sessions(&mut tx, admin, id, RevokedCause::UserDeleted, now).await?;
        self.record_change(&mut tx, admin, &found.user, AuditKind::UserDeleted, now).await?;
        self.live.commit(tx).await?;
        Ok(ended)
    }

    /// Disables a user and ends its sessions; returns nothing if it was disabled already.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn disable(&self, admin: &Admin, name: &str) -> Result<Option<SessionsEnded>> {
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, None).await?;
        if !tx.user_disable(&found.user.id, now).await? {
            return Ok(None);
        }
        let ended = self.end_all_sessions(&mut tx, admin, &found.user.id, RevokedCause::UserDisabled, now).await?;
        self.record_change(&mut tx, admin, &found.user, AuditKind::UserDisabled, now).await?;
        self.live.commit(tx).await?;
        Ok(Some(ended))
    }

    /// Enables a user; returns whether it was disabled. Its old sessions stay ended.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn enable(&self, admin: &Admin, name: &str) -> Result<bool> {
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, None).await?;
        if !tx.user_enable(&found.user.id, now).await? {
            return Ok(false);
        }
        self.record_change(&mut tx, admin, &found.user, AuditKind::UserEnabled, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Sets a user's password and ends its sessions.
    ///
    /// # Errors
    /// [`Error::NotFound`], or a violation by the password.
    pub async fn set_password(&self, admin: &Admin, name: &str, password: Password) -> Result<SessionsEnded> {
        let found = self.find(name).await?;
        let context: Vec<&str> = found.logins.iter().map(String::as_str).collect();
        PasswordPolicy::default()
            .check(&password, &context)
            .map_err(|problem| Error::invalid("password", problem.to_string()))?;
        let phc: Phc = self.passwords.hash(password).await.map_err(hash_error)?;
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, None).await?;
        tx.password_set(&found.user.id, &phc, now).await?;
        self.limits.clear_logins(&mut tx, &found.logins).await?;
        let ended = self.end_all_sessions(&mut tx, admin, &found.user.id, RevokedCause::PasswordSet, now).await?;
        tx.audit(now, AuditKind::PasswordSet, &admin.actor, &found.user.subject, json!({})).await?;
        self.live.commit(tx).await?;
        Ok(ended)
    }

    /// Requires the user to choose a new password at the next sign-in.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the user has no password.
    pub async fn require_new_password(&self, admin: &Admin, name: &str) -> Result<()> {
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, None).await?;
        if !tx.password_must_change(&found.user.id).await? {
            return Err(Error::Precondition("the user has no password".to_owned()));
        }
        let details = json!({ "must_change": true });
        tx.audit(now, AuditKind::PasswordResetStarted, &admin.actor, &found.user.subject, details).await?;
        tx.commit().await.map(|_| ())
    }

    /// Assigns a role to a user or removes it; returns whether anything changed. It takes effect in the next tokens
    /// of the user's sessions.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the role or the user has permissions that the caller lacks.
    pub async fn set_role(&self, admin: &Admin, name: &str, role: &str, given: bool) -> Result<bool> {
        let role = self.roles.find(role)?;
        admin.check_role(&self.live.snapshot(), &role)?;
        let LockedUser { mut tx, found, now } = self.begin_change(admin, name, None).await?;
        let id = &found.user.id;
        let (changed, kind) = if given {
            (tx.user_role_add(id, &role.id, now).await?, AuditKind::RoleAssigned)
        } else {
            (tx.user_role_remove(id, &role.id).await?, AuditKind::RoleUnassigned)
        };
        if !changed {
            if given && !found.roles.contains(&role.id) {
                return Err(Error::Precondition("the user already has the maximum number of roles".to_owned()));
            }
            return Ok(false);
        }
        let roles = tx.roles_of_user(id).await?;
        if given {
            self.token_fit.check_changed_user((&found.user, &found.roles), (&found.user, &roles), "role_id")?;
        }
        tx.sessions_set_roles(id, &roles).await?;
        let details = json!({ "role": role.name, "role_id": role.id });
        tx.audit(now, kind, &admin.actor, &found.user.subject, details).await?;
        // Streams that the user watches as an administrator check its permissions again.
        tx.change(self.live.change(ChangeKind::User, id.as_str(), now));
        self.live.commit(tx).await?;
        Ok(true)
    }

    /// The user with exactly this `login` or `subject`, if it matches the filter.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn find_exact(
        &self,
        _: &Admin,
        filter: &UserFilter,
        field: &str,
        value: &str,
    ) -> Result<Option<UserView>> {
        let mut tx = self.store.read().await?;
        let user = match (field, Login::canonical_for_lookup(value)) {
            ("subject", _) => tx.user_by_subject(value).await?,
            (_, Some(canonical)) => tx.user_by_login(&canonical).await?.map(|found| found.user),
            (_, None) => None,
        };
        let Some(user) = user else { return Ok(None) };
        let view = load_view(&mut tx, user).await?;
        let has_role = filter.role.as_ref().is_none_or(|role| view.roles.contains(role));
        let disabled_matches = filter.disabled.is_none_or(|disabled| view.user.disabled_at.is_some() == disabled);
        Ok((has_role && disabled_matches && filter.accepts_logins(&view.logins)).then_some(view))
    }

    /// Starts a change of a user: locks its row, and fails if the user has permissions that the caller lacks.
    async fn begin_change(&self, admin: &Admin, name: &str, version: Option<i64>) -> Result<LockedUser> {
        let missing = || Error::NotFound("user", name.to_owned());
        let id = self.find(name).await?.user.id;
        let mut tx = self.store.write().await?;
        let now = self.live.now();
        if !tx.user_touch(&id, version, now).await? {
            return Err(if tx.user_by_id(&id).await?.is_some() { Error::Changed } else { missing() });
        }
        let user = tx.user_by_id(&id).await?.ok_or_else(missing)?;
        let found = load_view(&mut tx, user).await?;
        let snapshot = self.live.snapshot();
        admin.check_current(&mut tx, &self.live).await?;
        admin.check_roles(&snapshot, &found.roles)?;
        Ok(LockedUser { tx, found, now })
    }

    /// Ends all live sessions of a user within the transaction that changes the user.
    async fn end_all_sessions(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        user: &UserId,
        cause: RevokedCause,
        now: Timestamp,
    ) -> Result<SessionsEnded> {
        let settings = self.live.snapshot().settings.clone();
        let what = Revoke::SessionsOf { user, but: None };
        let ended = tx.revoke(what, &By { actor: &admin.actor, cause, settings: &settings, now }).await?;
        SessionsEnded::of(tx, user, ended, (&self.live, now)).await
    }

    async fn record_change(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        user: &User,
        kind: AuditKind,
        now: Timestamp,
    ) -> Result<()> {
        tx.audit(now, kind, &admin.actor, &user.subject, json!({})).await?;
        tx.change(self.live.change(ChangeKind::User, user.id.as_str(), now));
        Ok(())
    }
}

impl UserPatch {
    /// The names of the fields that it changes.
    fn changed(&self) -> Vec<&'static str> {
        let all = [
            ("name", self.name.is_some()),
            ("emails", self.emails.is_some()),
            ("attributes", self.attributes.is_some()),
            ("language", self.language.is_some()),
        ];
        all.into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect()
    }

    /// Whether anything in it differs from the user. Attributes that cannot be read differ from all.
    fn changes(&self, found: &UserView, readable: bool) -> bool {
        let (emails, names): (Vec<&str>, Vec<&str>) =
            found.logins.iter().map(String::as_str).partition(|login| login.contains('@'));
        let differ = |new: &[String], old: &[&str]| new.iter().filter(|text| !text.is_empty()).ne(old.iter().copied());
        self.name.as_ref().is_some_and(|name| differ(std::slice::from_ref(name), &names))
            || self.emails.as_ref().is_some_and(|new| differ(new, &emails))
            || self.attributes.as_ref().is_some_and(|new| !readable || *new != found.user.attributes)
            || self.language.as_ref().is_some_and(|new| new.parse().ok() != found.user.language)
    }
}

async fn existing_user(tx: &mut Tx, id: &str) -> Result<User> {
    let user = match id.parse() {
        Ok(id) => tx.user_by_id(&id).await?,
        Err(_) => None,
    };
    user.ok_or_else(|| Error::NotFound("user", id.to_owned()))
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
        // Users choose their names, so a name must not be able to shadow another user's subject.
        (Some(one), Some(other)) if one.id != other.id => Err(Error::Precondition(
            "the name is the subject of one user and the login of another; use the id".to_owned(),
        )),
        (by_subject, by_login) => Ok(by_subject.or(by_login)),
    }
}

/// Replaces the logins of one kind; empty texts are skipped.
async fn replace_logins(tx: &mut Tx, id: &UserId, kind: LoginKind, texts: &[String]) -> Result<()> {
    tx.logins_delete(id, kind).await?;
    for text in texts.iter().filter(|t| !t.is_empty()) {
        let login = Login::parse(text).map_err(|problem| {
            Error::invalid(if kind == LoginKind::Name { "name" } else { "emails" }, problem.to_string())
        })?;
        if let Some(taken) = tx.login_insert(id, &login).await? {
            return Err(taken.into());
        }
    }
    Ok(())
}
