//! What the edges take and answer: gRPC calls only on one, public documents for everybody on the other.

use std::collections::HashMap;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use bytes::{BufMut, Bytes};
use chancery::{
    grpc::{
        DESCRIPTORS,
        pb::{GetJwksRequest, LoginRequest, key_service_client::KeyServiceClient},
    },
    service::Service,
    web,
};
use chancery_guard::listener::Limits;
use chancery_verify::{Policy, Verifier, VerifyError};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use tower::ServiceExt;

use crate::{
    raw::Raw,
    support::{App, Empty, ISSUER, Opened, PASSWORD, first_party, login_of, sign_in},
    wire::{served, served_at},
};

const LOGIN: &str = "/chancery.v1.AuthService/Login";

/// The answer to a request that is no gRPC call.
struct Plain {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn plain(address: &str, method: Method, content_type: Option<&str>, body: Vec<u8>) -> Plain {
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let mut request = Request::builder().method(method).uri(format!("http://{address}{LOGIN}"));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let response = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned();
    Plain { status: parts.status, headers: parts.headers, text }
}

/// A sign-in with a wrong password, as bytes on the wire.
fn guess() -> Vec<u8> {
    let message = LoginRequest {
        client_id: "app".into(),
        login: "ada".into(),
        password: "a wrong pass phrase".into(),
        ..LoginRequest::default()
    }
    .encode_to_vec();
    let mut bytes = vec![0];
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.extend(message);
    bytes
}

/// Deletes the failed attempts and returns their number.
async fn take_failures(app: &App) -> u64 {
    app.empty.database.sql("DELETE FROM login_failures").await.unwrap()
}

#[tokio::test]
async fn the_grpc_port_processes_nothing_that_a_page_of_another_origin_can_send() {
    let app = App::sqlite().await;
    let (_, address) = served_at(&app).await;
    let simple = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"];
    let other = ["application/json", "application/grpc+json", "application/grpc-web", "application/grpc-web+proto"];
    let all = simple.into_iter().chain(other).map(Some).chain([None]);
    for content_type in all {
        let answer = plain(&address, Method::POST, content_type, guess()).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type:?}");
        assert!(answer.text.contains("application/grpc"), "{}", answer.text);
        assert!(!answer.headers.contains_key("grpc-status"), "{content_type:?}");
    }
    assert_eq!(take_failures(&app).await, 0, "a guess was counted");
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let answer = plain(&address, Method::POST, Some(content_type), guess()).await;
        assert_eq!(
            (answer.status, answer.headers["grpc-status"].as_bytes()),
            (StatusCode::OK, &b"16"[..]),
            "{content_type}"
        );
    }
    assert!(take_failures(&app).await > 0, "the test sends no guesses");
    app.finish().await;
}

#[tokio::test]
async fn the_grpc_port_takes_no_method_but_post() {
    let app = App::sqlite().await;
    let (_, address) = served_at(&app).await;
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
        let answer = plain(&address, method.clone(), Some("application/grpc"), Vec::new()).await;
        assert_eq!((answer.status, answer.headers["allow"].as_bytes()), (StatusCode::METHOD_NOT_ALLOWED, &b"POST"[..]));
    }
    app.finish().await;
}

/// Calls a method with a number of empty messages.
async fn call_with(channel: &Channel, path: &str, messages: usize) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let body = futures_util::stream::iter(vec![Bytes::new(); messages]);
    let mut answer = client.streaming(tonic::Request::new(body), path.parse().unwrap(), Raw).await?.into_inner();
    answer.message().await.map(|_| ())
}

