//! A file that declares what a deployment has: settings, audiences, roles, clients and first users. It is read and
//! checked as a whole, compared with the database, and what differs is changed through the services.
//!
//! Several processes may apply files at once. Each change is decided by the database alone; whoever loses reads again,
//! compares again, and goes on with what is left.

mod carry;
mod change;
mod compare;
mod export;
mod file;
mod keys;
mod named;
mod problems;
mod prune;
mod render;
mod sites;
mod state;
#[cfg(test)]
mod tests;
mod value;
mod wanted;

use anyhow::anyhow;

use self::{
    carry::carry_out,
    change::Change,
    state::State,
    wanted::{Surroundings, check},
};
pub use self::{change::Plan, file::Declaration};
use super::database::explain;
use crate::{
    error::{Error, Result},
    service::{Admin, Service},
    time::Ttl,
};

/// How often a file is compared again because others have changed something at the same time, without that anything less
/// is left to do.
const MAX_FRUITLESS: usize = 20;
/// The longest lifetime that a token can ever have: what is known before the database is.
const LONGEST_CEILING: Ttl = Ttl::from_days(1);
/// Stands in for an issuer that is not known yet.
const SOME_ISSUER: &str = "https://issuer.invalid";

/// Checks a file as far as that can be done without the database.
///
/// # Errors
/// Every problem, each with its line.
pub(super) fn check_alone(file: &Declaration, issuer: Option<&str>) -> Result<(), Vec<String>> {
    let surroundings = Surroundings { issuer: issuer.unwrap_or(SOME_ISSUER), ceiling: &|_| LONGEST_CEILING };
    check(file, surroundings).map(|_| ())
}

/// What has to be done for a file. Changes nothing.
///
/// # Errors
/// Every problem of the file, or a sentence for the operator.
pub async fn plan(service: &Service, file: &Declaration, prune: bool) -> anyhow::Result<Plan> {
    let state = State::read(service, Some(file)).await.map_err(|error| explain(&error))?;
    compared(file, &state, prune).map_err(|problems| listed(&problems))
}

fn compared(file: &Declaration, state: &State, prune: bool) -> Result<Plan, Vec<String>> {
    let seconds = |text: &str| text.parse::<Ttl>().ok();
    let name = "access_token_lifetime_ceiling";
    let stored = state.settings.get(name).and_then(|(value, _)| seconds(value));
    // The file may change the setting that its own clients are checked against.
    let declared = file.settings.iter().find(|(other, _)| other == name).and_then(|(_, given)| seconds(&given.value));
    let ceiling = declared.or(stored).unwrap_or(LONGEST_CEILING);
    let present = |id: &str| {
        let fields = state.clients.get(id).map(|client| &client.fields);
        fields.and_then(|fields| fields.get("token_lifetime")?.seconds()).map(Ttl::from_secs)
    };
    let of_client = |id: &str| present(id).map_or(ceiling, |present| present.max(ceiling));
    let wanted = check(file, Surroundings { issuer: &state.issuer, ceiling: &of_client })?;
    compare::compare(file, &wanted, state, prune)
}

fn listed(problems: &[String]) -> anyhow::Error {
    anyhow!("the file cannot be applied, and nothing was changed:\n  {}", problems.join("\n  "))
}

/// Does what a plan says; returns how many changes were made. What others did in the meantime is not done again.
///
/// # Errors
/// A sentence that says how far it came.
pub async fn apply(service: &Service, file: &Declaration, prune: bool, mut plan: Plan) -> anyhow::Result<usize> {
    let (mut done, mut fruitless) = (0, 0);
    loop {
        let (subject, error) = match round(service, file, &plan, &mut done).await {
            Ok(()) => return Ok(done),
            Err(failure) => failure,
        };
        if !is_of_others(&error) || fruitless == MAX_FRUITLESS {
            return Err(stopped(done, &subject, &error));
        }
        let left = plan.len();
        plan = self::plan(service, file, prune).await?;
        fruitless = if plan.len() < left { 0 } else { fruitless + 1 };
    }
}

/// Makes the changes of a plan, each with the note that the file names it; then notes the rest of what it names. Roles that somebody has hold nothing else up.
async fn round(service: &Service, file: &Declaration, plan: &Plan, done: &mut usize) -> Result<(), (String, Error)> {
    let mut held = None;
    for change in &plan.changes {
        let admin = Admin::command().declaring(plan.declared_with(change));
        match carry_out(service, file, change, &admin).await {
            Ok(()) => *done += 1,
            Err(error @ Error::Precondition(_)) if matches!(change, Change::PruneRole { .. }) => {
                held.get_or_insert((change.subject(), error));
            }
            Err(error) => return Err((change.subject(), error)),
        }
    }
    let noted = service.declarations.note(&Admin::command(), &plan.remember).await;
    noted.map_err(|error| ("what the file names".to_owned(), error))?;
    held.map_or(Ok(()), Err)
}

/// Whether another process may have come first.
const fn is_of_others(error: &Error) -> bool {
    matches!(error, Error::Conflict | Error::Changed | Error::Exists(..) | Error::NotFound(..))
}

/// How many changes were made, in words.
#[must_use]
pub fn made(changes: usize) -> String {
    if changes == 1 { "1 change was made".to_owned() } else { format!("{changes} changes were made") }
}

fn stopped(done: usize, subject: &str, error: &Error) -> anyhow::Error {
    let why = match error {
        Error::Exists("client or subject", _) => ", or belonged to a client that was deleted",
        _ => "",
    };
    let (error, made) = (explain(error), made(done));
    anyhow!("{subject}: {error:#}{why}; {made}, and applying the file again goes on from there")
}

/// Applies a file before a server is ready. Nothing is pruned: while servers are replaced, the older ones still have the
/// older file.
pub(super) async fn at_start(service: &Service, file: &Declaration) -> anyhow::Result<()> {
    let plan = plan(service, file, false).await?;
    for note in plan.notes() {
        tracing::warn!("{note}");
    }
    let lines = plan.lines();
    let done = apply(service, file, false, plan).await?;
    for line in lines {
        tracing::info!("{line}");
    }
    tracing::info!(changes = done, "applied {}", file.path());
    Ok(())
}

/// What the database has, as a file.
///
/// # Errors
/// A sentence for the operator.
pub async fn export(service: &Service) -> anyhow::Result<String> {
    let state = State::read(service, None).await.map_err(|error| explain(&error))?;
    Ok(export::export(&state))
}
