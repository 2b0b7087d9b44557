//! What may be wrong with a row by itself, told all at once.

use serde_json::{Map, Value};

use super::ImportRow;
use crate::{
    domain::{login::Login, settings::SKEW, user::subject_problem},
    error::{Error, Violation},
    passwords::Phc,
    service::users::check::Wrong,
    time::Timestamp,
};

/// A row whose fields are good.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) subject: String,
    pub(super) logins: Vec<Login>,
    pub(super) attributes: Map<String, Value>,
    pub(super) password: Option<Phc>,
    pub(super) disabled: bool,
    pub(super) created_at: Option<Timestamp>,
}

/// Reads a row. No hash is computed, whatever the row asks for.
pub(super) fn check(row: &ImportRow, now: Timestamp) -> Result<Checked, Vec<Violation>> {
    let (mut wrong, mut logins) = (Wrong::default(), Vec::new());
    if let Some(problem) = subject_problem(&row.subject) {
        wrong.add("subject", problem);
    }
    if let Some(name) = &row.name {
        logins.extend(wrong.name(name));
    }
    for email in wrong.emails(&row.emails) {
        // One address in two spellings is one address.
        if logins.iter().all(|l: &Login| l.canonical() != email.canonical()) {
            logins.push(email);
        }
    }
    wrong.attributes(&row.attributes);
    let password = row.password_hash.as_ref().map(|hash| Phc::parse(hash.expose()));
    let password = password.transpose().map_err(|problem| wrong.add("password_hash", problem.to_string()));
    let ages = Timestamp::from_millis(0)..=now.plus(SKEW);
    if row.created_at.is_some_and(|at| !ages.contains(&at)) {
        wrong.add("created_at", "must be between 1970 and now");
    }
    match (wrong.done(), password) {
        (Ok(()), Ok(password)) => Ok(Checked {
            subject: row.subject.clone(),
            logins,
            attributes: row.attributes.clone(),
            password,
            disabled: row.disabled,
            created_at: row.created_at,
        }),
        (Err(Error::Invalid(violations)), _) => Err(violations),
        _ => Err(Vec::new()),
    }
}
