//! A user whose stored attributes and claims cannot be read: everybody else goes on, and the user can be healed,
//! disabled and deleted.

use chancery::{
    grpc::pb::{self, account_service_client::AccountServiceClient},
    secret::Password,
    service::{Admin, NewClientRequest, NewUserRequest, UserPatch},
};
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::json;
use tonic::{Code, Request};

use crate::{
    admin::AdminClient,
    support::{App, ISSUER, PASSWORD, claims, first_party, login_of, refresh, sign_in, token},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_user_who_cannot_be_read_is_listed_and_signs_in_and_others_go_on,
        a_user_who_cannot_be_read_is_disabled_healed_and_deleted,
        a_profile_is_not_changed_while_the_other_attributes_cannot_be_read,
        json_that_is_too_deep_is_refused_at_every_entrance,
        the_deepest_attributes_make_claims_that_verifiers_take,
    }
}

fn deep(levels: usize) -> String {
    format!("{{\"tree\":{}{}}}", "[".repeat(levels), "]".repeat(levels))
}

/// A user `bob`, and a client `portal` whose users have the claim `tree`.
async fn with_bob(app: &App) {
    app.user("bob").await;
    let mapped = NewClientRequest { claims: vec!["tree=tree".into()], ..first_party("portal", &["api", ISSUER]) };
    app.service.clients.create(&Admin::command(), mapped).await.unwrap();
}

async fn spoil(app: &App) {
    for text in [deep(126), deep(1000)] {
        app.sql(&format!("UPDATE users SET attributes = '{text}' WHERE id = {ID_OF_BOB}")).await;
        app.sql(&format!("UPDATE sessions SET claims = '{text}' WHERE user_id = {ID_OF_BOB}")).await;
    }
}

const ID_OF_BOB: &str = "(SELECT user_id FROM logins WHERE canonical = 'bob')";

