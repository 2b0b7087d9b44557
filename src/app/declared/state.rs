//! What the database has, in the form of entries.

use std::collections::BTreeMap;

use super::{
    file::Declaration,
    keys::Kind,
    render::{client_fields, role_fields, written},
    value::Fields,
};
use crate::{
    domain::client::Client,
    error::{Error, Result},
    secret::ClientSecretHash,
    service::{Admin, Remembered, Service},
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

impl State {
    /// Reads everything that files declare, and the users that this one names.
    ///
    /// # Errors
    /// If the database is unreachable, or a name of a user is that of two.
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
            remembered,
            issuer,
        };
        for entry in file.into_iter().flat_map(|file| file.of(Kind::User)) {
            match service.users.get(&admin, &entry.name()).await {
                Ok(view) => {
                    state.users.insert(entry.name(), service.roles.names(&view.roles));
                }
                Err(Error::NotFound(..)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(state)
    }
}

fn present(client: &Client, roles: Vec<String>, issuer: &str) -> PresentClient {
    PresentClient {
        fields: client_fields(&client.config, client.secret.is_none(), roles, issuer),
        disabled: client.disabled_at.is_some(),
        secret: client.secret,
        previous_secret: client.previous_secret.map(|(hash, _)| hash),
    }
}
