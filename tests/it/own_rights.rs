//! What a client has for tokens of its own, and what is asked for twice.

use chancery::{
    error::{Error, Result},
    service::{Admin, ClientCredentials, ClientPatch, ClientTokenRequest, NewClientRequest},
};

use crate::support::{App, PASSWORD, client_token, first_party, login_of, refresh, sign_in, token};

on_each_engine! {
    #[tokio::test]
    App => {
        a_public_client_has_no_permissions_and_no_roles,
        what_is_given_twice_is_stored_and_issued_once,
    }
}

fn fields<T>(result: Result<T>) -> Vec<String> {
    match result {
        Err(Error::Invalid(violations)) => violations.iter().map(|v| v.field.to_string()).collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

async fn a_public_client_has_no_permissions_and_no_roles(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let request = |public| NewClientRequest {
        public,
        permissions: texts(&["read@api"]),
        roles: texts(&["auditor"]),
        ..first_party("new", &["api"])
    };
    assert_eq!(fields(clients.create(&admin, request(true)).await), ["permissions", "roles"]);
    clients.create(&admin, request(false)).await.unwrap();

    let patch = |permissions| ClientPatch { permissions: Some(permissions), ..ClientPatch::default() };
    assert_eq!(fields(clients.update(&admin, "app", &patch(texts(&["read@api"])), None).await), ["permissions"]);
    clients.update(&admin, "app", &patch(Vec::new()), None).await.unwrap();

    let refused = clients.set_role(&admin, "app", "auditor", true).await.unwrap_err();
    assert!(refused.to_string().contains("no tokens of its own"), "{refused}");
    // What an older release allowed can be taken away.
    assert!(!clients.set_role(&admin, "app", "auditor", false).await.unwrap());
}

async fn what_is_given_twice_is_stored_and_issued_once(app: &App) {
    let (clients, admin) = (&app.service.clients, Admin::command());
    let twice = NewClientRequest {
        public: false,
        grants: texts(&["direct_login", "refresh_token", "client_credentials", "direct_login"]),
        scopes: texts(&["b", "a", "b"]),
        permissions: texts(&["read@api", "read@api"]),
        ..first_party("twice", &["q", "api", "q"])
    };
    let (_, secret) = clients.create(&admin, twice).await.unwrap();
    let stored = || {
        let config = clients.get(&admin, "twice").unwrap().config.clone();
        let names = |all: Vec<String>| all.join(" ");
        (
            config.grants.len(),
            names(config.audiences.iter().map(ToString::to_string).collect()),
            names(config.scopes.iter().map(ToString::to_string).collect()),
            config.permissions.len(),
        )
    };
    assert_eq!(stored(), (3, "q api".to_owned(), "b a".to_owned(), 1));
    let patch = ClientPatch {
        audiences: Some(texts(&["api", "q", "api"])),
        scopes: Some(texts(&["a", "a", "b"])),
        permissions: Some(texts(&["read@api", "read@api"])),
        ..ClientPatch::default()
    };
    clients.update(&admin, "twice", &patch, None).await.unwrap();
    assert_eq!(stored(), (3, "api q".to_owned(), "a b".to_owned(), 1));

    let mut request = login_of("app", "ada", PASSWORD);
    request.scopes = texts(&["write", "read", "write"]);
    let pair = sign_in(&app.service, request).await.unwrap();
    assert_eq!(pair.access.scopes, ["write", "read"]);
    let next = refresh(&app.service, "app", &token(&pair), "", &["read", "read"], "").await.unwrap();
    assert_eq!(next.access.scopes, ["read"]);

    let worker = ClientCredentials::Basic { client_id: "twice".into(), secret: secret.unwrap() };
    let asked = ClientTokenRequest { scopes: texts(&["b", "b"]), audience: String::new() };
    assert_eq!(client_token(&app.service, &worker, &asked).await.unwrap().scopes, ["b"]);
}
