//! Importing users of another system, with the hashes of their passwords.

mod check;
mod plan;

use std::{fmt, sync::Arc};

use serde_json::{Map, Value, json};

pub use self::plan::Rehearsal;
use self::{
    check::CheckedRow,
    plan::{Decided, Taken},
};
use crate::{
    domain::{audit::AuditKind, permission::USERS_IMPORT, user::User},
    entropy::Entropy,
    error::{Error, Result, Violation},
    id::UserId,
    secret::ForeignHash,
    service::{
        access::{Admin, Callers},
        runtime::{Live, Runtime, TRIES},
    },
    store::{NewUser, Store, Tx},
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

/// Imports users of another system.
pub struct Import {
    store: Store,
    live: Arc<Live>,
    entropy: Arc<dyn Entropy>,
    callers: Callers,
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Import")
    }
}

impl Import {
    pub(in crate::service) fn new(runtime: Runtime, callers: Callers) -> Self {
        let Runtime { store, live, entropy, .. } = runtime;
        Self { store, live, entropy, callers }
    }

    /// Imports users, at most [`MOST_IMPORTED`], in one transaction; a row that cannot be imported is left out. The
    /// outcomes stand in the order of the rows. A batch may be imported again: what is here already is left alone.
    ///
    /// # Errors
    /// A violation of `users` if there are too many; if the database is unreachable.
    pub async fn write(&self, admin: &Admin, rows: &[ImportRow]) -> Result<Vec<ImportOutcome>> {
        // An import takes long: whoever loses the permission meanwhile writes no further batch.
        let mut still = admin.clone();
        self.callers.read_again(&mut still).await?;
        self.callers.check_still_admitted(&still, USERS_IMPORT)?;
        let now = self.live.now();
        let checked = check_all(rows, now)?;
        for _ in 0..TRIES {
            match self.write_once(admin, &checked, now).await {
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
    /// As for [`Import::write`].
    pub async fn rehearse(
        &self,
        _: &Admin,
        rows: &[ImportRow],
        rehearsal: &mut Rehearsal,
    ) -> Result<Vec<ImportOutcome>> {
        let now = self.live.now();
        let checked = check_all(rows, now)?;
        let mut tx = self.store.read().await?;
        Ok(self.plan(&mut tx, &checked, &mut rehearsal.taken, now).await?.outcomes)
    }

    async fn write_once(
        &self,
        admin: &Admin,
        checked: &[Result<CheckedRow, Vec<Violation>>],
        now: Timestamp,
    ) -> Result<Vec<ImportOutcome>> {
        let mut tx = self.store.write().await?;
        let Planned { outcomes, new } = self.plan(&mut tx, checked, &mut Taken::default(), now).await?;
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(outcomes) };
        let count = |wanted: fn(&ImportOutcome) -> bool| outcomes.iter().filter(|o| wanted(o)).count();
        let details = json!({
            "created": new.len(),
            "present": count(|o| matches!(o, ImportOutcome::Present)),
            "refused": count(|o| matches!(o, ImportOutcome::Refused(_))),
            "first": first.user.subject,
            "last": last.user.subject,
        });
        // Somebody took a name since the plan was made: the next plan says whose row that is.
        if tx.users_insert(&new, now).await?.is_some() {
            return Err(Error::Conflict);
        }
        tx.audit(now, AuditKind::UsersImported, &admin.actor, "users", details).await?;
        tx.commit().await?;
        Ok(outcomes)
    }

    /// Decides on each row by what is here, and by the rows before it.
    async fn plan(
        &self,
        tx: &mut Tx,
        checked: &[Result<CheckedRow, Vec<Violation>>],
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
                    new.push(self.new_user(row, now));
                    ImportOutcome::Created
                }
                Decided::Present => ImportOutcome::Present,
                Decided::Refuse(violation) => ImportOutcome::Refused(vec![violation]),
            });
        }
        Ok(Planned { outcomes, new })
    }

    fn new_user(&self, row: &CheckedRow, now: Timestamp) -> NewUser {
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
fn check_all(rows: &[ImportRow], now: Timestamp) -> Result<Vec<Result<CheckedRow, Vec<Violation>>>> {
    if rows.len() > MOST_IMPORTED {
        return Err(Error::invalid("users", format!("must be at most {MOST_IMPORTED} per batch")));
    }
    Ok(rows.iter().map(|row| check::check(row, now)).collect())
}
