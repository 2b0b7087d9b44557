//! `ClientService`.

use std::collections::BTreeMap;

use prost_types::Duration;
use tonic::{Request, Response, Status};

use super::{
    admin::{Mask, Page, creation, etag, parse_bool, parse_terms, revision, unsupported_term},
    call::Call,
    convert::time,
    enums,
    proto::pb::{self, client_service_server::ClientService},
};
use crate::{
    domain::{
        client::{ClaimSource, Client},
        filter::Comparison,
        scope::{Audience, Scope},
        site::{Site, WebOrigin},
    },
    error::{Error, Result as ServiceResult, Violations},
    service::{Admin, ClientPatch, NewClientRequest},
    time::Ttl,
};

/// Implements `ClientService` for one call.
#[derive(Debug)]
pub(super) struct Clients(pub(super) Call);

/// How long a replaced secret stays valid by default.
const DEFAULT_OVERLAP: Ttl = Ttl::from_days(1);
/// The fields that an update may change.
const UPDATABLE_FIELDS: [&str; 22] = [
    "grants",
    "audiences",
    "scopes",
    "permissions",
    "algorithm",
    "token_lifetime",
    "session_idle",
    "session_absolute",
    "claims",
    "registration",
    "require_email",
    "require_mfa",
    "link_template",
    "trusted_end_user",
    "display_name",
    "site",
    "site_home",
    "logo_uri",
    "accent_color",
    "cors_origins",
    "browser_tokens",
    "guest_data",
];

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ClientService for Clients {
    async fn create_client(&self, request: Request<pb::CreateClientRequest>) -> Answer<pb::CreateClientResponse> {
        let admin = self.0.admin()?;
        let done = async { self.0.service.clients.create(admin, new_client(request.into_inner())?).await };
        let (client, secret) = done.await.map_err(|e| self.0.status(&e))?;
        let client_secret = secret.map(|s| s.expose().to_owned()).unwrap_or_default();
        Ok(Response::new(pb::CreateClientResponse { client: Some(self.client(&client)), client_secret }))
    }

    async fn get_client(&self, request: Request<pb::GetClientRequest>) -> Answer<pb::GetClientResponse> {
        let admin = self.0.admin()?;
        let client = self.0.service.clients.get(admin, &request.get_ref().client_id).map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::GetClientResponse { client: Some(self.client(&client)) }))
    }

    async fn list_clients(&self, request: Request<pb::ListClientsRequest>) -> Answer<pb::ListClientsResponse> {
        let admin = self.0.admin()?;
        let (clients, next_page_token) = self.page(admin, request.get_ref()).map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::ListClientsResponse { clients, next_page_token }))
    }

    async fn update_client(&self, request: Request<pb::UpdateClientRequest>) -> Answer<pb::UpdateClientResponse> {
        let admin = self.0.admin()?;
        let done = async {
            let pb::UpdateClientRequest { client, update_mask } = request.into_inner();
            let client = client.ok_or_else(|| Error::invalid("client", "must be given"))?;
            let mask = Mask::new(update_mask, &UPDATABLE_FIELDS)?;
            let (id, revision) = (client.client_id.clone(), revision(&client.etag)?);
            self.0.service.clients.update(admin, &id, &patch(client, &mask)?, revision).await
        };
        let client = done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::UpdateClientResponse { client: Some(self.client(&client)) }))
    }

    async fn delete_client(&self, request: Request<pb::DeleteClientRequest>) -> Answer<pb::DeleteClientResponse> {
        let admin = self.0.admin()?;
        self.0.service.clients.delete(admin, &request.get_ref().client_id).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::DeleteClientResponse {}))
    }

    async fn disable_client(&self, request: Request<pb::DisableClientRequest>) -> Answer<pb::DisableClientResponse> {
        let admin = self.0.admin()?;
        let done = self.0.service.clients.set_disabled(admin, &request.get_ref().client_id, true).await;
        done.map(|_| Response::new(pb::DisableClientResponse {})).map_err(|e| self.0.status(&e))
    }

    async fn enable_client(&self, request: Request<pb::EnableClientRequest>) -> Answer<pb::EnableClientResponse> {
        let admin = self.0.admin()?;
        let done = self.0.service.clients.set_disabled(admin, &request.get_ref().client_id, false).await;
        done.map(|_| Response::new(pb::EnableClientResponse {})).map_err(|e| self.0.status(&e))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<pb::RotateClientSecretRequest>,
    ) -> Answer<pb::RotateClientSecretResponse> {
        let admin = self.0.admin()?;
        let message = request.get_ref();
        let overlap = whole_seconds("overlap", message.overlap).map_err(|e| self.0.status(&e))?;
        let overlap = overlap.map_or(DEFAULT_OVERLAP, Ttl::from_secs);
        let done = self.0.service.clients.rotate_secret(admin, &message.client_id, overlap).await;
        let (secret, until) = done.map_err(|e| self.0.status(&e))?;
        let (client_secret, until) = (secret.expose().to_owned(), Some(time(until)));
        Ok(Response::new(pb::RotateClientSecretResponse { client_secret, previous_secret_expire_time: until }))
    }

    async fn assign_client_role(
        &self,
        request: Request<pb::AssignClientRoleRequest>,
    ) -> Answer<pb::AssignClientRoleResponse> {
        let admin = self.0.admin()?;
        let pb::AssignClientRoleRequest { client_id, role_id } = request.get_ref();
        self.0.service.clients.set_role(admin, client_id, role_id, true).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::AssignClientRoleResponse {}))
    }

    async fn unassign_client_role(
        &self,
        request: Request<pb::UnassignClientRoleRequest>,
    ) -> Answer<pb::UnassignClientRoleResponse> {
        let admin = self.0.admin()?;
        let pb::UnassignClientRoleRequest { client_id, role_id } = request.get_ref();
        self.0.service.clients.set_role(admin, client_id, role_id, false).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::UnassignClientRoleResponse {}))
    }
}