async fn a_user_who_cannot_be_read_is_listed_and_signs_in_and_others_go_on(app: &App) {
    with_bob(app).await;
    let pair = |login: &'static str| sign_in(&app.service, login_of("portal", login, PASSWORD));
    let (ada, bob) = (pair("ada").await.unwrap(), pair("bob").await.unwrap());
    spoil(app).await;
    let admin_client = AdminClient::of(app).await;
    let list = pb::ListUsersRequest { filter: String::new(), ..Default::default() };
    let listed = admin_client.users().list_users(admin_client.ask(list)).await.unwrap().into_inner();
    assert_eq!(listed.users.len(), 2);
    let get = pb::GetUserRequest { user_id: "bob".into() };
    let got = admin_client.users().get_user(admin_client.ask(get)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(got.attributes, Some(Struct::default()));
    let (tokens, others) = (token(&ada), token(&bob));
    let (ada, bob) = tokio::join!(
        refresh(&app.service, "portal", &tokens, "", &[], ""),
        refresh(&app.service, "portal", &others, "", &[], ""),
    );
    assert!(ada.is_ok(), "{ada:?}");
    assert_eq!(claims(bob.unwrap().access.token.expose())["tree"], json!(null));
    assert_eq!(claims(pair("bob").await.unwrap().access.token.expose())["tree"], json!(null));
    pair("ada").await.unwrap();
    assert_eq!(app.service.users.sessions(&Admin::command(), "bob").await.unwrap().len(), 2);
}

async fn a_user_who_cannot_be_read_is_disabled_healed_and_deleted(app: &App) {
    with_bob(app).await;
    let (admin, users) = (Admin::command(), &app.service.users);
    let sign_in_bob = || sign_in(&app.service, login_of("portal", "bob", PASSWORD));
    sign_in_bob().await.unwrap();
    spoil(app).await;
    assert_eq!(users.end_sessions(&admin, "bob", &[]).await.unwrap().sessions, 1);
    let one = sign_in_bob().await.unwrap();
    spoil(app).await;
    assert!(users.end_session(&admin, &one.session_id).await.unwrap().sessions == 1);
    sign_in_bob().await.unwrap();
    spoil(app).await;
    assert_eq!(users.disable(&admin, "bob").await.unwrap().unwrap().sessions, 1);
    assert!(users.enable(&admin, "bob").await.unwrap());
    let bob = sign_in_bob().await.unwrap();
    let attributes = json!({ "tree": "oak" }).as_object().cloned();
    users.update(&admin, "bob", &UserPatch { attributes, ..UserPatch::default() }, None).await.unwrap();
    let again = refresh(&app.service, "portal", &token(&bob), "", &[], "").await.unwrap();
    assert_eq!(claims(again.access.token.expose())["tree"], "oak");
    spoil(app).await;
    assert_eq!(users.delete(&admin, "bob", None).await.unwrap().sessions, 1);
}

async fn a_profile_is_not_changed_while_the_other_attributes_cannot_be_read(app: &App) {
    with_bob(app).await;
    let mut request = login_of("portal", "bob", PASSWORD);
    request.audience = ISSUER.into();
    let bearer = format!("Bearer {}", sign_in(&app.service, request).await.unwrap().access.token.expose());
    spoil(app).await;
    let mut account = AccountServiceClient::new(served(app).await);
    let ask = |message| {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        request
    };
    let update = pb::UpdateMeRequest { profile: Some(Struct::default()), ..Default::default() };
    let refused = account.update_me(ask(update)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let name = pb::UpdateMeRequest { name: "robert".into(), ..Default::default() };
    account.update_me(ask(name)).await.unwrap();
}

/// A `Struct` with lists nested in it.
fn tree(levels: usize) -> Struct {
    let mut value = Value { kind: Some(Kind::StringValue("leaf".into())) };
    for _ in 1..levels {
        value = Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
    }
    Struct { fields: [("tree".to_owned(), value)].into() }
}

async fn json_that_is_too_deep_is_refused_at_every_entrance(app: &App) {
    let admin_client = AdminClient::of(app).await;
    let create = |name: &str, levels: usize| {
        let user = pb::User { name: name.into(), attributes: Some(tree(levels)), ..Default::default() };
        admin_client.ask(pb::CreateUserRequest { user: Some(user), ..Default::default() })
    };
    admin_client.users().create_user(create("deepest", 16)).await.unwrap();
    for levels in [17, 30] {
        let refused = admin_client.users().create_user(create("deep", levels)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{levels}");
    }
    let import = |attributes_json: String| {
        let user = pb::ImportedUser { subject: "s".into(), name: "s".into(), attributes_json, ..Default::default() };
        admin_client.ask(tokio_stream::iter([pb::ImportUsersRequest { users: vec![user] }]))
    };
    for levels in [16, 126, 127, 128, 2000] {
        let done = admin_client.users().import_users(import(deep(levels))).await.unwrap().into_inner();
        let violation = &done.refusals[0].field_violations[0];
        assert_eq!(violation.field, "attributes_json", "{levels}");
        assert!(violation.description.contains("16 levels"), "{levels}: {violation:?}");
    }
    // One number of six characters takes 301 on PostgreSQL.
    let numbers = format!("{{\"n\":[{}]}}", vec!["1e300"; 500].join(","));
    let done = admin_client.users().import_users(import(numbers)).await.unwrap().into_inner();
    assert!(done.refusals[0].field_violations[0].description.contains("4096 bytes"), "{done:?}");
}

async fn the_deepest_attributes_make_claims_that_verifiers_take(app: &App) {
    with_bob(app).await;
    let text = deep(15);
    let attributes = serde_json::from_str(&text).unwrap();
    let request = NewUserRequest {
        name: "eve".into(),
        password: Some(Password::new(PASSWORD.into())),
        attributes,
        ..NewUserRequest::default()
    };
    app.service.users.create(&Admin::command(), request).await.unwrap();
    let mut request = login_of("portal", "eve", PASSWORD);
    request.audience = ISSUER.into();
    let bearer = format!("Bearer {}", sign_in(&app.service, request).await.unwrap().access.token.expose());
    let mut get = Request::new(pb::GetMeRequest {});
    get.metadata_mut().insert("authorization", bearer.parse().unwrap());
    AccountServiceClient::new(served(app).await).get_me(get).await.unwrap();
}
