//! Writes what the database has as a file that declares it.

use std::fmt::Write;

use toml::Value as Toml;

use super::{
    keys::{Kind, OF_ACCOUNT_CLIENT},
    render::{audiences_of, client_fields, client_request},
    state::{PresentClient, State},
    value::{Fields, Value},
};
use crate::{
    domain::client::ClientConfig,
    service::{ACCOUNT_CLIENT, ACCOUNT_NAME, check_new_client},
    time::Ttl,
};

const HEAD: &str = "\
# What this deployment has, as `chancery apply` takes it: applied where it comes from, it changes nothing. \"$issuer\" is the
# issuer, whichever that is. Secrets are not in it; nor are users, who are data and not settings.
";

/// The file. The same database always gives the same text.
pub(super) fn export(state: &State) -> String {
    let mut out = HEAD.to_owned();
    settings(&mut out, state);
    for (name, owner) in &state.audiences {
        if is_said_alone(state, name, owner.as_deref()) {
            table(&mut out, Kind::Audience, name, &Fields::new(), &[]);
        }
    }
    for (name, role) in &state.roles {
        let said = if role.built_in { role.fields.get("require_mfa").is_some_and(Value::switch) } else { true };
        if said {
            table(&mut out, Kind::Role, name, &without_empty(&role.fields), &[]);
        }
    }
    for (id, client) in &state.clients {
        if id != ACCOUNT_CLIENT {
            let lacks = client.secret.is_some().then_some("secret_file = \"FILE\"");
            table(&mut out, Kind::Client, id, &told(id, client, state), lacks.as_slice());
        }
    }
    if let Some(client) = state.clients.get(ACCOUNT_CLIENT) {
        let fields = of_account_client(client);
        if !fields.is_empty() {
            table(&mut out, Kind::Client, ACCOUNT_CLIENT, &fields, &[]);
        }
    }
    out
}

/// Those with another value than their default; the others as remarks.
fn settings(out: &mut String, state: &State) {
    out.push_str("\n[settings]\n");
    for (name, (value, default)) in &state.settings {
        let remark = if value == default { "# " } else { "" };
        let value = value.parse().map_or_else(|_| Toml::String(value.clone()), Toml::Integer);
        push(out, format_args!("{remark}{name} = {value}\n"));
    }
}

/// Whether no entry but its own says that an audience is there.
fn is_said_alone(state: &State, name: &str, owner: Option<&str>) -> bool {
    let has = |fields: &Fields| {
        let list = |key| fields.get(key).map(Value::list).unwrap_or_default();
        list("audiences").iter().any(|audience| audience == name)
            || audiences_of(list("permissions")).any(|a| a == name)
    };
    let of_clients = state.clients.values().any(|client| has(&client.fields));
    let of_roles = state.roles.values().any(|role| has(&role.fields));
    let is_served = owner.is_some_and(|owner| state.clients.contains_key(owner) && owner != ACCOUNT_CLIENT);
    !of_clients && !of_roles && !is_served
}

/// The fields of a client that are not what a new one of its kind has.
fn told(id: &str, client: &PresentClient, state: &State) -> Fields {
    let kind = |name: &&str| matches!(*name, "public" | "first_party");
    let least: Fields = client.fields.iter().filter(|(name, _)| kind(name)).map(|(n, v)| (*n, v.clone())).collect();
    // A public client that is no first party has no usual grants.
    let mut request = client_request(id, &least, &state.issuer);
    if request.public && !request.first_party {
        request.grants = vec!["guest".to_owned()];
    }
    let usual = check_new_client(&request, &state.issuer, Ttl::MAX);
    let mut usual =
        usual.map(|config| client_fields(&config, request.public, Vec::new(), &state.issuer)).unwrap_or_default();
    if !request.grants.is_empty() {
        usual.remove("grants");
    }
    let mut told = client.fields.clone();
    told.retain(|name, value| usual.get(name) != Some(value) || (kind(name) && value.switch()));
    let serves = state.audiences.iter().filter(|(_, owner)| owner.as_deref() == Some(id));
    let serves: Vec<String> = serves.map(|(name, _)| name.clone()).collect();
    if !serves.is_empty() {
        told.insert("serves", Value::List(serves));
    }
    if client.disabled {
        told.insert("disabled", Value::Switch(true));
    }
    told
}

/// The fields of the issuer's own client that are not as the server makes it.
fn of_account_client(client: &PresentClient) -> Fields {
    let made = |name: &str, value: &Value| match name {
        "display_name" => value.text() == ACCOUNT_NAME,
        "session_idle" => value.seconds() == Some(ClientConfig::SESSION_IDLE.seconds()),
        "session_absolute" => value.seconds() == Some(ClientConfig::SESSION_ABSOLUTE.seconds()),
        _ => value.is_empty(),
    };
    let mut fields = client.fields.clone();
    fields.retain(|name, value| OF_ACCOUNT_CLIENT.contains(name) && !made(name, value));
    fields
}

fn without_empty(fields: &Fields) -> Fields {
    fields.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, value.clone())).collect()
}

fn table(out: &mut String, kind: Kind, name: &str, fields: &Fields, remarks: &[&str]) {
    push(out, format_args!("\n[[{}]]\n{} = {}\n", kind.as_str(), kind.identity(), Toml::String(name.to_owned())));
    for key in kind.keys() {
        if let Some(value) = fields.get(key.name) {
            push(out, format_args!("{} = {}\n", key.name, toml(value)));
        }
    }
    for remark in remarks {
        push(out, format_args!("# {remark}\n"));
    }
}

fn toml(value: &Value) -> Toml {
    match value {
        Value::Switch(on) => Toml::Boolean(*on),
        Value::Text(text) => Toml::String(text.clone()),
        Value::Length(seconds) => Toml::String(Ttl::from_secs(*seconds).in_units()),
        Value::List(all) => Toml::Array(all.iter().cloned().map(Toml::String).collect()),
        Value::Table(all) => {
            Toml::Table(all.iter().map(|(name, text)| (name.clone(), Toml::String(text.clone()))).collect())
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let _ = out.write_fmt(text);
}
