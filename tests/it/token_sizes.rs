//! Access tokens that would be larger than their consumers take: refused when something is assigned, and when a token
//! is issued, without an end to the session.

use chancery::{
    error::{Error, OversizedToken, Reason},
    grpc::pb,
    metrics::Metrics,
    secret::Password,
    service::{
        Admin, ClientCredentials, ClientPatch, ClientTokenRequest, ImportOutcome, ImportRow, MePatch, NewClientRequest,
        NewRoleRequest, NewUserRequest, RolePatch, UserPatch,
    },
    time::Ttl,
};
use serde_json::{Map, Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    admin::AdminClient,
    support::{App, ISSUER, PASSWORD, admit_me, client_token, first_party, login_of, refresh, sign_in, token},
};

on_each_engine! {
    #[tokio::test]
    App => {
        roles_are_assigned_to_a_user_as_long_as_the_token_stays_small_enough,
        a_changed_role_is_refused_if_a_holders_token_grows_too_large,
        attributes_are_refused_if_a_mapped_claim_makes_a_token_too_large,
        a_claim_map_is_refused_if_a_users_token_grows_too_large,
        a_clients_own_permissions_roles_and_scopes_stay_small_enough,
        a_token_that_is_too_large_is_not_issued_and_the_session_goes_on,
        an_administrator_with_every_permission_still_signs_in_and_has_room,
        over_grpc_the_reason_names_the_field_and_the_sizes,
        the_sizes_of_tokens_are_counted,
        a_long_subject_is_refused_if_no_token_has_room_for_it,
        a_change_that_makes_no_token_larger_is_not_refused,
    }
}

/// A role with permissions at an audience, in all about `bytes` long.
fn permissions(prefix: &str, bytes: usize, audience: &str) -> Vec<String> {
    (0..bytes / 20).map(|n| format!("{prefix:.<8}{n:0>9}@{audience}")).collect()
}

async fn role(app: &App, name: &str, bytes: usize) -> Result<(), Error> {
    let request =
        NewRoleRequest { name: name.into(), permissions: permissions(name, bytes, "api"), ..Default::default() };
    app.service.roles.create(&Admin::command(), request).await.map(|_| ())
}

fn oversized<T: std::fmt::Debug>(result: Result<T, Error>) -> (&'static str, OversizedToken) {
    match result {
        Err(Error::TokenTooLarge { field, token }) => {
            assert_eq!(token.limit, 4096);
            assert!(token.bytes > 4096, "{token:?}");
            (field, *token)
        }
        other => panic!("{other:?}"),
    }
}

/// The size of the access token that `ada` gets for an audience.
async fn size_at(app: &App, audience: &str) -> usize {
    let mut request = login_of("app", "ada", PASSWORD);
    request.audience = audience.into();
    sign_in(&app.service, request).await.unwrap().access.token.expose().len()
}

async fn roles_are_assigned_to_a_user_as_long_as_the_token_stays_small_enough(app: &App) {
    let (admin, users) = (Admin::command(), &app.service.users);
    for name in ["one", "two", "three"] {
        role(app, name, 1000).await.unwrap();
    }
    users.set_role(&admin, "ada", "one", true).await.unwrap();
    users.set_role(&admin, "ada", "two", true).await.unwrap();
    let (field, token) = oversized(users.set_role(&admin, "ada", "three", true).await);
    assert_eq!((field, token.client.as_str(), token.audience.as_str()), ("role_id", "app", "api"));
    assert!(size_at(app, "api").await <= 4096);
    // The refused assignment left nothing behind.
    assert_eq!(users.get(&admin, "ada").await.unwrap().roles.len(), 2);
    let all = ["one", "two", "three"].map(str::to_owned).to_vec();
    let request = NewUserRequest { name: "bob".into(), roles: all, ..NewUserRequest::default() };
    assert_eq!(oversized(users.create(&admin, request).await).0, "roles");
    users.set_role(&admin, "ada", "one", false).await.unwrap();
    users.set_role(&admin, "ada", "three", true).await.unwrap();
    // Two roles of 200 permissions, of which one alone is too large already.
    assert_eq!(oversized(role(app, "huge", 4000).await).0, "permissions");
}

