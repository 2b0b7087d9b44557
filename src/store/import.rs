//! Import of users: a few statements for a whole batch.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use super::{
    NewUser,
    engine::{Sql, Tx, all, execute},
    users::{TakenName, UserRow, kind_name, user_columns},
};
use crate::{
    domain::{mail::Language, user::User},
    error::{Error, Result},
    passwords::Phc,
    time::Timestamp,
};

/// A user that exists already.
#[derive(Debug)]
pub struct KnownUser {
    /// The user.
    pub user: User,
    /// The logins, in canonical form.
    pub logins: Vec<String>,
    /// The password hash; none if the user has no password.
    pub password: Option<Phc>,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    #[sqlx(flatten)]
    user: UserRow,
    phc: Option<String>,
    logins: Json<Vec<String>>,
}

/// What every login meets: a name that is an address was written by an older release, and takes nothing.
macro_rules! is_login {
    () => {
        "(l.kind <> 'name' OR l.canonical NOT LIKE '%@%')"
    };
}

macro_rules! known {
    ($logins:literal, $given:literal) => {
        concat!(
            "SELECT ",
            user_columns!("u."),
            ", p.phc, coalesce((SELECT ",
            $logins,
            " FROM logins AS l WHERE l.user_id = u.id AND ",
            is_login!(),
            "), '[]') AS logins FROM ",
            $given,
            " AS w JOIN users u ON u.subject = w.value LEFT JOIN passwords p ON p.user_id = u.id \
             WHERE u.deleted_at IS NULL"
        )
    };
}

/// Logins with one of the given keys or canonical forms that meet a further condition.
macro_rules! like {
    ($given:literal, $condition:literal) => {
        concat!(
            "SELECT l.canonical, l.skeleton FROM ",
            $given,
            " AS w JOIN logins l ON l.skeleton = w.value WHERE ",
            is_login!(),
            $condition,
            " UNION SELECT l.canonical, l.skeleton FROM ",
            $given,
            " AS w JOIN logins l ON l.canonical = w.value WHERE ",
            is_login!(),
            $condition
        )
    };
}

const KNOWN: Sql = Sql {
    sqlite: known!("json_group_array(l.canonical)", "json_each($1)"),
    postgres: known!("jsonb_agg(l.canonical)", "jsonb_array_elements_text($1)"),
};
const PRINCIPALS: Sql = Sql {
    sqlite: "SELECT p.name FROM json_each($1) AS w JOIN principals p ON p.name = w.value",
    postgres: "SELECT p.name FROM jsonb_array_elements_text($1) AS w JOIN principals p ON p.name = w.value",
};
/// Logins with one of these keys or canonical forms. Older releases have stored another key with addresses.
const LOGINS: Sql = Sql { sqlite: like!("json_each($1)", ""), postgres: like!("jsonb_array_elements_text($1)", "") };

/// Which of these names belong to somebody outside this batch, whose users have no row in `users` yet.
const OTHER_PRINCIPALS: Sql = Sql {
    sqlite: "SELECT p.name FROM json_each($1) AS w JOIN principals p ON p.name = w.value \
        WHERE p.kind <> 'user' OR EXISTS (SELECT 1 FROM users u WHERE u.subject = p.name)",
    postgres: "SELECT p.name FROM jsonb_array_elements_text($1) AS w JOIN principals p ON p.name = w.value \
        WHERE p.kind <> 'user' OR EXISTS (SELECT 1 FROM users u WHERE u.subject = p.name)",
};
/// The same for users outside this batch.
const OTHER_LOGINS: Sql = Sql {
    sqlite: like!("json_each($1)", " AND l.user_id NOT IN (SELECT value FROM json_each($2))"),
    postgres: like!("jsonb_array_elements_text($1)", " AND l.user_id NOT IN (SELECT jsonb_array_elements_text($2))"),
};
/// Frees the addresses in this list from names that an older release has stored.
const FREE_ADDRESSES: Sql = Sql {
    sqlite: "DELETE FROM logins WHERE kind = 'name' AND canonical IN (SELECT value FROM json_each($1))",
    postgres: "DELETE FROM logins WHERE kind = 'name' AND canonical IN (SELECT jsonb_array_elements_text($1))",
};

