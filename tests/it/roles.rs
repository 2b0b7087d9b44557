//! Roles in tokens, and who may assign them, on both engines.

use chancery::{
    error::{Error, Reason},
    service::{
        Act, Admin, ClientCredentials, ClientTokenRequest, NewClientRequest, NewRoleRequest, RolePatch, Service,
    },
    time::Ttl,
};
use serde_json::json;

use crate::support::{
    App, ISSUER, Opened, PASSWORD, admit_admin, claims, client_token, login_of, refresh, sign_in, token,
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_role_appears_only_in_the_next_token_for_its_audience,
        a_clients_roles_work_like_its_own_permissions,
        administrators_cannot_grant_permissions_they_lack_or_change_users_with_more,
        s08_an_old_sign_in_allows_reading_but_not_changes,
        permissions_at_the_issuer_follow_an_issuer_change,
    }
}

async fn role(service: &Service, name: &str, permissions: &[&str]) {
    let permissions = permissions.iter().map(|p| (*p).to_owned()).collect();
    let request = NewRoleRequest { name: name.into(), permissions, ..NewRoleRequest::default() };
    service.roles.create(&Admin::command(), request).await.unwrap();
}

async fn give(app: &App, user: &str, role: &str) {
    assert!(app.service.users.set_role(&Admin::command(), user, role, true).await.unwrap());
}

async fn a_role_appears_only_in_the_next_token_for_its_audience(app: &App) {
    role(&app.service, "clerk", &["orders.read@api", "orders.write@api", "stock.read@stock"]).await;
    let first = app.sign_in().await;
    assert_eq!(claims(first.access.token.expose()).get("roles"), None);
    give(app, "ada", "clerk").await;
    assert!(!app.service.users.set_role(&Admin::command(), "ada", "clerk", true).await.unwrap());
    let next = app.refresh(&token(&first), "").await.unwrap();
    let said = claims(next.access.token.expose());
    assert_eq!(said["entitlements"], json!(["orders.read", "orders.write"]));
    assert_eq!(said["roles"], json!(["clerk"]));
    let elsewhere = refresh(&app.service, "app", &token(&next), "other", &[], "").await.unwrap();
    let said = claims(elsewhere.access.token.expose());
    assert_eq!((said.get("roles"), said.get("entitlements")), (None, None));
    // A changed definition is one row and applies to the next token; so does removing a role.
    let patch = RolePatch { permissions: Some(vec!["orders.read@api".into()]), ..RolePatch::default() };
    app.service.roles.update(&Admin::command(), "clerk", patch, None).await.unwrap();
    let next = app.refresh(&token(&elsewhere), "").await.unwrap();
    assert_eq!(claims(next.access.token.expose())["entitlements"], json!(["orders.read"]));
    assert!(app.service.users.set_role(&Admin::command(), "ada", "clerk", false).await.unwrap());
    let next = app.refresh(&token(&next), "").await.unwrap();
    assert_eq!(claims(next.access.token.expose()).get("roles"), None);
    // A new session has the user's roles, and another process knows their definitions.
    give(app, "ada", "clerk").await;
    let second = app.second_process().await;
    let pair = sign_in(&second, login_of("app", "ada", PASSWORD)).await.unwrap();
    assert_eq!(claims(pair.access.token.expose())["roles"], json!(["clerk"]));
}

async fn a_clients_roles_work_like_its_own_permissions(app: &App) {
    role(&app.service, "reader", &["jobs.read@jobs"]).await;
    let worker = app
        .confidential(NewClientRequest {
            id: "worker".into(),
            audiences: vec!["jobs".into()],
            permissions: vec!["jobs.run@jobs".into()],
            roles: vec!["reader".into(), "auditor".into()],
            ..NewClientRequest::default()
        })
        .await;
    let request = ClientTokenRequest { scopes: vec![], audience: String::new() };
    let issued = client_token(&app.service, &worker, &request).await.unwrap();
    let said = claims(issued.token.expose());
    assert_eq!((&said["entitlements"], &said["roles"]), (&json!(["jobs.read", "jobs.run"]), &json!(["reader"])));
    // They also apply at this server, with client authentication.
    assert!(admit_admin(&app.service, &worker, ("audit.read", Act::Read)).await.is_ok());
    assert!(matches!(
        admit_admin(&app.service, &worker, ("users.write", Act::Write)).await,
        Err(Error::Lacks("users.write"))
    ));
    let used = app.service.roles.delete(&Admin::command(), "reader").await;
    assert!(matches!(used, Err(Error::Precondition(text)) if text.contains("worker")));
}