async fn a_changed_role_is_refused_if_a_holders_token_grows_too_large(app: &App) {
    let (admin, roles) = (Admin::command(), &app.service.roles);
    role(app, "one", 1000).await.unwrap();
    role(app, "two", 100).await.unwrap();
    app.user("bob").await;
    for name in ["one", "two"] {
        app.service.users.set_role(&admin, "ada", name, true).await.unwrap();
    }
    app.service.users.set_role(&admin, "bob", "two", true).await.unwrap();
    let change = |bytes, audience| RolePatch {
        permissions: Some(permissions("two", bytes, audience)),
        description: None,
        require_mfa: None,
    };
    let (field, token) = oversized(roles.update(&admin, "two", change(1600, "api"), None).await);
    assert_eq!((field, token.audience.as_str()), ("permissions", "api"));
    // There is room for the same permissions at another audience, and for fewer at this one.
    roles.update(&admin, "two", change(1600, "other"), None).await.unwrap();
    roles.update(&admin, "two", change(1000, "api"), None).await.unwrap();
    assert!(size_at(app, "api").await <= 4096);
    app.service.users.set_role(&admin, "ada", "two", false).await.unwrap();
    roles.update(&admin, "two", change(1600, "api"), None).await.unwrap();
}

fn attributes(bytes: usize) -> Map<String, Value> {
    json!({ "blob": "x".repeat(bytes) }).as_object().cloned().unwrap()
}

fn mapped(id: &str) -> NewClientRequest {
    NewClientRequest { claims: vec!["blob=blob".into()], ..first_party(id, &["api", ISSUER]) }
}

async fn attributes_are_refused_if_a_mapped_claim_makes_a_token_too_large(app: &App) {
    let (admin, users) = (Admin::command(), &app.service.users);
    let patch = |bytes| UserPatch { attributes: Some(attributes(bytes)), ..UserPatch::default() };
    users.update(&admin, "ada", &patch(4000), None).await.unwrap();
    users.update(&admin, "ada", &patch(10), None).await.unwrap();
    app.service.clients.create(&admin, mapped("portal")).await.unwrap();
    let (field, token) = oversized(users.update(&admin, "ada", &patch(4000), None).await);
    assert_eq!((field, token.client.as_str()), ("attributes", "portal"));
    users.update(&admin, "ada", &patch(1500), None).await.unwrap();
    let new = |bytes| NewUserRequest {
        name: "bob".into(),
        password: Some(Password::new(PASSWORD.into())),
        attributes: attributes(bytes),
        ..NewUserRequest::default()
    };
    assert_eq!(oversized(users.create(&admin, new(4000)).await).0, "attributes");
    users.create(&admin, new(1500)).await.unwrap();
    let row = |subject: &str, bytes| ImportRow {
        subject: subject.into(),
        name: Some(subject.into()),
        attributes: attributes(bytes),
        ..ImportRow::default()
    };
    let rows = [row("small", 100), row("large", 4000), row("other", 100)];
    let outcomes = app.service.import.write(&admin, &rows).await.unwrap();
    let [ImportOutcome::Created, ImportOutcome::Refused(violations), ImportOutcome::Created] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(violations[0].field, "attributes");
}

async fn a_claim_map_is_refused_if_a_users_token_grows_too_large(app: &App) {
    let (admin, clients) = (Admin::command(), &app.service.clients);
    let patch = UserPatch { attributes: Some(attributes(4000)), ..UserPatch::default() };
    app.service.users.update(&admin, "ada", &patch, None).await.unwrap();
    let (field, token) = oversized(clients.create(&admin, mapped("portal")).await);
    assert_eq!((field, token.client.as_str()), ("client", "portal"));
    let claims = |all: &[String]| ClientPatch { claims: Some(all.to_vec()), ..ClientPatch::default() };
    let map = claims(&["blob=blob".to_owned()]);
    assert_eq!(oversized(clients.update(&admin, "app", &map, None).await).0, "claims");
    let literal = claims(&[format!("text=\"{}\"", "x".repeat(2900))]);
    assert_eq!(oversized(clients.update(&admin, "app", &literal, None).await).0, "claims");
    clients.update(&admin, "app", &claims(&["other=other".to_owned()]), None).await.unwrap();
    let literal = claims(&[format!("text=\"{}\"", "x".repeat(500))]);
    clients.update(&admin, "app", &literal, None).await.unwrap();
    app.sign_in().await;
}

