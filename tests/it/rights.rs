//! Removing permissions from a user or client takes effect at once, whatever valid tokens contain.

use std::pin::Pin;

use chancery::{
    domain::audit::AuditFilter,
    error::{Error, Reason, Result},
    passwords::{Account, Prefix, Turn},
    secret::Password,
    service::{
        Act, Admin, ClientCredentials, ClientPatch, ClientTokenRequest, ImportRow, NewClientRequest, NewRoleRequest,
        NewUserRequest, SignInRequest, TokenPair,
    },
};

use crate::support::{App, ISSUER, PASSWORD, admit_admin, claims, client_token, login_of, refresh, sign_in, token};

on_each_engine! {
    #[tokio::test]
    App => {
        a_removed_administrator_cannot_regain_the_role,
        an_administrator_removed_during_a_call_cannot_regain_the_role,
        an_administrator_removed_during_a_call_changes_nothing,
        a_client_changed_during_a_sign_in_gets_no_more_than_it_still_may,
        removing_a_permission_from_a_client_applies_to_its_existing_tokens,
        a_users_streams_end_when_the_role_is_removed,
        an_import_ends_when_its_permission_is_removed,
        a_scope_removed_from_a_client_is_missing_from_all_new_tokens,
        an_ended_session_gives_no_access_in_a_process_that_has_not_read_the_feed,
    }
}

const ASSIGN: (&str, Act) = ("roles.assign", Act::Write);

/// A user with the role `administrator`, and its token for this server.
async fn root(app: &App) -> ClientCredentials {
    app.client("portal", &["api", ISSUER]).await;
    app.user("root").await;
    assert!(set_administrator(app, true).await);
    let request = SignInRequest { audience: ISSUER.into(), ..login_of("portal", "root", PASSWORD) };
    let pair = sign_in(&app.service, request).await.unwrap();
    ClientCredentials::Bearer(pair.access.token.expose().to_owned())
}

async fn set_administrator(app: &App, given: bool) -> bool {
    app.service.users.set_role(&Admin::command(), "root", "administrator", given).await.unwrap()
}

async fn roles(app: &App, user: &str) -> usize {
    app.service.users.get(&Admin::command(), user).await.unwrap().roles.len()
}

async fn a_removed_administrator_cannot_regain_the_role(app: &App) {
    let who = root(app).await;
    assert!(admit_admin(&app.service, &who, ASSIGN).await.is_ok());
    assert!(set_administrator(app, false).await);
    for permission in ["roles.assign", "clients.write", "users.read", "audit.read"] {
        let refused = admit_admin(&app.service, &who, (permission, Act::Read)).await.unwrap_err();
        assert!(matches!(&refused, Error::Lacks(lacks) if *lacks == permission), "{refused:?}");
    }
    // A lesser role grants only its own permissions.
    app.service.users.set_role(&Admin::command(), "root", "auditor", true).await.unwrap();
    assert!(admit_admin(&app.service, &who, ("audit.read", Act::Read)).await.is_ok());
    assert!(matches!(admit_admin(&app.service, &who, ASSIGN).await, Err(Error::Lacks(_))));
    // Once the role is assigned again, the same token works again.
    assert!(set_administrator(app, true).await);
    assert!(admit_admin(&app.service, &who, ASSIGN).await.is_ok());
}

async fn an_administrator_removed_during_a_call_cannot_regain_the_role(app: &App) {
    let who = root(app).await;
    let admin = admit_admin(&app.service, &who, ASSIGN).await.unwrap();
    assert!(set_administrator(app, false).await);
    let back = app.service.users.set_role(&admin, "root", "administrator", true).await;
    assert!(matches!(back, Err(Error::Conflict)), "{back:?}");
    assert_eq!(roles(app, "root").await, 0);
}

