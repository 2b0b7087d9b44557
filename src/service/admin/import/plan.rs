//! Decides on each row by the existing users and the rows before it.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::check::CheckedRow;
use crate::{
    domain::login::{Login, LoginKind},
    error::{Result, Violation},
    passwords::Phc,
    secret::sha256,
    store::{KnownUser, Tx},
    time::Timestamp,
};

/// The rows of a rehearsal so far.
#[derive(Debug, Default)]
pub struct Rehearsal {
    pub(super) taken: Taken,
}

/// A hash that stands for a name. It keeps a rehearsal of millions of rows small.
type Mark = [u8; 16];

fn mark(text: &str) -> Mark {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(sha256(text.as_bytes())) {
        *to = from;
    }
    out
}

/// Names that are taken, in the database or by earlier rows.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Subjects of earlier rows, each with a hash of its row.
    rows: HashMap<Mark, Mark>,
    /// Ids of clients and of deleted users.
    principals: HashSet<Mark>,
    logins: HashSet<Mark>,
    skeletons: HashSet<Mark>,
}

/// The decision on a row.
#[derive(Debug)]
pub(super) enum Decided {
    Create,
    Present,
    Refuse(Violation),
}

fn refuse(field: &'static str, description: impl Into<String>) -> Decided {
    Decided::Refuse(Violation { field: field.into(), description: description.into() })
}

/// Loads the existing users of these rows, by subject, and adds taken names to `taken`.
pub(super) async fn known(
    tx: &mut Tx,
    rows: &[Result<CheckedRow, Vec<Violation>>],
    taken: &mut Taken,
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
    taken.principals.extend(tx.principals_taken(&subjects).await?.iter().map(|name| mark(name)));
    let unknown = || good().filter(|row| !known.contains_key(&row.subject));
    let skeletons: Vec<&str> = unknown().flat_map(|row| row.logins.iter().map(Login::skeleton)).collect();
    if !skeletons.is_empty() {
        for (canonical, skeleton) in tx.logins_like(&skeletons).await? {
            taken.logins.insert(mark(&canonical));
            taken.skeletons.insert(mark(&skeleton));
        }
    }
    Ok(known)
}

/// Decides on a row. If it will be created, its names are taken from now on.
pub(super) fn decide(row: &CheckedRow, known: &HashMap<String, KnownUser>, taken: &mut Taken) -> Decided {
    if let Some(user) = known.get(&row.subject) {
        let differs = differences(row, user);
        if differs.is_empty() {
            return Decided::Present;
        }
        return refuse("subject", format!("already exists with different data: {}", differs.join(", ")));
    }
    let (subject, said) = (mark(&row.subject), mark(&said(row)));
    match taken.rows.get(&subject) {
        Some(before) if *before == said => return Decided::Present,
        Some(_) => return refuse("subject", "appears in an earlier row with different data"),
        None => {}
    }
    if taken.principals.contains(&subject) {
        return refuse("subject", "belongs to a client or to a deleted user");
    }
    for (at, login) in row.logins.iter().enumerate() {
        let field = if login.kind() == LoginKind::Name { "name" } else { "emails" };
        if taken.logins.contains(&mark(login.canonical())) {
            return refuse(field, "belongs to another user");
        }
        let own = row.logins.iter().take(at).any(|before| before.skeleton() == login.skeleton());
        if own || taken.skeletons.contains(&mark(login.skeleton())) {
            return refuse(field, "looks like one that is already taken");
        }
    }
    for login in &row.logins {
        taken.logins.insert(mark(login.canonical()));
        taken.skeletons.insert(mark(login.skeleton()));
    }
    taken.rows.insert(subject, said);
    Decided::Create
}

/// The content of a row as one text.
fn said(row: &CheckedRow) -> String {
    let mut logins: Vec<&str> = row.logins.iter().map(Login::canonical).collect();
    logins.sort_unstable();
    let password = row.password.as_ref().map(Phc::as_str);
    json!([logins, row.attributes, password, row.disabled, row.created_at.map(Timestamp::millis)]).to_string()
}

/// The fields in which a user differs from its row. A password with a native hash does not count as different: its
/// owner may have signed in or changed it since the first import.
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