async fn a_clients_own_permissions_roles_and_scopes_stay_small_enough(app: &App) {
    let (admin, clients) = (Admin::command(), &app.service.clients);
    for name in ["one", "two", "three"] {
        role(app, name, 1000).await.unwrap();
    }
    let worker = NewClientRequest { id: "worker".into(), audiences: vec!["api".into()], ..Default::default() };
    let roles = ["one", "two", "three"].map(str::to_owned).to_vec();
    let all = NewClientRequest { roles, ..worker };
    assert_eq!(oversized(clients.create(&admin, all).await).0, "client");
    let worker = NewClientRequest { id: "worker".into(), audiences: vec!["api".into()], ..Default::default() };
    let credentials = app.confidential(worker).await;
    clients.set_role(&admin, "worker", "one", true).await.unwrap();
    clients.set_role(&admin, "worker", "two", true).await.unwrap();
    assert_eq!(oversized(clients.set_role(&admin, "worker", "three", true).await).0, "role_id");
    let own = ClientPatch { permissions: Some(permissions("own", 1000, "api")), ..ClientPatch::default() };
    assert_eq!(oversized(clients.update(&admin, "worker", &own, None).await).0, "permissions");
    let scopes = (0..60).map(|n| format!("{n:0>40}")).collect();
    let scopes = ClientPatch { scopes: Some(scopes), ..ClientPatch::default() };
    assert_eq!(oversized(clients.update(&admin, "worker", &scopes, None).await).0, "scopes");
    let grown = RolePatch { permissions: Some(permissions("two", 2000, "api")), description: None, require_mfa: None };
    assert_eq!(oversized(app.service.roles.update(&admin, "two", grown, None).await).0, "permissions");
    let request = ClientTokenRequest { scopes: vec![], audience: String::new() };
    let issued = client_token(&app.service, &credentials, &request).await.unwrap();
    assert!((2000..=4096).contains(&issued.token.expose().len()), "{}", issued.token.expose().len());
}

async fn a_token_that_is_too_large_is_not_issued_and_the_session_goes_on(app: &App) {
    let one = app.sign_in().await;
    // Nobody checked this role: it was written by hand.
    role(app, "one", 100).await.unwrap();
    app.service.users.set_role(&Admin::command(), "ada", "one", true).await.unwrap();
    let large: Vec<Value> = permissions("x", 6000, "api")
        .iter()
        .map(|p| json!({ "audience": "api", "permission": p.split('@').next().unwrap() }))
        .collect();
    app.sql(&format!("UPDATE roles SET permissions = '{}' WHERE name = 'one'", json!(large))).await;
    let app2 = app.second_process().await;
    let try_refresh =
        |service, audience| refresh(service, "app", &*Box::leak(token(&one).into_boxed_str()), audience, &[], "");
    for _ in 0..3 {
        let refused = try_refresh(&app2, "").await.unwrap_err();
        assert_eq!(refused.reason(), Reason::TokenTooLarge, "{refused:?}");
        // Longer than the time in which a retry is answered again.
        app.clock.advance(Ttl::from_secs(300));
        app2.live.confirm().await.unwrap();
        app.service.live.confirm().await.unwrap();
    }
    let refused = sign_in(&app2, login_of("app", "ada", PASSWORD)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::TokenTooLarge);
    assert_eq!(app.service.users.sessions(&Admin::command(), "ada").await.unwrap().len(), 1, "none was opened in vain");
    // Another audience is not concerned.
    let other = try_refresh(&app2, "other").await.unwrap();
    app.service.users.set_role(&Admin::command(), "ada", "one", false).await.unwrap();
    app2.live.confirm().await.unwrap();
    refresh(&app2, "app", &token(&other), "", &[], "").await.unwrap();
    app2.store().close().await;
}

async fn an_administrator_with_every_permission_still_signs_in_and_has_room(app: &App) {
    app.client("portal", &[ISSUER]).await;
    let admin = Admin::command();
    for name in ["administrator", "user-administrator", "auditor"] {
        app.service.users.set_role(&admin, "ada", name, true).await.unwrap();
    }
    let pair = sign_in(&app.service, login_of("portal", "ada", PASSWORD)).await.unwrap();
    assert!(pair.access.token.expose().len() < 2000, "{}", pair.access.token.expose().len());
    let rs256 = ClientPatch { algorithm: Some("RS256".into()), ..ClientPatch::default() };
    app.service.clients.update(&admin, "portal", &rs256, None).await.unwrap();
    sign_in(&app.service, login_of("portal", "ada", PASSWORD)).await.unwrap();
}

