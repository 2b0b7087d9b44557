//! What an applied file named, and the present one names no more.

use super::{
    change::{Change, Plan},
    state::State,
    value::Value,
    wanted::Wanted,
};
use crate::{
    domain::declared::{Declared, DeclaredKind},
    service::ACCOUNT_CLIENT,
};

/// How many things that are in the file no more are named.
const MAX_NOTES: usize = 10;

/// Changes that take away.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    pub(super) settings: Vec<Change>,
    pub(super) clients: Vec<Change>,
    pub(super) roles: Vec<Change>,
}

/// What is to be taken away; without `with_prune`, a note of each.
pub(super) fn prune(wanted: &Wanted, state: &State, with_prune: bool, plan: &mut Plan) -> Pruned {
    let (mut pruned, mut left) = (Pruned::default(), Vec::new());
    for noted in &state.remembered.declared {
        let change = match noted.kind {
            DeclaredKind::Client if wanted.clients.contains_key(&noted.name) => continue,
            DeclaredKind::Role if wanted.roles.contains_key(&noted.name) => continue,
            DeclaredKind::Setting if wanted.settings.contains_key(&noted.name) => continue,
            DeclaredKind::Client => client(noted, state),
            DeclaredKind::Role => role(&noted.name, state),
            DeclaredKind::Setting => setting(&noted.name, state),
        };
        let Some(change) = change else {
            if noted.pruned {
                continue;
            }
            // It is gone, or as if nobody had named it: it is not the file's any more.
            plan.remember.gone.push((noted.kind, noted.name.clone()));
            continue;
        };
        if !with_prune && noted.pruned {
            continue;
        }
        if !with_prune {
            let (kind, name) = (noted.kind.as_str(), &noted.name);
            left.push(format!("{kind} {name} is in the file no more; --prune {}", would(noted.kind)));
            continue;
        }
        match noted.kind {
            DeclaredKind::Client => pruned.clients.push(change),
            DeclaredKind::Role => pruned.roles.push(change),
            DeclaredKind::Setting => pruned.settings.push(change),
        }
    }
    let more = left.len().saturating_sub(MAX_NOTES);
    plan.notes.extend(left.into_iter().take(MAX_NOTES));
    if more > 0 {
        plan.notes.push(format!("{more} more are in the file no more; --prune --dry-run shows them"));
    }
    pruned
}

const fn would(kind: DeclaredKind) -> &'static str {
    match kind {
        DeclaredKind::Client => "disables it",
        DeclaredKind::Role => "deletes it",
        DeclaredKind::Setting => "gives it its default",
    }
}

/// A client is disabled and not deleted: what it did can still be read, and the file can bring it back.
/// One that was pruned, and that failed to come back, may have its site again.
fn client(noted: &Declared, state: &State) -> Option<Change> {
    let id = &noted.name;
    let present = state.clients.get(id).filter(|_| id != ACCOUNT_CLIENT)?;
    let has_site = present.fields.get("site").is_some_and(|site: &Value| !site.is_empty());
    let is_due = if noted.pruned { present.disabled && has_site } else { !present.disabled };
    is_due.then_some(Change::PruneClient { id: id.clone(), has_site })
}

fn role(name: &str, state: &State) -> Option<Change> {
    state.roles.get(name).filter(|role| !role.built_in)?;
    Some(Change::PruneRole { name: name.to_owned() })
}

fn setting(name: &str, state: &State) -> Option<Change> {
    let (from, default) = state.settings.get(name)?;
    let change = || Change::Setting { name: name.to_owned(), from: from.clone(), to: default.clone(), pruned: true };
    (from != default).then(change)
}