async fn an_administrator_removed_during_a_call_changes_nothing(app: &App) {
    let who = root(app).await;
    let admin = admit_admin(&app.service, &who, ASSIGN).await.unwrap();
    let (users, clients, all_roles) = (&app.service.users, &app.service.clients, &app.service.roles);
    let administrator = || vec!["administrator".to_owned()];
    let user = |name: &str| NewUserRequest { name: name.into(), roles: administrator(), ..NewUserRequest::default() };
    let client = || NewClientRequest { id: "heir".into(), roles: administrator(), ..NewClientRequest::default() };
    let role = || NewRoleRequest { name: "heirs".into(), ..NewRoleRequest::default() };
    assert!(set_administrator(app, false).await);
    let refused = [
        users.create(&admin, user("heir")).await.map(|_| ()),
        users.set_role(&admin, "ada", "administrator", true).await.map(|_| ()),
        users.set_password(&admin, "ada", Password::new("an entirely different phrase".into())).await.map(|_| ()),
        clients.create(&admin, client()).await.map(|_| ()),
        clients.set_role(&admin, "app", "administrator", true).await.map(|_| ()),
        clients.set_disabled(&admin, "app", true).await.map(|_| ()),
        all_roles.create(&admin, role()).await.map(|_| ()),
        app.service.signing_keys.rotate_early(&admin, None).await.map(|_| ()),
    ];
    for (nth, result) in refused.iter().enumerate() {
        assert!(matches!(result, Err(Error::Conflict)), "{nth}: {result:?}");
    }
    // An ended session is gone even for a user who has the role.
    assert!(set_administrator(app, true).await);
    users.end_sessions(&Admin::command(), "root", &[]).await.unwrap();
    let refused = users.create(&admin, user("heir")).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::TokenInvalid);
    assert!(users.get(&Admin::command(), "heir").await.is_err());
}

async fn a_client_changed_during_a_sign_in_gets_no_more_than_it_still_may(app: &App) {
    let (held, signing_in) = waiting_sign_in(app).await;
    let less = ClientPatch { scopes: Some(vec!["read".into()]), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "app", &less, None).await.unwrap();
    drop(held);
    assert_eq!(claims(signing_in.await.unwrap().access.token.expose())["scope"], "read");

    let (held, signing_in) = waiting_sign_in(app).await;
    app.service.clients.set_disabled(&Admin::command(), "app", true).await.unwrap();
    drop(held);
    assert_eq!(signing_in.await.unwrap_err().reason(), Reason::ClientAuthenticationFailed);
}

/// A sign-in whose client has been authenticated, and which waits for the account's turn as long as that is held.
async fn waiting_sign_in(app: &App) -> (Turn, Pin<Box<impl Future<Output = Result<TokenPair>>>>) {
    let held = app.service.passwords.turn(Account::of("ada"), Prefix::Unknown, None).await.unwrap();
    let mut signing_in = Box::pin(sign_in(&app.service, login_of("app", "ada", PASSWORD)));
    assert!(futures_util::poll!(&mut signing_in).is_pending());
    (held, signing_in)
}

async fn removing_a_permission_from_a_client_applies_to_its_existing_tokens(app: &App) {
    let worker = app
        .confidential(NewClientRequest {
            id: "worker".into(),
            audiences: vec![ISSUER.into()],
            permissions: vec!["users.read".into()],
            ..NewClientRequest::default()
        })
        .await;
    let request = ClientTokenRequest { scopes: vec![], audience: ISSUER.into() };
    let issued = client_token(&app.service, &worker, &request).await.unwrap();
    let bearer = ClientCredentials::Bearer(issued.token.expose().to_owned());
    let read = ("users.read", Act::Read);
    assert!(admit_admin(&app.service, &bearer, read).await.is_ok());
    let none = ClientPatch { permissions: Some(vec![]), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "worker", &none, None).await.unwrap();
    for who in [&bearer, &worker] {
        assert!(matches!(admit_admin(&app.service, who, read).await, Err(Error::Lacks("users.read"))));
    }
}

