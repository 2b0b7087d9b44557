//! Users, their logins and passwords.

use serde_json::{Map, Value};
use sqlx::types::Json;

use super::{
    engine::{Sql, Tx, all, execute, optional},
    failure::corrupt,
    readable::Readable,
};
use crate::{
    domain::{
        login::{Login, LoginKind},
        mail::Language,
        user::{NameRange, User, UserFilter},
    },
    error::{Error, Result},
    id::{RoleId, UserId},
    passwords::Phc,
    time::Timestamp,
};

/// A user to create.
#[derive(Debug)]
pub struct NewUser {
    /// The user.
    pub user: User,
    /// The user's logins.
    pub logins: Vec<Login>,
    /// The password hash; none if the user has yet to choose a password.
    pub password: Option<Phc>,
}

/// What a sign-in needs to know about a user.
#[derive(Debug)]
pub struct SignInUser {
    /// The user.
    pub user: User,
    /// The password hash; none if the user has no password.
    pub password: Option<Phc>,
    /// Whether the user must choose a new password.
    pub must_change: bool,
    /// Whether the user must choose a new password if the present one is too short to be the only factor.
    pub must_suffice: bool,
    /// The user's roles.
    pub roles: Vec<RoleId>,
}

/// A name that cannot be given to a user, because it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenName {
    /// The subject. It belongs to another user, deleted or not, or is a client's id.
    Subject(String),
    /// A login. It belongs to another user, or is a name that looks like one that does.
    Login {
        /// The field that contained it: `name` or `email`.
        field: &'static str,
        /// The login as it was typed.
        text: String,
    },
}

impl TakenName {
    /// A login that is taken.
    #[must_use]
    pub fn of(login: &Login) -> Self {
        Self::Login { field: kind_name(login.kind()), text: login.display().to_owned() }
    }
}

