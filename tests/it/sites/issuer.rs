//! The issuer's own client.

use chancery::{
    domain::{audit::AuditFilter, scope::Audience},
    error::Error,
    service::{ACCOUNT_CLIENT, AccountClient, Admin},
    time::Ttl,
};

use super::{declare, move_to};
use crate::support::{App, ISSUER};

on_each_engine! {
    #[tokio::test]
    App => {
        the_issuers_own_client_is_created_once,
        of_two_processes_that_start_at_once_one_creates_the_issuers_own_client,
        a_deleted_client_of_the_issuer_stays_deleted,
        a_client_at_the_issuers_origin_takes_the_place_of_its_own,
        the_issuers_own_site_moves_with_the_issuer,
    }
}

async fn ensure(service: &chancery::service::Service) -> AccountClient {
    service.clients.ensure_account_client(&Admin::command(), service.issuer(), false).await.unwrap()
}

async fn the_issuers_own_client_is_created_once(app: &App) {
    assert_eq!(ensure(&app.service).await, AccountClient::Created);
    let client = app.service.clients.get(&Admin::command(), ACCOUNT_CLIENT).unwrap();
    let config = &client.config;
    assert_eq!(config.site.as_ref().unwrap().to_string(), format!("{ISSUER}/auth"));
    assert_eq!((client.display_name(), config.first_party, config.registration), ("Account", true, false));
    assert!(client.secret.is_none() && config.grants.is_empty());
    assert_eq!(config.audiences.iter().map(Audience::as_str).collect::<Vec<_>>(), [ISSUER]);
    let revision = client.revision;
    assert_eq!(ensure(&app.service).await, AccountClient::Exists);
    assert_eq!(app.service.clients.get(&Admin::command(), ACCOUNT_CLIENT).unwrap().revision, revision);
    let other = app.service.clients.create(&Admin::command(), crate::support::first_party(ACCOUNT_CLIENT, &[])).await;
    assert!(matches!(other, Err(Error::Exists(..))));
}

async fn of_two_processes_that_start_at_once_one_creates_the_issuers_own_client(app: &App) {
    let there = app.second_process().await;
    let (one, other) = tokio::join!(ensure(&app.service), ensure(&there));
    let mut outcomes = [one, other];
    outcomes.sort_by_key(|outcome| *outcome != AccountClient::Created);
    assert_eq!(outcomes, [AccountClient::Created, AccountClient::Exists]);
    let filter = AuditFilter { subject: Some(ACCOUNT_CLIENT.into()), ..AuditFilter::default() };
    let events = app.service.audit.list(&Admin::command(), &filter, None, 10).await.unwrap();
    assert_eq!(events.len(), 1);
}

async fn a_deleted_client_of_the_issuer_stays_deleted(app: &App) {
    ensure(&app.service).await;
    let admin = Admin::command();
    app.service.clients.set_disabled(&admin, ACCOUNT_CLIENT, true).await.unwrap();
    assert_eq!(ensure(&app.service).await, AccountClient::Exists);
    app.pass(Ttl::from_days(2)).await;
    app.service.clients.delete(&admin, ACCOUNT_CLIENT).await.unwrap();
    assert_eq!(ensure(&app.service).await, AccountClient::Elsewhere);
    assert!(app.service.clients.get(&admin, ACCOUNT_CLIENT).is_err());
}

async fn a_client_at_the_issuers_origin_takes_the_place_of_its_own(app: &App) {
    declare(&app.service, "portal", &format!("{ISSUER}/id")).await;
    assert_eq!(ensure(&app.service).await, AccountClient::Exists);
    assert!(app.service.clients.get(&Admin::command(), ACCOUNT_CLIENT).is_err());
    // The operator moves the pages elsewhere: the next start does not bring them back by another client.
    app.service.clients.update(&Admin::command(), "portal", &move_to("https://portal.example/id"), None).await.unwrap();
    assert_eq!(ensure(&app.service).await, AccountClient::Created);
    let patch = move_to("https://account.example/auth");
    app.service.clients.update(&Admin::command(), ACCOUNT_CLIENT, &patch, None).await.unwrap();
    assert_eq!(ensure(&app.service).await, AccountClient::Elsewhere);
}

async fn the_issuers_own_site_moves_with_the_issuer(app: &App) {
    ensure(&app.service).await;
    declare(&app.service, "shop", "https://shop.example/auth").await;
    app.service.instance.set_issuer(&Admin::command(), "https://login.example.org:8443/x").await.unwrap();
    let there = App::open(&app.empty, crate::support::Opened { issuer: None, ..Default::default() }).await.unwrap();
    let snapshot = there.live.snapshot();
    let mut sites: Vec<_> = snapshot.sites().map(ToString::to_string).collect();
    sites.sort();
    assert_eq!(sites, ["https://login.example.org:8443/auth", "https://shop.example/auth"]);
    assert_eq!(ensure(&there).await, AccountClient::Exists);
}
