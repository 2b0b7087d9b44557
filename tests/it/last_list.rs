//! Status lists while the database is away, and what those who need a list at the same time share.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, StatusCode};
use chancery::{
    error::Error,
    service::{Admin, Service},
    time::Ttl,
    web,
};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    database::with_postgres,
    network::{Mode, Network},
    outage::served_through,
    status_list::get,
    support::{App, ISSUER, claims},
};

on_each_engine! {
    #[tokio::test]
    App => {
        the_last_list_is_served_unchanged_until_it_expires_while_the_database_is_away,
        a_list_whose_key_was_revoked_is_not_served_again,
        concurrent_requests_for_a_list_share_one_build,
    }
}

const LIST: &str = "/statuslists/1";

async fn the_last_list_is_served_unchanged_until_it_expires_while_the_database_is_away(app: &App) {
    app.sign_in().await;
    let routes = web::routes(app.service.clone());
    let (status, headers, last) = get(&routes, LIST, &[]).await;
    assert_eq!((status, headers.get("age")), (StatusCode::OK, None), "a current list has no age");
    let etag = headers["etag"].to_str().unwrap().to_owned();
    let said = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    get(&routes, "/statuslists", &[]).await;
    // Nothing is confirmed from here on: after ten seconds this process signs nothing.
    for (passed, age) in [(11, 11), (60, 71), (48, 119)] {
        app.clock.advance(Ttl::from_secs(passed));
        assert!(app.service.live.for_signing().is_err());
        let (status, headers, body) = get(&routes, LIST, &[]).await;
        assert_eq!((status, body == last), (StatusCode::OK, true), "after {age} s");
        assert_eq!((said(&headers, "age"), said(&headers, "etag")), (age.to_string(), etag.clone()));
        assert_eq!(headers["cache-control"], "public, no-cache");
        let (status, headers, _) = get(&routes, LIST, &[("if-none-match", &etag)]).await;
        assert_eq!((status, said(&headers, "age")), (StatusCode::NOT_MODIFIED, age.to_string()));
    }
    app.clock.advance(Ttl::from_secs(1));
    assert_eq!(get(&routes, LIST, &[]).await.0, StatusCode::SERVICE_UNAVAILABLE, "it has expired");
    assert_eq!(get(&routes, "/.well-known/jwks.json", &[]).await.0, StatusCode::OK);
    app.service.live.confirm().await.unwrap();
    let (status, headers, body) = get(&routes, LIST, &[]).await;
    assert_eq!((status, headers.get("age")), (StatusCode::OK, None));
    let iat = claims(std::str::from_utf8(&body).unwrap())["iat"].clone();
    assert_eq!(iat, app.service.now().seconds(), "the database is back");
}

async fn a_list_whose_key_was_revoked_is_not_served_again(app: &App) {
    app.sign_in().await;
    let routes = web::routes(app.service.clone());
    let (_, _, list) = get(&routes, LIST, &[]).await;
    let other = app.second_process().await;
    let header = claims_of_header(&list);
    other.signing_keys.revoke(&Admin::command(), header["kid"].as_str().unwrap()).await.unwrap();
    app.service.live.confirm().await.unwrap();
    app.clock.advance(Ttl::from_secs(11));
    assert_eq!(get(&routes, LIST, &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

fn claims_of_header(token: &[u8]) -> serde_json::Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = token.split(|b| *b == b'.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn a_list_that_this_process_never_built_is_not_served_without_the_database() {
    let app = App::sqlite().await;
    app.sign_in().await;
    app.clock.advance(Ttl::from_secs(11));
    let routes = web::routes(app.service.clone());
    assert_eq!(get(&routes, LIST, &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_last_list_of_an_issuer_that_was_changed_is_not_served() {
    let app = App::sqlite().await;
    app.sign_in().await;
    let routes = web::routes(app.service.clone());
    assert_eq!(get(&routes, LIST, &[]).await.0, StatusCode::OK);
    let command = app.second_process().await;
    command.instance.set_issuer(&Admin::command(), "https://other.example.com").await.unwrap();
    assert!(app.service.live.confirm().await.is_err());
    assert_eq!(get(&routes, LIST, &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

async fn concurrent_requests_for_a_list_share_one_build(app: &App) {
    app.sign_in().await;
    let service = &app.service;
    for _ in 0..3 {
        let lists = join_all((0..50).map(|_| service.status_lists.list(1))).await;
        let lists: Vec<_> = lists.into_iter().map(|list| list.unwrap().unwrap()).collect();
        assert!(lists.iter().all(|list| Arc::ptr_eq(list, &lists[0])), "it was built more than once");
        app.pass(Ttl::from_secs(15)).await;
    }
}

/// A service behind a network, with a list that it has built and would have to ask the database about.
async fn with_a_disabled_client(app: &App, network: &Network) -> Service {
    app.sign_in().await;
    app.client("portal", &["api", ISSUER]).await;
    app.service.clients.set_disabled(&Admin::command(), "portal", true).await.unwrap();
    let service = served_through(app, network).await;
    service.status_lists.list(1).await.unwrap().unwrap();
    app.clock.advance(Ttl::from_secs(2));
    service.live.confirm().await.unwrap();
    service
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_need_a_list_share_the_wait_for_a_silent_database_and_get_the_last_one() {
    if !with_postgres() {
        return;
    }
    let app = App::postgres().await;
    let network = Network::to(&app.empty.database).await;
    let service = with_a_disabled_client(&app, &network).await;
    network.set(Mode::Swallows);
    let began = Instant::now();
    let all = join_all((0..30).map(|_| service.status_lists.list(1))).await;
    assert!(all.iter().all(|outcome| matches!(outcome, Err(Error::Unavailable(_)))), "{:?}", all[0]);
    // A transaction may take 0.6 s here. One after the other, they would have waited for 18 s.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let routes = web::routes(service.clone());
    let (status, headers, _) = get(&routes, LIST, &[]).await;
    assert_eq!((status, headers["age"].to_str().unwrap()), (StatusCode::OK, "2"));
    let (status, _, body) = get(&routes, "/statuslists", &[]).await;
    let uris: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, uris), (StatusCode::OK, json!({ "status_lists": [format!("{ISSUER}{LIST}")] })));
    network.set(Mode::Forwards);
    service.live.confirm().await.unwrap();
    let (status, headers, _) = get(&routes, LIST, &[]).await;
    assert_eq!((status, headers.get("age")), (StatusCode::OK, None));
    service.store().close().await;
    app.finish().await;
}
