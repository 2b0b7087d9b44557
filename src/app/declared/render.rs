//! From an entry to what the services are asked, and from what the database has to the form of an entry.

use super::{
    file::Entry,
    keys::ISSUER,
    value::{Fields, Value},
};
use crate::{
    domain::{
        branding::LogoUri,
        client::{ClaimSource, ClientConfig, Grant},
        role::Role,
        scope::{Audience, Scope},
        site::{Site, WebOrigin},
    },
    secret::{ClientSecret, Password},
    service::{NewClientRequest, NewRoleRequest, NewUserRequest, permission_names},
};

/// An audience as it is written.
pub(super) fn written(audience: &str, issuer: &str) -> String {
    if audience == issuer { ISSUER.to_owned() } else { audience.to_owned() }
}

/// An audience that is written like this.
pub(super) fn meant(written: &str, issuer: &str) -> String {
    if written == ISSUER { issuer.to_owned() } else { written.to_owned() }
}

/// The request that creates a client with these fields.
pub(super) fn client_request(id: &str, fields: &Fields, issuer: &str) -> NewClientRequest {
    let switch = |name| fields.get(name).is_some_and(Value::switch);
    let text = |name| fields.get(name).map(Value::text).unwrap_or_default().to_owned();
    let given = |name| Some(text(name)).filter(|text| !text.is_empty());
    let list = |name| fields.get(name).map(|value| value.list().to_vec()).unwrap_or_default();
    let pairs = |name| fields.get(name).map(Value::pairs).unwrap_or_default();
    let seconds = |name| fields.get(name).and_then(Value::seconds);
    let audiences = |name| list(name).iter().map(|audience| meant(audience, issuer)).collect();
    NewClientRequest {
        id: id.to_owned(),
        public: switch("public"),
        first_party: switch("first_party"),
        grants: list("grants"),
        audiences: audiences("audiences"),
        serves: audiences("serves"),
        scopes: list("scopes"),
        permissions: list("permissions"),
        roles: list("roles"),
        algorithm: given("algorithm"),
        token_lifetime: seconds("token_lifetime"),
        session_idle: seconds("session_idle"),
        session_absolute: seconds("session_absolute"),
        claims: pairs("claims"),
        registration: switch("registration"),
        require_email: switch("require_email"),
        require_mfa: switch("require_mfa"),
        link_template: given("link_template"),
        display_name: text("display_name"),
        trusted_end_user: switch("trusted_end_user"),
        site: text("site"),
        site_home: text("site_home"),
        logo_uri: text("logo_uri"),
        accent_color: text("accent_color"),
        cors_origins: list("cors_origins"),
        browser_tokens: switch("browser_tokens"),
        guest_data: pairs("guest_data"),
        disabled: false,
        secret: None,
        creation: None,
    }
}