/// The credentials of a user with a token for this server.
async fn bearer(app: &App, login: &str) -> ClientCredentials {
    let mut request = login_of("portal", login, PASSWORD);
    request.audience = ISSUER.into();
    let pair = sign_in(&app.service, request).await.unwrap();
    ClientCredentials::Bearer(pair.access.token.expose().to_owned())
}

async fn admitted(app: &App, credentials: &ClientCredentials, act: Act) -> chancery::error::Result<Admin> {
    admit_admin(&app.service, credentials, ("users.write", act)).await
}

async fn administrators_cannot_grant_permissions_they_lack_or_change_users_with_more(app: &App) {
    app.client("portal", &["api", ISSUER]).await;
    for (name, role) in [("helen", "user-administrator"), ("root", "administrator")] {
        app.user(name).await;
        give(app, name, role).await;
    }
    let helen = admitted(app, &bearer(app, "helen").await, Act::Write).await.unwrap();
    let root = admitted(app, &bearer(app, "root").await, Act::Write).await.unwrap();
    let denied = |e: &Error| e.reason() == Reason::PermissionDenied;
    let s = &app.service;
    // Ada has no role: Helen may change her, but cannot grant more than she has herself.
    assert!(s.users.disable(&helen, "ada").await.is_ok());
    assert!(s.users.enable(&helen, "ada").await.unwrap());
    assert!(denied(&s.users.set_role(&helen, "ada", "administrator", true).await.unwrap_err()));
    assert!(denied(&s.users.set_role(&helen, "helen", "administrator", true).await.unwrap_err()));
    assert!(s.users.set_role(&helen, "ada", "user-administrator", true).await.unwrap());
    // Otherwise, resetting an administrator's password would be a way to become one.
    let new = || chancery::secret::Password::new("another long pass phrase".into());
    assert!(denied(&s.users.set_password(&helen, "root", new()).await.unwrap_err()));
    assert!(denied(&s.users.disable(&helen, "root").await.unwrap_err()));
    assert!(s.users.get(&Admin::command(), "root").await.unwrap().user.disabled_at.is_none());
    let grand = |permission: &str| NewClientRequest {
        id: "grand".into(),
        permissions: vec![permission.into()],
        ..NewClientRequest::default()
    };
    assert!(denied(&s.clients.create(&helen, grand("keys.revoke")).await.unwrap_err()));
    assert!(s.clients.create(&root, grand("keys.revoke")).await.is_ok());
    assert!(denied(&s.clients.rotate_secret(&helen, "grand", Ttl::from_secs(0)).await.unwrap_err()));
    let role =
        NewRoleRequest { name: "more".into(), permissions: vec!["keys.revoke".into()], ..NewRoleRequest::default() };
    assert!(denied(&s.roles.create(&helen, role).await.unwrap_err()));
    assert!(s.users.disable(&root, "helen").await.is_ok());
}

async fn s08_an_old_sign_in_allows_reading_but_not_changes(app: &App) {
    app.client("portal", &["api", ISSUER]).await;
    app.user("helen").await;
    give(app, "helen", "user-administrator").await;
    let mut request = login_of("portal", "helen", PASSWORD);
    request.audience = ISSUER.into();
    let mut pair = sign_in(&app.service, request).await.unwrap();
    for (minutes, fresh) in [(0, true), (14, true), (1, true), (1, false)] {
        app.pass(Ttl::from_secs(minutes * 60)).await;
        pair = refresh(&app.service, "portal", &token(&pair), ISSUER, &[], "").await.unwrap();
        let bearer = ClientCredentials::Bearer(pair.access.token.expose().to_owned());
        let write = admitted(app, &bearer, Act::Write).await;
        assert_eq!(write.is_ok(), fresh, "after {minutes} more minutes: {write:?}");
        if let Err(error) = write {
            assert_eq!(error.reason(), Reason::SignInTooOld);
        }
        assert!(admitted(app, &bearer, Act::Read).await.is_ok());
    }
}

async fn permissions_at_the_issuer_follow_an_issuer_change(app: &App) {
    role(&app.service, "reader", &["audit.read", "orders.read@api"]).await;
    app.service.instance.set_issuer(&Admin::command(), "https://new.example.com").await.unwrap();
    let opened = Opened { issuer: Some("https://new.example.com"), ..Opened::default() };
    let moved = App::open(&app.empty, opened).await.unwrap();
    let reader = moved.roles.get(&Admin::command(), "reader").unwrap();
    assert_eq!(moved.roles.permission_names_of(&reader), ["audit.read", "orders.read@api"]);
}
