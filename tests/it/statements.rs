//! Number of statements per call. docs/architecture.md contains the same figures.

use crate::support::{client_token, introspect};
use chancery::{
    grpc::pb::{GetJwksRequest, key_service_client::KeyServiceClient},
    secret::RefreshToken,
    service::{ClientCredentials, ClientTokenRequest, NewClientRequest, RefreshInput},
};

use crate::{
    support::{App, login_of, token},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        each_call_takes_the_published_number_of_statements,
    }
}

/// Statements per call on either engine, without BEGIN and COMMIT. The one of a refresh
/// covers its whole batch.
const PUBLISHED: [(&str, u64); 5] =
    [("Login", 9), ("Refresh", 1), ("IssueClientToken", 0), ("Introspect", 0), ("GetJwks", 0)];

async fn each_call_takes_the_published_number_of_statements(app: &App) {
    let worker = app
        .confidential(NewClientRequest {
            id: "worker".into(),
            audiences: vec!["jobs".into()],
            serves: vec!["jobs".into()],
            ..NewClientRequest::default()
        })
        .await;
    let mut keys = KeyServiceClient::new(served(app).await);
    // A process leases status list indexes in blocks of a thousand.
    app.sign_in().await;
    let mut before = app.service.store().statements();
    let mut counted = Vec::new();
    let mut count = |name| {
        let now = app.service.store().statements();
        counted.push((name, now - before));
        before = now;
    };
    let pair = app.sign_in().await;
    count("Login");
    app.refresh(&token(&pair), "").await.unwrap();
    count("Refresh");
    let request = ClientTokenRequest { scopes: vec![], audience: String::new() };
    let issued = client_token(&app.service, &worker, &request).await.unwrap();
    count("IssueClientToken");
    for _ in 0..2 {
        let token = issued.token.expose();
        assert!(introspect(&app.service, &worker, token).await.unwrap().is_some());
    }
    count("Introspect");
    let jwks = keys.get_jwks(GetJwksRequest::default()).await.unwrap().into_inner();
    assert!(!jwks.keys.is_empty());
    count("GetJwks");
    assert_eq!(counted, PUBLISHED);
}

#[test]
fn the_documented_figures_match_the_test() {
    let page = include_str!("../../docs/architecture.md");
    for (name, statements) in PUBLISHED {
        assert!(page.contains(&format!("| {name} | {statements} |")), "{name} in docs/architecture.md");
    }
}

/// Every call allocates the largest state that it may need. With thousands of calls in flight, it must fit in the
/// processor's caches.
#[tokio::test]
async fn the_futures_of_in_memory_calls_are_small() {
    const MOST: usize = 4096;
    let app = App::sqlite().await;
    let (ctx, nobody) = (app.service.context(), ClientCredentials::None);
    let input = RefreshInput {
        client_id: String::new(),
        refresh_token: RefreshToken::new(String::new()),
        audience: String::new(),
        scopes: Vec::new(),
        request_id: String::new(),
    };
    let request = ClientTokenRequest { scopes: vec![], audience: String::new() };
    let sizes = [
        size_of_val(&app.service.tokens.refresh(&ctx, &nobody, input)),
        size_of_val(&client_token(&app.service, &nobody, &request)),
        size_of_val(&introspect(&app.service, &nobody, "")),
        size_of_val(&app.service.sign_ins.sign_in(&ctx, &nobody, login_of("", "", ""))),
    ];
    assert!(sizes.iter().all(|size| *size <= MOST), "{sizes:?}");
}