async fn a_users_streams_end_when_the_role_is_removed(app: &App) {
    let who = root(app).await;
    let admin = admit_admin(&app.service, &who, ("revocations.read", Act::Read)).await.unwrap();
    let mut revocations = app.service.revocations.watch(&admin, "").await.unwrap();
    let audit = admit_admin(&app.service, &who, ("audit.read", Act::Read)).await.unwrap();
    let mut events = app.service.audit.watch(&app.service.context(), &audit, AuditFilter::default());
    revocations.next().await.unwrap();
    // A change of another user does not end it.
    assert!(app.service.users.set_role(&Admin::command(), "ada", "auditor", true).await.unwrap());
    app.service.live.send_heartbeat();
    assert!(revocations.next().await.is_ok());
    assert!(!events.next().await.unwrap().is_empty());
    assert!(set_administrator(app, false).await);
    app.service.live.send_heartbeat();
    assert!(matches!(
        read_to_end(async || revocations.next().await.map(|_| ())).await,
        Error::Lacks("revocations.read")
    ));
    assert!(matches!(read_to_end(async || events.next().await.map(|_| ())).await, Error::Lacks("audit.read")));
}

/// Reads a stream to its end.
async fn read_to_end(mut next: impl AsyncFnMut() -> Result<()>) -> Error {
    for _ in 0..100 {
        if let Err(error) = next().await {
            return error;
        }
    }
    panic!("the stream did not end")
}

async fn an_import_ends_when_its_permission_is_removed(app: &App) {
    let who = root(app).await;
    let admin = admit_admin(&app.service, &who, ("users.import", Act::Write)).await.unwrap();
    let row = |n: u8| [ImportRow { subject: format!("old-{n}"), ..ImportRow::default() }];
    assert!(app.service.import.write(&admin, &row(1)).await.is_ok());
    assert!(set_administrator(app, false).await);
    assert!(matches!(app.service.import.write(&admin, &row(2)).await, Err(Error::Lacks("users.import"))));
    assert!(app.service.users.get(&Admin::command(), "old-2").await.is_err());
}

async fn a_scope_removed_from_a_client_is_missing_from_all_new_tokens(app: &App) {
    let pair = app.sign_in().await;
    assert_eq!(claims(pair.access.token.expose())["scope"], "read write");
    let less = ClientPatch { scopes: Some(vec!["read".into()]), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "app", &less, None).await.unwrap();
    let next = app.refresh(&token(&pair), "").await.unwrap();
    assert_eq!(claims(next.access.token.expose())["scope"], "read");
    assert_eq!(next.access.scopes, ["read"]);
    // Requesting it explicitly is refused, without consuming the refresh token.
    let asked = refresh(&app.service, "app", &token(&next), "", &["write"], "").await.unwrap_err();
    assert!(matches!(&asked, Error::Invalid(wrong) if wrong[0].field == "scopes"), "{asked:?}");
    let last = refresh(&app.service, "app", &token(&next), "", &["read"], "").await.unwrap();
    assert_eq!(claims(last.access.token.expose())["scope"], "read");
    // Once the client has the scope again, so do the session's tokens, because it was granted at sign-in.
    let more = ClientPatch { scopes: Some(vec!["read".into(), "write".into()]), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "app", &more, None).await.unwrap();
    let again = app.refresh(&token(&last), "").await.unwrap();
    assert_eq!(claims(again.access.token.expose())["scope"], "read write");
}

async fn an_ended_session_gives_no_access_in_a_process_that_has_not_read_the_feed(app: &App) {
    let who = root(app).await;
    let second = app.second_process().await;
    assert!(admit_admin(&second, &who, ASSIGN).await.is_ok());
    app.service.users.end_sessions(&Admin::command(), "root", &[]).await.unwrap();
    // The second process has not read the feed since then.
    let refused = admit_admin(&second, &who, ASSIGN).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::TokenInvalid);
}
