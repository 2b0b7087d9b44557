//! Importing users of another system, with the hashes of their passwords.

mod check;
mod plan;

use serde_json::{Map, Value, json};

pub use self::plan::Rehearsal;
use self::{
    check::Checked,
    plan::{Decided, Taken},
};
use super::{Admin, Service, TRIES};
use crate::{
    domain::{audit::AuditKind, user::User},
    error::{Error, Result, Violation},
    id::UserId,
    secret::ForeignHash,
    store::{NewUser, Tx},
    time::Timestamp,
};

/// Most users in one transaction.
pub const MOST_IMPORTED: usize = 1000;

/// A user of another system.
#[derive(Debug, Default)]
pub struct ImportRow {
    /// What the user was called there: the `sub` of tokens, and the name by which a repeated import knows the user
    /// again.
    pub subject: String,
    /// The user name; none if the user has none.
    pub name: Option<String>,
    /// Addresses that are known to be the user's.
    pub emails: Vec<String>,
    /// Facts that claim maps may select.
    pub attributes: Map<String, Value>,
    /// The password's hash; none if the user is to choose one.
    pub password_hash: Option<ForeignHash>,
    /// Whether the user may not sign in.
    pub disabled: bool,
    /// When the user came; now, if nobody knows.
    pub created_at: Option<Timestamp>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum ImportOutcome {
    /// The user is here now.
    Created,
    /// The user was here already, as the row has it.
    Present,
    /// Nothing was done: these fields are in the way.
    Refused(Vec<Violation>),
}

/// What became of a batch.
#[derive(Debug)]
struct Planned {
    outcomes: Vec<ImportOutcome>,
    new: Vec<NewUser>,
}

impl Service {
    /// Imports users, at most [`MOST_IMPORTED`], in one transaction; a row that cannot be imported is left out. The
    /// outcomes stand in the order of the rows. A batch may be imported again: what is here already is left alone.
    ///
    /// # Errors
    /// A violation of `users` if there are too many; if the database cannot be reached.
    pub async fn users_import(&self, admin: &Admin, rows: &[ImportRow]) -> Result<Vec<ImportOutcome>> {
        let now = self.now();
        let checked = check_all(rows, now)?;
        for _ in 0..TRIES {
            match self.import_once(admin, &checked, now).await {
                // Somebody took one of the names in between.
                Err(Error::Conflict) => {}
                Ok(outcomes) => {
                    // Who imports a million users writes one transaction after the other: others get their turn.
                    self.store.stand_back().await;
                    return Ok(outcomes);
                }
                other => return other,
            }
        }
        Err(Error::Conflict)
    }

    /// Says what would become of these users, and of all before them in the same rehearsal. Nothing is written.
    ///
    /// # Errors
    /// As for [`Service::users_import`].
    pub async fn users_import_rehearse(
        &self,
        rows: &[ImportRow],
        rehearsal: &mut Rehearsal,
    ) -> Result<Vec<ImportOutcome>> {
        let now = self.now();
        let checked = check_all(rows, now)?;
        let mut tx = self.store.read().await?;
        Ok(self.import_plan(&mut tx, &checked, &mut rehearsal.taken, now).await?.outcomes)
    }

    async fn import_once(
        &self,
        admin: &Admin,
        checked: &[Result<Checked, Vec<Violation>>],
        now: Timestamp,
    ) -> Result<Vec<ImportOutcome>> {
        let mut tx = self.store.write().await?;
        let Planned { outcomes, new } = self.import_plan(&mut tx, checked, &mut Taken::default(), now).await?;
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(outcomes) };
        let count = |wanted: fn(&ImportOutcome) -> bool| outcomes.iter().filter(|o| wanted(o)).count();
        let details = json!({
            "created": new.len(),
            "present": count(|o| matches!(o, ImportOutcome::Present)),
            "refused": count(|o| matches!(o, ImportOutcome::Refused(_))),
            "first": first.user.subject,
            "last": last.user.subject,
        });
        if !tx.users_insert(&new, now).await? {
            return Err(Error::Conflict);
        }
        tx.audit(now, AuditKind::UsersImported, &admin.actor, "users", details).await?;
        tx.commit().await?;
        Ok(outcomes)
    }

    /// Decides on each row by what is here, and by the rows before it.
    async fn import_plan(
        &self,
        tx: &mut Tx,
        checked: &[Result<Checked, Vec<Violation>>],
        taken: &mut Taken,
        now: Timestamp,
    ) -> Result<Planned> {
        let known = plan::known(tx, checked, taken).await?;
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
                Decided::Create => {
                    new.push(self.import_new(row, now));
                    ImportOutcome::Created
                }
                Decided::Present => ImportOutcome::Present,
                Decided::Refuse(violation) => ImportOutcome::Refused(vec![violation]),
            });
        }
        Ok(Planned { outcomes, new })
    }

    fn import_new(&self, row: &Checked, now: Timestamp) -> NewUser {
        let user = User {
            id: UserId::new(now, &*self.entropy),
            subject: row.subject.clone(),
            attributes: row.attributes.clone(),
            security_version: 1,
            disabled_at: row.disabled.then_some(now),
            created_at: row.created_at.unwrap_or(now),
        };
        NewUser { user, logins: row.logins.clone(), password: row.password.clone() }
    }
}

/// Checks each row by itself, before the database is asked.
fn check_all(rows: &[ImportRow], now: Timestamp) -> Result<Vec<Result<Checked, Vec<Violation>>>> {
    if rows.len() > MOST_IMPORTED {
        return Err(Error::invalid("users", format!("must be at most {MOST_IMPORTED} per batch")));
    }
    Ok(rows.iter().map(|row| check::check(row, now)).collect())
}