impl Clients {
    fn page(&self, admin: &Admin, message: &pb::ListClientsRequest) -> ServiceResult<(Vec<pb::Client>, String)> {
        let page = Page::new("Clients", &message.filter, (message.page_size, &message.page_token))?;
        let mut clients = self.0.service.clients.list(admin);
        for term in parse_terms(&message.filter)? {
            match (term.field.as_str(), term.comparison) {
                ("disabled", _) => {
                    let want = parse_bool(&term)?;
                    clients.retain(|c| c.disabled_at.is_some() == want);
                }
                ("public", _) => {
                    let want = parse_bool(&term)?;
                    clients.retain(|c| c.secret.is_none() == want);
                }
                ("audience", Comparison::Equal) => clients.retain(|c| c.audience(&term.value).is_some()),
                _ => return Err(unsupported_term(&term)),
            }
        }
        let (clients, next) = page.cut_sorted(clients.into_iter().map(|c| (c.id.as_str().to_owned(), c)));
        Ok((clients.iter().map(|c| self.client(c)).collect(), next))
    }

    fn client(&self, client: &Client) -> pb::Client {
        let config = &client.config;
        let texts = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let claim = |source: &ClaimSource| match source {
            ClaimSource::Attribute(path) => path.clone(),
            ClaimSource::Literal(text) => format!("\"{text}\""),
        };
        let previous = client.previous_secret.map(|(_, until)| until).filter(|until| *until > self.0.service.now());
        pb::Client {
            client_id: client.id.as_str().to_owned(),
            public: client.secret.is_none(),
            first_party: config.first_party,
            grants: config.grants.iter().map(|g| enums::grant(*g).into()).collect(),
            audiences: texts(config.audiences.iter().map(Audience::as_str).collect()),
            serves: self.0.service.clients.served_by(client.id.as_str()),
            scopes: texts(config.scopes.iter().map(Scope::as_str).collect()),
            permissions: self.0.service.roles.permission_names(&config.permissions),
            roles: self.0.service.roles.names(&config.roles),
            algorithm: enums::algorithm(config.algorithm).into(),
            token_lifetime: Some(duration(config.token_lifetime)),
            session_idle: Some(duration(config.session_idle)),
            session_absolute: Some(duration(config.session_absolute)),
            registration: config.registration,
            require_email: config.require_email,
            require_mfa: config.require_mfa,
            link_template: config.link_template.clone().unwrap_or_default(),
            trusted_end_user: config.trusted_end_user,
            claims: config.claim_map.iter().map(|(name, source)| (name.clone(), claim(source))).collect(),
            disable_time: client.disabled_at.map(time),
            create_time: Some(time(client.created_at)),
            previous_secret_expire_time: previous.map(time),
            etag: etag(client.revision),
            display_name: client.display_name().to_owned(),
            site: config.site.as_ref().map(Site::to_string).unwrap_or_default(),
            site_home: config.site.as_ref().map(|site| site.home().to_owned()).unwrap_or_default(),
            logo_uri: config.logo_uri.as_ref().map(|uri| uri.as_str().to_owned()).unwrap_or_default(),
            accent_color: config.accent_color.map(|color| color.to_string()).unwrap_or_default(),
            cors_origins: texts(config.cors_origins.iter().map(WebOrigin::as_str).collect()),
            browser_tokens: config.browser_tokens,
            guest_data: enums::guest_data(&config.guest_data),
        }
    }
}

/// A length of time as the wire type.
fn duration(ttl: Ttl) -> Duration {
    Duration { seconds: ttl.seconds(), nanos: 0 }
}

/// The seconds of a duration; a fraction of one is refused rather than dropped.
fn whole_seconds(field: &'static str, duration: Option<Duration>) -> ServiceResult<Option<i64>> {
    match duration {
        Some(d) if d.nanos != 0 => Err(Error::invalid(field, "must be whole seconds")),
        other => Ok(other.map(|d| d.seconds)),
    }
}

/// The lifetimes in a message, in seconds.
struct Lifetimes {
    token: Option<i64>,
    idle: Option<i64>,
    absolute: Option<i64>,
}

