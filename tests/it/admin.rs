//! Administering over gRPC, as a caller would, on both engines.

use crate::support::as_client;
use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::pb::{
        self, audit_service_client::AuditServiceClient, client_service_client::ClientServiceClient,
        role_service_client::RoleServiceClient, user_service_client::UserServiceClient,
    },
    service::{ClientCredentials, NewClientRequest},
    time::Ttl,
};
use prost_types::FieldMask;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    support::{App, ISSUER, PASSWORD, login_of, sign_in},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        users_are_created_once_and_listed_by_page_and_filter,
        a_user_is_changed_by_mask_and_guarded_by_its_etag,
        s10_an_administrator_sees_and_ends_the_sessions_of_a_user,
        a_clients_secret_is_replaced_with_an_overlap,
        roles_are_written_and_given_over_the_wire,
        the_audit_tells_who_did_what_from_where_and_goes_on_telling,
        nobody_is_taken_for_somebody_else_by_a_chosen_name,
    }
}

/// A client that has the role of an administrator, and its way to the server.
pub(crate) struct Boss {
    channel: Channel,
    authorization: String,
}

impl Boss {
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
        self.users().create(self.ask(message)).await.map(|a| a.into_inner().user.unwrap())
    }

    async fn list(&self, filter: &str, page_size: i32, page_token: &str) -> Result<pb::ListUsersResponse, Status> {
        let (filter, page_token) = (filter.to_owned(), page_token.to_owned());
        let message = pb::ListUsersRequest { page_size, page_token, filter };
        self.users().list(self.ask(message)).await.map(tonic::Response::into_inner)
    }

    async fn update(&self, user: pb::User, paths: &[&str]) -> Result<pb::User, Status> {
        let update_mask = Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() });
        let message = pb::UpdateUserRequest { user: Some(user), update_mask };
        self.users().update(self.ask(message)).await.map(|a| a.into_inner().user.unwrap())
    }
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

fn names(users: &[pb::User]) -> Vec<&str> {
    users.iter().map(|u| u.name.as_str()).collect()
}

async fn users_are_created_once_and_listed_by_page_and_filter(app: &App) {
    let boss = Boss::of(app).await;
    let first = boss.create("grace", "r-1").await.unwrap();
    assert_eq!(
        (first.emails.as_slice(), first.subject.as_str()),
        (&["grace@example.com".to_owned()][..], first.user_id.as_str())
    );
    // The same call again creates nothing more; another one by the same id is refused.
    assert_eq!(boss.create("grace", "r-1").await.unwrap().user_id, first.user_id);
    let other = boss.create("heidi", "r-1").await.unwrap_err();
    assert_eq!(other.get_error_details().bad_request().unwrap().field_violations[0].field, "request_id");
    assert_eq!(reason(&boss.create("grace", "").await.unwrap_err()), "ALREADY_EXISTS");
    // The error names the login that is taken, also if a user is to have only an address.
    let user = pb::User { emails: vec!["Grace@Example.com".into()], ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(user), password: PASSWORD.into(), request_id: String::new() };
    let taken = boss.users().create(boss.ask(message)).await.unwrap_err();
    let resource = taken.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("email", "Grace@Example.com"));
    boss.create("heidi", "").await.unwrap();
    let page = boss.list("", 2, "").await.unwrap();
    let rest = boss.list("", 2, &page.next_page_token).await.unwrap();
    assert_eq!((page.users.len(), rest.users.len(), rest.next_page_token.as_str()), (2, 1, ""));
    let mut all = [names(&page.users), names(&rest.users)].concat();
    all.sort_unstable();
    assert_eq!(all, ["ada", "grace", "heidi"]);
    assert_eq!(reason(&boss.list("disabled = true", 2, &page.next_page_token).await.unwrap_err()), "INVALID_ARGUMENT");
    boss.users().disable(boss.ask(pb::DisableUserRequest { user: "heidi".into() })).await.unwrap();
    for (filter, want) in [
        ("disabled = true", vec!["heidi"]),
        ("login = \"GRACE@example.com\"", vec!["grace"]),
        ("login = ada AND disabled = true", vec![]),
        ("role = administrator", vec![]),
    ] {
        assert_eq!(names(&boss.list(filter, 0, "").await.unwrap().users), want, "{filter}");
    }
    for bad in ["name = x", "disabled = 1", "role = nobody", "login ~ x"] {
        assert_eq!(reason(&boss.list(bad, 0, "").await.unwrap_err()), "INVALID_ARGUMENT", "{bad}");
    }
}

