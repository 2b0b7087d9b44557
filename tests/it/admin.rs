//! Administration over gRPC, on both engines.

use crate::support::admit_client;
use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::pb::{
        self, audit_service_client::AuditServiceClient, client_service_client::ClientServiceClient,
        key_service_client::KeyServiceClient, role_service_client::RoleServiceClient,
        user_service_client::UserServiceClient,
    },
    service::{Admin, ClientCredentials, NewClientRequest},
    time::Ttl,
};
use prost_types::{FieldMask, Struct, Value, value::Kind};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    support::{App, ISSUER, PASSWORD, login_of, sign_in},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        users_are_created_once_and_listed_with_pages_and_filters,
        a_user_update_honours_the_mask_and_the_etag,
        s10_an_administrator_sees_and_ends_the_sessions_of_a_user,
        a_clients_secret_is_replaced_with_an_overlap,
        roles_are_managed_and_assigned_over_grpc,
        the_audit_log_records_who_did_what_from_where_and_streams_new_events,
        a_chosen_name_cannot_impersonate_another_user,
        attributes_are_objects_and_unsupported_values_are_refused_with_their_path,
        sessions_are_listed_by_page_newest_first,
        roles_are_assigned_to_and_removed_from_clients,
        only_callers_with_the_permissions_of_a_role_assign_it_to_a_client,
        unknown_grants_and_algorithms_are_refused,
        signing_keys_are_listed_by_page,
        texts_that_would_be_read_otherwise_are_refused,
    }
}

/// A client with the role `administrator`, connected to the server.
pub(crate) struct AdminClient {
    pub(crate) channel: Channel,
    authorization: String,
}

impl AdminClient {
    pub(crate) async fn of(app: &App) -> Self {
        let request = NewClientRequest {
            id: "boss".into(),
            audiences: vec![ISSUER.into()],
            roles: vec!["administrator".into()],
            ..NewClientRequest::default()
        };
        let ClientCredentials::Basic { client_id, secret } = app.confidential(request).await else { panic!() };
        let authorization = format!("Basic {}", STANDARD.encode(format!("{client_id}:{}", secret.expose())));
        Self { channel: served(app).await, authorization }
    }

    pub(crate) fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.parse().unwrap());
        request
    }

    pub(crate) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    async fn create(&self, name: &str, request_id: &str) -> Result<pb::User, Status> {
        let user = pb::User { name: name.into(), emails: vec![format!("{name}@example.com")], ..pb::User::default() };
        let message =
            pb::CreateUserRequest { user: Some(user), password: PASSWORD.into(), request_id: request_id.into() };
        self.users().create_user(self.ask(message)).await.map(|a| a.into_inner().user.unwrap())
    }

    async fn list(&self, filter: &str, page_size: i32, page_token: &str) -> Result<pb::ListUsersResponse, Status> {
        let (filter, page_token) = (filter.to_owned(), page_token.to_owned());
        let message = pb::ListUsersRequest { page_size, page_token, filter };
        self.users().list_users(self.ask(message)).await.map(tonic::Response::into_inner)
    }

    async fn update(&self, user: pb::User, paths: &[&str]) -> Result<pb::User, Status> {
        let update_mask = Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() });
        let message = pb::UpdateUserRequest { user: Some(user), update_mask };
        self.users().update_user(self.ask(message)).await.map(|a| a.into_inner().user.unwrap())
    }
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

/// A `Struct` with one member.
#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
fn object(name: &str, kind: Kind) -> Option<Struct> {
    Some(Struct { fields: [(name.to_owned(), Value { kind: Some(kind) })].into() })
}

pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    details.bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect()
}

fn names(users: &[pb::User]) -> Vec<&str> {
    users.iter().map(|u| u.name.as_str()).collect()
}

