//! Token status lists, from a verifier's point of view.

use crate::support::client_token;
use std::{collections::BTreeSet, io::Read};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::{
    error::Reason,
    service::{Admin, ClientTokenRequest, NewClientRequest, Service},
    time::Ttl,
    web,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    forgetful::app_with_lossy_proxy,
    support::{App, ISSUER, PASSWORD, claims, login_of, sign_in, sign_in_with_retries, token},
};

on_each_engine! {
    #[tokio::test]
    App => {
        r13_an_ended_session_is_marked_and_its_neighbours_are_not,
        disabling_a_client_marks_its_tokens_and_its_users_tokens_until_it_is_enabled,
        j29_a_status_list_is_signed_again_as_soon_as_its_key_is_revoked,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        r10_no_index_is_issued_twice_across_processes_and_restarts,
    }
}

pub(crate) async fn get(routes: &Router, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

/// The status claim of a token: index and list URI.
fn status(access: &str) -> (u64, String) {
    let said = claims(access);
    let list = &said["status"]["status_list"];
    (list["idx"].as_u64().unwrap(), list["uri"].as_str().unwrap().to_owned())
}

/// Fetches the list that a token names and returns the token's bit.
async fn bit(app: &App, access: &str) -> u8 {
    let (index, uri) = status(access);
    let routes = web::routes(app.service.clone());
    let (answered, _, body) = get(&routes, uri.strip_prefix(ISSUER).unwrap(), &[]).await;
    assert_eq!(answered, StatusCode::OK);
    let said = claims(std::str::from_utf8(&body).unwrap());
    assert_eq!(said["sub"], uri);
    let zlib = URL_SAFE_NO_PAD.decode(said["status_list"]["lst"].as_str().unwrap()).unwrap();
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut bytes).unwrap();
    let index = usize::try_from(index).unwrap();
    bytes[index / 8] >> (index % 8) & 1
}