async fn a_user_is_changed_by_mask_and_guarded_by_its_etag(app: &App) {
    let boss = Boss::of(app).await;
    let grace = boss.create("grace", "").await.unwrap();
    let change =
        pb::User { name: "gracie".into(), emails: vec![], attributes_json: "{\"a\":1}".into(), ..grace.clone() };
    let changed = boss.update(change.clone(), &["name", "attributes_json"]).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.emails.len(), changed.attributes_json.as_str()),
        ("gracie", 1, "{\"a\":1}")
    );
    let late = boss.update(change.clone(), &["name"]).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let without = pb::User { etag: String::new(), ..change.clone() };
    assert!(boss.update(without.clone(), &["emails"]).await.unwrap().emails.is_empty());
    let wrong = boss
        .update(
            pb::User { name: "a@b".into(), attributes_json: "{\"a\":\"\\u0000\"}".into(), ..without.clone() },
            &["name", "attributes_json"],
        )
        .await;
    let wrong = wrong.unwrap_err();
    let fields: Vec<_> =
        wrong.get_error_details().bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect();
    assert_eq!(fields, ["name", "attributes"]);
    assert_eq!(reason(&boss.update(without.clone(), &["subject"]).await.unwrap_err()), "INVALID_ARGUMENT");
    assert_eq!(
        reason(&boss.update(pb::User { name: "ada".into(), ..without }, &["name"]).await.unwrap_err()),
        "ALREADY_EXISTS"
    );
    let gone = pb::DeleteUserRequest { user: "gracie".into(), etag: changed.etag };
    assert_eq!(reason(&boss.users().delete(boss.ask(gone)).await.unwrap_err()), "ETAG_MISMATCH");
    let gone = pb::DeleteUserRequest { user: "gracie".into(), etag: String::new() };
    boss.users().delete(boss.ask(gone.clone())).await.unwrap();
    assert_eq!(reason(&boss.users().delete(boss.ask(gone)).await.unwrap_err()), "NOT_FOUND");
}

async fn s10_an_administrator_sees_and_ends_the_sessions_of_a_user(app: &App) {
    let boss = Boss::of(app).await;
    let (one, two) = (app.sign_in().await, app.sign_in().await);
    let message = pb::ListSessionsRequest { user: "ada".into() };
    let sessions = boss.users().list_sessions(boss.ask(message)).await.unwrap().into_inner().sessions;
    let mut ids: Vec<_> = sessions.iter().map(|s| s.session_id.as_str()).collect();
    ids.sort_unstable();
    let mut want = vec![one.session_id.as_str(), &two.session_id];
    want.sort_unstable();
    assert_eq!((ids, sessions[0].device_label.as_str()), (want, "laptop"));
    let end = async |session_ids: Vec<String>| {
        let message = pb::RevokeSessionsRequest { user: "ada".into(), session_ids };
        boss.users().revoke_sessions(boss.ask(message)).await.unwrap().into_inner().sessions_ended
    };
    let stranger = "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned();
    assert_eq!(end(vec![one.session_id.clone(), stranger]).await, 1);
    assert_eq!(end(vec![one.session_id.clone()]).await, 0);
    assert!(app.service.live.snapshot().revoked_sessions.contains_key(&one.session_id));
    app.sign_in().await;
    assert_eq!(end(vec![]).await, 2);
}

