//! Users, their logins and passwords.

use serde_json::{Map, Value};
use sqlx::types::Json;

use super::{
    engine::{Tx, all, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::{
        login::{Login, LoginKind},
        user::User,
    },
    error::{Error, Result},
    id::UserId,
    passwords::Phc,
    time::Timestamp,
};

/// A user to be created.
#[derive(Debug)]
pub struct NewUser {
    /// The user.
    pub user: User,
    /// What the user types to sign in.
    pub logins: Vec<Login>,
    /// The hashed password.
    pub password: Phc,
}

/// What a sign-in needs to know about a user.
#[derive(Debug)]
pub struct SignInUser {
    /// The user.
    pub user: User,
    /// The hashed password; none if the user has none.
    pub password: Option<Phc>,
}

#[derive(sqlx::FromRow)]
struct UserRow {
    id: String,
    subject: String,
    attributes: Json<Map<String, Value>>,
    security_version: i64,
    disabled_at: Option<i64>,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct SignInRow {
    #[sqlx(flatten)]
    user: UserRow,
    phc: Option<String>,
}

impl TryFrom<UserRow> for User {
    type Error = Error;
    fn try_from(row: UserRow) -> Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("users", "id", &row.id))?,
            subject: row.subject,
            attributes: row.attributes.0,
            security_version: row.security_version,
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl Tx {
    /// Adds a user; says which name is taken, if one is: `subject` or `login`.
    pub async fn user_insert(&mut self, new: &NewUser) -> Result<Option<&'static str>> {
        let user = &new.user;
        if !self.principal_take(&user.subject, "user").await? {
            return Ok(Some("subject"));
        }
        const SQL: &str = "INSERT INTO users (id, subject, attributes, security_version, disabled_at, created_at, \
            updated_at) VALUES ($1, $2, $3, $4, NULL, $5, $5)";
        let (id, now) = (user.id.as_str(), user.created_at.millis());
        execute!(self, SQL, id, &user.subject, Json(&user.attributes), user.security_version, now)?;
        for login in &new.logins {
            if !self.login_insert(&user.id, login).await? {
                return Ok(Some("login"));
            }
        }
        const PASSWORD: &str = "INSERT INTO passwords (user_id, phc, changed_at) VALUES ($1, $2, $3)";
        execute!(self, PASSWORD, id, new.password.as_str(), now)?;
        Ok(None)
    }

    /// Adds a login; says whether neither it nor one that looks alike was taken.
    pub async fn login_insert(&mut self, user: &UserId, login: &Login) -> Result<bool> {
        const SQL: &str = "INSERT INTO logins (canonical, skeleton, kind, display, user_id) \
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let kind = match login.kind() {
            LoginKind::Name => "name",
            LoginKind::Email => "email",
        };
        let added = execute!(self, SQL, login.canonical(), login.skeleton(), kind, login.display(), user.as_str())?;
        Ok(added == 1)
    }

    /// The user with this canonical login, and its password hash.
    pub async fn user_by_login(&mut self, canonical: &str) -> Result<Option<SignInUser>> {
        const SQL: &str = "SELECT u.id, u.subject, u.attributes, u.security_version, u.disabled_at, u.created_at, p.phc \
            FROM logins l JOIN users u ON u.id = l.user_id LEFT JOIN passwords p ON p.user_id = u.id \
            WHERE l.canonical = $1";
        let Some(row) = optional!(self, SignInRow, SQL, canonical)? else { return Ok(None) };
        let password = row.phc.map(Phc::from_database);
        Ok(Some(SignInUser { user: row.user.try_into()?, password }))
    }

    /// The user with this id.
    pub async fn user_by_id(&mut self, id: &UserId) -> Result<Option<User>> {
        const SQL: &str =
            "SELECT id, subject, attributes, security_version, disabled_at, created_at FROM users WHERE id = $1";
        optional!(self, UserRow, SQL, id.as_str())?.map(User::try_from).transpose()
    }

    /// Users by id, at most `limit` after `after`.
    pub async fn users_page(&mut self, after: &str, limit: i64) -> Result<Vec<User>> {
        const SQL: &str = "SELECT id, subject, attributes, security_version, disabled_at, created_at FROM users \
            WHERE id > $1 ORDER BY id LIMIT $2";
        all!(self, UserRow, SQL, after, limit)?.into_iter().map(User::try_from).collect()
    }

    /// What a user may type to sign in.
    pub async fn logins_of(&mut self, id: &UserId) -> Result<Vec<String>> {
        const SQL: &str = "SELECT display FROM logins WHERE user_id = $1 ORDER BY kind DESC, canonical";
        Ok(all!(self, (String,), SQL, id.as_str())?.into_iter().map(|(d,)| d).collect())
    }

    /// Locks the user's row for a sign-in that was based on this security version; says whether it
    /// still holds. The first statement of the transaction that inserts a session.
    pub async fn user_hold(&mut self, id: &UserId, security_version: i64) -> Result<bool> {
        const SQL: &str = "UPDATE users SET security_version = security_version \
            WHERE id = $1 AND security_version = $2 AND disabled_at IS NULL";
        Ok(execute!(self, SQL, id.as_str(), security_version)? == 1)
    }

    /// Keeps the same password under newer parameters.
    pub async fn password_rehash(&mut self, id: &UserId, phc: &Phc) -> Result<()> {
        execute!(self, "UPDATE passwords SET phc = $2 WHERE user_id = $1", id.as_str(), phc.as_str()).map(|_| ())
    }

    /// Sets a password; sign-ins in flight become void.
    pub async fn password_set(&mut self, id: &UserId, phc: &Phc, now: Timestamp) -> Result<()> {
        const BUMP: &str = "UPDATE users SET security_version = security_version + 1, updated_at = $2 WHERE id = $1";
        execute!(self, BUMP, id.as_str(), now.millis())?;
        const SQL: &str = "INSERT INTO passwords (user_id, phc, changed_at) VALUES ($1, $2, $3) \
            ON CONFLICT (user_id) DO UPDATE SET phc = excluded.phc, changed_at = excluded.changed_at";
        execute!(self, SQL, id.as_str(), phc.as_str(), now.millis()).map(|_| ())
    }

    /// Disables a user; says whether it was enabled. Sign-ins in flight become void.
    pub async fn user_disable(&mut self, id: &UserId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE users SET disabled_at = $2, updated_at = $2, security_version = security_version + 1 \
            WHERE id = $1 AND disabled_at IS NULL";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }

    /// Enables a user; says whether it was disabled.
    pub async fn user_enable(&mut self, id: &UserId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE users SET disabled_at = NULL, updated_at = $2, \
            security_version = security_version + 1 WHERE id = $1 AND disabled_at IS NOT NULL";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }
}
