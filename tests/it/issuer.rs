//! Changes the issuer of a deployment.

use chancery::{
    error::{Error, Reason},
    service::{Admin, ClientTokenRequest, NewClientRequest},
};

use crate::support::{App, ISSUER, Opened, claims, client_token, refresh, token};

on_each_engine! {
    #[tokio::test]
    App => {
        changing_the_issuer_replaces_keys_ends_sessions_and_moves_the_audience,
    }
}

const NEW: &str = "https://staging.example.com";

async fn changing_the_issuer_replaces_keys_ends_sessions_and_moves_the_audience(app: &App) {
    let admin = app
        .confidential(NewClientRequest {
            id: "admin".into(),
            audiences: vec![ISSUER.into()],
            serves: vec![ISSUER.into()],
            permissions: vec!["users.read".into()],
            ..NewClientRequest::default()
        })
        .await;
    let first = token(&app.sign_in().await);
    let old_kids: Vec<String> = app.service.live.snapshot().ring.stored.iter().map(|k| k.kid.clone()).collect();
    let command = app.second_process().await;
    assert_eq!(command.instance.set_issuer(&Admin::command(), NEW).await.unwrap(), 1);
    assert!(matches!(command.instance.set_issuer(&Admin::command(), NEW).await, Err(Error::Conflict)));
    // A server that is still running notices it and stops signing.
    assert!(app.service.live.confirm().await.is_err());
    assert_eq!(app.try_sign_in(crate::support::PASSWORD).await.unwrap_err().reason(), Reason::Unavailable);
    let opened = Opened { issuer: Some(NEW), ..Opened::default() };
    let service = App::open(&app.empty, opened).await.unwrap();
    let refused = refresh(&service, "app", &first, "", &[], "").await.unwrap_err();
    assert!(matches!(refused, Error::Ended { cause: "issuer_changed" }), "{refused:?}");
    let snapshot = service.live.snapshot();
    assert!(snapshot.ring.stored.iter().all(|k| !old_kids.contains(&k.kid)));
    let audiences = app.service.store().read().await.unwrap().audiences_all().await.unwrap();
    assert!(audiences.iter().any(|(name, owner)| name == NEW && owner.as_deref() == Some("admin")));
    assert!(audiences.iter().all(|(name, _)| name != ISSUER));
    assert!(snapshot.introspection_policies.contains_key("admin"));
    let request = ClientTokenRequest { scopes: vec![], audience: String::new() };
    let issued = client_token(&service, &admin, &request).await.unwrap();
    let said = claims(issued.token.expose());
    assert_eq!((&said["iss"], &said["aud"]), (&NEW.into(), &NEW.into()));
    assert_eq!(said["entitlements"], serde_json::json!(["users.read"]));
}