async fn over_grpc_the_reason_names_the_field_and_the_sizes(app: &App) {
    let admin_client = AdminClient::of(app).await;
    for name in ["one", "two", "three"] {
        role(app, name, 1000).await.unwrap();
    }
    let assign = |role: &str| pb::AssignUserRoleRequest { user_id: "ada".into(), role_id: role.into() };
    admin_client.users().assign_user_role(admin_client.ask(assign("one"))).await.unwrap();
    admin_client.users().assign_user_role(admin_client.ask(assign("two"))).await.unwrap();
    let refused = admin_client.users().assign_user_role(admin_client.ask(assign("three"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "TOKEN_TOO_LARGE");
    assert_eq!((info.metadata["field"].as_str(), info.metadata["limit_bytes"].as_str()), ("role_id", "4096"));
    assert!(info.metadata["bytes"].parse::<usize>().unwrap() > 4096);
}

async fn the_sizes_of_tokens_are_counted(app: &App) {
    let bytes = app.sign_in().await.access.token.expose().len() as u64;
    let worker = NewClientRequest { id: "worker".into(), audiences: vec!["api".into()], ..Default::default() };
    let credentials: ClientCredentials = app.confidential(worker).await;
    let request = ClientTokenRequest { scopes: vec![], audience: String::new() };
    client_token(&app.service, &credentials, &request).await.unwrap();
    let (sizes, refused) = app.service.tokens.sizes();
    let of = |name: &str| sizes.iter().find(|(algorithm, _)| algorithm.as_str() == name).unwrap().1;
    assert_eq!((of("ES256").count, of("ES256").sum, of("RS256").count, refused), (1, bytes, 1, 0));
    let mut metrics = Metrics::default();
    let one = chancery::metrics::TokenSizes {
        algorithm: "ES256",
        count: 2,
        sum: 1100.0,
        buckets: vec![(512.0, 1), (768.0, 1)],
    };
    metrics.observe_token_sizes(move || (vec![one.clone()], 3));
    let text = metrics.text();
    for line in [
        "chancery_access_token_bytes_bucket{le=\"768.0\",alg=\"ES256\"} 2",
        "chancery_access_token_bytes_bucket{le=\"+Inf\",alg=\"ES256\"} 2",
        "chancery_access_token_bytes_count{alg=\"ES256\"} 2",
        "chancery_access_tokens_too_large_total 3",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
}

async fn a_long_subject_is_refused_if_no_token_has_room_for_it(app: &App) {
    let (admin, users) = (Admin::command(), &app.service.users);
    let mut bytes = 3000;
    // As much as there is room for.
    loop {
        let claims = vec![format!("text=\"{}\"", "x".repeat(bytes))];
        match app.service.clients.create(&admin, NewClientRequest { claims, ..first_party("full", &["api"]) }).await {
            Ok(_) => break,
            refused => drop(oversized(refused)),
        }
        bytes -= 50;
    }
    let long = "s".repeat(255);
    let new = |name: &str, subject: Option<&str>| NewUserRequest {
        name: name.into(),
        subject: subject.map(str::to_owned),
        password: Some(Password::new(PASSWORD.into())),
        ..NewUserRequest::default()
    };
    let (field, token) = oversized(users.create(&admin, new("bob", Some(&long))).await);
    assert_eq!((field, token.client.as_str()), ("subject", "full"));
    users.create(&admin, new("bob", None)).await.unwrap();
    sign_in(&app.service, login_of("full", "bob", PASSWORD)).await.unwrap();
    let row = |subject: &str, name: &str| ImportRow {
        subject: subject.into(),
        name: Some(name.into()),
        ..Default::default()
    };
    let outcomes = app.service.import.write(&admin, &[row(&long, "carol"), row("dave", "dave")]).await.unwrap();
    let [ImportOutcome::Refused(violations), ImportOutcome::Created] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(violations[0].field, "subject");
}

async fn a_change_that_makes_no_token_larger_is_not_refused(app: &App) {
    let admin = Admin::command();
    app.service.clients.create(&admin, mapped("portal")).await.unwrap();
    role(app, "one", 100).await.unwrap();
    app.service.users.set_role(&admin, "ada", "one", true).await.unwrap();
    let patch = |bytes| UserPatch { attributes: Some(attributes(bytes)), ..UserPatch::default() };
    app.service.users.update(&admin, "ada", &patch(1000), None).await.unwrap();
    let mut request = login_of("portal", "ada", PASSWORD);
    request.audience = ISSUER.into();
    let bearer = sign_in(&app.service, request).await.unwrap().access.token.expose().to_owned();
    // Nobody checked this role: it was written by hand.
    let large: Vec<Value> = permissions("x", 6000, "api")
        .iter()
        .map(|p| json!({ "audience": "api", "permission": p.split('@').next().unwrap() }))
        .collect();
    app.sql(&format!("UPDATE roles SET permissions = '{}' WHERE name = 'one'", json!(large))).await;
    let again = app.second_process().await;
    again.users.update(&admin, "ada", &patch(900), None).await.unwrap();
    assert_eq!(oversized(again.users.update(&admin, "ada", &patch(1000), None).await).0, "attributes");
    // The profile is in no token.
    let bearer = ClientCredentials::Bearer(bearer);
    let me = admit_me(&again, &bearer).await.unwrap();
    let profile = MePatch { profile: Some(attributes(100)), ..MePatch::default() };
    again.accounts.update(&again.context(), &me, profile).await.unwrap();
    again.store().close().await;
}
