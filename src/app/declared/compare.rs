//! What differs between a file and the database, and in which order it is mended. A pure function.

use std::collections::BTreeSet;

use super::{
    change::{Change, FieldChange, Plan},
    file::Declaration,
    keys::Kind,
    problems::Problems,
    prune::prune,
    sites::{Move, in_order},
    state::{PresentClient, State},
    value::{Fields, Value},
    wanted::{Wanted, WantedClient, site_key},
};
use crate::{
    domain::declared::{Declared, DeclaredKind},
    secret::ClientSecretHash,
    service::ACCOUNT_CLIENT,
};

/// Compares. With `with_prune`, what an applied file named and this one does not is taken away.
///
/// # Errors
/// What cannot be done at all, each with its line.
pub(super) fn compare(
    file: &Declaration,
    wanted: &Wanted,
    state: &State,
    with_prune: bool,
) -> Result<Plan, Vec<String>> {
    let mut comparison = Comparison { file, wanted, state, plan: Plan::default(), problems: Problems::default() };
    let pruned = prune(wanted, state, with_prune, &mut comparison.plan);
    comparison.refuse(&pruned.clients);
    comparison.settings();
    comparison.plan.changes.extend(pruned.settings);
    comparison.roles();
    comparison.plan.changes.extend(pruned.clients);
    comparison.clients();
    comparison.audiences();
    comparison.users();
    // A role that nobody has any more.
    comparison.plan.changes.extend(pruned.roles);
    comparison.remember();
    let Comparison { plan, problems, .. } = comparison;
    problems.into_result(plan)
}

struct Comparison<'a> {
    file: &'a Declaration,
    wanted: &'a Wanted,
    state: &'a State,
    plan: Plan,
    problems: Problems,
}

