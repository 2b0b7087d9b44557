//! Imports users from another system, with their password hashes.

mod check;
mod plan;

use std::{fmt, sync::Arc};

use serde_json::{Map, Value, json};

pub use self::plan::DryRun;
use self::{
    check::CheckedRow,
    plan::{Decision, TakenNames},
};
use crate::{
    domain::{audit::AuditKind, feed::ChangeKind, permission::USERS_IMPORT, settings::Settings, user::User},
    entropy::Entropy,
    error::{Error, Result, Violation},
    id::UserId,
    passwords::{HashCost, Passwords, Phc},
    secret::ForeignHash,
    service::{
        access::{Admin, Callers},
        people::{TokenFit, has_usual_subject},
        runtime::{Live, Runtime, TRIES},
    },
    store::{NewUser, Store, Tx},
    time::Timestamp,
};

/// What the hashes of imported users cost, until each is replaced at its user's first sign-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostlyHashes {
    /// How many cost more than Chancery's own.
    pub count: u64,
    /// The most memory and the longest time that any of them takes.
    pub most: HashCost,
}

impl CostlyHashes {
    /// Adds the hash of a user who is imported.
    pub fn add(&mut self, row: &ImportRow) {
        let hash = row.password_hash.as_ref().and_then(|hash| Phc::parse(hash.expose()).ok());
        if let Some(cost) = hash.map(|hash| hash.cost()).filter(|cost| cost.is_high()) {
            self.count += 1;
            self.most = self.most.max(cost);
        }
    }
}

/// Maximum users in one transaction.
pub const MAX_IMPORT_BATCH: usize = 1000;

/// A user of another system.
#[derive(Debug, Default)]
pub struct ImportRow {
    /// The user's id in the other system: becomes the `sub` of tokens, and identifies the user when an import is
    /// repeated.
    pub subject: String,
    /// The user name, if any.
    pub name: Option<String>,
    /// Verified addresses of the user.
    pub emails: Vec<String>,
    /// Attributes that claim maps may select.
    pub attributes: Map<String, Value>,
    /// The language in which the server writes to the user; empty means that none is known.
    pub language: String,
    /// The password hash; `None` if the user chooses a password later.
    pub password_hash: Option<ForeignHash>,
    /// Whether the user may not sign in.
    pub disabled: bool,
    /// When the user was created; defaults to now.
    pub created_at: Option<Timestamp>,
}

/// The outcome of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum ImportOutcome {
    /// The user was created.
    Created,
    /// The user already exists with the same data.
    Present,
    /// Nothing was done because of these fields.
    Refused(Vec<Violation>),
}

/// The plan for a batch.
#[derive(Debug)]
struct Plan {
    outcomes: Vec<ImportOutcome>,
    new: Vec<NewUser>,
}

/// Imports users from another system.
pub struct Import {
    store: Store,
    live: Arc<Live>,
    entropy: Arc<dyn Entropy>,
    callers: Callers,
    token_fit: TokenFit,
    passwords: Passwords,
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Import")
    }
}

impl Import {
    pub(in crate::service) fn new(
        runtime: Runtime,
        callers: Callers,
        token_fit: TokenFit,
        passwords: Passwords,
    ) -> Self {
        let Runtime { store, live, entropy, .. } = runtime;
        Self { store, live, entropy, callers, token_fit, passwords }
    }

    /// Imports up to [`MAX_IMPORT_BATCH`] users in one transaction; rows that cannot be imported are skipped. The
    /// outcomes are in row order. A batch can be imported again: existing users stay as they are.
    ///
    /// # Errors
    /// A violation of `users` if there are too many; if the database is unreachable.
    pub async fn write(&self, admin: &Admin, rows: &[ImportRow]) -> Result<Vec<ImportOutcome>> {
        // Imports take long. A caller that loses the permission meanwhile writes no further batch.
        let mut current = admin.clone();
        self.callers.reload_roles(&mut current).await?;
        self.callers.check_still_admitted(&current, USERS_IMPORT)?;
        let now = self.live.now();
        let checked = self.check_all(rows, now)?;
        for _ in 0..TRIES {
            match self.write_once(admin, &checked, now).await {
                // One of the names was taken in between.
                Err(Error::Conflict) => {}
                Ok(outcomes) => {
                    // Large imports write one transaction after another: let other writers in.
                    self.store.stand_back().await;
                    return Ok(outcomes);
                }
                other => return other,
            }
        }
        Err(Error::Conflict)
    }

    /// Returns the outcomes that an import would have, after all earlier batches of the same dry run. Writes nothing.
    ///
    /// # Errors
    /// As for [`Import::write`].
    pub async fn dry_run(&self, _: &Admin, rows: &[ImportRow], dry_run: &mut DryRun) -> Result<Vec<ImportOutcome>> {
        let now = self.live.now();
        let checked = self.check_all(rows, now)?;
        let mut tx = self.store.read().await?;
        Ok(self.plan(&mut tx, &checked, &mut dry_run.taken, now).await?.outcomes)
    }

