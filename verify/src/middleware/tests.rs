//! The layer around an axum router.

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    routing::get,
};
use tower_service::Service;

use super::*;
use crate::testing::TestIssuer;

async fn subject(claims: Option<Extension<Arc<Claims>>>) -> String {
    claims.map_or_else(|| "nobody".to_owned(), |Extension(claims)| claims.subject.clone())
}

struct Api {
    issuer: TestIssuer,
    router: Router,
}

impl Api {
    fn new(change: impl FnOnce(TokenLayer) -> TokenLayer) -> Self {
        let issuer = TestIssuer::new("https://i");
        let layer = change(TokenLayer::new(issuer.verifier("api")));
        Self { router: Router::new().route("/", get(subject)).layer(layer), issuer }
    }

    async fn get(&mut self, authorization: &[&str]) -> (u16, String, String) {
        let mut request = Request::get("/");
        for value in authorization {
            request = request.header("authorization", *value);
        }
        let response = self.router.call(request.body(Body::empty()).unwrap()).await.unwrap();
        let header = |name: &str| response.headers().get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        let (status, challenge) = (response.status().as_u16(), header("www-authenticate"));
        assert_eq!(header("cache-control"), if status == 200 { "" } else { "no-store" });
        assert_eq!(header("retry-after"), if status == 503 { "1" } else { "" });
        let body = to_bytes(response.into_body(), 1024).await.unwrap();
        (status, challenge, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get_with_token(&mut self, token: &str) -> (u16, String) {
        let (status, challenge, _) = self.get(&[&format!("Bearer {token}")]).await;
        (status, challenge)
    }
}

#[tokio::test]
async fn an_accepted_token_puts_its_claims_into_the_request() {
    let mut api = Api::new(|layer| layer);
    let token = api.issuer.token("ada", "api").mint();
    assert_eq!(api.get(&[&format!("bearer {token}")]).await, (200, String::new(), "ada".to_owned()));
}

#[tokio::test]
async fn rfc_6750_requests_without_an_accepted_token_get_a_challenge() {
    let mut api = Api::new(|layer| layer);
    let good = format!("Bearer {}", api.issuer.token("ada", "api").mint());
    assert_eq!(api.get(&[]).await.0, 401);
    assert_eq!(api.get(&[]).await.1, r#"Bearer realm="api""#);
    assert_eq!(api.get(&["Basic YTpi"]).await.1, r#"Bearer realm="api""#);
    assert_eq!(api.get(&[&good, &good]).await.0, 400);
    let expired = api.issuer.token("ada", "api").expires_in(-1).mint();
    let (status, challenge) = api.get_with_token(&expired).await;
    assert_eq!((status, challenge.as_str()), (401, r#"Bearer error="invalid_token", error_description="expired""#));
    let elsewhere = api.issuer.token("ada", "other").mint();
    assert_eq!(api.get_with_token(&elsewhere).await.0, 401);
}

#[tokio::test]
async fn scopes_permissions_and_step_up() {
    let mut api = Api::new(|layer| layer.require_scope("orders.read").require_permission("orders.write"));
    let bare = api.issuer.token("ada", "api").mint();
    let (status, challenge) = api.get_with_token(&bare).await;
    assert!(status == 403 && challenge.contains(r#"scope="orders.read""#), "{challenge}");
    let scoped = api.issuer.token("ada", "api").scope("a orders.read b").mint();
    let (status, challenge) = api.get_with_token(&scoped).await;
    assert!(status == 403 && challenge.contains("orders.write"), "{challenge}");
    let full = api.issuer.token("ada", "api").scope("orders.read").permission("orders.write").mint();
    assert_eq!(api.get_with_token(&full).await.0, 200);

    let mut api = Api::new(|layer| layer.require_sign_in_within(Duration::from_mins(1)).require_acr("gold"));
    let gold = api.issuer.token("ada", "api").claim("acr", "gold").mint();
    assert_eq!(api.get_with_token(&gold).await.0, 200);
    let plain = api.issuer.token("ada", "api").mint();
    assert_eq!(api.get_with_token(&plain).await.0, 401);
    api.issuer.clock().advance_ms(60_001);
    let (status, challenge) = api.get_with_token(&gold).await;
    assert!(status == 401 && challenge.contains("insufficient_user_authentication"), "{challenge}");
    assert!(challenge.ends_with(r#"acr_values="gold", max_age="60""#), "{challenge}");
}

#[tokio::test]
async fn s17_a_guest_is_asked_to_sign_in_unless_guests_are_allowed() {
    let mut api = Api::new(|layer| layer);
    let guest = api.issuer.token("usr_1", "api").claim("acr", "0").claim("amr", serde_json::json!([])).mint();
    let (status, challenge) = api.get_with_token(&guest).await;
    assert!(status == 401 && challenge.contains("insufficient_user_authentication"), "{challenge}");
    assert!(challenge.ends_with(r#"acr_values="1""#), "{challenge}");
    let verifier = api.issuer.builder("api").allow_guests(true).build().unwrap();
    let claims = verifier.verify(&guest).await.unwrap();
    assert!(claims.is_guest() && !verifier.verify(&api.issuer.token("ada", "api").mint()).await.unwrap().is_guest());
    // What is cached is judged by the policy too.
    assert!(verifier.verify(&guest).await.is_ok());
    assert_eq!(api.issuer.verifier("api").verify(&guest).await, Err(crate::VerifyError::Guest));
    // The server's own guests expire as users do.
    api.issuer.clock().advance_ms(301_000);
    assert_eq!(verifier.verify(&guest).await, Err(crate::VerifyError::Expired));
}

#[tokio::test]
async fn an_observing_layer_refuses_nobody_and_counts() {
    let issuer = TestIssuer::new("https://i");
    let layer = TokenLayer::new(issuer.verifier("api")).require_scope("orders.read").observe(true);
    let mut api = Api { router: Router::new().route("/", get(subject)).layer(layer.clone()), issuer };
    let (good, bare) =
        (api.issuer.token("ada", "api").scope("orders.read").mint(), api.issuer.token("eve", "api").mint());
    assert_eq!(api.get(&[&format!("Bearer {good}")]).await.2, "ada");
    assert_eq!(layer.gate().observed_refusals(), 0);
    // A caller who lacks a scope is still identified.
    assert_eq!(api.get(&[&format!("Bearer {bare}")]).await, (200, String::new(), "eve".to_owned()));
    assert_eq!(api.get(&[]).await.2, "nobody");
    assert_eq!(layer.gate().observed_refusals(), 2);
}

#[tokio::test]
async fn an_issuer_outage_is_answered_with_503_not_401() {
    let issuer = TestIssuer::new("https://i");
    // Nothing listens on this port.
    let verifier =
        Verifier::builder("https://i", "api").jwks_url("http://127.0.0.1:9/").clock(issuer.clock()).build().unwrap();
    let mut api = Api { router: Router::new().route("/", get(subject)).layer(TokenLayer::new(verifier)), issuer };
    let token = api.issuer.token("ada", "api").mint();
    assert_eq!(api.get_with_token(&token).await, (503, String::new()));
}

#[tokio::test]
async fn claims_of_an_outer_layer_are_not_passed_on_by_an_inner_one() {
    let (outer, inner) = (TestIssuer::new("https://outer"), TestIssuer::new("https://inner"));
    let app = Router::new()
        .route("/", get(subject))
        .layer(TokenLayer::new(inner.verifier("api")).observe(true))
        .layer(TokenLayer::new(outer.verifier("api")));
    let token = outer.token("ada", "api").mint();
    let mut api = Api { router: app, issuer: outer };
    assert_eq!(api.get(&[&format!("Bearer {token}")]).await.2, "nobody");
}

#[tokio::test]
async fn a_request_that_passes_two_layers_is_counted_once() {
    let issuer = TestIssuer::new("https://i");
    let layer = TokenLayer::new(issuer.verifier("api")).observe(true);
    let router =
        Router::new().route("/", get(subject).layer(layer.clone().require_scope("orders.read"))).layer(layer.clone());
    let mut api = Api { issuer, router };
    assert_eq!(api.get(&[]).await.2, "nobody");
    assert_eq!(layer.gate().observed_refusals(), 1, "refused by both");
    let bare = api.issuer.token("ada", "api").mint();
    assert_eq!(api.get(&[&format!("Bearer {bare}")]).await.2, "ada");
    assert_eq!(layer.gate().observed_refusals(), 2, "refused by the inner one alone");
    let good = api.issuer.token("ada", "api").scope("orders.read").mint();
    assert_eq!(api.get(&[&format!("Bearer {good}")]).await.2, "ada");
    assert_eq!(layer.gate().observed_refusals(), 2);
}