async fn a_clients_secret_is_replaced_with_an_overlap(app: &App) {
    let boss = Boss::of(app).await;
    let mut clients = ClientServiceClient::new(boss.channel.clone());
    let client = pb::Client {
        client_id: "worker".into(),
        audiences: vec!["jobs".into()],
        serves: vec!["jobs".into()],
        permissions: vec!["jobs.run@jobs".into(), "audit.read".into()],
        claims: [("team".to_owned(), "\"blue\"".to_owned())].into(),
        ..pb::Client::default()
    };
    let message = pb::CreateClientRequest { client: Some(client), request_id: "r-1".into() };
    let made = clients.create(boss.ask(message.clone())).await.unwrap().into_inner();
    // A secret is never told twice.
    assert_eq!(reason(&clients.create(boss.ask(message)).await.unwrap_err()), "ALREADY_EXISTS");
    let kept = made.client.unwrap();
    assert_eq!((kept.serves.as_slice(), kept.permissions.len()), (&["jobs".to_owned()][..], 2));
    let proves = async |secret: &str| {
        let credentials = ClientCredentials::Basic {
            client_id: "worker".into(),
            secret: chancery::secret::ClientSecret::new(secret.to_owned()),
        };
        as_client(&app.service, &credentials).await.is_ok()
    };
    let overlap = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let message = pb::RotateSecretRequest { client_id: "worker".into(), overlap };
    let new = clients.rotate_secret(boss.ask(message)).await.unwrap().into_inner().client_secret;
    assert!(proves(&made.client_secret).await && proves(&new).await);
    app.pass(Ttl::from_secs(60)).await;
    assert!(!proves(&made.client_secret).await && proves(&new).await);
    // A change by its etag: the first wins.
    let get = pb::GetClientRequest { client_id: "worker".into() };
    let now = clients.get(boss.ask(get)).await.unwrap().into_inner().client.unwrap();
    let update_mask = Some(FieldMask { paths: vec!["scopes".into()] });
    let message =
        pb::UpdateClientRequest { client: Some(pb::Client { scopes: vec!["read".into()], ..now }), update_mask };
    let changed = clients.update(boss.ask(message.clone())).await.unwrap().into_inner().client.unwrap();
    assert_eq!((changed.scopes.len(), changed.claims["team"].as_str()), (1, "\"blue\""));
    assert_eq!(reason(&clients.update(boss.ask(message)).await.unwrap_err()), "ETAG_MISMATCH");
    let delete = || pb::DeleteClientRequest { client_id: "worker".into() };
    assert_eq!(reason(&clients.delete(boss.ask(delete())).await.unwrap_err()), "FAILED_PRECONDITION");
    clients.disable(boss.ask(pb::DisableClientRequest { client_id: "worker".into() })).await.unwrap();
    app.pass(Ttl::from_secs(2 * 3600)).await;
    clients.delete(boss.ask(delete())).await.unwrap();
    assert!(!proves(&new).await);
}