#[tokio::test]
async fn r02_r05_a_status_list_is_a_signed_token_served_as_the_draft_requires() {
    let app = App::sqlite().await;
    let access = app.sign_in().await.access.token.expose().to_owned();
    let (index, uri) = status(&access);
    assert!(index < 1 << 17);
    assert_eq!(uri, format!("{ISSUER}/statuslists/1"));
    let routes = web::routes(app.service.clone());
    let (answered, headers, body) = get(&routes, "/statuslists/1", &[("accept", "application/statuslist+jwt")]).await;
    assert_eq!(answered, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/statuslist+jwt");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let jwt = String::from_utf8(body).unwrap();
    let header = URL_SAFE_NO_PAD.decode(jwt.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!((&header["typ"], &header["alg"]), (&json!("statuslist+jwt"), &json!("RS256")));
    let said = claims(&jwt);
    let now = app.service.now().seconds();
    assert_eq!((&said["iat"], &said["exp"], &said["ttl"]), (&json!(now), &json!(now + 120), &json!(15)));
    assert_eq!((&said["status_list"]["bits"], &said["sub"]), (&json!(1), &json!(uri)));
    // The list is not an access token, although the same key signed it (J12).
    let policy = chancery_verify::Policy::new(ISSUER, "api");
    let ring = app.service.live.snapshot().ring.clone();
    let checked = chancery_verify::check(&jwt, &ring.verifying, &policy, app.service.now().millis());
    assert_eq!(checked.unwrap_err(), chancery_verify::VerifyError::WrongType);
    let etag = headers["etag"].to_str().unwrap();
    let (again, _, empty) = get(&routes, "/statuslists/1", &[("if-none-match", etag)]).await;
    assert_eq!((again, empty.len()), (StatusCode::NOT_MODIFIED, 0));
    let (_, headers, packed) = get(&routes, "/statuslists/1", &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(headers["content-encoding"], "gzip");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, jwt);
    let packed_tag = headers["etag"].to_str().unwrap();
    assert_ne!(packed_tag, etag, "different bytes must have a different tag");
    let asked = [("accept-encoding", "gzip"), ("if-none-match", packed_tag)];
    let (again, headers, _) = get(&routes, "/statuslists/1", &asked).await;
    assert_eq!((again, headers.get("content-encoding")), (StatusCode::NOT_MODIFIED, None));
    for (path, want) in [
        ("/statuslists/2", StatusCode::NOT_FOUND),
        ("/statuslists/x", StatusCode::NOT_FOUND),
        ("/statuslists/1?time=1", StatusCode::NOT_IMPLEMENTED),
    ] {
        assert_eq!(get(&routes, path, &[]).await.0, want, "{path}");
    }
    let (_, headers, all) = get(&routes, "/statuslists", &[]).await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(serde_json::from_slice::<Value>(&all).unwrap(), json!({ "status_lists": [uri] }));
}

async fn r13_an_ended_session_is_marked_and_its_neighbours_are_not(app: &App) {
    let [one, two] = [app.sign_in().await, app.sign_in().await];
    let [a, b] = [&one, &two].map(|p| p.access.token.expose().to_owned());
    assert_eq!((bit(app, &a).await, bit(app, &b).await), (0, 0));
    app.service.users.end_session(&Admin::command(), &one.session_id).await.unwrap();
    // The list is published again within a second.
    app.pass(Ttl::from_secs(1)).await;
    assert_eq!((bit(app, &a).await, bit(app, &b).await), (1, 0));
    // A refreshed token has the same index as its session.
    let next = app.refresh(&token(&two), "").await.unwrap();
    assert_eq!(status(next.access.token.expose()), status(&b));
    // Another process publishes the same bits.
    let other = app.second_process().await;
    let (index, _) = status(&a);
    let list = other.status_lists.list(1).await.unwrap().unwrap();
    let said = claims(std::str::from_utf8(&list.token).unwrap());
    let zlib = URL_SAFE_NO_PAD.decode(said["status_list"]["lst"].as_str().unwrap()).unwrap();
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut bytes).unwrap();
    let set: u32 = bytes.iter().map(|b| b.count_ones()).sum();
    assert_eq!((set, bytes[usize::try_from(index).unwrap() / 8].count_ones()), (1, 1));
}

async fn disabling_a_client_marks_its_tokens_and_its_users_tokens_until_it_is_enabled(app: &App) {
    let worker = NewClientRequest { id: "worker".into(), ..NewClientRequest::default() };
    let worker = app.confidential(worker).await;
    let request = ClientTokenRequest { scopes: vec![], audience: String::new() };
    let own = client_token(&app.service, &worker, &request).await.unwrap();
    let own = own.token.expose().to_owned();
    let user = app.sign_in().await.access.token.expose().to_owned();
    for (disabled, want) in [(true, 1), (false, 0)] {
        for id in ["worker", "app"] {
            app.service.clients.set_disabled(&Admin::command(), id, disabled).await.unwrap();
        }
        app.pass(Ttl::from_secs(1)).await;
        assert_eq!((bit(app, &own).await, bit(app, &user).await), (want, want));
    }
}

/// Signs in `count` times in sequence and returns the status list indexes of the sessions in that order.
async fn places(service: &Service, count: usize) -> Vec<(u64, String)> {
    let mut places = Vec::new();
    for _ in 0..count {
        let pair = sign_in_with_retries(service, "ada").await.unwrap();
        places.push(status(pair.access.token.expose()));
    }
    places
}

async fn r10_no_index_is_issued_twice_across_processes_and_restarts(app: &App) {
    let mut seen = BTreeSet::new();
    // The second round is after a restart: leased but unused indexes of the first round are lost.
    for _ in 0..2 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let service = app.second_process().await;
            tasks.spawn(async move { places(&service, 8).await });
        }
        for places in tasks.join_all().await {
            let near = places.windows(2).filter(|w| w[0].0.abs_diff(w[1].0) <= 100).count();
            assert!(near < 3, "consecutive sessions have consecutive indexes: {places:?}");
            for place in places {
                assert!(seen.insert(place.clone()), "{place:?} was issued twice");
            }
        }
    }
    assert_eq!(seen.len(), 48);
    // One block for the initial process and for each of the six; none is returned.
    let mut tx = app.service.store().write().await.unwrap();
    let next = tx.status_list_lease(1, &[0; 32], app.service.now()).await.unwrap();
    assert_eq!((next.list, next.from), (1, 7 * 1024));
}

#[tokio::test]
async fn r10_a_lease_whose_commit_reply_is_lost_is_never_used() {
    let Some((app, way)) = app_with_lossy_proxy().await else { return };
    let fresh = app.second_process().await;
    // The first commit counts the attempt, the second leases the block.
    way.arm_for(2);
    let refused = sign_in(&fresh, login_of("app", "ada", PASSWORD)).await.map(|p| p.session_id).unwrap_err();
    assert_eq!((way.has_dropped_reply(), refused.reason()), (true, Reason::Unavailable));
    // The initial process has one block. A second one was leased, but its lessee does not know.
    assert_eq!(app.empty.database.sql("SELECT 1 FROM status_lists WHERE leased = 2048").await.unwrap(), 1);
    let mut all = places(&fresh, 4).await;
    all.extend(places(&app.service, 4).await);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 8, "{all:?}");
    assert_eq!(app.empty.database.sql("SELECT 1 FROM status_lists WHERE leased = 3072").await.unwrap(), 1);
    app.finish().await;
}

async fn j29_a_status_list_is_signed_again_as_soon_as_its_key_is_revoked(app: &App) {
    let pair = app.sign_in().await;
    let (_, uri) = status(pair.access.token.expose());
    let routes = web::routes(app.service.clone());
    let path = uri.strip_prefix(ISSUER).unwrap().to_owned();
    let kid = async || {
        let (_, _, body) = get(&routes, &path, &[]).await;
        let header = URL_SAFE_NO_PAD.decode(body.split(|b| *b == b'.').next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    let old = kid().await;
    app.service.signing_keys.revoke(&Admin::command(), &old).await.unwrap();
    assert_ne!(kid().await, old);
}
