//! Introspection and revocation of tokens.

use chancery::{
    error::{Error, Reason},
    service::{Admin, ClientCredentials, NewClientRequest},
    time::Ttl,
};

use crate::support::{App, ISSUER, client_token, introspect, token};

on_each_engine! {
    #[tokio::test]
    App => {
        o29_only_the_audiences_own_server_may_introspect_and_only_while_the_token_is_valid,
        introspection_uses_no_database_and_stops_when_signing_stops,
        o28_a_client_revokes_its_own_tokens_and_no_others,
    }
}

async fn resource_server(app: &App) -> ClientCredentials {
    let server =
        NewClientRequest { id: "api-server".into(), serves: vec!["api".into()], ..NewClientRequest::default() };
    app.confidential(server).await
}

async fn active(app: &App, who: &ClientCredentials, token: &str) -> bool {
    introspect(&app.service, who, token).await.unwrap().is_some()
}

async fn o29_only_the_audiences_own_server_may_introspect_and_only_while_the_token_is_valid(app: &App) {
    let server = resource_server(app).await;
    let pair = app.sign_in().await;
    let access = pair.access.token.expose().to_owned();
    let claims = introspect(&app.service, &server, &access).await.unwrap().unwrap();
    assert_eq!((claims.client_id.as_str(), claims.session_id.as_deref()), ("app", Some(pair.session_id.as_str())));
    let stranger =
        NewClientRequest { id: "stranger".into(), serves: vec!["other".into()], ..NewClientRequest::default() };
    let stranger = app.confidential(stranger).await;
    assert!(!active(app, &stranger, &access).await);
    for nothing in [&token(&pair), "x", "a.b.c", &access[..access.len() - 1]] {
        assert!(!active(app, &server, nothing).await, "{nothing}");
    }
    app.pass(Ttl::from_secs(299)).await;
    assert!(active(app, &server, &access).await);
    app.pass(Ttl::from_secs(1)).await;
    assert!(!active(app, &server, &access).await, "expired");
    let pair = app.sign_in().await;
    let access = pair.access.token.expose().to_owned();
    app.service.users.end_session(&Admin::command(), &pair.session_id).await.unwrap();
    assert!(!active(app, &server, &access).await, "ended");
    let access = app.sign_in().await.access.token.expose().to_owned();
    app.service.clients.set_disabled(&Admin::command(), "app", true).await.unwrap();
    assert!(!active(app, &server, &access).await, "client disabled");
    app.service.clients.set_disabled(&Admin::command(), "app", false).await.unwrap();
    assert!(active(app, &server, &access).await, "client enabled again");
}

async fn introspection_uses_no_database_and_stops_when_signing_stops(app: &App) {
    let server = resource_server(app).await;
    let access = app.sign_in().await.access.token.expose().to_owned();
    let before = app.service.store().statements();
    assert!(active(app, &server, &access).await);
    assert_eq!(app.service.store().statements(), before);
    app.clock.advance(Ttl::from_secs(11));
    let unsure = introspect(&app.service, &server, &access).await.unwrap_err();
    assert_eq!(unsure.reason(), Reason::Unavailable);
    let nobody = introspect(&app.service, &ClientCredentials::None, &access).await;
    assert_eq!(nobody.unwrap_err().reason(), Reason::ClientAuthenticationFailed);
}

async fn o28_a_client_revokes_its_own_tokens_and_no_others(app: &App) {
    app.client("neighbour", &["api"]).await;
    let revoke = async |client: &'static str, token: &str| {
        app.service.tokens.revoke(&app.service.context(), &ClientCredentials::None, client, token).await
    };
    let pair = app.sign_in().await;
    for foreign in [token(&pair), pair.access.token.expose().to_owned()] {
        revoke("neighbour", &foreign).await.unwrap();
        revoke("app", "nonsense").await.unwrap();
    }
    let next = app.refresh(&token(&pair), "").await.unwrap();
    revoke("app", next.access.token.expose()).await.unwrap();
    let ended = app.refresh(&token(&next), "").await.unwrap_err();
    assert!(matches!(ended, Error::Ended { cause: "logout" }), "{ended:?}");
    // Revoking twice is not an error, and a token of any generation works.
    revoke("app", next.access.token.expose()).await.unwrap();
    let pair = app.sign_in().await;
    app.refresh(&token(&pair), "").await.unwrap();
    revoke("app", &token(&pair)).await.unwrap();
    assert_eq!(app.refresh(&token(&pair), "").await.unwrap_err().reason(), Reason::SessionRevoked);
    let Err(Error::Invalid(wrong)) = revoke("app", "").await else { panic!("accepted") };
    assert_eq!(wrong[0].field, "token");
}

#[tokio::test]
async fn revoking_a_client_token_alone_is_refused_with_an_error() {
    let app = App::sqlite().await;
    let worker =
        NewClientRequest { id: "worker".into(), audiences: vec![ISSUER.into()], ..NewClientRequest::default() };
    let worker = app.confidential(worker).await;
    let request = chancery::service::ClientTokenRequest { scopes: vec![], audience: String::new() };
    let issued = client_token(&app.service, &worker, &request).await.unwrap();
    let refused = app.service.tokens.revoke(&app.service.context(), &worker, "", issued.token.expose()).await;
    assert!(matches!(refused, Err(Error::Precondition(_))), "{refused:?}");
}