async fn users_are_created_once_and_listed_with_pages_and_filters(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let first = admin_client.create("grace", "r-1").await.unwrap();
    assert_eq!(
        (first.emails.as_slice(), first.subject.as_str()),
        (&["grace@example.com".to_owned()][..], first.user_id.as_str())
    );
    // Repeating the call creates nothing new; a different call with the same id is refused.
    assert_eq!(admin_client.create("grace", "r-1").await.unwrap().user_id, first.user_id);
    let other = admin_client.create("heidi", "r-1").await.unwrap_err();
    assert_eq!(other.get_error_details().bad_request().unwrap().field_violations[0].field, "request_id");
    assert_eq!(reason(&admin_client.create("grace", "").await.unwrap_err()), "ALREADY_EXISTS");
    // The error names the login in use, also for a user with only an address.
    let user = pb::User { emails: vec!["Grace@Example.com".into()], ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(user), password: PASSWORD.into(), request_id: String::new() };
    let taken = admin_client.users().create_user(admin_client.ask(message)).await.unwrap_err();
    let resource = taken.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("email", "Grace@Example.com"));
    admin_client.create("heidi", "").await.unwrap();
    let page = admin_client.list("", 2, "").await.unwrap();
    let rest = admin_client.list("", 2, &page.next_page_token).await.unwrap();
    assert_eq!((page.users.len(), rest.users.len(), rest.next_page_token.as_str()), (2, 1, ""));
    let mut all = [names(&page.users), names(&rest.users)].concat();
    all.sort_unstable();
    assert_eq!(all, ["ada", "grace", "heidi"]);
    assert_eq!(
        reason(&admin_client.list("disabled = true", 2, &page.next_page_token).await.unwrap_err()),
        "INVALID_ARGUMENT"
    );
    admin_client
        .users()
        .disable_user(admin_client.ask(pb::DisableUserRequest { user_id: "heidi".into() }))
        .await
        .unwrap();
    for (filter, want) in [
        ("disabled = true", vec!["heidi"]),
        ("login = \"GRACE@example.com\"", vec!["grace"]),
        ("login = ada AND disabled = true", vec![]),
        ("name = \"GR*\"", vec!["grace"]),
        ("name = \"h*\" AND disabled = false", vec![]),
        ("name = heidi AND disabled = true", vec!["heidi"]),
        ("name = \"a b*\"", vec![]),
        ("email = \"Grace@EXAMPLE.com\"", vec!["grace"]),
        ("email = \"grace@example.com\" AND name = \"h*\"", vec![]),
        ("email = \"nobody@example.com\"", vec![]),
        ("login = grace AND name = \"h*\"", vec![]),
        ("role = administrator", vec![]),
    ] {
        assert_eq!(names(&admin_client.list(filter, 0, "").await.unwrap().users), want, "{filter}");
    }
    for bad in ["name = x AND name = y", "name = \"a*b\"", "email < x", "disabled = 1", "role = nobody", "login ~ x"] {
        assert_eq!(reason(&admin_client.list(bad, 0, "").await.unwrap_err()), "INVALID_ARGUMENT", "{bad}");
    }
}

