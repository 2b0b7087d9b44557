//! What a file wants, checked by the services' own rules and brought into the form that the database keeps: what is
//! written in another way but means the same is no difference. Nothing is asked of the database.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    file::{Declaration, Entry},
    keys::{Kind, OF_ACCOUNT_CLIENT, SECRET_FILE},
    named::needs_encoding,
    problems::Problems,
    render::{check_audience, client_fields, client_request, role_request, user_request, written},
    value::{Fields, Value},
};
use crate::{
    domain::login::{Login, LoginKind},
    error::Error,
    secret::ClientSecretHash,
    service::{ACCOUNT_CLIENT, Setting, check_new_client, check_new_role, check_new_user, permission_names},
    time::Ttl,
};

/// What a file wants.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Values of settings, as people read them.
    pub(super) settings: BTreeMap<String, String>,
    /// Audiences as they are written, with the client that serves each, if the file says so.
    pub(super) audiences: BTreeMap<String, Option<String>>,
    pub(super) roles: BTreeMap<String, Fields>,
    pub(super) clients: BTreeMap<String, WantedClient>,
    /// Users by what they sign in with, with their roles.
    pub(super) users: BTreeMap<String, Vec<String>>,
}

/// What a file wants of a client.
#[derive(Debug)]
pub(super) struct WantedClient {
    /// All its fields; of the issuer's own client, those that the file names.
    pub(super) fields: Fields,
    pub(super) disabled: Option<bool>,
    pub(super) secret: Option<ClientSecretHash>,
    pub(super) secret_file: String,
    /// Whether the secret is another text once it is encoded for HTTP Basic authentication.
    pub(super) needs_encoding: bool,
}

/// What declarations are checked against.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) issuer: &'a str,
    /// The longest lifetime of a client's token. A client that has a longer one already may keep it.
    pub(super) ceiling: &'a dyn Fn(&str) -> Ttl,
}

/// Checks a file.
///
/// # Errors
/// Every problem, each with its line.
pub(super) fn check(file: &Declaration, surroundings: Surroundings<'_>) -> Result<Wanted, Vec<String>> {
    let mut checked =
        Checked { file, surroundings, wanted: Wanted::default(), logins: Vec::new(), problems: Problems::default() };
    checked.settings();
    for entry in &file.entries {
        match entry.kind {
            Kind::Audience => checked.audience(entry),
            Kind::Role => checked.role(entry),
            Kind::Client => checked.client(entry),
            Kind::User => checked.user(entry),
        }
    }
    checked.owners();
    checked.sites();
    checked.logins();
    checked.subjects();
    checked.problems.into_result(checked.wanted)
}

struct Checked<'a> {
    file: &'a Declaration,
    surroundings: Surroundings<'a>,
    wanted: Wanted,
    /// What users sign in with.
    logins: Vec<(&'a Entry, Login)>,
    problems: Problems,
}

impl<'a> Checked<'a> {
    fn settings(&mut self) {
        for (name, given) in &self.file.settings {
            match Setting::read(name, &given.value) {
                Ok(setting) => {
                    self.wanted.settings.insert(name.clone(), setting.unit.text(setting.value));
                }
                Err(error) => {
                    let what = format!("settings: {name}: {}", first_description(&error));
                    self.problems.push(self.file.problem(given.line, what));
                }
            }
        }
    }

    fn audience(&mut self, entry: &Entry) {
        let (name, owner) = (written(&entry.name(), self.surroundings.issuer), entry.text("owner"));
        if let Err(why) = check_audience(&name) {
            self.problems.push(self.file.problem_of(entry, "name", why));
        }
        self.wanted.audiences.insert(name, Some(owner.to_owned()).filter(|owner| !owner.is_empty()));
    }

    fn role(&mut self, entry: &Entry) {
        let (name, mut fields) = (entry.name(), given(entry));
        match check_new_role(&role_request(&name, &fields), self.surroundings.issuer) {
            Ok(permissions) => {
                let names = permission_names(&permissions, self.surroundings.issuer);
                fields.entry("description").or_insert_with(|| Value::Text(String::new()));
                fields.entry("require_mfa").or_insert(Value::Switch(false));
                fields.insert("permissions", Value::List(names));
                self.wanted.roles.insert(name, fields);
            }
            Err(error) => self.violations(entry, &error),
        }
    }

    fn client(&mut self, entry: &Entry) {
        let (id, issuer) = (entry.name(), self.surroundings.issuer);
        let own = id == ACCOUNT_CLIENT;
        let mut fields = given(entry);
        let disabled = fields.remove("disabled").map(|value| value.switch());
        if own {
            self.refuse_of_account_client(entry);
            // As the server makes it; what is said of it is compared alone.
            fields.extend([
                ("first_party", Value::Switch(true)),
                ("public", Value::Switch(true)),
                ("site", Value::Text(format!("{issuer}/auth"))),
            ]);
        }
        let request = client_request(&id, &fields, issuer);
        let public = request.public;
        if public && entry.file.is_some() && !own {
            self.problems.push(self.file.problem_of(entry, SECRET_FILE, "a public client has no secret"));
        }
        let mut config = match check_new_client(&request, issuer, (self.surroundings.ceiling)(&id)) {
            Ok(config) => client_fields(&config, public, request.roles, issuer),
            Err(error) => return self.violations(entry, &error),
        };
        if own {
            config.retain(|name, _| entry.fields.contains_key(name));
        }
        let secret = entry.secret.as_ref().map(crate::secret::ClientSecret::hash);
        let secret_file = entry.file.as_ref().map(|file| file.value.clone()).unwrap_or_default();
        let needs_encoding = entry.secret.as_ref().is_some_and(|secret| needs_encoding(secret.expose()));
        let wanted = WantedClient { fields: config, disabled, secret, secret_file, needs_encoding };
        self.wanted.clients.insert(id, wanted);
    }