async fn roles_are_written_and_given_over_the_wire(app: &App) {
    let boss = Boss::of(app).await;
    let mut roles = RoleServiceClient::new(boss.channel.clone());
    let role = pb::Role { name: "clerk".into(), permissions: vec!["orders.read@api".into()], ..pb::Role::default() };
    let message = pb::CreateRoleRequest { role: Some(role), request_id: "r-1".into() };
    let made = roles.create(boss.ask(message.clone())).await.unwrap().into_inner().role.unwrap();
    assert_eq!(roles.create(boss.ask(message)).await.unwrap().into_inner().role.unwrap(), made);
    let assign = pb::AssignRoleRequest { user: "ada".into(), role: "clerk".into() };
    boss.users().assign_role(boss.ask(assign)).await.unwrap();
    let get = pb::GetUserRequest { user: "ada".into() };
    let ada = boss.users().get(boss.ask(get)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(ada.roles, ["clerk"]);
    let list =
        roles.list(boss.ask(pb::ListRolesRequest { page_size: 3, ..Default::default() })).await.unwrap().into_inner();
    assert!(list.roles.iter().all(|r| r.built_in) && !list.next_page_token.is_empty());
    let built_in = pb::Role { name: "auditor".into(), permissions: vec!["keys.revoke".into()], ..pb::Role::default() };
    let update = pb::UpdateRoleRequest { role: Some(built_in), update_mask: None };
    assert_eq!(reason(&roles.update(boss.ask(update)).await.unwrap_err()), "FAILED_PRECONDITION");
    let delete = || pb::DeleteRoleRequest { role: made.role_id.clone() };
    assert_eq!(reason(&roles.delete(boss.ask(delete())).await.unwrap_err()), "FAILED_PRECONDITION");
    let unassign = pb::UnassignRoleRequest { user: "ada".into(), role: "clerk".into() };
    boss.users().unassign_role(boss.ask(unassign)).await.unwrap();
    roles.delete(boss.ask(delete())).await.unwrap();
    assert_eq!(reason(&roles.delete(boss.ask(delete())).await.unwrap_err()), "NOT_FOUND");
}

async fn the_audit_tells_who_did_what_from_where_and_goes_on_telling(app: &App) {
    let boss = Boss::of(app).await;
    let mut audit = AuditServiceClient::new(boss.channel.clone());
    let watch = pb::WatchAuditEventsRequest { filter: "kind = USER_DISABLED".into() };
    let mut news = audit.watch(boss.ask(watch)).await.unwrap().into_inner();
    boss.users().disable(boss.ask(pb::DisableUserRequest { user: "ada".into() })).await.unwrap();
    let told = news.message().await.unwrap().unwrap().events;
    assert_eq!((told.len(), told[0].kind.as_str(), told[0].actor.as_str()), (1, "USER_DISABLED", "boss"));
    assert_eq!(told[0].address, "127.0.0.1");
    let list = async |filter: &str| {
        let message = pb::ListAuditEventsRequest { filter: filter.into(), ..Default::default() };
        audit.clone().list(boss.ask(message)).await
    };
    let events = list("actor = boss AND kind = USER_DISABLED").await.unwrap().into_inner().events;
    assert_eq!(events, told);
    let none = list("time >= \"2031-01-01T00:00:00Z\"").await.unwrap().into_inner().events;
    assert!(none.is_empty());
    for bad in ["kind = NOTHING", "time = \"2031-01-01T00:00:00Z\"", "session = x", "time < soon"] {
        assert_eq!(reason(&list(bad).await.unwrap_err()), "INVALID_ARGUMENT", "{bad}");
    }
}

#[tokio::test]
async fn who_loses_the_permission_is_told_no_more() {
    let app = App::sqlite().await;
    let boss = Boss::of(&app).await;
    app.client("portal", &[ISSUER]).await;
    app.user("helen").await;
    let assign = pb::AssignRoleRequest { user: "helen".into(), role: "auditor".into() };
    boss.users().assign_role(boss.ask(assign)).await.unwrap();
    let pair = sign_in(&app.service, login_of("portal", "helen", PASSWORD)).await.unwrap();
    let mut watch = Request::new(pb::WatchAuditEventsRequest { filter: "kind = KEY_REVOKED".into() });
    let bearer = format!("Bearer {}", pair.access.token.expose());
    watch.metadata_mut().insert("authorization", bearer.parse().unwrap());
    let mut news = AuditServiceClient::new(boss.channel.clone()).watch(watch).await.unwrap().into_inner();
    boss.users().disable(boss.ask(pb::DisableUserRequest { user: "helen".into() })).await.unwrap();
    assert_eq!(reason(&news.message().await.unwrap_err()), "TOKEN_INVALID");
}

async fn nobody_is_taken_for_somebody_else_by_a_chosen_name(app: &App) {
    let boss = Boss::of(app).await;
    let victim = pb::User { name: "victim".into(), subject: "customer-1".into(), ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(victim), ..Default::default() };
    boss.users().create(boss.ask(message)).await.unwrap();
    boss.create("customer-1", "").await.unwrap();
    let assign = pb::AssignRoleRequest { user: "customer-1".into(), role: "administrator".into() };
    let refused = boss.users().assign_role(boss.ask(assign)).await.unwrap_err();
    assert_eq!(reason(&refused), "FAILED_PRECONDITION");
    let get = pb::GetUserRequest { user: "victim".into() };
    let found = boss.users().get(boss.ask(get)).await.unwrap().into_inner().user.unwrap();
    assert_eq!((found.subject.as_str(), found.roles.len()), ("customer-1", 0));
}
