//! Invalid calls: each is refused with the documented reason, and the server keeps running.

use bytes::Bytes;
use chancery::grpc::pb::{
    EndUser, IssueClientTokenRequest, LoginRequest, LogoutRequest, RefreshRequest,
    auth_service_client::AuthServiceClient,
};
use http::uri::PathAndQuery;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::{
    calls::{CLIENT, PASSWORD, log_in, login_request, reason, refresh, start},
    place::Place,
    raw::Raw,
    server::Server,
};

type Auth = AuthServiceClient<Channel>;

const LOGIN: &str = "/chancery.v1.AuthService/Login";

async fn server(dir: &tempfile::TempDir) -> (Server, Channel) {
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let channel = server.channel().await;
    (server, channel)
}

#[track_caller]
fn check(status: &Status, code: Code, expected: &str) {
    assert_eq!((status.code(), reason(status).as_deref()), (code, Some(expected)), "{status:?}");
}

/// Checks that exactly these fields were refused.
#[track_caller]
fn check_fields(status: &Status, fields: &[&str]) {
    check(status, Code::InvalidArgument, "INVALID_ARGUMENT");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let named: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(named, fields, "{status:?}");
    assert!(violations.iter().all(|v| !v.description.is_empty()));
}

/// A sign-in with a wrong password, modified by `change`.
async fn login(channel: &Channel, change: impl FnOnce(&mut LoginRequest)) -> Status {
    let mut request = login_request("grace", "a wrong pass phrase");
    change(&mut request);
    Auth::new(channel.clone()).login(request).await.unwrap_err()
}

async fn refreshed(channel: &Channel, change: impl FnOnce(&mut RefreshRequest)) -> Status {
    let mut request = RefreshRequest {
        client_id: CLIENT.to_owned(),
        refresh_token: "chr_nonsense".to_owned(),
        ..RefreshRequest::default()
    };
    change(&mut request);
    Auth::new(channel.clone()).refresh(request).await.unwrap_err()
}

async fn raw(channel: &Channel, path: &'static str, bytes: &'static [u8]) -> Status {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = Request::new(Bytes::from_static(bytes));
    client.unary(request, PathAndQuery::from_static(path), Raw).await.unwrap_err()
}

/// A sign-in whose deadline has passed on arrival, by a client that still waits for the answer.
async fn login_past_deadline(server: &Server) -> Status {
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut auth = AuthServiceClient::with_origin(client, format!("http://{}", server.grpc).parse().unwrap());
    let mut request = Request::new(login_request("grace", PASSWORD));
    request.metadata_mut().insert("grpc-timeout", "1n".parse().unwrap());
    auth.login(request).await.unwrap_err()
}

async fn assert_still_serving(channel: Channel) {
    let pair = log_in(channel.clone(), "grace", PASSWORD).await.unwrap();
    refresh(channel, &pair.refresh_token, "1").await.unwrap();
}

#[tokio::test]
async fn every_invalid_field_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, channel) = server(&dir).await;
    let end_user = |address: &str, user_agent: &str| {
        Some(EndUser { address: address.to_owned(), user_agent: user_agent.to_owned() })
    };
    check_fields(&login(&channel, |r| *r = LoginRequest::default()).await, &["client_id"]);
    check_fields(&login(&channel, |r| (r.login, r.password) = Default::default()).await, &["login", "password"]);
    check_fields(&login(&channel, |r| r.password = "x".repeat(2048)).await, &["password"]);
    check_fields(&login(&channel, |r| r.login = "x".repeat(2048)).await, &["login"]);
    check_fields(&login(&channel, |r| r.audience = "other".to_owned()).await, &["audience"]);
    check_fields(&login(&channel, |r| r.scopes = vec!["write".to_owned()]).await, &["scopes"]);
    check_fields(&login(&channel, |r| r.scopes = vec!["a b".to_owned()]).await, &["scopes"]);
    check_fields(&login(&channel, |r| r.scopes = vec!["read".to_owned(); 65]).await, &["scopes"]);
    check_fields(&login(&channel, |r| r.end_user = end_user("nowhere", "")).await, &["end_user.address"]);
    let long = "x".repeat(513);
    check_fields(&login(&channel, |r| r.end_user = end_user("", &long)).await, &["end_user.user_agent"]);
    check_fields(&refreshed(&channel, |r| *r = RefreshRequest::default()).await, &["client_id"]);
    check_fields(&refreshed(&channel, |r| r.refresh_token = String::new()).await, &["refresh_token"]);
    check_fields(&refreshed(&channel, |r| r.scopes = vec!["read".to_owned(); 65]).await, &["scopes"]);
    for id in ["a b", "a_b", "é", &"x".repeat(65)] {
        check_fields(&refreshed(&channel, |r| r.request_id = id.to_owned()).await, &["request_id"]);
    }
    assert_still_serving(channel).await;
}