    /// The rest of the issuer's own client is the server's.
    fn refuse_of_account_client(&mut self, entry: &Entry) {
        let names = entry.fields.keys().copied().chain(entry.file.as_ref().map(|_| SECRET_FILE));
        for name in names.filter(|name| !OF_ACCOUNT_CLIENT.contains(name)).collect::<BTreeSet<_>>() {
            let what = "is the server's own, and cannot be declared";
            self.problems.push(self.file.problem_of(entry, name, what));
        }
    }

    fn user(&mut self, entry: &'a Entry) {
        match check_new_user(&user_request(entry)) {
            Ok((logins, _)) => {
                self.logins.extend(logins.into_iter().map(|login| (entry, login)));
                self.wanted.users.insert(entry.name(), entry.list("roles"));
            }
            Err(error) => self.violations(entry, &error),
        }
    }

    /// Each audience has one owner, whichever way it is said.
    fn owners(&mut self) {
        for entry in self.file.of(Kind::Client) {
            for audience in entry.list("serves") {
                let (id, audience) = (entry.name(), written(&audience, self.surroundings.issuer));
                let known = self.wanted.audiences.entry(audience.clone()).or_default();
                match known {
                    Some(other) if *other != id => {
                        let what = format!("{audience} is served by {other} already");
                        self.problems.push(self.file.problem_of(entry, "serves", what));
                    }
                    _ => *known = Some(id),
                }
            }
        }
    }

    /// Each host has one site.
    fn sites(&mut self) {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for entry in self.file.of(Kind::Client) {
            let Some(wanted) = self.wanted.clients.get(&entry.name()) else { continue };
            let Some(key) = site_key(&wanted.fields) else { continue };
            if let Some(other) = seen.insert(key.clone(), entry.name()) {
                let what = format!("{other} has a site at {key} already");
                self.problems.push(self.file.problem_of(entry, "site", what));
            }
        }
    }

    /// Each login is one user's, as the database compares them.
    fn logins(&mut self) {
        let mut seen: BTreeMap<&str, &Entry> = BTreeMap::new();
        for (entry, login) in &self.logins {
            let key = if login.kind() == LoginKind::Name { "name" } else { "emails" };
            let first = *seen.entry(login.unique_key()).or_insert(entry);
            if !std::ptr::eq(first, *entry) {
                let (shown, name, line) = (login.display(), first.name(), first.line_of(key));
                let what = format!("{shown} is a login of user {name} already, in line {line}");
                self.problems.push(self.file.problem_of(entry, key, what));
            }
        }
    }

    /// A subject is one user's, and no client's id.
    fn subjects(&mut self) {
        let clients = self.file.of(Kind::Client).map(|entry| (entry.name(), (entry, "client_id")));
        let mut seen: BTreeMap<String, (&Entry, &str)> = clients.collect();
        for entry in self.file.of(Kind::User).filter(|entry| !entry.text("subject").is_empty()) {
            if let Some((first, key)) = seen.insert(entry.text("subject").to_owned(), (entry, "subject")) {
                let (kind, name, line) = (first.kind.as_str(), first.name(), first.line_of(key));
                let what = format!("it is that of {kind} {name} already, in line {line}");
                self.problems.push(self.file.problem_of(entry, "subject", what));
            }
        }
    }

    fn violations(&mut self, entry: &Entry, error: &Error) {
        match error {
            Error::Invalid(all) => {
                let said = |v: &crate::error::Violation| self.file.problem_of(entry, &v.field, &v.description);
                let said: Vec<_> = all.iter().map(said).collect();
                self.problems.extend(said);
            }
            other => self.problems.push(self.file.problem_of(entry, entry.kind.identity(), other)),
        }
    }
}

/// What no two clients share, of a client with these fields.
pub(super) fn site_key(fields: &Fields) -> Option<String> {
    let site: crate::domain::site::Site = fields.get("site")?.text().parse().ok()?;
    Some(site.key())
}

/// What an entry says, but for its name.
fn given(entry: &Entry) -> Fields {
    let others = entry.fields.iter().filter(|(name, _)| **name != entry.kind.identity());
    others.map(|(name, given)| (*name, given.value.clone())).collect()
}

fn first_description(error: &Error) -> String {
    match error {
        Error::Invalid(all) => all.first().map(|v| v.description.clone()).unwrap_or_default(),
        other => other.to_string(),
    }
}