async fn a_user_update_honours_the_mask_and_the_etag(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let grace = admin_client.create("grace", "").await.unwrap();
    let change = pb::User {
        name: "gracie".into(),
        emails: vec![],
        attributes: object("a", Kind::NumberValue(1.0)),
        ..grace.clone()
    };
    let changed = admin_client.update(change.clone(), &["name", "attributes"]).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.emails.len(), changed.attributes.clone()),
        ("gracie", 1, object("a", Kind::NumberValue(1.0)))
    );
    let late = admin_client.update(change.clone(), &["name"]).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let without = pb::User { etag: String::new(), ..change.clone() };
    assert!(admin_client.update(without.clone(), &["emails"]).await.unwrap().emails.is_empty());
    let wrong = admin_client
        .update(
            pb::User { name: "a@b".into(), attributes: object("a", Kind::StringValue("\0".into())), ..without.clone() },
            &["name", "attributes"],
        )
        .await;
    let wrong = wrong.unwrap_err();
    let fields: Vec<_> =
        wrong.get_error_details().bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect();
    assert_eq!(fields, ["name", "attributes"]);
    assert_eq!(reason(&admin_client.update(without.clone(), &["subject"]).await.unwrap_err()), "INVALID_ARGUMENT");
    assert_eq!(
        reason(&admin_client.update(pb::User { name: "ada".into(), ..without }, &["name"]).await.unwrap_err()),
        "ALREADY_EXISTS"
    );
    let gone = pb::DeleteUserRequest { user_id: "gracie".into(), etag: changed.etag };
    assert_eq!(reason(&admin_client.users().delete_user(admin_client.ask(gone)).await.unwrap_err()), "ETAG_MISMATCH");
    let gone = pb::DeleteUserRequest { user_id: "gracie".into(), etag: String::new() };
    admin_client.users().delete_user(admin_client.ask(gone.clone())).await.unwrap();
    assert_eq!(reason(&admin_client.users().delete_user(admin_client.ask(gone)).await.unwrap_err()), "NOT_FOUND");
}

async fn s10_an_administrator_sees_and_ends_the_sessions_of_a_user(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let (one, two) = (app.sign_in().await, app.sign_in().await);
    let message = pb::ListUserSessionsRequest { user_id: "ada".into(), ..Default::default() };
    let sessions =
        admin_client.users().list_user_sessions(admin_client.ask(message)).await.unwrap().into_inner().sessions;
    let mut ids: Vec<_> = sessions.iter().map(|s| s.session_id.as_str()).collect();
    ids.sort_unstable();
    let mut want = vec![one.session_id.as_str(), &two.session_id];
    want.sort_unstable();
    assert_eq!((ids, sessions[0].device_label.as_str()), (want, "laptop"));
    let end = async |session_ids: Vec<String>| {
        let message = pb::RevokeUserSessionsRequest { user_id: "ada".into(), session_ids };
        admin_client.users().revoke_user_sessions(admin_client.ask(message)).await.unwrap().into_inner().sessions_ended
    };
    let stranger = "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned();
    assert_eq!(end(vec![one.session_id.clone(), stranger]).await, 1);
    assert_eq!(end(vec![one.session_id.clone()]).await, 0);
    assert!(app.service.live.snapshot().revoked_sessions.contains_key(&one.session_id));
    app.sign_in().await;
    assert_eq!(end(vec![]).await, 2);
}

