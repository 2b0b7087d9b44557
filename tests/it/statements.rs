//! What each call costs the database. The figures stand in docs/architecture.md too.

use chancery::service::{ClientTokenRequest, NewClientRequest};

use crate::support::{engines, token};

/// Statements of a call on PostgreSQL and on SQLite, without the beginnings and ends of transactions. Those
/// of a refresh are those of its whole batch.
const PUBLISHED: [(&str, u64, u64); 5] =
    [("Login", 5, 5), ("Refresh", 1, 2), ("IssueClientToken", 0, 0), ("Introspect", 0, 0), ("GetJwks", 0, 0)];

#[tokio::test]
async fn each_call_costs_the_database_what_is_published() {
    for app in engines().await {
        let worker = app
            .confidential(NewClientRequest {
                id: "worker".into(),
                audiences: vec!["jobs".into()],
                serves: vec!["jobs".into()],
                ..NewClientRequest::default()
            })
            .await;
        // A process takes the places of its sessions in the status list a thousand at a time.
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
        let issued = app.service.issue_client_token(&app.service.context(), &worker, &request).await.unwrap();
        count("IssueClientToken");
        for _ in 0..2 {
            let token = issued.token.expose();
            assert!(app.service.introspect(&app.service.context(), &worker, token).await.unwrap().is_some());
        }
        count("Introspect");
        assert!(!app.service.live().snapshot().ring.jwks.is_empty());
        count("GetJwks");
        let published =
            PUBLISHED.map(|(name, postgres, sqlite)| (name, if app.engine == "sqlite" { sqlite } else { postgres }));
        assert_eq!(counted, published, "{}", app.engine);
    }
}

#[test]
fn the_published_figures_are_those_of_the_test() {
    let page = include_str!("../../docs/architecture.md");
    for (name, postgres, sqlite) in PUBLISHED {
        assert!(page.contains(&format!("| {name} | {postgres} | {sqlite} |")), "{name} in docs/architecture.md");
    }
}