impl Comparison<'_> {
    fn problem(&mut self, kind: Kind, name: &str, key: &str, what: &str) {
        if let Some(entry) = self.file.entry(kind, name) {
            self.problems.push(self.file.problem_of(entry, key, what));
        }
    }

    /// Notes what cannot be changed, and what is missing.
    fn refuse(&mut self, pruned: &[Change]) {
        let known = |role: &String| self.wanted.roles.contains_key(role) || self.state.roles.contains_key(role);
        let of_clients = self.wanted.clients.iter().map(|(id, wanted)| {
            (Kind::Client, id, wanted.fields.get("roles").map(|roles| roles.list().to_vec()).unwrap_or_default())
        });
        let of_users = self.wanted.users.iter().map(|(name, roles)| (Kind::User, name, roles.clone()));
        let mut found = Vec::new();
        for (kind, name, roles) in of_clients.chain(of_users) {
            let missing = roles.into_iter().filter(|role| !known(role));
            found.extend(missing.map(|role| (kind, name.clone(), "roles", format!("there is no role {role}"))));
        }
        for (name, fields) in &self.wanted.roles {
            if self.state.roles.get(name).is_some_and(|role| role.built_in) {
                let said = ["description", "permissions"]
                    .into_iter()
                    .filter(|key| fields.get(key).is_some_and(|v| !v.is_empty()));
                let what = "the role is built in: require_mfa alone can be changed";
                found.extend(said.map(|key| (Kind::Role, name.clone(), key, what.to_owned())));
            }
        }
        for (id, wanted) in &self.wanted.clients {
            match self.state.clients.get(id) {
                Some(present) => found.extend(unchangeable(id, wanted, present)),
                None if id == ACCOUNT_CLIENT => {
                    let what = "the server makes this client at its start, and it is not there".to_owned();
                    found.push((Kind::Client, id.clone(), "client_id", what));
                }
                None => {}
            }
            found.extend(self.taken_site(id, wanted, pruned));
        }
        for (audience, owner) in &self.wanted.audiences {
            found.extend(self.wrong_owner(audience, owner.as_deref(), pruned));
        }
        for (kind, name, key, what) in found {
            self.problem(kind, &name, key, &what);
        }
    }

    /// A site that is a client's of which the file says nothing, and that is not pruned.
    fn taken_site(&self, id: &str, wanted: &WantedClient, pruned: &[Change]) -> Option<Refusal> {
        let key = site_key(&wanted.fields)?;
        let mut others = self.state.clients.iter().filter(|(other, _)| {
            other.as_str() != id && !self.wanted.clients.contains_key(*other) && !goes(pruned, other)
        });
        let (other, _) = others.find(|(_, present)| site_key(&present.fields).as_ref() == Some(&key))?;
        let what = format!("there is a site at {key} already, that of the client {other}");
        Some((Kind::Client, id.to_owned(), "site", what))
    }

    /// An owner that is not there, or another one, of whom the file says nothing and who stays.
    fn wrong_owner(&self, audience: &str, owner: Option<&str>, pruned: &[Change]) -> Option<Refusal> {
        let owner = owner?;
        let kind = if self.file.entry(Kind::Audience, audience).is_some_and(|e| e.text("owner") == owner) {
            (Kind::Audience, audience.to_owned(), "owner")
        } else {
            (Kind::Client, owner.to_owned(), "serves")
        };
        let what = if !self.wanted.clients.contains_key(owner) && !self.state.clients.contains_key(owner) {
            format!("there is no client {owner}")
        } else {
            let present = self.state.audiences.get(audience).cloned().flatten()?;
            if present == owner || self.wanted.clients.contains_key(&present) || goes(pruned, &present) {
                return None;
            }
            format!("{audience} is served by the client {present}, of which this file says nothing")
        };
        Some((kind.0, kind.1, kind.2, what))
    }

    fn settings(&mut self) {
        for (name, to) in &self.wanted.settings {
            if let Some((from, _)) = self.state.settings.get(name).filter(|(from, _)| from != to) {
                let (name, from, to) = (name.clone(), from.clone(), to.clone());
                self.plan.changes.push(Change::Setting { name, from, to, pruned: false });
            }
        }
    }

    fn roles(&mut self) {
        for (name, fields) in &self.wanted.roles {
            match self.state.roles.get(name) {
                None => self.plan.changes.push(Change::NewRole { name: name.clone(), fields: fields.clone() }),
                Some(present) => {
                    let changed = differences(Kind::Role, &present.fields, fields);
                    if !changed.is_empty() {
                        self.plan.changes.push(Change::Role { name: name.clone(), changed });
                    }
                }
            }
        }
    }

    fn clients(&mut self) {
        let mut moves = Vec::new();
        for (id, wanted) in &self.wanted.clients {
            let (change, from) = match self.state.clients.get(id) {
                None => (new_client(id, wanted), None),
                Some(present) => {
                    let (change, notes) = self.client(id, wanted, present);
                    self.plan.notes.extend(notes);
                    let Some(change) = change else { continue };
                    (change, site_key(&present.fields))
                }
            };
            self.plan.notes.extend(change.lacks_secret().map(|id| {
                let get = format!("`chancery client rotate-secret {id}`");
                format!("client {id} gets a secret that nobody knows: name a secret_file, or get one with {get}")
            }));
            if change.sets_secret() && wanted.needs_encoding {
                self.plan.notes.push(encoding_needed(id, &wanted.secret_file));
            }
            // Of the issuer's own client the file says nothing of the site.
            let to = if wanted.fields.contains_key("site") { site_key(&wanted.fields) } else { from.clone() };
            moves.push(Move { id: id.clone(), from, to, change });
        }
        match in_order(moves) {
            Ok(changes) => self.plan.changes.extend(changes),
            Err(ids) => {
                let what = format!("{} take each other's sites: give one of them no site first", ids.join(" and "));
                self.problem(Kind::Client, ids.first().map_or("", String::as_str), "site", &what);
            }
        }
    }

    fn client(&self, id: &str, wanted: &WantedClient, present: &PresentClient) -> (Option<Change>, Vec<String>) {
        let changed = differences(Kind::Client, &present.fields, &wanted.fields);
        let was_pruned = self.noted(DeclaredKind::Client, id).is_some_and(|noted| noted.pruned);
        let wants_disabled = wanted.disabled.or(was_pruned.then_some(false));
        let disabled = wants_disabled.filter(|wants| *wants != present.disabled);
        let mut notes = Vec::new();
        if present.disabled && wants_disabled.is_none() {
            notes.push(format!("client {id} is disabled, and stays so: the file does not say disabled = false"));
        }
        let had = self.state.remembered.secrets.get(id).map(Vec::as_slice).unwrap_or_default();
        let secret_file = wanted.secret.and_then(|secret| match secret_state(&secret, present, had) {
            SecretState::Current => None,
            SecretState::New => Some(wanted.secret_file.clone()),
            SecretState::Old => {
                let file = &wanted.secret_file;
                notes.push(format!(
                    "client {id}: {file} holds a secret that it had before, which is not brought back; put a new one there"
                ));
                None
            }
        });
        let differs = !changed.is_empty() || disabled.is_some() || secret_file.is_some();
        (differs.then(|| Change::Client { id: id.to_owned(), changed, disabled, secret_file }), notes)
    }

    fn audiences(&mut self) {
        for (name, owner) in &self.wanted.audiences {
            let present = self.state.audiences.get(name);
            if present.is_none() {
                self.plan.changes.push(Change::NewAudience { name: name.clone() });
            }
            let from = present.cloned().flatten();
            if owner.is_some() && *owner != from {
                self.plan.changes.push(Change::Owner { audience: name.clone(), from, to: owner.clone() });
            }
        }
        // An entry says all that its client serves.
        for (name, from) in &self.state.audiences {
            let said = |id: &String| self.wanted.clients.contains_key(id) && id != ACCOUNT_CLIENT;
            let wanted = self.wanted.audiences.get(name).cloned().flatten();
            if from.as_ref().is_some_and(said) && wanted.is_none() {
                let change = Change::Owner { audience: name.clone(), from: from.clone(), to: None };
                self.plan.changes.push(change);
            }
        }
    }

    fn users(&mut self) {
        for taken in &self.state.taken {
            self.problem(Kind::User, &taken.user, taken.field, &taken.what);
        }
        for (name, roles) in &self.wanted.users {
            let Some(present) = self.state.users.get(name) else {
                let has_password = self.file.entry(Kind::User, name).is_some_and(|entry| entry.password.is_some());
                if !has_password {
                    let note = format!("user {name} has no password yet: `chancery user set-password {name}` sets one");
                    self.plan.notes.push(note);
                }
                let change = Change::NewUser { name: name.clone(), roles: roles.clone(), has_password };
                self.plan.changes.push(change);
                continue;
            };
            let missing = roles.iter().filter(|role| !present.contains(role)).collect::<BTreeSet<_>>();
            let added = missing.into_iter().map(|role| Change::UserRole { user: name.clone(), role: role.clone() });
            self.plan.changes.extend(added);
        }
    }

    fn noted(&self, kind: DeclaredKind, name: &str) -> Option<&Declared> {
        self.state.remembered.declared.iter().find(|noted| noted.kind == kind && noted.name == name)
    }

    /// What the file names, where that is not noted yet.
    fn remember(&mut self) {
        let clients =
            self.wanted.clients.keys().filter(|id| *id != ACCOUNT_CLIENT).map(|id| (DeclaredKind::Client, id));
        let roles = self.wanted.roles.keys().map(|name| (DeclaredKind::Role, name));
        let settings = self.wanted.settings.keys().map(|name| (DeclaredKind::Setting, name));
        let mut declared = Vec::new();
        for (kind, name) in clients.chain(roles).chain(settings) {
            if self.noted(kind, name).is_none_or(|noted| noted.pruned) {
                declared.push(Declared { kind, name: name.clone(), pruned: false });
            }
        }
        self.plan.remember.declared.extend(declared);
        for (id, wanted) in &self.wanted.clients {
            let (Some(secret), Ok(client)) = (wanted.secret, id.parse()) else { continue };
            let had = self.state.remembered.secrets.get(id).map(Vec::as_slice).unwrap_or_default();
            if !had.iter().any(|hash| hash.matches(&secret)) {
                self.plan.remember.secrets.push((client, secret));
            }
        }
    }
}

