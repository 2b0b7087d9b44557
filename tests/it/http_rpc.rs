//! Calls over HTTP: JSON and gRPC-Web.

mod agreement;
pub(crate) mod requests;

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chancery::{
    domain::network::{ForwardedHeaders, Proxies},
    grpc::pb,
    service::{Admin, ClientCredentials, HttpRpc, NewClientRequest},
    time::Ttl,
    web::BrowserOptions,
};
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use serde_json::json;
use tonic::Code;
use tower::ServiceExt;

use self::requests::{call, call_web, request, routes, routes_behind, send};
use crate::support::{App, Empty, ISSUER, Opened, PASSWORD, first_party};

on_each_engine! {
    #[tokio::test]
    App => {
        a_sign_in_by_json_is_refreshed_and_ended_by_json,
    }
}

async fn a_sign_in_by_json_is_refreshed_and_ended_by_json(app: &App) {
    let routes = routes(&app.service, HttpRpc::Account);
    let message = json!({"clientId": "app", "login": "ada", "password": PASSWORD, "deviceLabel": "tablet"});
    let answer = call(&routes, "AuthService/Login", &[], &message).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("x-request-id").starts_with("req_"));
    let pair = answer.json()["tokens"].clone();
    assert_eq!((pair["tokenType"].as_str(), pair["audience"].as_str()), (Some("Bearer"), Some("api")));
    // The names of the contract are taken as well.
    let message = json!({"client_id": "app", "refresh_token": pair["refreshToken"], "request_id": "first"});
    let again = call(&routes, "AuthService/Refresh", &[], &message).await.json();
    assert_eq!(again["tokens"]["sessionId"], pair["sessionId"]);
    assert_ne!(again["tokens"]["refreshToken"], pair["refreshToken"]);
    let message = json!({"clientId": "app", "refreshToken": again["tokens"]["refreshToken"]});
    assert_eq!(call(&routes, "AuthService/Logout", &[], &message).await.status, StatusCode::OK);
    let refused = call(&routes, "AuthService/Refresh", &[], &message).await;
    assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::UNAUTHORIZED, "SESSION_REVOKED"));
}

#[tokio::test]
async fn a_confidential_client_authenticates_as_over_grpc() {
    let app = App::sqlite().await;
    let worker =
        NewClientRequest { public: false, serves: vec!["api".into()], ..first_party("worker", &["api", ISSUER]) };
    let ClientCredentials::Basic { secret, .. } = app.confidential(worker).await else { panic!("no secret") };
    let routes = routes(&app.service, HttpRpc::Account);
    let basic = format!("Basic {}", STANDARD.encode(format!("worker:{}", secret.expose())));
    let basic = [("authorization", basic.as_str())];
    let token = call(&routes, "AuthService/IssueClientToken", &basic, &json!({})).await.json();
    let introspected = call(&routes, "TokenService/Introspect", &basic, &json!({"token": token["accessToken"]})).await;
    let introspected = introspected.json();
    assert_eq!((&introspected["active"], &introspected["clientId"]), (&json!(true), &json!("worker")));
    let nothing = call(&routes, "TokenService/Introspect", &basic, &json!({"token": "x"})).await.json();
    assert_eq!(nothing["active"], json!(false), "what is false is written: {nothing}");
    let wrong = [("authorization", "Basic d29ya2VyOndyb25n")];
    let refused = call(&routes, "AuthService/IssueClientToken", &wrong, &json!({})).await;
    assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::UNAUTHORIZED, "CLIENT_AUTHENTICATION_FAILED"));
    assert_eq!(refused.header("www-authenticate"), "Bearer", "Basic would make browsers ask for a password");
}