async fn a_clients_secret_is_replaced_with_an_overlap(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let mut clients = ClientServiceClient::new(admin_client.channel.clone());
    let client = pb::Client {
        client_id: "worker".into(),
        audiences: vec!["jobs".into()],
        serves: vec!["jobs".into()],
        permissions: vec!["jobs.run@jobs".into(), "audit.read".into()],
        claims: [("team".to_owned(), "\"blue\"".to_owned())].into(),
        ..pb::Client::default()
    };
    let message = pb::CreateClientRequest { client: Some(client), request_id: "r-1".into() };
    let made = clients.create_client(admin_client.ask(message.clone())).await.unwrap().into_inner();
    // A secret is returned only once.
    assert_eq!(reason(&clients.create_client(admin_client.ask(message)).await.unwrap_err()), "ALREADY_EXISTS");
    let kept = made.client.unwrap();
    assert_eq!((kept.serves.as_slice(), kept.permissions.len()), (&["jobs".to_owned()][..], 2));
    let proves = async |secret: &str| {
        let credentials = ClientCredentials::Basic {
            client_id: "worker".into(),
            secret: chancery::secret::ClientSecret::new(secret.to_owned()),
        };
        admit_client(&app.service, &credentials).await.is_ok()
    };
    let overlap = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let message = pb::RotateClientSecretRequest { client_id: "worker".into(), overlap };
    let new = clients.rotate_client_secret(admin_client.ask(message)).await.unwrap().into_inner().client_secret;
    assert!(proves(&made.client_secret).await && proves(&new).await);
    app.pass(Ttl::from_secs(60)).await;
    assert!(!proves(&made.client_secret).await && proves(&new).await);
    // With the same etag, the first update wins.
    let get = pb::GetClientRequest { client_id: "worker".into() };
    let now = clients.get_client(admin_client.ask(get)).await.unwrap().into_inner().client.unwrap();
    let update_mask = Some(FieldMask { paths: vec!["scopes".into()] });
    let message =
        pb::UpdateClientRequest { client: Some(pb::Client { scopes: vec!["read".into()], ..now }), update_mask };
    let changed = clients.update_client(admin_client.ask(message.clone())).await.unwrap().into_inner().client.unwrap();
    assert_eq!((changed.scopes.len(), changed.claims["team"].as_str()), (1, "\"blue\""));
    assert_eq!(reason(&clients.update_client(admin_client.ask(message)).await.unwrap_err()), "ETAG_MISMATCH");
    let delete = || pb::DeleteClientRequest { client_id: "worker".into() };
    assert_eq!(reason(&clients.delete_client(admin_client.ask(delete())).await.unwrap_err()), "FAILED_PRECONDITION");
    clients.disable_client(admin_client.ask(pb::DisableClientRequest { client_id: "worker".into() })).await.unwrap();
    app.pass(Ttl::from_secs(2 * 3600)).await;
    clients.delete_client(admin_client.ask(delete())).await.unwrap();
    assert!(!proves(&new).await);
}

