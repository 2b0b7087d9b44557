//! The claims of access tokens.

use chancery::{
    domain::settings::Settings,
    error::{Error, Reason},
    secret::Password,
    service::{Admin, ClientTokenRequest, NewClientRequest, NewUserRequest},
    time::Ttl,
};
use serde_json::json;

use crate::support::{App, ISSUER, PASSWORD, claims, client_token, first_party, login_of, sign_in, token};

on_each_engine! {
    #[tokio::test]
    App => {
        j11_a_users_token_has_the_rfc_9068_claims_and_one_audience,
        the_audience_is_the_requested_one_or_the_default_and_unknown_ones_are_refused,
        a_claim_map_selects_attributes_and_takes_effect_at_sign_in,
        a_clients_token_contains_only_its_permissions_at_that_audience,
        no_token_outlives_its_session_or_the_ceiling,
    }
}

async fn j11_a_users_token_has_the_rfc_9068_claims_and_one_audience(app: &App) {
    let pair = app.sign_in().await;
    let said = claims(pair.access.token.expose());
    let now = app.service.now().seconds();
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    let want = json!({
        "iss": ISSUER, "sub": user.subject, "aud": "api", "client_id": "app", "iat": now, "exp": now + 300,
        "jti": said["jti"], "sid": pair.session_id, "scope": "read write", "auth_time": now, "amr": ["pwd"],
        "acr": "1", "status": said["status"],
    });
    assert_eq!(said, want);
    assert_eq!(said["jti"].as_str().unwrap().len(), 22, "128 bits");
    let other = claims(app.sign_in().await.access.token.expose());
    assert_ne!(said["jti"], other["jti"]);
}

async fn the_audience_is_the_requested_one_or_the_default_and_unknown_ones_are_refused(app: &App) {
    let mut request = login_of("app", "ada", PASSWORD);
    request.audience = "other".into();
    let pair = sign_in(&app.service, request).await.unwrap();
    assert_eq!(claims(pair.access.token.expose())["aud"], "other");
    // The audience applies only to that token; the next refresh uses the default again.
    let next = app.refresh(&token(&pair), "").await.unwrap();
    assert_eq!(claims(next.access.token.expose())["aud"], "api");
    let mut request = login_of("app", "ada", PASSWORD);
    request.audience = "nowhere".into();
    let Err(Error::Invalid(wrong)) = sign_in(&app.service, request).await else { panic!("accepted") };
    assert_eq!(wrong[0].field, "audience");
    let mut request = login_of("app", "ada", PASSWORD);
    request.scopes = vec!["read".into(), "admin".into()];
    let Err(Error::Invalid(wrong)) = sign_in(&app.service, request).await else { panic!("accepted") };
    assert_eq!(wrong[0].field, "scopes");
}

async fn a_claim_map_selects_attributes_and_takes_effect_at_sign_in(app: &App) {
    let attributes = json!({ "team": { "name": "Zoë's", "size": 3 }, "secret": "x" });
    app.service
        .users
        .create(
            &Admin::command(),
            NewUserRequest {
                name: "grace".into(),
                subject: Some("grace-1".into()),
                password: Some(Password::new(PASSWORD.into())),
                attributes: attributes.as_object().cloned().unwrap(),
                ..NewUserRequest::default()
            },
        )
        .await
        .unwrap();
    let mapped = NewClientRequest {
        claims: vec!["team=team.name".into(), "size=team.size".into(), "env=\"prod\"".into(), "no=team.x".into()],
        ..first_party("mapped", &["api"])
    };
    app.service.clients.create(&Admin::command(), mapped).await.unwrap();
    let pair = sign_in(&app.service, login_of("mapped", "grace", PASSWORD)).await.unwrap();
    let said = claims(pair.access.token.expose());
    assert_eq!((&said["sub"], &said["team"], &said["size"]), (&json!("grace-1"), &json!("Zoë's"), &json!(3)));
    assert_eq!((&said["env"], said.get("no"), said.get("secret")), (&json!("prod"), None, None));
    let reserved = NewClientRequest { claims: vec!["sub=team.name".into()], ..first_party("bad", &["api"]) };
    let Err(Error::Invalid(wrong)) = app.service.clients.create(&Admin::command(), reserved).await else {
        panic!("accepted")
    };
    assert_eq!(wrong[0].field, "claims");
}

async fn a_clients_token_contains_only_its_permissions_at_that_audience(app: &App) {
    let worker = app
        .confidential(NewClientRequest {
            id: "worker".into(),
            audiences: vec!["api".into(), ISSUER.into()],
            permissions: vec!["keys.list".into(), "orders.write@api".into()],
            ..NewClientRequest::default()
        })
        .await;
    let issue = async |audience: &str| {
        let request = ClientTokenRequest { scopes: vec![], audience: audience.into() };
        client_token(&app.service, &worker, &request).await
    };
    let said = claims(issue("").await.unwrap().token.expose());
    assert_eq!((&said["sub"], &said["client_id"]), (&json!("worker"), &json!("worker")));
    assert_eq!(said["entitlements"], json!(["orders.write"]));
    assert_eq!((said.get("sid"), said.get("auth_time")), (None, None));
    let said = claims(issue(ISSUER).await.unwrap().token.expose());
    assert_eq!(said["entitlements"], json!(["keys.list"]));
    assert_eq!(issue("nowhere").await.unwrap_err().reason(), Reason::InvalidArgument);
}

async fn no_token_outlives_its_session_or_the_ceiling(app: &App) {
    let mut newest = app.sign_in().await;
    for _ in 0..5 {
        app.pass(Ttl::from_days(5)).await;
        newest = app.refresh(&token(&newest), "").await.unwrap();
    }
    app.pass(Ttl::from_days(5).plus(Ttl::from_secs(-100))).await;
    newest = app.refresh(&token(&newest), "").await.unwrap();
    let said = claims(newest.access.token.expose());
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 100);
    let ceiling = Settings::default().access_token_lifetime_ceiling.seconds();
    let long = NewClientRequest { token_lifetime: Some(ceiling + 1), ..first_party("long", &["api"]) };
    let Err(Error::Invalid(wrong)) = app.service.clients.create(&Admin::command(), long).await else {
        panic!("accepted")
    };
    assert_eq!(wrong[0].field, "token_lifetime");
    // A lowered ceiling applies to new tokens at once.
    let at_most = NewClientRequest { token_lifetime: Some(ceiling), ..first_party("most", &["api"]) };
    app.service.clients.create(&Admin::command(), at_most).await.unwrap();
    app.service.instance.set(&Admin::command(), "access_token_lifetime_ceiling", "120").await.unwrap();
    let pair = sign_in(&app.service, login_of("most", "ada", PASSWORD)).await.unwrap();
    let said = claims(pair.access.token.expose());
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 120);
}
