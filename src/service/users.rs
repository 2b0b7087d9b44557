//! Creating and administering users.

use serde_json::{Map, Value, json};

use super::{Service, sign_in::hash_failure};
use crate::{
    domain::{
        audit::AuditKind,
        feed::{Change, ChangeKind},
        login::{Login, LoginKind},
        password_policy::PasswordPolicy,
        session::RevokedCause,
        user::{MAX_ATTRIBUTES, User, subject_problem},
    },
    error::{Error, Result, Violation},
    id::UserId,
    passwords::Phc,
    secret::Password,
    store::{By, NewUser, Revoke, Tx},
    time::Timestamp,
};

/// A user to be created.
#[derive(Debug)]
pub struct NewUserRequest {
    /// The user name.
    pub name: String,
    /// A verified email address.
    pub email: Option<String>,
    /// The `sub` of tokens; the id if none is chosen.
    pub subject: Option<String>,
    /// The password.
    pub password: Password,
    /// Facts that claim maps may select.
    pub attributes: Map<String, Value>,
}

impl Service {
    /// Creates a user.
    ///
    /// # Errors
    /// Every wrong field at once; [`Error::Exists`] if a name is taken.
    pub async fn user_create(&self, request: NewUserRequest) -> Result<User> {
        let logins = check_new_user(&request)?;
        let password = self.passwords.hash(request.password).await.map_err(hash_failure)?;
        let now = self.now();
        let id = UserId::new(now, &*self.entropy);
        let subject = request.subject.unwrap_or_else(|| id.as_str().to_owned());
        let attributes = request.attributes;
        let user = User { id, subject, attributes, security_version: 1, disabled_at: None, created_at: now };
        let new = NewUser { user, logins, password };
        let mut tx = self.store.write().await?;
        match tx.user_insert(&new).await? {
            Some("subject") => return Err(Error::Exists("subject", new.user.subject)),
            Some(_) => return Err(Error::Exists("login", request.name)),
            None => {}
        }
        let details = json!({ "id": new.user.id.as_str() });
        tx.audit(now, AuditKind::UserCreated, "command", &new.user.subject, details).await?;
        tx.commit().await?;
        Ok(new.user)
    }

    /// A user by id or login.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_find(&self, name: &str) -> Result<(User, Vec<String>)> {
        let mut tx = self.store.read().await?;
        let user = match name.parse::<UserId>() {
            Ok(id) => tx.user_by_id(&id).await?,
            Err(_) => match Login::canonical_for_lookup(name) {
                Some(canonical) => tx.user_by_login(&canonical).await?.map(|f| f.user),
                None => None,
            },
        };
        let user = user.ok_or_else(|| Error::NotFound("user", name.to_owned()))?;
        let logins = tx.logins_of(&user.id).await?;
        Ok((user, logins))
    }

    /// Users in the order of their ids, with their logins, at most `limit` after `after`.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn users_list(&self, after: &str, limit: i64) -> Result<Vec<(User, Vec<String>)>> {
        let mut tx = self.store.read().await?;
        let mut out = Vec::new();
        for user in tx.users_page(after, limit).await? {
            let logins = tx.logins_of(&user.id).await?;
            out.push((user, logins));
        }
        Ok(out)
    }

    /// Disables a user and ends its sessions; gives their number.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_disable(&self, name: &str) -> Result<usize> {
        let (user, _) = self.user_find(name).await?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        if !tx.user_disable(&user.id, now).await? {
            return Ok(0);
        }
        let ended = self.end_all(&mut tx, &user, RevokedCause::UserDisabled, now).await?;
        self.user_changed(&mut tx, &user, AuditKind::UserDisabled, now).await?;
        tx.commit().await?;
        self.live.confirm().await?;
        Ok(ended)
    }

    /// Enables a user; says whether it was disabled. Its old sessions stay ended.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_enable(&self, name: &str) -> Result<bool> {
        let (user, _) = self.user_find(name).await?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        let changed = tx.user_enable(&user.id, now).await?;
        if changed {
            self.user_changed(&mut tx, &user, AuditKind::UserEnabled, now).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Sets a user's password and ends its sessions; gives their number.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what is wrong with the password.
    pub async fn user_set_password(&self, name: &str, password: Password) -> Result<usize> {
        let (user, logins) = self.user_find(name).await?;
        let context: Vec<&str> = logins.iter().map(String::as_str).collect();
        PasswordPolicy::default()
            .check(&password, &context)
            .map_err(|problem| Error::invalid("password", problem.to_string()))?;
        let phc: Phc = self.passwords.hash(password).await.map_err(hash_failure)?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        tx.password_set(&user.id, &phc, now).await?;
        let ended = self.end_all(&mut tx, &user, RevokedCause::PasswordSet, now).await?;
        tx.audit(now, AuditKind::PasswordSet, "command", &user.subject, json!({})).await?;
        if tx.commit().await? {
            self.live.confirm().await?;
        }
        Ok(ended)
    }

    /// Ends all live sessions of a user within the transaction that changes the user.
    async fn end_all(&self, tx: &mut Tx, user: &User, cause: RevokedCause, now: Timestamp) -> Result<usize> {
        let settings = self.live.snapshot().settings.clone();
        let what = Revoke::SessionsOf { user: &user.id, but: None };
        tx.revoke(what, &By { actor: "command", cause, settings: &settings, now }).await
    }

    async fn user_changed(&self, tx: &mut Tx, user: &User, kind: AuditKind, now: Timestamp) -> Result<()> {
        tx.audit(now, kind, "command", &user.subject, json!({})).await?;
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

/// The logins of a new user, or everything that is wrong with it.
fn check_new_user(request: &NewUserRequest) -> Result<Vec<Login>> {
    let mut violations = Vec::new();
    let mut wrong = |field, description: String| violations.push(Violation { field, description });
    let mut logins = Vec::new();
    match Login::parse(&request.name) {
        Ok(login) if login.kind() == LoginKind::Name => logins.push(login),
        Ok(_) => wrong("name", "must not hold an @; give the address as --email".to_owned()),
        Err(problem) => wrong("name", problem.to_string()),
    }
    match request.email.as_deref().map(Login::parse) {
        None => {}
        Some(Ok(login)) if login.kind() == LoginKind::Email => logins.push(login),
        Some(Ok(_)) => wrong("email", "must be an email address".to_owned()),
        Some(Err(problem)) => wrong("email", problem.to_string()),
    }
    if let Some(problem) = request.subject.as_deref().and_then(subject_problem) {
        wrong("subject", problem);
    }
    if Value::Object(request.attributes.clone()).to_string().len() > MAX_ATTRIBUTES {
        wrong("attributes", format!("must be at most {MAX_ATTRIBUTES} bytes of JSON"));
    }
    if Value::Object(request.attributes.clone()).to_string().contains("\\u0000") {
        wrong("attributes", "must not hold NUL".to_owned());
    }
    let context: Vec<&str> = [Some(request.name.as_str()), request.email.as_deref()].into_iter().flatten().collect();
    if let Err(problem) = PasswordPolicy::default().check(&request.password, &context) {
        wrong("password", problem.to_string());
    }
    if violations.is_empty() { Ok(logins) } else { Err(Error::Invalid(violations)) }
}