/// The fields of a client, all of them. Lists whose order means nothing are sorted.
pub(super) fn client_fields(config: &ClientConfig, public: bool, roles: Vec<String>, issuer: &str) -> Fields {
    let text = |text: Option<String>| Value::Text(text.unwrap_or_default());
    let claim = |source: &ClaimSource| match source {
        ClaimSource::Attribute(path) => path.clone(),
        ClaimSource::Literal(text) => format!("\"{text}\""),
    };
    let site = config.site.as_ref();
    let home = site.map(Site::home).filter(|home| *home != "/").map(str::to_owned);
    let audiences = config.audiences.iter().map(|a| written(a.as_str(), issuer)).collect();
    let claims = config.claim_map.iter().map(|(name, source)| (name.clone(), claim(source)));
    let guest_data = config.guest_data.iter().map(|(name, policy)| (name.clone(), policy.as_str().to_owned()));
    Fields::from([
        ("public", Value::Switch(public)),
        ("first_party", Value::Switch(config.first_party)),
        ("display_name", text(config.display_name.as_ref().map(|name| name.as_str().to_owned()))),
        ("grants", sorted(config.grants.iter().map(|grant| Grant::as_str(*grant)))),
        ("audiences", Value::List(audiences)),
        ("scopes", sorted(config.scopes.iter().map(Scope::as_str))),
        ("permissions", Value::List(permission_names(&config.permissions, issuer))),
        ("roles", sorted(roles.iter().map(String::as_str))),
        ("algorithm", Value::Text(config.algorithm.to_string())),
        ("token_lifetime", Value::Length(config.token_lifetime.seconds())),
        ("session_idle", Value::Length(config.session_idle.seconds())),
        ("session_absolute", Value::Length(config.session_absolute.seconds())),
        ("registration", Value::Switch(config.registration)),
        ("require_email", Value::Switch(config.require_email)),
        ("require_mfa", Value::Switch(config.require_mfa)),
        ("link_template", text(config.link_template.clone())),
        ("trusted_end_user", Value::Switch(config.trusted_end_user)),
        ("site", text(site.map(Site::to_string))),
        ("site_home", text(home)),
        ("logo_uri", text(config.logo_uri.as_ref().map(|logo| LogoUri::as_str(logo).to_owned()))),
        ("accent_color", text(config.accent_color.map(|color| color.to_string()))),
        ("cors_origins", sorted(config.cors_origins.iter().map(WebOrigin::as_str))),
        ("browser_tokens", Value::Switch(config.browser_tokens)),
        ("claims", Value::Table(claims.collect())),
        ("guest_data", Value::Table(guest_data.collect())),
    ])
}

/// Each once, in the order of the alphabet.
pub(super) fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    let mut all: Vec<String> = texts.map(str::to_owned).collect();
    all.sort();
    all.dedup();
    Value::List(all)
}

/// The request that creates a role with these fields.
pub(super) fn role_request(name: &str, fields: &Fields) -> NewRoleRequest {
    NewRoleRequest {
        name: name.to_owned(),
        description: fields.get("description").map(Value::text).unwrap_or_default().to_owned(),
        permissions: fields.get("permissions").map(|value| value.list().to_vec()).unwrap_or_default(),
        require_mfa: fields.get("require_mfa").is_some_and(Value::switch),
        creation: None,
    }
}

/// The fields of a role. Of a built-in one, nothing but one can be changed.
pub(super) fn role_fields(role: &Role, issuer: &str) -> Fields {
    let mut fields = Fields::from([("require_mfa", Value::Switch(role.require_mfa))]);
    if role.built_in.is_none() {
        fields.insert("description", Value::Text(role.description.clone()));
        fields.insert("permissions", Value::List(permission_names(&role.permissions, issuer)));
    }
    fields
}

/// The request that creates a user.
pub(super) fn user_request(entry: &Entry) -> NewUserRequest {
    NewUserRequest {
        name: entry.text("name").to_owned(),
        emails: entry.list("emails"),
        subject: Some(entry.text("subject").to_owned()).filter(|text| !text.is_empty()),
        password: entry.password.as_ref().map(|password| Password::new(password.expose().to_owned())),
        language: entry.text("language").to_owned(),
        roles: entry.list("roles"),
        ..NewUserRequest::default()
    }
}

/// The same secret once more, for the one call that gives it away.
pub(super) fn same_secret(entry: &Entry) -> Option<ClientSecret> {
    entry.secret.as_ref().map(|secret| ClientSecret::new(secret.expose().to_owned()))
}

/// The audiences that permissions are for, which come into being with them.
pub(super) fn audiences_of(permissions: &[String]) -> impl Iterator<Item = &str> {
    permissions.iter().filter_map(|permission| permission.split_once('@')).map(|(_, audience)| audience)
}

/// Whether a text is an audience, and otherwise why not.
pub(super) fn check_audience(written: &str) -> Result<(), String> {
    written.parse::<Audience>().map(|_| ()).map_err(|problem| problem.to_string())
}