/// Each user is an array: id, subject, attributes as text, language, `disabled_at`, `created_at`.
const INSERT_PRINCIPALS: Sql = Sql {
    sqlite: "INSERT INTO principals (name, kind) SELECT value ->> 1, 'user' FROM json_each($1) WHERE true \
        ON CONFLICT DO NOTHING",
    postgres: "INSERT INTO principals (name, kind) SELECT w ->> 1, 'user' FROM jsonb_array_elements($1) AS w \
        ON CONFLICT DO NOTHING",
};
const INSERT_USERS: Sql = Sql {
    sqlite: concat!(
        "INSERT INTO users (",
        user_columns!(),
        ", updated_at) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, 1, 0, value ->> 4, \
         value ->> 5, $2 FROM json_each($1)"
    ),
    postgres: concat!(
        "INSERT INTO users (",
        user_columns!(),
        ", updated_at) SELECT w ->> 0, w ->> 1, CAST(w ->> 2 AS JSONB), w ->> 3, 1, 0, \
         CAST(w ->> 4 AS BIGINT), CAST(w ->> 5 AS BIGINT), $2 FROM jsonb_array_elements($1) AS w"
    ),
};
/// Each login is an array: canonical form, key, kind, text as typed, user id, place among the user's logins.
const INSERT_LOGINS: Sql = Sql {
    sqlite: "INSERT INTO logins (canonical, skeleton, kind, display, user_id, ordinal) \
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each($1) \
        WHERE true ON CONFLICT DO NOTHING",
    postgres: "INSERT INTO logins (canonical, skeleton, kind, display, user_id, ordinal) \
        SELECT w ->> 0, w ->> 1, w ->> 2, w ->> 3, w ->> 4, CAST(w ->> 5 AS BIGINT) \
        FROM jsonb_array_elements($1) AS w ON CONFLICT DO NOTHING",
};
/// Each password is an array: user id, hash.
const INSERT_PASSWORDS: Sql = Sql {
    sqlite: "INSERT INTO passwords (user_id, phc, changed_at) SELECT value ->> 0, value ->> 1, $2 FROM json_each($1)",
    postgres: "INSERT INTO passwords (user_id, phc, changed_at) SELECT w ->> 0, w ->> 1, $2 \
        FROM jsonb_array_elements($1) AS w",
};

#[derive(Serialize)]
struct UserIn<'a>(&'a str, &'a str, String, Option<&'a str>, Option<i64>, i64);

#[derive(Serialize)]
struct LoginIn<'a>(&'a str, &'a str, &'a str, &'a str, &'a str, usize);

#[derive(Serialize)]
struct PasswordIn<'a>(&'a str, &'a str);

impl<'a> UserIn<'a> {
    fn of(user: &'a User) -> Self {
        let disabled_at = user.disabled_at.map(Timestamp::millis);
        let attributes = Value::Object(user.attributes.clone()).to_string();
        let language = user.language.as_ref().map(Language::as_str);
        Self(user.id.as_str(), &user.subject, attributes, language, disabled_at, user.created_at.millis())
    }
}

impl<'a> LoginIn<'a> {
    /// The logins of a user, who is new: the places count from the first.
    fn all_of(new: &'a NewUser) -> impl Iterator<Item = Self> {
        let user = new.user.id.as_str();
        let placed = new.logins.iter().enumerate();
        placed.map(move |(at, l)| Self(l.canonical(), l.unique_key(), kind_name(l.kind()), l.display(), user, at))
    }
}

impl<'a> PasswordIn<'a> {
    fn of(new: &'a NewUser) -> Option<Self> {
        new.password.as_ref().map(|phc| Self(new.user.id.as_str(), phc.as_str()))
    }
}

impl Tx {
    /// The users with these subjects, where they exist.
    pub async fn users_of_subjects(&mut self, subjects: &[&str]) -> Result<Vec<KnownUser>> {
        let mut known = Vec::new();
        for row in all!(self, KnownRow, KNOWN, Json(subjects))? {
            let password = row.phc.map(Phc::from_database);
            known.push(KnownUser { user: row.user.try_into()?, logins: row.logins.0, password });
        }
        Ok(known)
    }