impl From<TakenName> for Error {
    fn from(taken: TakenName) -> Self {
        match taken {
            TakenName::Subject(subject) => Self::Exists("subject", subject),
            TakenName::Login { field, text } => Self::Exists(field, text),
        }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    id: String,
    subject: String,
    attributes: Readable<Map<String, Value>>,
    language: Option<String>,
    security_version: i64,
    second_factors: i64,
    disabled_at: Option<i64>,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct SignInRow {
    #[sqlx(flatten)]
    user: UserRow,
    phc: Option<String>,
    must_change: i64,
    roles: Json<Vec<RoleId>>,
}

/// The columns of `users` that make up a [`User`], each after the given prefix.
macro_rules! user_columns {
    () => {
        user_columns!("")
    };
    ($of:literal) => {
        concat!(
            $of,
            "id, ",
            $of,
            "subject, ",
            $of,
            "attributes, ",
            $of,
            "language, ",
            $of,
            "security_version, ",
            $of,
            "second_factors, ",
            $of,
            "disabled_at, ",
            $of,
            "created_at"
        )
    };
}

pub(super) use user_columns;

macro_rules! by_login {
    ($roles:literal) => {
        concat!(
            "SELECT ",
            user_columns!("u."),
            ", p.phc, coalesce(p.must_change, 0) AS must_change, coalesce((SELECT ",
            $roles,
            " FROM user_roles AS r WHERE r.user_id = u.id), '[]') AS roles \
             FROM logins l JOIN users u ON u.id = l.user_id LEFT JOIN passwords p ON p.user_id = u.id \
             WHERE l.canonical = $1 AND l.kind = $2"
        )
    };
}

/// Everything that a sign-in needs, in one query.
const BY_LOGIN: Sql =
    Sql { sqlite: by_login!("json_group_array(r.role_id)"), postgres: by_login!("jsonb_agg(r.role_id)") };

impl TryFrom<UserRow> for User {
    type Error = Error;
    fn try_from(row: UserRow) -> Result<Self> {
        let attributes = row.attributes.shallow().or_empty(("users", "attributes"), &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("users", "id", &row.id))?,
            subject: row.subject,
            attributes,
            // What somebody else has written there that is none is no reason to refuse the user.
            language: row.language.and_then(|tag| tag.parse().ok()),
            security_version: row.security_version,
            second_factors: row.second_factors,
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

pub(super) const fn kind_name(kind: LoginKind) -> &'static str {
    match kind {
        LoginKind::Name => "name",
        LoginKind::Email => "email",
    }
}

/// The kind of a canonical login. The other kind may have it too: processes of an older release store names typed with
/// a fullwidth @ that become somebody's address. Such a name is nobody's login, and takes nothing.
fn kind_of(canonical: &str) -> &'static str {
    kind_name(if canonical.contains('@') { LoginKind::Email } else { LoginKind::Name })
}

impl Tx {
    /// Adds a user. Returns the first name that is taken, if any; the transaction must then be dropped.
    pub async fn user_insert(&mut self, new: &NewUser) -> Result<Option<TakenName>> {
        let user = &new.user;
        if !self.principal_take(&user.subject, "user").await? {
            return Ok(Some(TakenName::Subject(user.subject.clone())));
        }
        const SQL: &str = concat!(
            "INSERT INTO users (",
            user_columns!(),
            ", updated_at) VALUES ($1, $2, $3, $4, $5, 0, NULL, $6, $6)"
        );
        let (id, now) = (user.id.as_str(), user.created_at.millis());
        let language = user.language.as_ref().map(Language::as_str);
        execute!(self, SQL, id, &user.subject, Json(&user.attributes), language, user.security_version, now)?;
        for login in &new.logins {
            let taken = self.login_insert(&user.id, login).await?;
            if taken.is_some() {
                return Ok(taken);
            }
        }
        if let Some(phc) = &new.password {
            const PASSWORD: &str = "INSERT INTO passwords (user_id, phc, changed_at) VALUES ($1, $2, $3)";
            execute!(self, PASSWORD, id, phc.as_str(), now)?;
        }
        Ok(None)
    }

    /// Adds a login, behind those of its kind. Returns it if it is taken, or if it is a name that looks like one that is.
    pub async fn login_insert(&mut self, user: &UserId, login: &Login) -> Result<Option<TakenName>> {
        const SQL: &str = "INSERT INTO logins (canonical, skeleton, kind, display, user_id, ordinal) \
            VALUES ($1, $2, $3, $4, $5, (SELECT coalesce(max(ordinal) + 1, 0) FROM logins WHERE user_id = $5 AND kind = $3)) \
            ON CONFLICT DO NOTHING";
        const FREE: &str = "DELETE FROM logins WHERE canonical = $1 AND kind = 'name'";
        let (canonical, key, kind) = (login.canonical(), login.unique_key(), kind_name(login.kind()));
        if login.kind() == LoginKind::Email {
            execute!(self, FREE, canonical)?;
        }
        let added = execute!(self, SQL, canonical, key, kind, login.display(), user.as_str())? == 1;
        Ok((!added).then(|| TakenName::of(login)))
    }

    /// The user with this canonical login, and what a sign-in needs. An address finds no name, and a name no address.
    pub async fn user_by_login(&mut self, canonical: &str) -> Result<Option<SignInUser>> {
        let Some(row) = optional!(self, SignInRow, BY_LOGIN, canonical, kind_of(canonical))? else { return Ok(None) };
        let password = row.phc.map(Phc::from_database);
        Ok(Some(SignInUser {
            user: row.user.try_into()?,
            password,
            must_change: row.must_change == 1,
            must_suffice: row.must_change == 2,
            roles: row.roles.0,
        }))
    }

    /// The user with this id.
    pub async fn user_by_id(&mut self, id: &UserId) -> Result<Option<User>> {
        const SQL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1 AND deleted_at IS NULL");
        optional!(self, UserRow, SQL, id.as_str())?.map(User::try_from).transpose()
    }

    /// The user with this subject.
    pub async fn user_by_subject(&mut self, subject: &str) -> Result<Option<User>> {
        const SQL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE subject = $1 AND deleted_at IS NULL");
        optional!(self, UserRow, SQL, subject)?.map(User::try_from).transpose()
    }

    /// At most `limit` users that match the filter, sorted by id, starting after the id `after`.
    pub async fn users_page(&mut self, filter: &UserFilter, after: &str, limit: i64) -> Result<Vec<User>> {
        const ALL: &str = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE id > $1 AND deleted_at IS NULL \
             AND (disabled_at IS NOT NULL) = coalesce($3, disabled_at IS NOT NULL) ORDER BY id LIMIT $2"
        );
        const WITH_ROLE: &str = concat!(
            "SELECT ",
            user_columns!("u."),
            " FROM user_roles r JOIN users u ON u.id = r.user_id WHERE r.role_id = $4 AND r.user_id > $1 \
             AND u.deleted_at IS NULL AND (u.disabled_at IS NOT NULL) = coalesce($3, u.disabled_at IS NOT NULL) \
             ORDER BY r.user_id LIMIT $2"
        );
        // The range of logins is the narrowest condition, so it leads.
        const WITH_LOGIN: &str = concat!(
            "SELECT ",
            user_columns!("u."),
            " FROM logins l JOIN users u ON u.id = l.user_id WHERE l.kind = $4 AND l.canonical >= $5 \
             AND l.canonical <= $6 AND u.id > $1 AND u.deleted_at IS NULL \
             AND (u.disabled_at IS NOT NULL) = coalesce($3, u.disabled_at IS NOT NULL) \
             AND ($7 IS NULL OR EXISTS (SELECT 1 FROM user_roles r WHERE r.user_id = u.id AND r.role_id = $7)) \
             AND ($8 IS NULL OR EXISTS (SELECT 1 FROM logins n WHERE n.user_id = u.id AND n.kind = 'name' \
             AND n.canonical >= $8 AND n.canonical <= $9)) ORDER BY u.id LIMIT $2"
        );
        let role = filter.role.as_ref().map(RoleId::as_str);
        let (name, email) = (filter.name.as_ref(), filter.email.as_deref());
        let rows = match (email, name, role) {
            (None, None, None) => all!(self, UserRow, ALL, after, limit, filter.disabled)?,
            (None, None, Some(role)) => all!(self, UserRow, WITH_ROLE, after, limit, filter.disabled, role)?,
            (None, Some(range), role) => {
                let (from, to) = range.bounds();
                let (kind, none) = (kind_name(LoginKind::Name), None::<&str>);
                all!(self, UserRow, WITH_LOGIN, after, limit, filter.disabled, kind, from, to, role, none, none)?
            }
            (Some(email), name, role) => {
                let kind = kind_name(LoginKind::Email);
                let (from, to) = name.map(NameRange::bounds).unzip();
                all!(self, UserRow, WITH_LOGIN, after, limit, filter.disabled, kind, email, email, role, from, to)?
            }
        };
        rows.into_iter().map(User::try_from).collect()
    }

    /// The logins of a user: the name first, then the addresses in the order in which they were added. The first of these
    /// is the primary one. Releases that knew no order have given all the same ordinal.
    pub async fn logins_of(&mut self, id: &UserId) -> Result<Vec<String>> {
        const SQL: &str = "SELECT display FROM logins WHERE user_id = $1 ORDER BY kind DESC, ordinal, canonical";
        Ok(all!(self, (String,), SQL, id.as_str())?.into_iter().map(|(d,)| d).collect())
    }

    /// Pairs of user id and login for these users, in the order of [`Tx::logins_of`].
    pub async fn logins_of_users(&mut self, ids: &[UserId]) -> Result<Vec<(String, String)>> {
        const SQL: Sql = Sql {
            sqlite: "SELECT user_id, display FROM logins WHERE user_id IN (SELECT value FROM json_each($1)) \
                ORDER BY user_id, kind DESC, ordinal, canonical",
            postgres: "SELECT user_id, display FROM logins WHERE user_id IN (SELECT jsonb_array_elements_text($1)) \
                ORDER BY user_id, kind DESC, ordinal, canonical",
        };
        all!(self, (String, String), SQL, Json(ids))
    }

    /// Locks the user's row for a sign-in that was based on this security version. Returns whether that is still
    /// current and the user is enabled. Must be the first statement of the transaction that inserts a session.
    pub async fn user_hold(&mut self, id: &UserId, security_version: i64) -> Result<bool> {
        const SQL: &str = "UPDATE users SET security_version = security_version \
            WHERE id = $1 AND security_version = $2 AND disabled_at IS NULL";
        Ok(execute!(self, SQL, id.as_str(), security_version)? == 1)
    }

    /// Replaces the hash of an unchanged password by one with current parameters.
    pub async fn password_rehash(&mut self, id: &UserId, phc: &Phc) -> Result<()> {
        execute!(self, "UPDATE passwords SET phc = $2 WHERE user_id = $1", id.as_str(), phc.as_str()).map(|_| ())
    }

    /// Sets a password. Sign-ins in progress become invalid.
    pub async fn password_set(&mut self, id: &UserId, phc: &Phc, now: Timestamp) -> Result<()> {
        const BUMP: &str = "UPDATE users SET security_version = security_version + 1, updated_at = $2 WHERE id = $1";
        execute!(self, BUMP, id.as_str(), now.millis())?;
        const SQL: &str = "INSERT INTO passwords (user_id, phc, changed_at) VALUES ($1, $2, $3) \
            ON CONFLICT (user_id) DO UPDATE SET phc = excluded.phc, changed_at = excluded.changed_at, must_change = 0";
        execute!(self, SQL, id.as_str(), phc.as_str(), now.millis()).map(|_| ())
    }

    /// Locks a user's row for a change, if it is still at `version`, and returns whether it was; without a version any
    /// matches. Sign-ins in progress become invalid. Must be the first statement of the transaction that makes the
    /// change.
    pub async fn user_touch(&mut self, id: &UserId, version: Option<i64>, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE users SET security_version = security_version + 1, updated_at = $2 \
            WHERE id = $1 AND deleted_at IS NULL AND security_version = coalesce($3, security_version)";
        Ok(execute!(self, SQL, id.as_str(), now.millis(), version)? == 1)
    }

    /// A user's attributes, unless they cannot be read: a [`User`] then has none.
    pub async fn user_attributes(&mut self, id: &UserId) -> Result<Option<Map<String, Value>>> {
        const SQL: &str = "SELECT attributes FROM users WHERE id = $1 AND deleted_at IS NULL";
        let row = optional!(self, (Readable<Map<String, Value>>,), SQL, id.as_str())?;
        Ok(row.and_then(|(attributes,)| attributes.into_option()))
    }

    /// Replaces a user's attributes.
    pub async fn user_set_attributes(&mut self, id: &UserId, attributes: &Map<String, Value>) -> Result<()> {
        execute!(self, "UPDATE users SET attributes = $2 WHERE id = $1", id.as_str(), Json(attributes)).map(|_| ())
    }

    /// Sets the language in which the server writes to a user; nothing removes it.
    pub async fn user_set_language(&mut self, id: &UserId, language: Option<&Language>) -> Result<()> {
        const SQL: &str = "UPDATE users SET language = $2 WHERE id = $1";
        execute!(self, SQL, id.as_str(), language.map(Language::as_str)).map(|_| ())
    }

    /// Deletes all logins of a kind from a user. Returns their number.
    pub async fn logins_delete(&mut self, id: &UserId, kind: LoginKind) -> Result<u64> {
        execute!(self, "DELETE FROM logins WHERE user_id = $1 AND kind = $2", id.as_str(), kind_name(kind))
    }

    /// Requires the user to choose a new password. Returns whether the user has one.
    pub async fn password_must_change(&mut self, id: &UserId) -> Result<bool> {
        Ok(execute!(self, "UPDATE passwords SET must_change = 1 WHERE user_id = $1", id.as_str())? == 1)
    }

    /// Requires the user to choose a new password if the present one is too short to be the only factor. Whoever has to
    /// choose one in any case still has to.
    pub async fn password_must_suffice(&mut self, id: &UserId) -> Result<()> {
        let sql = "UPDATE passwords SET must_change = 2 WHERE user_id = $1 AND must_change = 0";
        execute!(self, sql, id.as_str()).map(|_| ())
    }

    /// A user's password hash.
    pub async fn password_of(&mut self, id: &UserId) -> Result<Option<Phc>> {
        let row = optional!(self, (String,), "SELECT phc FROM passwords WHERE user_id = $1", id.as_str())?;
        Ok(row.map(|(phc,)| Phc::from_database(phc)))
    }

    /// Deletes a user's password. Returns whether there was one.
    pub async fn password_delete(&mut self, id: &UserId) -> Result<bool> {
        Ok(execute!(self, "DELETE FROM passwords WHERE user_id = $1", id.as_str())? == 1)
    }

    /// Empties a user's row, marks it as deleted, and deletes logins, password and roles. The subject stays taken, so
    /// that it is never reassigned (`OpenID` Connect Core §2). Returns whether the user existed.
    pub async fn user_delete(&mut self, id: &UserId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE users SET deleted_at = $2, disabled_at = $2, updated_at = $2, attributes = '{}', \
            language = NULL, security_version = security_version + 1 WHERE id = $1 AND deleted_at IS NULL";
        if execute!(self, SQL, id.as_str(), now.millis())? == 0 {
            return Ok(false);
        }
        for sql in [
            "DELETE FROM logins WHERE user_id = $1",
            "DELETE FROM passwords WHERE user_id = $1",
            "DELETE FROM user_roles WHERE user_id = $1",
            "DELETE FROM totp_factors WHERE user_id = $1",
            "DELETE FROM passkeys WHERE user_id = $1",
            "DELETE FROM recovery_codes WHERE user_id = $1",
            "UPDATE users SET second_factors = 0, passkey_handle = NULL WHERE id = $1",
            "UPDATE sessions SET device_label = '', user_agent = '', address = '', claims = '{}' \
             WHERE user_id = $1 AND revoked_at IS NULL",
        ] {
            execute!(self, sql, id.as_str())?;
        }
        // The sessions are held since, so nothing is added to them.
        self.session_data_of_user_delete(id).await?;
        Ok(true)
    }

    /// Disables a user. Returns whether it was enabled. Sign-ins in progress become invalid.
    pub async fn user_disable(&mut self, id: &UserId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE users SET disabled_at = $2, updated_at = $2, security_version = security_version + 1 \
            WHERE id = $1 AND disabled_at IS NULL";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }

    /// Enables a user. Returns whether it was disabled.
    pub async fn user_enable(&mut self, id: &UserId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE users SET disabled_at = NULL, updated_at = $2, \
            security_version = security_version + 1 WHERE id = $1 AND disabled_at IS NOT NULL";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }
}