#[tokio::test]
async fn an_error_has_the_status_the_code_and_the_details_of_the_connect_protocol() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    let wrong = json!({"clientId": "app", "login": "ada", "password": "wrong horse battery staple"});
    let refused = call(&routes, "AuthService/Login", &[], &wrong).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let body = refused.json();
    assert_eq!((body["code"].as_str(), body["message"].as_str().is_some()), (Some("unauthenticated"), true));
    let detail = &body["details"][0];
    assert_eq!(detail["type"], "google.rpc.ErrorInfo");
    assert_eq!(detail["debug"], json!({"reason": "INVALID_CREDENTIALS", "domain": "chancery"}));
    let value = base64::engine::general_purpose::STANDARD_NO_PAD.decode(detail["value"].as_str().unwrap()).unwrap();
    assert_eq!(tonic_types::pb::ErrorInfo::decode(&*value).unwrap().reason, "INVALID_CREDENTIALS");
    // A violation names its field as the contract does.
    let refused = call(&routes, "AuthService/Login", &[], &json!({"clientId": "app"})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let fields = refused.json()["details"][1]["debug"]["fieldViolations"].clone();
    assert_eq!(fields[0]["field"], "login", "{fields}");
    // The first wait after wrong passwords.
    let mut last = call(&routes, "AuthService/Login", &[], &wrong).await;
    for _ in 0..20 {
        if last.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        last = call(&routes, "AuthService/Login", &[], &wrong).await;
    }
    assert_eq!(
        (last.status, last.json()["code"].as_str()),
        (StatusCode::TOO_MANY_REQUESTS, Some("resource_exhausted"))
    );
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn what_is_not_offered_is_not_there() {
    let app = App::sqlite().await;
    let of = |offered| routes(&app.service, offered);
    for (offered, method, status) in [
        (HttpRpc::Account, "KeyService/GetJwks", StatusCode::OK),
        (HttpRpc::Account, "AccountService/GetMe", StatusCode::UNAUTHORIZED),
        (HttpRpc::Account, "UserService/ListUsers", StatusCode::NOT_IMPLEMENTED),
        (HttpRpc::All, "UserService/ListUsers", StatusCode::UNAUTHORIZED),
        (HttpRpc::All, "UserService/ImportUsers", StatusCode::NOT_IMPLEMENTED),
        (HttpRpc::All, "KeyService/WatchJwks", StatusCode::NOT_IMPLEMENTED),
        (HttpRpc::All, "AuthService/login", StatusCode::NOT_IMPLEMENTED),
        (HttpRpc::All, "NoService/Login", StatusCode::NOT_FOUND),
    ] {
        let answer = call(&of(offered), method, &[], &json!({})).await;
        assert_eq!(answer.status, status, "{offered} {method}");
        if status == StatusCode::NOT_IMPLEMENTED {
            assert_eq!((answer.reason().as_str(), &answer.json()["code"]), ("METHOD_UNKNOWN", &json!("unimplemented")));
        }
    }
    let off = chancery::web::routes(app.service.clone());
    let asked = request("POST", "/chancery.v1.KeyService/GetJwks", &[("content-type", "application/json")], "{}");
    assert_eq!(send(&off, asked).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn other_methods_and_types_reach_nothing() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    let path = "/chancery.v1.AuthService/Login";
    let wrong = json!({"clientId": "app", "login": "ada", "password": "wrong horse battery staple"}).to_string();
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let answer = send(&routes, request(method, path, &[("content-type", "application/json")], wrong.clone())).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, "POST, OPTIONS"),
            "{method}"
        );
        assert_eq!(answer.bytes.is_empty(), method == "HEAD");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", ""]
    {
        for _ in 0..4 {
            let answer = send(&routes, request("POST", path, &[("content-type", kind)], wrong.clone())).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
            assert!(answer.header("accept-post").contains("application/json"));
            assert!(answer.header("x-request-id").starts_with("req_"));
        }
    }
    // None of them counted as a wrong password: the user is not made to wait.
    app.sign_in().await;
}