#[tokio::test]
async fn nul_is_refused_in_every_text_field() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, channel) = server(&dir).await;
    let nul = || "a\0b".to_owned();
    check_fields(&login(&channel, |r| r.login = nul()).await, &["login"]);
    check_fields(&login(&channel, |r| r.password = nul()).await, &["password"]);
    check_fields(&login(&channel, |r| r.audience = nul()).await, &["audience"]);
    check_fields(&login(&channel, |r| r.scopes = vec![nul()]).await, &["scopes"]);
    let end_user = || Some(EndUser { address: nul(), user_agent: String::new() });
    check_fields(&login(&channel, |r| r.end_user = end_user()).await, &["end_user.address"]);
    let end_user = || Some(EndUser { address: String::new(), user_agent: nul() });
    check_fields(&login(&channel, |r| r.end_user = end_user()).await, &["end_user.user_agent"]);
    check_fields(&refreshed(&channel, |r| r.audience = nul()).await, &["audience"]);
    check_fields(&refreshed(&channel, |r| r.scopes = vec![nul()]).await, &["scopes"]);
    check_fields(&refreshed(&channel, |r| r.request_id = nul()).await, &["request_id"]);
    // Values that are only looked up are not found.
    let unknown = |status: Status| check(&status, Code::Unauthenticated, "CLIENT_AUTHENTICATION_FAILED");
    unknown(login(&channel, |r| r.client_id = nul()).await);
    unknown(refreshed(&channel, |r| r.client_id = nul()).await);
    let status = refreshed(&channel, |r| r.refresh_token = nul()).await;
    check(&status, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    let request = LogoutRequest { client_id: CLIENT.to_owned(), refresh_token: nul() };
    let status = Auth::new(channel.clone()).logout(request).await.unwrap_err();
    check(&status, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_still_serving(channel).await;
}

#[tokio::test]
async fn unauthenticated_callers_learn_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, channel) = server(&dir).await;
    let mut auth = Auth::new(channel.clone());
    for client in ["nobody", "App", " app", "usr_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        let status = login(&channel, |r| r.client_id = client.to_owned()).await;
        check(&status, Code::Unauthenticated, "CLIENT_AUTHENTICATION_FAILED");
    }
    check_fields(&auth.logout(LogoutRequest::default()).await.unwrap_err(), &["client_id"]);
    let request = LogoutRequest { client_id: CLIENT.to_owned(), ..LogoutRequest::default() };
    check_fields(&auth.logout(request).await.unwrap_err(), &["refresh_token"]);
    for (value, expected) in [
        ("", "CLIENT_AUTHENTICATION_FAILED"),
        ("Basic", "CLIENT_AUTHENTICATION_FAILED"),
        ("Basic %%%", "CLIENT_AUTHENTICATION_FAILED"),
        ("Basic YXBw", "CLIENT_AUTHENTICATION_FAILED"),
        // app:x, but a public client has no secret.
        ("Basic YXBwOng=", "CLIENT_AUTHENTICATION_FAILED"),
        ("Digest x", "CLIENT_AUTHENTICATION_FAILED"),
        ("Bearer x", "CLIENT_AUTHENTICATION_FAILED"),
    ] {
        let mut request = Request::new(IssueClientTokenRequest::default());
        if !value.is_empty() {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        check(&auth.issue_client_token(request).await.unwrap_err(), Code::Unauthenticated, expected);
    }
    let mut bearer = Request::new(LogoutRequest::default());
    bearer.metadata_mut().insert("authorization", "Bearer a.b.c".parse().unwrap());
    check(&auth.logout(bearer).await.unwrap_err(), Code::Unauthenticated, "TOKEN_INVALID");
    assert_still_serving(channel).await;
}

#[tokio::test]
async fn malformed_calls_are_refused_with_a_reason_too() {
    let dir = tempfile::tempdir().unwrap();
    let (server, channel) = server(&dir).await;
    for size in [64 * 1024, 1024 * 1024, 8 * 1024 * 1024] {
        let status = login(&channel, |r| r.password = "x".repeat(size)).await;
        check(&status, Code::OutOfRange, "REQUEST_TOO_LARGE");
        assert_eq!(status.get_details_error_info().unwrap().metadata["limit_bytes"], "65536");
    }
    // Field 2 longer than the message; an unknown wire type; text that is not UTF-8.
    for bytes in [&b"\x12\x50short"[..], b"\x0f", b"\x12\x02\xff\xfe"] {
        check(&raw(&channel, LOGIN, bytes).await, Code::InvalidArgument, "REQUEST_MALFORMED");
    }
    for path in ["/chancery.v1.AuthService/Nothing", "/chancery.v1.Nothing/Login", "/nothing"] {
        check(&raw(&channel, path, b"").await, Code::Unimplemented, "METHOD_UNKNOWN");
    }
    check(&login_past_deadline(&server).await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(server.place.count("sessions", "1 = 1").await, 0, "a late sign-in made a session");
    let mut packed = Request::new(login_request("grace", PASSWORD));
    packed.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    let status = Auth::new(channel.clone()).login(packed).await.unwrap_err();
    check(&status, Code::Unimplemented, "REQUEST_MALFORMED");
    let unknown = HealthCheckRequest { service: "nothing".to_owned() };
    check(&HealthClient::new(channel.clone()).check(unknown).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let mut twice = Request::new(login_request("grace", PASSWORD));
    for value in ["Basic eDp5", "Bearer x"] {
        twice.metadata_mut().append("authorization", value.parse().unwrap());
    }
    let status = Auth::new(channel.clone()).login(twice).await.unwrap_err();
    check(&status, Code::Unauthenticated, "CLIENT_AUTHENTICATION_FAILED");
    assert_still_serving(channel).await;
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}