async fn roles_are_managed_and_assigned_over_grpc(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let mut roles = RoleServiceClient::new(admin_client.channel.clone());
    let role = pb::Role { name: "clerk".into(), permissions: vec!["orders.read@api".into()], ..pb::Role::default() };
    let message = pb::CreateRoleRequest { role: Some(role), request_id: "r-1".into() };
    let made = roles.create_role(admin_client.ask(message.clone())).await.unwrap().into_inner().role.unwrap();
    assert_eq!(roles.create_role(admin_client.ask(message)).await.unwrap().into_inner().role.unwrap(), made);
    let assign = pb::AssignUserRoleRequest { user_id: "ada".into(), role_id: "clerk".into() };
    admin_client.users().assign_user_role(admin_client.ask(assign)).await.unwrap();
    let get = pb::GetUserRequest { user_id: "ada".into() };
    let ada = admin_client.users().get_user(admin_client.ask(get)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(ada.roles, ["clerk"]);
    let list = roles
        .list_roles(admin_client.ask(pb::ListRolesRequest { page_size: 3, ..Default::default() }))
        .await
        .unwrap()
        .into_inner();
    assert!(list.roles.iter().all(|r| r.built_in) && !list.next_page_token.is_empty());
    let built_in =
        pb::Role { role_id: "auditor".into(), permissions: vec!["keys.revoke".into()], ..pb::Role::default() };
    let update = pb::UpdateRoleRequest { role: Some(built_in), update_mask: None };
    assert_eq!(reason(&roles.update_role(admin_client.ask(update)).await.unwrap_err()), "FAILED_PRECONDITION");
    let delete = || pb::DeleteRoleRequest { role_id: made.role_id.clone() };
    assert_eq!(reason(&roles.delete_role(admin_client.ask(delete())).await.unwrap_err()), "FAILED_PRECONDITION");
    let unassign = pb::UnassignUserRoleRequest { user_id: "ada".into(), role_id: "clerk".into() };
    admin_client.users().unassign_user_role(admin_client.ask(unassign)).await.unwrap();
    roles.delete_role(admin_client.ask(delete())).await.unwrap();
    assert_eq!(reason(&roles.delete_role(admin_client.ask(delete())).await.unwrap_err()), "NOT_FOUND");
}

async fn the_audit_log_records_who_did_what_from_where_and_streams_new_events(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let mut audit = AuditServiceClient::new(admin_client.channel.clone());
    let watch = pb::WatchAuditEventsRequest { filter: "kind = USER_DISABLED".into() };
    let mut news = audit.watch_audit_events(admin_client.ask(watch)).await.unwrap().into_inner();
    admin_client
        .users()
        .disable_user(admin_client.ask(pb::DisableUserRequest { user_id: "ada".into() }))
        .await
        .unwrap();
    let streamed = news.message().await.unwrap().unwrap().events;
    assert_eq!(
        (streamed.len(), streamed[0].kind().as_str_name(), streamed[0].actor.as_str()),
        (1, "AUDIT_EVENT_KIND_USER_DISABLED", "boss")
    );
    assert_eq!(streamed[0].address, "127.0.0.1");
    let list = async |filter: &str| {
        let message = pb::ListAuditEventsRequest { filter: filter.into(), ..Default::default() };
        audit.clone().list_audit_events(admin_client.ask(message)).await
    };
    let events = list("actor = boss AND kind = USER_DISABLED").await.unwrap().into_inner().events;
    assert_eq!(events, streamed);
    let none = list("event_time >= \"2031-01-01T00:00:00Z\"").await.unwrap().into_inner().events;
    assert!(none.is_empty());
    for bad in [
        "kind = NOTHING",
        "event_time = \"2031-01-01T00:00:00Z\"",
        "session_id = x",
        "session = x",
        "event_time < soon",
    ] {
        assert_eq!(reason(&list(bad).await.unwrap_err()), "INVALID_ARGUMENT", "{bad}");
    }
}

#[tokio::test]
async fn an_audit_stream_ends_when_its_reader_loses_the_permission() {
    let app = App::sqlite().await;
    let admin_client = AdminClient::of(&app).await;
    app.client("portal", &[ISSUER]).await;
    app.user("helen").await;
    let assign = pb::AssignUserRoleRequest { user_id: "helen".into(), role_id: "auditor".into() };
    admin_client.users().assign_user_role(admin_client.ask(assign)).await.unwrap();
    let pair = sign_in(&app.service, login_of("portal", "helen", PASSWORD)).await.unwrap();
    let mut watch = Request::new(pb::WatchAuditEventsRequest { filter: "kind = KEY_REVOKED".into() });
    let bearer = format!("Bearer {}", pair.access.token.expose());
    watch.metadata_mut().insert("authorization", bearer.parse().unwrap());
    let mut news =
        AuditServiceClient::new(admin_client.channel.clone()).watch_audit_events(watch).await.unwrap().into_inner();
    admin_client
        .users()
        .disable_user(admin_client.ask(pb::DisableUserRequest { user_id: "helen".into() }))
        .await
        .unwrap();
    assert_eq!(reason(&news.message().await.unwrap_err()), "TOKEN_INVALID");
}

async fn a_chosen_name_cannot_impersonate_another_user(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let victim = pb::User { name: "victim".into(), subject: "customer-1".into(), ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(victim), ..Default::default() };
    admin_client.users().create_user(admin_client.ask(message)).await.unwrap();
    admin_client.create("customer-1", "").await.unwrap();
    let assign = pb::AssignUserRoleRequest { user_id: "customer-1".into(), role_id: "administrator".into() };
    let refused = admin_client.users().assign_user_role(admin_client.ask(assign)).await.unwrap_err();
    assert_eq!(reason(&refused), "FAILED_PRECONDITION");
    let get = pb::GetUserRequest { user_id: "victim".into() };
    let found = admin_client.users().get_user(admin_client.ask(get)).await.unwrap().into_inner().user.unwrap();
    assert_eq!((found.subject.as_str(), found.roles.len()), ("customer-1", 0));
}

async fn attributes_are_objects_and_unsupported_values_are_refused_with_their_path(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let list = prost_types::ListValue { values: vec![Value { kind: Some(Kind::NumberValue(0.5)) }] };
    let attributes = Struct {
        fields: [
            ("max".to_owned(), Value { kind: Some(Kind::NumberValue(9_007_199_254_740_991.0)) }),
            ("list".to_owned(), Value { kind: Some(Kind::ListValue(list)) }),
            ("none".to_owned(), Value { kind: Some(Kind::NullValue(0)) }),
        ]
        .into(),
    };
    let user = pb::User { name: "grace".into(), attributes: Some(attributes.clone()), ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(user), ..Default::default() };
    let made = admin_client.users().create_user(admin_client.ask(message)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(made.attributes, Some(attributes));
    // Stored as an integer, which is also how tokens contain it.
    let stored = app.service.users.get(&Admin::command(), "grace").await.unwrap().user.attributes;
    assert_eq!(serde_json::to_string(&stored["max"]).unwrap(), "9007199254740991");
    let limits = Kind::StructValue(object("max", Kind::NumberValue(9_007_199_254_740_992.0)).unwrap());
    let change = pb::User { user_id: made.user_id, attributes: object("limits", limits), ..pb::User::default() };
    let refused = admin_client.update(change, &["attributes"]).await.unwrap_err();
    assert_eq!(
        (reason(&refused).as_str(), fields(&refused)),
        ("INVALID_ARGUMENT", vec!["attributes.limits.max".to_owned()])
    );
    let user = pb::User { name: "deep".into(), attributes: Some(nested(17)), ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(user), ..Default::default() };
    let refused = admin_client.users().create_user(admin_client.ask(message)).await.unwrap_err();
    assert!(fields(&refused)[0].starts_with("attributes.a.a."), "{refused:?}");
    // Deeper than any decoder allows.
    let user = pb::User { name: "deeper".into(), attributes: Some(nested(200)), ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(user), ..Default::default() };
    let refused = admin_client.users().create_user(admin_client.ask(message)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_MALFORMED");
}

fn nested(levels: usize) -> Struct {
    let mut message = Struct::default();
    for _ in 1..levels {
        message = object("a", Kind::StructValue(message)).unwrap();
    }
    message
}

async fn sessions_are_listed_by_page_newest_first(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let mut want = Vec::new();
    for _ in 0..3 {
        want.insert(0, app.sign_in().await.session_id);
        app.pass(Ttl::from_secs(1)).await;
    }
    let list = async |page_size: i32, page_token: String| {
        let message = pb::ListUserSessionsRequest { user_id: "ada".into(), page_size, page_token };
        admin_client.users().list_user_sessions(admin_client.ask(message)).await.map(tonic::Response::into_inner)
    };
    let ids =
        |page: &pb::ListUserSessionsResponse| page.sessions.iter().map(|s| s.session_id.clone()).collect::<Vec<_>>();
    let first = list(2, String::new()).await.unwrap();
    assert_eq!(ids(&first), want[..2]);
    // The last session on the page ends in the meantime.
    let message = pb::RevokeUserSessionsRequest { user_id: "ada".into(), session_ids: vec![want[1].clone()] };
    admin_client.users().revoke_user_sessions(admin_client.ask(message)).await.unwrap();
    let rest = list(2, first.next_page_token.clone()).await.unwrap();
    assert_eq!((ids(&rest), rest.next_page_token.as_str()), (want[2..].to_vec(), ""));
    admin_client.create("heidi", "").await.unwrap();
    let (user_id, page_token) = ("heidi".to_owned(), first.next_page_token);
    let message = pb::ListUserSessionsRequest { user_id, page_token, page_size: 2 };
    assert_eq!(
        reason(&admin_client.users().list_user_sessions(admin_client.ask(message)).await.unwrap_err()),
        "INVALID_ARGUMENT"
    );
}

async fn roles_are_assigned_to_and_removed_from_clients(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let mut clients = ClientServiceClient::new(admin_client.channel.clone());
    let client = pb::Client { client_id: "worker".into(), audiences: vec!["jobs".into()], ..pb::Client::default() };
    let message = pb::CreateClientRequest { client: Some(client), ..Default::default() };
    clients.create_client(admin_client.ask(message)).await.unwrap();
    let reader = clients.clone();
    let roles = async || {
        let get = pb::GetClientRequest { client_id: "worker".into() };
        reader.clone().get_client(admin_client.ask(get)).await.unwrap().into_inner().client.unwrap().roles
    };
    let assign = || pb::AssignClientRoleRequest { client_id: "worker".into(), role_id: "auditor".into() };
    // Events of one millisecond have no order among themselves.
    app.pass(Ttl::from_millis(1)).await;
    for _ in 0..2 {
        clients.assign_client_role(admin_client.ask(assign())).await.unwrap();
        assert_eq!(roles().await, ["auditor"]);
    }
    let unknown = pb::AssignClientRoleRequest { role_id: "nobody".into(), ..assign() };
    assert_eq!(reason(&clients.assign_client_role(admin_client.ask(unknown)).await.unwrap_err()), "NOT_FOUND");
    let mask = Some(FieldMask { paths: vec!["roles".into()] });
    let patch = pb::Client { client_id: "worker".into(), ..pb::Client::default() };
    let message = pb::UpdateClientRequest { client: Some(patch), update_mask: mask };
    assert_eq!(fields(&clients.update_client(admin_client.ask(message)).await.unwrap_err()), ["update_mask"]);
    app.pass(Ttl::from_millis(1)).await;
    for _ in 0..2 {
        let message = pb::UnassignClientRoleRequest { client_id: "worker".into(), role_id: "auditor".into() };
        clients.unassign_client_role(admin_client.ask(message)).await.unwrap();
        assert!(roles().await.is_empty());
    }
    let filter = "subject = worker AND actor = boss".to_owned();
    let message = pb::ListAuditEventsRequest { filter, ..Default::default() };
    let mut audit = AuditServiceClient::new(admin_client.channel.clone());
    let events = audit.list_audit_events(admin_client.ask(message)).await.unwrap().into_inner().events;
    let kinds: Vec<_> = events.iter().map(pb::AuditEvent::kind).collect();
    use pb::AuditEventKind::{ClientCreated, RoleAssigned, RoleUnassigned};
    assert_eq!(kinds, [RoleUnassigned, RoleAssigned, ClientCreated]);
}

async fn only_callers_with_the_permissions_of_a_role_assign_it_to_a_client(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let request = NewClientRequest {
        id: "helper".into(),
        audiences: vec![ISSUER.into()],
        permissions: vec!["roles.assign".into(), "clients.read".into()],
        ..NewClientRequest::default()
    };
    let ClientCredentials::Basic { client_id, secret } = app.confidential(request).await else { panic!() };
    let authorization = format!("Basic {}", STANDARD.encode(format!("{client_id}:{}", secret.expose())));
    let helper = AdminClient { channel: admin_client.channel.clone(), authorization };
    let mut clients = ClientServiceClient::new(admin_client.channel.clone());
    let mut assign = async |who: &AdminClient, client_id: &str, role_id: &str| {
        let message = pb::AssignClientRoleRequest { client_id: client_id.into(), role_id: role_id.into() };
        clients.assign_client_role(who.ask(message)).await.map(|_| ())
    };
    for (client, role) in [("helper", "administrator"), ("helper", "auditor"), ("boss", "auditor")] {
        let refused = assign(&helper, client, role).await.unwrap_err();
        assert_eq!(reason(&refused), "PERMISSION_DENIED", "{client} {role}");
    }
    assign(&admin_client, "helper", "auditor").await.unwrap();
}

async fn unknown_grants_and_algorithms_are_refused(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let mut clients = ClientServiceClient::new(admin_client.channel.clone());
    let client = pb::Client {
        client_id: "web".into(),
        public: true,
        first_party: true,
        grants: vec![pb::Grant::DirectLogin.into()],
        algorithm: pb::SignatureAlgorithm::Es256.into(),
        ..pb::Client::default()
    };
    let create = |client: &pb::Client| pb::CreateClientRequest { client: Some(client.clone()), ..Default::default() };
    let made = clients.create_client(admin_client.ask(create(&client))).await.unwrap().into_inner().client.unwrap();
    assert_eq!((made.grants.clone(), made.algorithm), (client.grants.clone(), client.algorithm));
    let wrong = pb::Client { client_id: "other".into(), grants: vec![0, 1], algorithm: 99, ..client };
    let refused = clients.create_client(admin_client.ask(create(&wrong))).await.unwrap_err();
    assert_eq!(fields(&refused), ["grants", "algorithm"]);
    let update_mask = Some(FieldMask { paths: vec!["algorithm".into()] });
    let message = pb::UpdateClientRequest { client: Some(pb::Client { algorithm: 99, ..made }), update_mask };
    assert_eq!(fields(&clients.update_client(admin_client.ask(message)).await.unwrap_err()), ["algorithm"]);
    let mut keys = KeyServiceClient::new(admin_client.channel.clone());
    let refused =
        keys.rotate_signing_key(admin_client.ask(pb::RotateSigningKeyRequest { algorithm: 99 })).await.unwrap_err();
    assert_eq!(fields(&refused), ["algorithm"]);
}

async fn signing_keys_are_listed_by_page(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let mut keys = KeyServiceClient::new(admin_client.channel.clone());
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = pb::ListSigningKeysRequest { page_size: 1, page_token };
        let page = keys.list_signing_keys(admin_client.ask(message)).await.unwrap().into_inner();
        seen.extend(page.keys.into_iter().map(|k| k.key_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let whole =
        keys.list_signing_keys(admin_client.ask(pb::ListSigningKeysRequest::default())).await.unwrap().into_inner();
    assert!(whole.keys.len() > 2 && whole.next_page_token.is_empty());
    assert_eq!(seen, whole.keys.into_iter().map(|k| k.key_id).collect::<Vec<_>>());
}

async fn texts_that_would_be_read_otherwise_are_refused(app: &App) {
    let admin_client = AdminClient::of(app).await;
    // PostgreSQL refuses NUL and SQLite keeps it: neither is asked.
    let user = pb::User { user_id: "ad\0a".into(), name: "x".into(), ..pb::User::default() };
    assert_eq!(fields(&admin_client.update(user, &["name"]).await.unwrap_err()), ["user_id"]);
    let user = pb::User { name: "x".into(), ..pb::User::default() };
    assert_eq!(fields(&admin_client.update(user, &["name"]).await.unwrap_err()), ["user_id"], "no user is named");
    // Of two terms for one field neither wins.
    for filter in ["subject = \"a\0\"", "disabled = true AND disabled = false", "role = auditor AND role = auditor"] {
        assert_eq!(fields(&admin_client.list(filter, 0, "").await.unwrap_err()), ["filter"], "{filter:?}");
    }
    // The name of a claim ends where its source begins.
    let mut clients = ClientServiceClient::new(admin_client.channel.clone());
    for (name, source) in [("x=b", "c"), ("x", "a\0"), ("x\0", "a")] {
        let claims = [(name.to_owned(), source.to_owned())].into();
        let client = pb::Client { client_id: "mapped".into(), claims, ..pb::Client::default() };
        let message = pb::CreateClientRequest { client: Some(client), ..Default::default() };
        let refused = clients.create_client(admin_client.ask(message)).await.unwrap_err();
        assert_eq!(fields(&refused), ["claims"], "{name:?} = {source:?}");
    }
}