#[tokio::test]
async fn a_cookie_is_nobodys_credential() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    let mut login = crate::support::login_of("app", "ada", PASSWORD);
    login.audience = "api".into();
    let pair = crate::support::sign_in(&app.service, login).await.unwrap();
    for cookie in ["chancery-session-8080", "__Host-chancery-session", "authorization"] {
        let cookie = format!("{cookie}={}", pair.access.token.expose());
        let refused = call(&routes, "AccountService/GetMe", &[("cookie", &cookie)], &json!({})).await;
        assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::UNAUTHORIZED, "TOKEN_INVALID"));
        assert!(refused.headers.get("set-cookie").is_none());
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_names_its_field_and_not_its_value() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    let refused = call(&routes, "AuthService/Login", &[], &json!({"clientId": "app", "password": 4711_4711})).await;
    assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::BAD_REQUEST, "REQUEST_MALFORMED"));
    let text = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(text.contains("password") && text.contains("must be a string") && !text.contains("4711"), "{text}");
    let refused = call(&routes, "AuthService/Login", &[], &json!({"clientID": "app"})).await;
    assert!(refused.json()["message"].as_str().unwrap().contains("'clientID'"), "a misspelt field is not skipped");
    for (name, value) in
        [("connect-protocol-version", "2"), ("connect-timeout-ms", "soon"), ("connect-timeout-ms", "-1")]
    {
        let refused = call(&routes, "KeyService/GetJwks", &[(name, value)], &json!({})).await;
        assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::BAD_REQUEST, "REQUEST_MALFORMED"));
        assert!(refused.json()["message"].as_str().unwrap().contains(name));
    }
    let refused = call(&routes, "KeyService/GetJwks", &[("content-encoding", "gzip")], &json!({})).await;
    assert_eq!(refused.status, StatusCode::NOT_IMPLEMENTED);
    let large = json!({"clientId": "x".repeat(64 * 1024)});
    let refused = call(&routes, "AuthService/Login", &[], &large).await;
    assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::BAD_REQUEST, "REQUEST_TOO_LARGE"));
    assert_eq!(refused.json()["details"][0]["debug"]["metadata"]["limit_bytes"], "65536");
}