impl Lifetimes {
    fn read(client: &pb::Client) -> ServiceResult<Self> {
        let mut wrong = Violations::default();
        let lifetimes = Self {
            token: wrong.absorb(whole_seconds("token_lifetime", client.token_lifetime))?,
            idle: wrong.absorb(whole_seconds("session_idle", client.session_idle))?,
            absolute: wrong.absorb(whole_seconds("session_absolute", client.session_absolute))?,
        };
        wrong.into_result(lifetimes)
    }
}

/// Claims in the form that the service reads, `NAME=SOURCE`. A name with `=` in it would be read as another.
fn claim_mappings(map: BTreeMap<String, String>) -> ServiceResult<Vec<String>> {
    let mut wrong = Violations::default();
    for name in map.keys() {
        wrong.require(!name.contains('='), "claims", "the name of a claim must not contain =");
    }
    wrong.into_result(())?;
    Ok(map.into_iter().map(|(name, source)| format!("{name}={source}")).collect())
}

fn new_client(mut message: pb::CreateClientRequest) -> ServiceResult<NewClientRequest> {
    let request_id = std::mem::take(&mut message.request_id);
    let creation = creation(&request_id, &message)?;
    let client = message.client.ok_or_else(|| Error::invalid("client", "must be given"))?;
    let (grants, algorithm) = parse_enums(&client)?;
    let lifetimes = Lifetimes::read(&client)?;
    Ok(NewClientRequest {
        id: client.client_id,
        public: client.public,
        first_party: client.first_party,
        grants,
        audiences: client.audiences,
        serves: client.serves,
        scopes: client.scopes,
        permissions: client.permissions,
        roles: client.roles,
        algorithm,
        token_lifetime: lifetimes.token,
        session_idle: lifetimes.idle,
        session_absolute: lifetimes.absolute,
        registration: client.registration,
        require_email: client.require_email,
        require_mfa: client.require_mfa,
        link_template: (!client.link_template.is_empty()).then_some(client.link_template),
        claims: claim_mappings(client.claims)?,
        trusted_end_user: client.trusted_end_user,
        display_name: client.display_name,
        site: client.site,
        site_home: client.site_home,
        logo_uri: client.logo_uri,
        accent_color: client.accent_color,
        cors_origins: client.cors_origins,
        browser_tokens: client.browser_tokens,
        guest_data: enums::parse_guest_data(&client.guest_data)?,
        disabled: false,
        secret: None,
        creation,
    })
}

/// The names of the grants and the algorithm, or all violations at once.
fn parse_enums(client: &pb::Client) -> ServiceResult<(Vec<String>, Option<String>)> {
    match (enums::parse_grants(&client.grants), enums::parse_algorithm(client.algorithm)) {
        (Ok(grants), Ok(algorithm)) => Ok((grants, algorithm.map(|a| a.to_string()))),
        (Err(Error::Invalid(mut wrong)), Err(Error::Invalid(more))) => {
            wrong.extend(more);
            Err(Error::Invalid(wrong))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn patch(c: pb::Client, mask: &Mask) -> ServiceResult<ClientPatch> {
    let (grants, algorithm) = parse_enums(&c)?;
    let texts = |field: &str, all: Vec<String>| {
        let none = all.is_empty();
        mask.take(field, all, none)
    };
    let Lifetimes { token, idle, absolute } = Lifetimes::read(&c)?;
    let lifetime = |field: &str, seconds: Option<i64>| mask.take(field, seconds.unwrap_or(0), seconds.is_none());
    let text = |field: &str, text: String| {
        let none = text.is_empty();
        mask.take(field, text, none)
    };
    let (no_grants, no_algorithm) = (grants.is_empty(), algorithm.is_none());
    Ok(ClientPatch {
        grants: mask.take("grants", grants, no_grants),
        audiences: texts("audiences", c.audiences),
        scopes: texts("scopes", c.scopes),
        permissions: texts("permissions", c.permissions),
        algorithm: mask.take("algorithm", algorithm.unwrap_or_default(), no_algorithm),
        token_lifetime: lifetime("token_lifetime", token),
        session_idle: lifetime("session_idle", idle),
        session_absolute: lifetime("session_absolute", absolute),
        claims: texts("claims", claim_mappings(c.claims)?),
        registration: mask.take("registration", c.registration, !c.registration),
        require_email: mask.take("require_email", c.require_email, !c.require_email),
        require_mfa: mask.take("require_mfa", c.require_mfa, !c.require_mfa),
        link_template: text("link_template", c.link_template),
        trusted_end_user: mask.take("trusted_end_user", c.trusted_end_user, !c.trusted_end_user),
        display_name: text("display_name", c.display_name),
        site: text("site", c.site),
        site_home: text("site_home", c.site_home),
        logo_uri: text("logo_uri", c.logo_uri),
        accent_color: text("accent_color", c.accent_color),
        cors_origins: texts("cors_origins", c.cors_origins),
        browser_tokens: mask.take("browser_tokens", c.browser_tokens, !c.browser_tokens),
        guest_data: texts("guest_data", enums::parse_guest_data(&c.guest_data)?),
    })
}
