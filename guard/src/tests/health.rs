//! `grpc.health.v1` on both gRPC listeners.

use chancery_verify::{Verifier, Watch};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::*;

use crate::{
    decision::Decider,
    listener::{Protocol, Tls, TlsFiles},
};

const SOON: Duration = Duration::from_secs(10);

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn status(channel: &Channel, service: &str) -> Result<ServingStatus, tonic::Status> {
    Ok(HealthClient::new(channel.clone()).check(ask(service)).await?.into_inner().status())
}

#[tokio::test]
async fn both_grpc_listeners_answer_health_checks_by_name() {
    let guard = start_guard(|gate| gate).await;
    for (channel, name) in
        [(&guard.ext_authz, "envoy.service.auth.v3.Authorization"), (&guard.socket, "chancery.guard.v1.GuardService")]
    {
        for service in ["", name] {
            assert_eq!(status(channel, service).await.unwrap(), ServingStatus::Serving, "{service}");
        }
        assert_eq!(status(channel, "other").await.unwrap_err().code(), tonic::Code::NotFound);
        let refused = HealthClient::new(channel.clone()).watch(ask("other")).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::NotFound);
    }
}

#[tokio::test]
async fn a_guard_that_knows_no_keys_or_has_no_snapshot_is_not_serving() {
    let keyless = Verifier::builder("https://i", "api").jwks_url("http://127.0.0.1:9/").build().unwrap();
    let issuer = TestIssuer::new("https://i");
    let watch = Watch::new("http://127.0.0.1:9", "guard", "secret").unwrap();
    for verifier in [keyless, issuer.builder("api").watch(watch).build().unwrap()] {
        let guard = start_guard(|_| Gate::new(verifier)).await;
        assert_eq!(status(&guard.ext_authz, "").await.unwrap(), ServingStatus::NotServing);
        let mut watch = HealthClient::new(guard.socket.clone()).watch(ask("")).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_a_warning_and_keeps_nobody_from_being_ready() {
    let (dir, key) = (tempfile::tempdir().unwrap(), rcgen::KeyPair::generate().unwrap());
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let files = TlsFiles { cert: dir.path().join("cert"), key: dir.path().join("key"), client_ca: None };
    std::fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let tls = [Protocol::Http, Protocol::Grpc].map(|protocol| Tls::load(files.clone(), protocol).unwrap());
    let decider = Decider::new(Gate::new(TestIssuer::new("https://i").verifier("api")));
    for (certificates, warnings) in [(vec![], 0), (tls.to_vec(), 1)] {
        let request = axum::http::Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
        let response = forward::routes(decider.clone(), certificates).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let said = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["warnings"].clone();
        let said = said.as_array().unwrap();
        // Both listeners have the same one.
        assert_eq!(said.len(), warnings, "{said:?}");
        assert!(said.iter().all(|warning| warning.as_str().unwrap().ends_with("has expired")), "{said:?}");
    }
}

#[tokio::test]
async fn those_who_watch_the_health_learn_of_changes_and_of_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.json");
    let issuer = TestIssuer::new("https://i");
    let verifier = Verifier::builder("https://i", "api").jwks_file(&file).build().unwrap();
    let any = Some("127.0.0.1:0".parse().unwrap());
    let addrs = ListenAddrs { ext_authz: any, ..ListenAddrs::default() };
    let guard = Guard::bind(Gate::new(verifier), &addrs).await.unwrap();
    let address = guard.addresses().replace("ext_authz=", "http://");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        guard
            .serve(async {
                let _ = stopped.await;
            })
            .await;
    });
    let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut watch = HealthClient::new(channel).watch(ask("")).await.unwrap().into_inner();
    let mut next = async || tokio::time::timeout(SOON, watch.message()).await.unwrap().unwrap();
    assert_eq!(next().await.unwrap().status(), ServingStatus::NotServing);
    std::fs::write(&file, issuer.jwks()).unwrap();
    assert_eq!(next().await.unwrap().status(), ServingStatus::Serving);
    stop.send(()).unwrap();
    assert_eq!(next().await.unwrap().status(), ServingStatus::NotServing);
    assert!(next().await.is_none(), "the stream ends");
    tokio::time::timeout(SOON, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn streams_that_watch_the_health_are_limited() {
    let guard = start_guard(|gate| gate).await;
    let mut open = Vec::new();
    let refused = loop {
        // A client of its own for each hundred: one connection takes 256 requests at a time.
        let channel = if open.len() < 200 { &guard.ext_authz } else { &guard.socket };
        match HealthClient::new(channel.clone()).watch(ask("")).await {
            Ok(stream) => open.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), open.len()), (tonic::Code::ResourceExhausted, 256));
    assert_eq!(status(&guard.ext_authz, "").await.unwrap(), ServingStatus::Serving, "checks are still answered");
    open.clear();
    let again = async { while HealthClient::new(guard.socket.clone()).watch(ask("")).await.is_err() {} };
    tokio::time::timeout(SOON, again).await.unwrap();
}
