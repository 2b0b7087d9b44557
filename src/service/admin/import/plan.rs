//! Decides on each row by the existing users and the rows before it.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::check::CheckedRow;
use crate::{
    domain::{
        login::{Login, LoginKind},
        mail::Language,
    },
    error::{Result, Violation},
    passwords::Phc,
    secret::sha256,
    store::{KnownUser, Tx},
    time::Timestamp,
};

/// The state of a dry run across batches.
#[derive(Debug, Default)]
pub struct DryRun {
    pub(super) taken: TakenNames,
}

/// A hash that stands for a name. It keeps a dry run of millions of rows small.
type NameHash = [u8; 16];

fn name_hash(text: &str) -> NameHash {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(sha256(text.as_bytes())) {
        *to = from;
    }
    out
}

/// Names that are taken, in the database or by earlier rows.
#[derive(Debug, Default)]
pub(super) struct TakenNames {
    /// Subjects of earlier rows, each with a hash of its row.
    rows: HashMap<NameHash, NameHash>,
    /// Ids of clients and of deleted users.
    principals: HashSet<NameHash>,
    logins: HashSet<NameHash>,
    /// What names look like, and the canonical forms of addresses.
    keys: HashSet<NameHash>,
}

/// The decision on a row.
#[derive(Debug)]
pub(super) enum Decision {
    Create,
    Present,
    Refuse(Violation),
}

fn refuse(field: &'static str, description: impl Into<String>) -> Decision {
    Decision::Refuse(Violation { field: field.into(), description: description.into() })
}

/// Loads the existing users of these rows, by subject, and adds taken names to `taken`.
pub(super) async fn load_known(
    tx: &mut Tx,
    rows: &[Result<CheckedRow, Vec<Violation>>],
    taken: &mut TakenNames,
) -> Result<HashMap<String, KnownUser>> {
    let good = || rows.iter().filter_map(|row| row.as_ref().ok());
    let subjects: Vec<&str> = good().map(|row| row.subject.as_str()).collect();
    if subjects.is_empty() {
        return Ok(HashMap::new());
    }
    let users = tx.users_of_subjects(&subjects).await?.into_iter();
    let known: HashMap<String, KnownUser> = users.map(|u| (u.user.subject.clone(), u)).collect();
    if known.len() == subjects.len() {
        return Ok(known);
    }
    taken.principals.extend(tx.principals_taken(&subjects).await?.iter().map(|name| name_hash(name)));
    let unknown = || good().filter(|row| !known.contains_key(&row.subject));
    let logins = unknown().flat_map(|row| &row.logins);
    let texts: Vec<&str> = logins.flat_map(|login| [login.unique_key(), login.canonical()]).collect();
    if !texts.is_empty() {
        for (canonical, key) in tx.logins_like(&texts).await? {
            taken.logins.insert(name_hash(&canonical));
            taken.keys.insert(name_hash(&key));
        }
    }
    Ok(known)
}

/// Decides on a row. If it will be created, its names are taken from now on.
pub(super) fn decide(row: &CheckedRow, known: &HashMap<String, KnownUser>, taken: &mut TakenNames) -> Decision {
    if let Some(user) = known.get(&row.subject) {
        let differs = differences(row, user);
        if differs.is_empty() {
            return Decision::Present;
        }
        return refuse("subject", format!("already exists with different data: {}", differs.join(", ")));
    }
    let (subject, content) = (name_hash(&row.subject), name_hash(&row_text(row)));
    match taken.rows.get(&subject) {
        Some(before) if *before == content => return Decision::Present,
        Some(_) => return refuse("subject", "appears in an earlier row with different data"),
        None => {}
    }
    if taken.principals.contains(&subject) {
        return refuse("subject", "belongs to a client or to a deleted user");
    }
    for (at, login) in row.logins.iter().enumerate() {
        let field = if login.kind() == LoginKind::Name { "name" } else { "emails" };
        if taken.logins.contains(&name_hash(login.canonical())) {
            return refuse(field, "belongs to another user");
        }
        let own = row.logins.iter().take(at).any(|before| before.unique_key() == login.unique_key());
        if own || taken.keys.contains(&name_hash(login.unique_key())) {
            return refuse(field, "looks like one that is already taken");
        }
    }
    for login in &row.logins {
        taken.logins.insert(name_hash(login.canonical()));
        taken.keys.insert(name_hash(login.unique_key()));
    }
    taken.rows.insert(subject, content);
    Decision::Create
}

/// The content of a row as one text.
fn row_text(row: &CheckedRow) -> String {
    let mut logins: Vec<&str> = row.logins.iter().map(Login::canonical).collect();
    logins.sort_unstable();
    let password = row.password.as_ref().map(Phc::as_str);
    let language = row.language.as_ref().map(Language::as_str);
    json!([logins, row.attributes, language, password, row.disabled, row.created_at.map(Timestamp::millis)]).to_string()
}

/// The fields in which a user differs from its row. A password with a native hash does not count as different, nor does
/// a language: their owner may have signed in or changed them since the first import.
fn differences(row: &CheckedRow, known: &KnownUser) -> Vec<&'static str> {
    let wanted: HashSet<&str> = row.logins.iter().map(Login::canonical).collect();
    let same_logins =
        wanted.len() == known.logins.len() && known.logins.iter().all(|login| wanted.contains(login.as_str()));
    let same_password = match (&row.password, &known.password) {
        (Some(brought), Some(stored)) => brought == stored || stored.is_argon2id(),
        // A user imported without a password may have chosen one.
        (None, stored) => stored.as_ref().is_none_or(Phc::is_argon2id),
        (Some(_), None) => false,
    };
    [
        ("name or email", same_logins),
        ("attributes", row.attributes == known.user.attributes),
        ("password_hash", same_password),
        ("disabled", row.disabled == known.user.disabled_at.is_some()),
        ("created_at", row.created_at.is_none_or(|at| at == known.user.created_at)),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(field, _)| field)
    .collect()
}