/// The paths of all methods that take one message.
fn methods_with_one_message() -> Vec<String> {
    let sets = [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET].map(|set| FileDescriptorSet::decode(set).unwrap());
    let mut paths = Vec::new();
    for file in sets.iter().flat_map(|set| &set.file) {
        for service in &file.service {
            for method in service.method.iter().filter(|method| !method.client_streaming()) {
                paths.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    paths
}

#[tokio::test]
async fn a_second_message_to_a_method_that_takes_one_is_an_error() {
    let app = App::sqlite().await;
    let channel = served(&app).await;
    let paths = methods_with_one_message();
    assert!(paths.len() > 30 && paths.iter().any(|path| path == LOGIN), "{paths:?}");
    for path in paths {
        for messages in [2, 3] {
            let status = call_with(&channel, &path, messages).await.expect_err(&path);
            assert_eq!(status.code(), Code::InvalidArgument, "{path}: {status:?}");
            assert_eq!(status.get_details_error_info().unwrap().reason, "REQUEST_MALFORMED", "{path}");
        }
    }
    let status = call_with(&channel, LOGIN, 0).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    app.finish().await;
}

/// A page of `web::routes`.
async fn page(routes: &Router, method: Method, path: &str) -> (StatusCode, HashMap<String, String>, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "if-none-match");
    let response = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, headers.collect(), String::from_utf8(body.to_vec()).unwrap())
}

const DOCUMENTS: [&str; 5] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/statuslists",
    "/statuslists/1",
];

#[tokio::test]
async fn browsers_may_ask_whether_they_may_read_the_public_documents() {
    let app = App::sqlite().await;
    app.sign_in().await;
    let routes = web::routes(app.service.clone());
    for document in DOCUMENTS {
        let (status, headers, body) = page(&routes, Method::OPTIONS, document).await;
        assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""), "{document}");
        assert_eq!(headers["access-control-allow-origin"], "*", "{document}");
        assert_eq!(headers["access-control-allow-methods"], "GET, HEAD", "{document}");
        assert_eq!(headers["access-control-allow-headers"], "*", "{document}");
        let (status, ..) = page(&routes, Method::POST, document).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{document}");
    }
    app.finish().await;
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let app = App::sqlite().await;
    app.sign_in().await;
    let routes = web::routes(app.service.clone());
    for document in DOCUMENTS {
        let (status, of_get, body) = page(&routes, Method::GET, document).await;
        assert_eq!(status, StatusCode::OK, "{document}");
        assert!(!body.is_empty());
        let (status, of_head, body) = page(&routes, Method::HEAD, document).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "{document}");
        assert_eq!(of_head, of_get, "{document}");
    }
    app.finish().await;
}

