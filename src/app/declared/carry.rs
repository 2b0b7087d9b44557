//! Carries changes out, through the services, so that rules, audit events and feed entries are those of the
//! administrators' API.

use super::{
    change::{Change, FieldChange},
    file::Declaration,
    keys::Kind,
    render::{client_request, meant, role_request, same_secret, user_request},
    value::{Fields, Value},
};
use crate::{
    error::{Error, Result},
    service::{Admin, ClientPatch, RolePatch, Service},
    time::Ttl,
};

/// How long the secret before a changed one counts.
const OVERLAP: Ttl = Ttl::from_days(1);

/// Makes one change, as somebody who notes with it what the file names. Repeated, it changes nothing more.
///
/// # Errors
/// As the service's.
pub(super) async fn carry_out(service: &Service, file: &Declaration, change: &Change, admin: &Admin) -> Result<()> {
    let issuer = service.issuer();
    match change {
        Change::Setting { name, to, .. } => service.instance.set(admin, name, to).await.map(|_| ()),
        Change::NewAudience { name } => service.clients.pass_audience(admin, &meant(name, issuer), None, None).await,
        Change::Owner { audience, from, to } => {
            let audience = meant(audience, issuer);
            service.clients.pass_audience(admin, &audience, from.as_deref(), to.as_deref()).await
        }
        Change::NewRole { name, fields } => service.roles.create(admin, role_request(name, fields)).await.map(|_| ()),
        Change::Role { name, changed } => {
            service.roles.update(admin, name, role_patch(changed), None).await.map(|_| ())
        }
        Change::PruneRole { name } => service.roles.delete(admin, name).await,
        Change::PruneClient { id, .. } => service.clients.prune(admin, id).await,
        Change::NewClient { id, fields, disabled, .. } => {
            new_client(service, file, (id, fields, *disabled), admin).await
        }
        Change::Client { id, changed, disabled, secret_file } => {
            // One that was pruned stays so until it is enabled again.
            let plain = Admin::command();
            let first = if *disabled == Some(false) { &plain } else { admin };
            change_client(service, id, changed, first).await?;
            if secret_file.is_some()
                && let Some(secret) = file.entry(Kind::Client, id).and_then(|entry| entry.secret.as_ref())
            {
                service.clients.take_secret(first, id, secret.hash(), OVERLAP).await?;
            }
            match disabled {
                Some(disabled) => service.clients.set_disabled(admin, id, *disabled).await.map(|_| ()),
                None => Ok(()),
            }
        }
        Change::NewUser { name, .. } => {
            let entry = file.entry(Kind::User, name).ok_or_else(|| Error::NotFound("user", name.clone()))?;
            service.users.create(admin, user_request(entry)).await.map(|_| ())
        }
        Change::UserRole { user, role } => {
            // By id: the name may be the subject of somebody else.
            let found = service.users.of_login(admin, user).await?;
            service.users.set_role(admin, found.user.id.as_str(), role, true).await.map(|_| ())
        }
    }
}

async fn new_client(
    service: &Service,
    file: &Declaration,
    (id, fields, disabled): (&str, &Fields, bool),
    admin: &Admin,
) -> Result<()> {
    let mut request = client_request(id, fields, service.issuer());
    request.disabled = disabled;
    request.secret = file.entry(Kind::Client, id).and_then(same_secret);
    // Whom it serves is said of the audience.
    request.serves.clear();
    service.clients.create(admin, request).await.map(|_| ())
}

async fn change_client(service: &Service, id: &str, changed: &[FieldChange], admin: &Admin) -> Result<()> {
    let patch = client_patch(changed, service.issuer());
    if !patch.is_empty() {
        service.clients.update(admin, id, &patch, None).await?;
    }
    let Some(roles) = changed.iter().find(|field| field.name == "roles") else { return Ok(()) };
    let (from, to) = (roles.from.list(), roles.to.list());
    for role in to.iter().filter(|role| !from.contains(role)) {
        service.clients.set_role(admin, id, role, true).await?;
    }
    for role in from.iter().filter(|role| !to.contains(role)) {
        service.clients.set_role(admin, id, role, false).await?;
    }
    Ok(())
}

fn role_patch(changed: &[FieldChange]) -> RolePatch {
    let to = |name| changed.iter().find(|field| field.name == name).map(|field| &field.to);
    RolePatch {
        description: to("description").map(|value| value.text().to_owned()),
        permissions: to("permissions").map(|value| value.list().to_vec()),
        require_mfa: to("require_mfa").map(Value::switch),
    }
}

fn client_patch(changed: &[FieldChange], issuer: &str) -> ClientPatch {
    let to = |name| changed.iter().find(|field| field.name == name).map(|field| &field.to);
    let text = |name| to(name).map(|value| value.text().to_owned());
    let list = |name| to(name).map(|value| value.list().to_vec());
    let switch = |name| to(name).map(Value::switch);
    let seconds = |name| to(name).and_then(Value::seconds);
    let audiences = list("audiences");
    ClientPatch {
        grants: list("grants"),
        audiences: audiences.map(|all| all.iter().map(|audience| meant(audience, issuer)).collect()),
        scopes: list("scopes"),
        permissions: list("permissions"),
        algorithm: text("algorithm"),
        token_lifetime: seconds("token_lifetime"),
        session_idle: seconds("session_idle"),
        session_absolute: seconds("session_absolute"),
        claims: to("claims").map(Value::pairs),
        registration: switch("registration"),
        require_email: switch("require_email"),
        require_mfa: switch("require_mfa"),
        link_template: text("link_template"),
        trusted_end_user: switch("trusted_end_user"),
        display_name: text("display_name"),
        site: text("site"),
        site_home: text("site_home"),
        logo_uri: text("logo_uri"),
        accent_color: text("accent_color"),
        cors_origins: list("cors_origins"),
        browser_tokens: switch("browser_tokens"),
        guest_data: to("guest_data").map(Value::pairs),
    }
}
