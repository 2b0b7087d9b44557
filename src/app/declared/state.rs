//! What the database has, in the form of entries.

use std::collections::BTreeMap;

use super::{
    file::{Declaration, Entry},
    keys::Kind,
    render::{client_fields, role_fields, user_request, written},
    value::Fields,
};
use crate::{
    domain::client::Client,
    error::{Error, Result},
    secret::ClientSecretHash,
    service::{Admin, Remembered, Service},
    store::TakenName,
};

/// What the database has.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) issuer: String,
    /// Values of settings as people read them, with their defaults.
    pub(super) settings: BTreeMap<String, (String, String)>,
    /// Audiences as they are written, with their owners.
    pub(super) audiences: BTreeMap<String, Option<String>>,
    pub(super) roles: BTreeMap<String, PresentRole>,
    pub(super) clients: BTreeMap<String, PresentClient>,
    /// The roles of those users that the file names.
    pub(super) users: BTreeMap<String, Vec<String>>,
    pub(super) taken: Vec<Taken>,
    pub(super) remembered: Remembered,
}

#[derive(Debug)]
pub(super) struct PresentRole {
    pub(super) fields: Fields,
    pub(super) built_in: bool,
}

#[derive(Clone, Debug)]
pub(super) struct PresentClient {
    pub(super) fields: Fields,
    pub(super) disabled: bool,
    pub(super) secret: Option<ClientSecretHash>,
    pub(super) previous_secret: Option<ClientSecretHash>,
}

/// What the file gives to a new user, and another user has.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) user: String,
    pub(super) field: &'static str,
    pub(super) what: String,
}

impl State {
    /// Reads everything that files declare, and the users that this one names.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub(super) async fn read(service: &Service, file: Option<&Declaration>) -> Result<Self> {
        let admin = Admin::command();
        let mut remembered = service.declarations.read(&admin).await?;
        let issuer = service.issuer().to_owned();
        let settings = service.instance.list(&admin).into_iter().map(|setting| {
            let text = |value| setting.unit.text(value);
            (setting.name.to_owned(), (text(setting.value), text(setting.default)))
        });
        let roles = service.roles.list(&admin).into_iter().map(|role| {
            let present = PresentRole { fields: role_fields(&role, &issuer), built_in: role.built_in.is_some() };
            (role.name.to_string(), present)
        });
        let clients = service.clients.list(&admin).into_iter().map(|client| {
            let roles = service.roles.names(&client.config.roles);
            (client.id.to_string(), present(&client, roles, &issuer))
        });
        let audiences = std::mem::take(&mut remembered.audiences).into_iter();
        let mut state = Self {
            settings: settings.collect(),
            audiences: audiences.map(|(name, owner)| (written(&name, &issuer), owner)).collect(),
            roles: roles.collect(),
            clients: clients.collect(),
            users: BTreeMap::new(),
            taken: Vec::new(),
            remembered,
            issuer,
        };
        for entry in file.into_iter().flat_map(|file| file.of(Kind::User)) {
            match service.users.of_login(&admin, &entry.name()).await {
                Ok(view) => {
                    state.users.insert(entry.name(), service.roles.names(&view.roles));
                }
                Err(Error::NotFound(..)) => state.taken.extend(taken(service, &admin, entry).await?),
                Err(error) => return Err(error),
            }
        }
        Ok(state)
    }
}

/// What a user who is not there yet would have in common with one who is.
async fn taken(service: &Service, admin: &Admin, entry: &Entry) -> Result<Vec<Taken>> {
    let taken = service.users.taken(admin, &user_request(entry)).await?.into_iter().map(|taken| {
        let (field, what) = match taken {
            TakenName::Subject(subject) => ("subject", format!("{subject} is, or was, another user's or a client's")),
            TakenName::Login { field: "name", text } => ("name", format!("{text} looks like another user's")),
            TakenName::Login { text, .. } => ("emails", format!("{text} is another user's")),
        };
        Taken { user: entry.name(), field, what }
    });
    Ok(taken.collect())
}

fn present(client: &Client, roles: Vec<String>, issuer: &str) -> PresentClient {
    PresentClient {
        fields: client_fields(&client.config, client.secret.is_none(), roles, issuer),
        disabled: client.disabled_at.is_some(),
        secret: client.secret,
        previous_secret: client.previous_secret.map(|(hash, _)| hash),
    }
}