#[tokio::test]
async fn g05_a_deadline_is_kept_and_a_call_past_it_changes_nothing() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    let right = json!({"clientId": "app", "login": "ada", "password": PASSWORD});
    let late = call(&routes, "AuthService/Login", &[("connect-timeout-ms", "0")], &right).await;
    assert_eq!((late.status, late.reason().as_str()), (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"));
    let message = login().encode_to_vec();
    let web = call_web(&routes, "/chancery.v1.AuthService/Login", &[("grpc-timeout", "0m")], &message, false).await;
    assert_eq!(web.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(app.service.users.sessions(&Admin::command(), "ada").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up_in_time() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    tokio::time::pause();
    for kind in ["application/json", "application/grpc-web"] {
        let half = Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from_static(b"{\"clientId\"")));
        let endless =
            futures_util::StreamExt::chain(futures_util::stream::iter([half]), futures_util::stream::pending());
        let body = Body::new(StreamBody::new(endless));
        let began = tokio::time::Instant::now();
        let asked = request("POST", "/chancery.v1.AuthService/Login", &[("content-type", kind)], body);
        let answer = tokio::time::timeout(Duration::from_mins(1), send(&routes, asked)).await.expect("no end");
        assert_eq!(began.elapsed().as_secs(), 29, "{kind}");
        if kind == "application/json" {
            assert_eq!((answer.status, answer.reason().as_str()), (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"));
        }
    }
}

#[tokio::test]
async fn limits_count_whoever_is_behind_a_declared_proxy() {
    let app = App::sqlite().await;
    let proxies = Proxies { trusted: vec!["127.0.0.1".parse().unwrap()], headers: ForwardedHeaders::XForwarded };
    let options = BrowserOptions { proxies, ..BrowserOptions::default() };
    let (trusting, other) = (routes_behind(&app.service, HttpRpc::All, options), routes(&app.service, HttpRpc::All));
    let message = json!({"clientId": "app", "login": "ada", "password": PASSWORD});
    let forwarded = [("x-forwarded-for", "203.0.113.9")];
    for (routes, address) in [(&trusting, "203.0.113.9"), (&other, "127.0.0.1")] {
        assert_eq!(call(routes, "AuthService/Login", &forwarded, &message).await.status, StatusCode::OK);
        let sessions = app.service.users.sessions(&Admin::command(), "ada").await.unwrap();
        assert!(sessions.iter().any(|session| session.address == address), "{address}: {sessions:?}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_calls_below_it() {
    let empty = Empty::sqlite().await;
    let opened = Opened { issuer: Some("https://example.com/id"), ..Opened::default() };
    let service = App::open(&empty, opened).await.unwrap();
    let routes = routes(&service, HttpRpc::Account);
    for path in ["/id/chancery.v1.KeyService/GetJwks", "/chancery.v1.KeyService/GetJwks"] {
        let asked = request("POST", path, &[("content-type", "application/json")], "{}");
        assert_eq!(send(&routes, asked).await.status, StatusCode::OK, "{path}");
    }
}

fn login() -> pb::LoginRequest {
    let (client_id, login, password) = ("app".into(), "ada".into(), PASSWORD.into());
    pb::LoginRequest { client_id, login, password, ..pb::LoginRequest::default() }
}

#[tokio::test]
async fn grpc_web_answers_as_bytes_and_as_text() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    for text in [false, true] {
        let path = "/chancery.v1.AuthService/Login";
        let answer = call_web(&routes, path, &[], &login().encode_to_vec(), text).await.unwrap();
        let answer = pb::LoginResponse::decode(&*answer).unwrap();
        assert!(matches!(answer.result, Some(pb::login_response::Result::Tokens(_))), "text: {text}");
        let refused = call_web(&routes, path, &[], b"", text).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "client_id: must not be empty"));
        let unknown = call_web(&routes, "/chancery.v1.UserService/ImportUsers", &[], b"", text).await.unwrap_err();
        assert_eq!(unknown.code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn a_text_that_is_no_base64_is_the_callers_mistake() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    for text in ["!!!!####", "AAAAA", "AA=A", "AAAA=AAA"] {
        let headers = [("content-type", "application/grpc-web-text")];
        let answer = send(&routes, request("POST", "/chancery.v1.AuthService/Login", &headers, text)).await;
        let status = tonic::Status::from_header_map(&answer.headers).unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{text}: {}", status.message());
    }
}

#[tokio::test]
async fn grpc_web_carries_the_streams_to_clients() {
    let app = App::sqlite().await;
    let routes = routes(&app.service, HttpRpc::All);
    let framed = [0, 0, 0, 0, 0];
    let headers = [("content-type", "application/grpc-web+proto")];
    let asked: Request<Body> = request("POST", "/chancery.v1.KeyService/WatchJwks", &headers, framed.to_vec());
    let mut body = routes.clone().oneshot(asked).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let keys = pb::WatchJwksResponse::decode(&first[5..]).unwrap();
    assert!(!keys.encode_to_vec().is_empty());
    // The next one comes with the next set of keys.
    app.service.signing_keys.rotate_early(&Admin::command(), None).await.unwrap();
    app.clock.advance(Ttl::from_days(1));
    app.service.signing_keys.rotate_due().await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("nothing came");
    assert_ne!(next.unwrap().unwrap().into_data().unwrap(), first);
}

#[tokio::test]
async fn g16_a_page_of_a_declared_origin_learns_that_a_method_is_not_there() {
    let app = App::sqlite().await;
    let origin = "https://app.example";
    let client = NewClientRequest { cors_origins: vec![origin.into()], ..first_party("pages", &["api"]) };
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let routes = routes(&app.service, HttpRpc::Account);
    let asking = |origin| [("origin", origin), ("access-control-request-method", "POST")];
    for method in ["UserService/ListUsers", "AuthService/Nope", "KeyService/WatchJwks"] {
        let path = format!("/chancery.v1.{method}");
        let asked = send(&routes, request("OPTIONS", &path, &asking(origin), "")).await;
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (StatusCode::NO_CONTENT, origin));
        let refused = call(&routes, method, &[("origin", origin)], &json!({})).await;
        assert_eq!(
            (refused.reason().as_str(), refused.header("access-control-allow-origin")),
            ("METHOD_UNKNOWN", origin)
        );
        if method == "KeyService/WatchJwks" {
            // It is for anyone.
            continue;
        }
        let foreign = send(&routes, request("OPTIONS", &path, &asking("https://other.example"), "")).await;
        assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (StatusCode::FORBIDDEN, ""));
        assert!(foreign.header("x-request-id").starts_with("req_"));
    }
}
