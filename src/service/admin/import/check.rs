//! Validation of a single row; reports all violations at once.

use serde_json::{Map, Value};

use super::ImportRow;
use crate::{
    domain::{
        login::Login,
        mail::Language,
        settings::SKEW,
        user::{check_attributes, read_emails, read_language, subject_problem},
    },
    error::{Error, Violation, Violations},
    passwords::{HashCost, Phc, UnusableHash},
    time::Timestamp,
};

/// A row with valid fields.
#[derive(Debug)]
pub(super) struct CheckedRow {
    pub(super) subject: String,
    pub(super) logins: Vec<Login>,
    pub(super) attributes: Map<String, Value>,
    pub(super) language: Option<Language>,
    pub(super) password: Option<Phc>,
    pub(super) disabled: bool,
    pub(super) created_at: Option<Timestamp>,
}

/// Validates a row. Computes no password hash, whatever the row's parameters are.
pub(super) fn check(
    row: &ImportRow,
    now: Timestamp,
    affordable: impl Fn(HashCost) -> Result<(), UnusableHash>,
) -> Result<CheckedRow, Vec<Violation>> {
    let (mut violations, mut logins) = (Violations::default(), Vec::new());
    if let Some(problem) = subject_problem(&row.subject) {
        violations.add("subject", problem);
    }
    if let Some(name) = &row.name {
        logins.extend(violations.take("name", Login::parse_name(name)));
    }
    for email in read_emails(&mut violations, &row.emails) {
        // Two spellings of one address are one login.
        if logins.iter().all(|l: &Login| l.canonical() != email.canonical()) {
            logins.push(email);
        }
    }
    check_attributes(&mut violations, &row.attributes);
    let language = read_language(&mut violations, &row.language);
    let password = row.password_hash.as_ref().map(|hash| Phc::parse(hash.expose()));
    let password = password.transpose().map_err(|problem| violations.add("password_hash", problem.to_string()));
    if let Some(problem) =
        password.as_ref().ok().and_then(Option::as_ref).and_then(|hash| cost_problem(hash, affordable))
    {
        violations.add("password_hash", problem);
    }
    let ages = Timestamp::from_millis(0)..=now.plus(SKEW);
    if row.created_at.is_some_and(|at| !ages.contains(&at)) {
        violations.add("created_at", "must be between 1970 and now");
    }
    match (violations.into_result(()), password) {
        (Ok(()), Ok(password)) => Ok(CheckedRow {
            subject: row.subject.clone(),
            logins,
            attributes: row.attributes.clone(),
            language,
            password,
            disabled: row.disabled,
            created_at: row.created_at,
        }),
        (Err(Error::Invalid(violations)), _) => Err(violations),
        _ => Err(Vec::new()),
    }
}

/// Why a hash costs too much to be checked when its user signs in.
fn cost_problem(hash: &Phc, affordable: impl Fn(HashCost) -> Result<(), UnusableHash>) -> Option<String> {
    let cost = hash.cost();
    if cost.times > HashCost::MOST_TIMES {
        return Some(format!(
            "takes {} times as long as one of Chancery's own, and at most {} times are taken on",
            cost.times,
            HashCost::MOST_TIMES
        ));
    }
    match affordable(cost) {
        Err(UnusableHash::Memory { needs_mib, has_mib }) => Some(format!(
            "needs {needs_mib} MiB to be checked, but hashing_memory_mib is {has_mib}; set it to at least {needs_mib}, for \
             all servers and for this import"
        )),
        _ => None,
    }
}
