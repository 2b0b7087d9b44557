//! Runs guards on free ports and calls them the way proxies do.

mod health;
mod largest;
mod questions;
mod upgrades;

use std::{collections::HashMap, time::Duration};

use chancery_verify::{Gate, testing::TestIssuer};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{net::UnixStream, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::pb::{
    envoy::{
        AttributeContext, CheckRequest as EnvoyRequest, CheckResponse as EnvoyResponse, HeaderMap, HeaderValue,
        attribute_context::{HttpRequest, Request as EnvoyHttp},
        authorization_client::AuthorizationClient,
        check_response::HttpResponse,
    },
    guard::{CheckRequest, check_response::Result as CheckResult, guard_service_client::GuardServiceClient},
};

struct RunningGuard {
    issuer: TestIssuer,
    http: String,
    ext_authz: Channel,
    socket: Channel,
    _dir: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn start_guard(change: impl FnOnce(Gate) -> Gate) -> RunningGuard {
    let issuer = TestIssuer::new("https://i");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guard.sock");
    let any = Some("127.0.0.1:0".parse().unwrap());
    let addrs = ListenAddrs { http: any, ext_authz: any, socket: Some(path.clone()), tls: None };
    let guard = Guard::bind(change(Gate::new(issuer.verifier("api"))), &addrs).await.unwrap();
    let addresses = guard.addresses();
    let at = |name: &str| addresses.split(' ').find_map(|a| a.strip_prefix(name)).unwrap().to_owned();
    let (http, grpc) = (at("http="), at("ext_authz="));
    let task = tokio::spawn(async move { guard.serve(std::future::pending()).await });
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
    });
    let socket = Endpoint::from_static("http://guard").connect_with_connector(connector).await.unwrap();
    let ext_authz = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect().await.unwrap();
    RunningGuard { issuer, http, ext_authz, socket, _dir: dir, task }
}

impl RunningGuard {
    fn full_token(&self) -> String {
        self.issuer
            .token("ada lovelace", "api")
            .client("web")
            .session("ses_1")
            .scope("a b")
            .permission("orders.write")
            .mint()
    }

    async fn forward(&self, path: &str, headers: &[(&str, &str)]) -> (u16, HashMap<String, String>, String) {
        let mut request = axum::http::Request::get(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<axum::body::Bytes>>();
        let response = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let text = |v: &axum::http::HeaderValue| v.to_str().unwrap().to_owned();
        let headers = response.headers().iter().map(|(n, v)| (n.to_string(), text(v))).collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn envoy(&self, http: HttpRequest) -> EnvoyResponse {
        self.envoy_on_route(http, &[]).await
    }

    async fn envoy_on_route(&self, http: HttpRequest, extensions: &[(&str, &str)]) -> EnvoyResponse {
        let context_extensions = extensions.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let request = Some(EnvoyHttp { http: Some(http) });
        let attributes = AttributeContext { request, context_extensions };
        let mut client = AuthorizationClient::new(self.ext_authz.clone());
        client.check(EnvoyRequest { attributes: Some(attributes) }).await.unwrap().into_inner()
    }

    async fn check(&self, token: &str, scopes: &[&str]) -> CheckResult {
        let scopes = scopes.iter().map(|s| (*s).to_owned()).collect();
        let request = CheckRequest { token: token.to_owned(), scopes, permissions: vec![] };
        let mut client = GuardServiceClient::new(self.socket.clone());
        client.check(request).await.unwrap().into_inner().result.unwrap()
    }
}

fn http_request(headers: &[(&str, &str)]) -> HttpRequest {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    HttpRequest { headers, ..HttpRequest::default() }
}

#[tokio::test]
async fn forward_auth_returns_claims_as_headers() {
    let guard = start_guard(|gate| gate).await;
    let bearer = format!("Bearer {}", guard.full_token());
    let (status, headers, _) = guard.forward("/check", &[("authorization", &bearer)]).await;
    assert_eq!(status, 200);
    for (name, value) in [
        ("subject", "ada%20lovelace"),
        ("client-id", "web"),
        ("session-id", "ses_1"),
        ("scopes", "a b"),
        ("permissions", "orders.write"),
        // Present though empty, so that a proxy overwrites what the caller may have sent.
        ("roles", ""),
    ] {
        assert_eq!(headers[&format!("x-chancery-{name}")], value, "{name}");
    }
    assert_eq!(headers["x-chancery-claims"], bearer.split('.').nth(1).unwrap());
}

#[tokio::test]
async fn forward_auth_refuses_as_rfc_6750_requires() {
    let guard = start_guard(|gate| gate.require_scope("a")).await;
    let bearer = |token: String| format!("Bearer {token}");
    let good = bearer(guard.full_token());
    let bare = bearer(guard.issuer.token("eve", "api").mint());
    let expired = bearer(guard.issuer.token("eve", "api").expires_in(-1).mint());
    for (headers, status, challenge) in [
        (vec![], 401, "Bearer realm"),
        (vec![("authorization", bare.as_str())], 403, "insufficient_scope"),
        (vec![("authorization", expired.as_str())], 401, "expired"),
        (vec![("authorization", good.as_str()), ("authorization", good.as_str())], 400, "invalid_request"),
    ] {
        let (got, answer, _) = guard.forward("/check", &headers).await;
        assert_eq!(got, status, "{challenge}");
        assert!(answer["www-authenticate"].contains(challenge), "{answer:?}");
        assert!(!answer.keys().any(|name| name.starts_with("x-chancery-")), "{answer:?}");
    }
}

#[tokio::test]
async fn callers_cannot_send_claim_headers_of_their_own() {
    for observe in [false, true] {
        let guard = start_guard(|gate| gate.observe(observe)).await;
        let bearer = format!("Bearer {}", guard.full_token());
        for name in [
            "x-chancery-subject",
            "X-Chancery-Roles",
            "x_chancery_permissions",
            "x-chancery-unknown",
            "x.chancery.roles",
        ] {
            let headers = [("authorization", bearer.as_str()), (name, "admin")];
            let (status, answer, _) = guard.forward("/check", &headers).await;
            assert_eq!(status, 400, "{name}");
            assert!(!answer.keys().any(|n| n.starts_with("x-chancery-")));
            let response = guard.envoy(http_request(&headers)).await;
            let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("{name} passed") };
            assert_eq!(denied.status.unwrap().code, 400);
        }
    }
}

#[tokio::test]
async fn envoy_gets_headers_to_set_and_to_remove() {
    let guard = start_guard(|gate| gate).await;
    let bearer = format!("Bearer {}", guard.full_token());
    let raw = HeaderValue { key: "authorization".into(), raw_value: bearer.clone().into_bytes(), ..Default::default() };
    let raw = HttpRequest { header_map: Some(HeaderMap { headers: vec![raw] }), ..Default::default() };
    for http in [http_request(&[("authorization", &bearer), (":path", "/orders")]), raw] {
        let response = guard.envoy(http).await;
        assert_eq!(response.status.unwrap().code, 0);
        let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("refused") };
        let subject = ok.headers.iter().find(|h| h.header.as_ref().unwrap().key == "x-chancery-subject").unwrap();
        assert_eq!(subject.header.as_ref().unwrap().value, "ada%20lovelace");
        assert_eq!(subject.append_action, 2, "it overwrites");
        assert_eq!(ok.headers_to_remove, ["x-chancery-roles"]);
    }
    let response = guard.envoy(http_request(&[(":path", "/orders")])).await;
    assert_eq!(response.status.unwrap().code, 16);
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("passed") };
    assert_eq!(denied.status.unwrap().code, 401);
    let mut client = AuthorizationClient::new(guard.ext_authz.clone());
    let nothing = client.check(EnvoyRequest::default()).await.unwrap_err();
    assert_eq!(nothing.message(), "attributes.request.http is missing");
}