/// Whether a client is pruned.
fn goes(pruned: &[Change], id: &str) -> bool {
    pruned.iter().any(|change| matches!(change, Change::PruneClient { id: gone, .. } if gone == id))
}

/// The kind and name of an entry, its key, and what is wrong.
type Refusal = (Kind, String, &'static str, String);

fn unchangeable<'a>(
    id: &'a str,
    wanted: &'a WantedClient,
    present: &'a PresentClient,
) -> impl Iterator<Item = Refusal> + use<'a> {
    ["public", "first_party"].into_iter().filter_map(move |key| {
        let (from, to) = (present.fields.get(key)?, wanted.fields.get(key)?);
        let what = format!("it is {} for good; another client has to take its place", from.shown());
        (from != to).then(|| (Kind::Client, id.to_owned(), key, what))
    })
}

fn encoding_needed(id: &str, file: &str) -> String {
    format!(
        "client {id}: {file} holds a secret with % or +, which works only percent-encoded in HTTP Basic authentication \
         (RFC 6749 §2.3.1); choose letters and digits, such as `openssl rand -hex 32`"
    )
}

fn new_client(id: &str, wanted: &WantedClient) -> Change {
    let secret_file = wanted.secret.map(|_| wanted.secret_file.clone());
    let disabled = wanted.disabled.unwrap_or_default();
    Change::NewClient { id: id.to_owned(), fields: wanted.fields.clone(), disabled, secret_file }
}

/// The fields that are wanted and differ, in the order of the documentation.
fn differences(kind: Kind, present: &Fields, wanted: &Fields) -> Vec<FieldChange> {
    let differing = |key: &super::keys::Key| {
        let (from, to): (&Value, &Value) = (present.get(key.name)?, wanted.get(key.name)?);
        (from != to).then(|| FieldChange { name: key.name, from: from.clone(), to: to.clone() })
    };
    kind.keys().iter().filter_map(differing).collect()
}

/// What a client's secret is, as a file has it.
enum SecretState {
    Current,
    /// It was replaced, by another file or by hand.
    Old,
    New,
}

fn secret_state(secret: &ClientSecretHash, present: &PresentClient, had: &[ClientSecretHash]) -> SecretState {
    if present.secret.is_some_and(|hash| hash.matches(secret)) {
        return SecretState::Current;
    }
    let before = present.previous_secret.iter().chain(had);
    if before.into_iter().any(|hash| hash.matches(secret)) { SecretState::Old } else { SecretState::New }
}