    /// Which of these names are taken: as the subject of a user, deleted or not, or as a client's id.
    pub async fn principals_taken(&mut self, names: &[&str]) -> Result<Vec<String>> {
        let rows = all!(self, (String,), PRINCIPALS, Json(names))?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// The logins that have one of these keys or canonical forms: canonical form and key.
    pub async fn logins_like(&mut self, texts: &[&str]) -> Result<Vec<(String, String)>> {
        all!(self, (String, String), LOGINS, Json(texts))
    }

    /// Adds all of these users. Returns a name that is taken, if any is; the transaction must then be dropped.
    pub async fn users_insert(&mut self, new: &[NewUser], now: Timestamp) -> Result<Option<TakenName>> {
        // Every transaction locks names in the same order, so that none deadlock.
        let mut users: Vec<_> = new.iter().map(|n| UserIn::of(&n.user)).collect();
        users.sort_by(|a, b| a.1.cmp(b.1));
        let mut logins: Vec<_> = new.iter().flat_map(LoginIn::all_of).collect();
        logins.sort_by(|a, b| a.0.cmp(b.0));
        let passwords: Vec<_> = new.iter().filter_map(PasswordIn::of).collect();
        let users_json = Json(&users);
        if execute!(self, INSERT_PRINCIPALS, users_json)? != users.len() as u64 {
            return self.taken_subject(&users).await.map(Some);
        }
        execute!(self, INSERT_USERS, users_json, now.millis())?;
        let addresses: Vec<&str> = logins.iter().map(|l| l.0).filter(|canonical| canonical.contains('@')).collect();
        if !addresses.is_empty() {
            execute!(self, FREE_ADDRESSES, Json(&addresses))?;
        }
        if !logins.is_empty() && execute!(self, INSERT_LOGINS, Json(&logins))? != logins.len() as u64 {
            return self.taken_login(new).await.map(Some);
        }
        if !passwords.is_empty() {
            execute!(self, INSERT_PASSWORDS, Json(&passwords), now.millis())?;
        }
        Ok(None)
    }

    /// The subject that made a batch fail: it is taken, or two users of the batch have it.
    async fn taken_subject(&mut self, users: &[UserIn<'_>]) -> Result<TakenName> {
        let subjects: Vec<&str> = users.iter().map(|u| u.1).collect();
        let others = all!(self, (String,), OTHER_PRINCIPALS, Json(&subjects))?;
        let other = others.into_iter().next().map(|(name,)| name);
        let taken = other.or_else(|| first_repeated(subjects.into_iter(), |s| *s).map(ToOwned::to_owned));
        // Nothing is found if the other transaction's change is gone again: the caller may retry.
        taken.map(TakenName::Subject).ok_or(Error::Conflict)
    }

    /// The login that made a batch fail: it is taken, or two users of the batch have it.
    async fn taken_login(&mut self, new: &[NewUser]) -> Result<TakenName> {
        let ids: Vec<&str> = new.iter().map(|n| n.user.id.as_str()).collect();
        let texts: Vec<&str> =
            new.iter().flat_map(|n| &n.logins).flat_map(|l| [l.unique_key(), l.canonical()]).collect();
        let others = all!(self, (String, String), OTHER_LOGINS, Json(&texts), Json(&ids))?;
        let mut logins = new.iter().flat_map(|n| &n.logins);
        let taken = match others.first() {
            Some((canonical, key)) => logins.find(|l| l.unique_key() == key || l.canonical() == canonical),
            None => first_repeated(logins, |login| login.unique_key()),
        };
        taken.map(TakenName::of).ok_or(Error::Conflict)
    }
}

/// The first item whose text an earlier one has too.
fn first_repeated<'a, T>(mut items: impl Iterator<Item = T>, text: impl Fn(&T) -> &'a str) -> Option<T> {
    let mut seen = HashSet::new();
    items.find(|item| !seen.insert(text(item)))
}