#[tokio::test]
async fn a_service_can_check_tokens_over_the_socket() {
    let guard = start_guard(|gate| gate).await;
    let CheckResult::Claims(claims) = guard.check(&guard.full_token(), &["a"]).await else { panic!("refused") };
    assert_eq!((claims.subject.as_str(), claims.session_id.as_str()), ("ada lovelace", "ses_1"));
    assert!(claims.claims_json.contains("\"sid\":\"ses_1\""), "{}", claims.claims_json);
    let CheckResult::Refusal(refusal) = guard.check(&guard.full_token(), &["c"]).await else { panic!("passed") };
    assert_eq!((refusal.http_status, refusal.error.as_str()), (403, "insufficient_scope"));
    let CheckResult::Refusal(refusal) = guard.check("junk", &[]).await else { panic!("passed") };
    assert_eq!((refusal.http_status, refusal.error.as_str()), (401, "invalid_token"));
    let mut client = GuardServiceClient::new(guard.socket.clone());
    assert_eq!(client.check(CheckRequest::default()).await.unwrap_err().message(), "token is missing");
}

#[tokio::test]
async fn an_observing_guard_admits_requests_and_counts() {
    let guard = start_guard(|gate| gate.require_scope("gold").observe(true)).await;
    let bearer = format!("Bearer {}", guard.full_token());
    for (headers, subject) in [(&[("authorization", bearer.as_str())][..], "ada%20lovelace"), (&[], "")] {
        let (status, answer, _) = guard.forward("/check", headers).await;
        assert_eq!((status, answer["x-chancery-subject"].as_str()), (200, subject));
    }
    let (status, _, body) = guard.forward("/readyz", &[]).await;
    assert_eq!(status, 200);
    assert!(body.contains("\"would_refuse\":2"), "{body}");
    // A caller that asks about a token gets the refusal, marked as observed.
    let CheckResult::Observed(refusal) = guard.check("junk", &[]).await else { panic!("not observed") };
    assert_eq!(refusal.http_status, 401);
}

#[tokio::test]
async fn a_guard_without_keys_is_alive_but_not_ready_and_answers_503() {
    let issuer = TestIssuer::new("https://i");
    let verifier = chancery_verify::Verifier::builder("https://i", "api").jwks_url("http://127.0.0.1:9/");
    let verifier = verifier.build().unwrap();
    let guard = start_guard(|_| Gate::new(verifier)).await;
    let bearer = format!("Bearer {}", issuer.token("ada", "api").mint());
    let (status, _, body) = guard.forward("/check", &[("authorization", &bearer)]).await;
    assert_eq!(
        (status, body.as_str()),
        (503, "the issuer's keys are unavailable\n"),
        "the response shows no addresses"
    );
    assert_eq!(guard.forward("/healthz", &[]).await.0, 200);
    let (status, _, body) = guard.forward("/readyz", &[]).await;
    assert!(status == 503 && body.contains("\"ready\":false"), "{body}");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guard.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let addrs = ListenAddrs { socket: Some(path.clone()), ..ListenAddrs::default() };
    let gate = || Gate::new(TestIssuer::new("https://i").verifier("api"));
    let first = Guard::bind(gate(), &addrs).await.unwrap();
    assert!(matches!(Guard::bind(gate(), &addrs).await, Err(GuardError::SocketInUse(_))));
    let served = tokio::time::timeout(Duration::from_secs(10), first.serve(async {})).await;
    served.unwrap();
    assert!(!path.exists(), "the socket file is removed on shutdown");
    std::fs::write(&path, "a file of someone's").unwrap();
    assert!(matches!(Guard::bind(gate(), &addrs).await, Err(GuardError::Listen { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file of someone's");
}