/// A service whose issuer has a path, with a client.
async fn service_of(empty: &Empty, issuer: &'static str) -> Service {
    let service = App::open(empty, Opened { issuer: Some(issuer), ..Opened::default() }).await.unwrap();
    let app = App { service: service.clone(), clock: empty.clock.clone(), empty: empty.clone() };
    app.user("ada").await;
    app.service.clients.create(&chancery::service::Admin::command(), first_party("app", &["api"])).await.unwrap();
    service
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_documents_where_the_standards_look_for_them() {
    const METADATA: [&str; 6] = [
        "/auth/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/auth",
        "/auth/.well-known/openid-configuration",
        "/.well-known/openid-configuration/auth",
        // Behind a proxy that removes the path.
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ];
    for issuer in ["https://id.example.com/auth", "https://id.example.com/auth/"] {
        let empty = Empty::sqlite().await;
        let service = service_of(&empty, issuer).await;
        sign_in(&service, login_of("app", "ada", PASSWORD)).await.unwrap();
        let routes = web::routes(service.clone());
        for path in METADATA {
            let (status, headers, body) = page(&routes, Method::GET, path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
            let metadata: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(metadata["issuer"], issuer);
            for name in ["jwks_uri", "status_list_aggregation_endpoint"] {
                let Some(uri) = metadata[name].as_str() else { continue };
                let (status, _, body) = page(&routes, Method::GET, uri.strip_prefix(ISSUER).unwrap()).await;
                assert_eq!(status, StatusCode::OK, "{uri}");
                let lists: Value = serde_json::from_str(&body).unwrap();
                for list in lists["status_lists"].as_array().into_iter().flatten() {
                    let path = list.as_str().unwrap().strip_prefix(ISSUER).unwrap();
                    assert!(path.starts_with("/auth/statuslists/"));
                    for method in [Method::GET, Method::HEAD] {
                        assert_eq!(page(&routes, method, path).await.0, StatusCode::OK, "{path}");
                    }
                    assert_eq!(page(&routes, Method::OPTIONS, path).await.0, StatusCode::NO_CONTENT, "{path}");
                }
            }
        }
        for elsewhere in ["/auth", "/other/.well-known/jwks.json", "/authentic/.well-known/jwks.json", "/auth/auth"] {
            assert_eq!(page(&routes, Method::GET, elsewhere).await.0, StatusCode::NOT_FOUND, "{elsewhere}");
        }
        service.store().close().await;
        empty.finish().await;
    }
}

#[tokio::test]
async fn a_verifier_finds_the_keys_and_status_lists_of_an_issuer_with_a_path() {
    let empty = Empty::sqlite().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer: &'static str = format!("http://{}/auth/id", listener.local_addr().unwrap()).leak();
    let service = service_of(&empty, issuer).await;
    let routes = web::routes(service.clone());
    tokio::spawn(web::serve(listener, Limits::default(), routes, std::future::pending()));
    let pair = sign_in(&service, login_of("app", "ada", PASSWORD)).await.unwrap();
    let clock = std::sync::Arc::new(ModelClock(empty.clock.clone()));
    let verifier = Verifier::with_policy(Policy::new(issuer, "api")).clock(clock).status_lists().build().unwrap();
    let claims = verifier.verify(pair.access.token.expose()).await.unwrap();
    assert!(claims.session_id.is_some());
    let ctx = service.context();
    let refresh = pair.refresh.as_ref().unwrap();
    let nobody = chancery::service::ClientCredentials::None;
    service.tokens.log_out(&ctx, &nobody, "app", refresh).await.unwrap();
    // Longer than a list may be cached.
    empty.clock.advance(chancery::time::Ttl::from_secs(30));
    service.live.confirm().await.unwrap();
    let refused = loop {
        match verifier.verify(pair.access.token.expose()).await {
            Err(refused) => break refused,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert!(matches!(refused, VerifyError::Revoked), "{refused:?}");
    service.store().close().await;
    empty.finish().await;
}

/// The model clock, for the verifier.
#[derive(Debug)]
struct ModelClock(std::sync::Arc<chancery::time::FixedClock>);

impl chancery_verify::Clock for ModelClock {
    fn now_ms(&self) -> i64 {
        use chancery::time::Clock;
        self.0.now().millis()
    }

    fn elapsed_ms(&self) -> i64 {
        self.now_ms()
    }
}

#[tokio::test]
async fn the_first_key_of_each_state_is_rs256_over_http_and_grpc_and_in_every_process() {
    let app = App::sqlite().await;
    let (_, _, page_here) = page(&web::routes(app.service.clone()), Method::GET, DOCUMENTS[0]).await;
    let keys: Value = serde_json::from_str(&page_here).unwrap();
    let algorithms: Vec<_> = keys["keys"].as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap()).collect();
    assert_eq!(algorithms, ["RS256", "ES256", "EdDSA", "RS256", "ES256", "EdDSA"]);
    let mut client = KeyServiceClient::new(served(&app).await);
    let answer = client.get_jwks(GetJwksRequest {}).await.unwrap().into_inner();
    assert_eq!(answer.jwks_json, page_here);
    assert_eq!(answer.keys.iter().map(|key| key.alg.as_str()).collect::<Vec<_>>(), algorithms);
    let other = app.second_process().await;
    assert_eq!(other.live.snapshot().ring.etag, app.service.live.snapshot().ring.etag);
    app.finish().await;
}