    async fn write_once(
        &self,
        admin: &Admin,
        checked: &[Result<CheckedRow, Vec<Violation>>],
        now: Timestamp,
    ) -> Result<Vec<ImportOutcome>> {
        let mut tx = admin.write(&self.store, &self.live).await?;
        let Plan { outcomes, new } = self.plan(&mut tx, checked, &mut TakenNames::default(), now).await?;
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(outcomes) };
        let count = |wanted: fn(&ImportOutcome) -> bool| outcomes.iter().filter(|o| wanted(o)).count();
        let details = json!({
            "created": new.len(),
            "present": count(|o| matches!(o, ImportOutcome::Present)),
            "refused": count(|o| matches!(o, ImportOutcome::Refused(_))),
            "first": first.user.subject,
            "last": last.user.subject,
        });
        // A name was taken since the plan was made. The retry's plan reports the row.
        if tx.users_insert(&new, now).await?.is_some() {
            return Err(Error::Conflict);
        }
        tx.audit(now, AuditKind::UsersImported, &admin.actor, "users", details).await?;
        let costs = new.iter().filter_map(|user| user.password.as_ref()).map(Phc::cost);
        let costliest = costs.filter(|cost| *cost != HashCost::OWN).map(|cost| cost.times).max();
        self.commit(tx, costliest.unwrap_or(0), now).await?;
        Ok(outcomes)
    }

    /// Commits a batch whose costliest hash takes so many times as long as one of Chancery's own. If no other import has
    /// had such a hash, every process learns of it, so that from its first answer on the time does not tell which
    /// accounts have one.
    async fn commit(&self, mut tx: Tx, costliest: u64, now: Timestamp) -> Result<()> {
        if costliest <= self.live.snapshot().settings.costliest_import {
            return tx.commit().await.map(drop);
        }
        let settings = tx.settings_hold().await?;
        let settings = Settings { costliest_import: settings.costliest_import.max(costliest), ..settings };
        tx.settings_set(&settings).await?;
        tx.change(settings.feed_entry(ChangeKind::Settings, "costliest_import", now));
        self.live.commit(tx).await.map(drop)
    }

    /// Decides on each row by the existing users and the rows before it.
    async fn plan(
        &self,
        tx: &mut Tx,
        checked: &[Result<CheckedRow, Vec<Violation>>],
        taken: &mut TakenNames,
        now: Timestamp,
    ) -> Result<Plan> {
        let known = plan::load_known(tx, checked, taken).await?;
        let (mut outcomes, mut new) = (Vec::with_capacity(checked.len()), Vec::new());
        for row in checked {
            let row = match row {
                Ok(row) => row,
                Err(violations) => {
                    outcomes.push(ImportOutcome::Refused(violations.clone()));
                    continue;
                }
            };
            outcomes.push(match plan::decide(row, &known, taken) {
                Decision::Create => {
                    new.push(self.new_user(row, now));
                    ImportOutcome::Created
                }
                Decision::Present => ImportOutcome::Present,
                Decision::Refuse(violation) => ImportOutcome::Refused(vec![violation]),
            });
        }
        Ok(Plan { outcomes, new })
    }

    fn new_user(&self, row: &CheckedRow, now: Timestamp) -> NewUser {
        let user = User {
            id: UserId::new(now, &*self.entropy),
            subject: row.subject.clone(),
            attributes: row.attributes.clone(),
            language: row.language.clone(),
            security_version: 1,
            second_factors: 0,
            disabled_at: row.disabled.then_some(now),
            created_at: row.created_at.unwrap_or(now),
        };
        NewUser { user, logins: row.logins.clone(), password: row.password.clone() }
    }
}

impl Import {
    /// Validates each row on its own, before any database query.
    fn check_all(&self, rows: &[ImportRow], now: Timestamp) -> Result<Vec<Result<CheckedRow, Vec<Violation>>>> {
        if rows.len() > MAX_IMPORT_BATCH {
            return Err(Error::invalid("users", format!("must be at most {MAX_IMPORT_BATCH} per batch")));
        }
        let check = |row| {
            let row = check::check(row, now, |cost| self.passwords.check_cost(cost))?;
            self.check_fit(row, now)
        };
        Ok(rows.iter().map(check).collect())
    }

    /// Refuses attributes and a subject that make a token too large.
    fn check_fit(&self, row: CheckedRow, now: Timestamp) -> Result<CheckedRow, Vec<Violation>> {
        let user = self.new_user(&row, now).user;
        if user.attributes.is_empty() && has_usual_subject(&user) {
            return Ok(row);
        }
        let field = if user.attributes.is_empty() { "subject" } else { "attributes" };
        match self.token_fit.check_user(&user, &[], field) {
            Ok(()) => Ok(row),
            Err(error) => Err(vec![Violation { field: field.into(), description: error.to_string() }]),
        }
    }
}
