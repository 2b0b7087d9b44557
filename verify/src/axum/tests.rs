use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
    routing::get,
};
use tower_service::Service;

use super::*;
use crate::testing::TestIssuer;

async fn subject(token: Token) -> Result<String, Refusal> {
    token.require_permission("orders.read")?;
    Ok(token.subject.clone())
}

async fn maybe(token: Option<Token>) -> String {
    token.map_or_else(|| "nobody".to_owned(), |token| token.subject.clone())
}

/// A state that has more than the gate.
#[derive(Clone)]
struct Shop {
    gate: Gate,
}

impl FromRef<Shop> for Gate {
    fn from_ref(shop: &Shop) -> Self {
        shop.gate.clone()
    }
}

async fn call(gate: &Gate, path: &str, token: Option<&str>) -> (u16, String) {
    let shop = Shop { gate: gate.clone() };
    let mut router: Router = Router::new().route("/", get(subject)).route("/maybe", get(maybe)).with_state(shop);
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let challenged = response.headers().contains_key("www-authenticate");
    assert_eq!(challenged, matches!(status, 400..=403), "{status}");
    let body = to_bytes(response.into_body(), 1024).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_handler_gets_the_claims_and_is_not_called_without_a_good_token() {
    let issuer = TestIssuer::new("https://i");
    let gate = Gate::new(issuer.verifier("api"));
    let good = issuer.token("ada", "api").permission("orders.read").mint();
    assert_eq!(call(&gate, "/", Some(&good)).await, (200, "ada".to_owned()));
    assert_eq!(call(&gate, "/", None).await.0, 401);
    assert_eq!(call(&gate, "/", Some("junk")).await.0, 401);
    assert_eq!(call(&gate, "/", Some(&issuer.token("ada", "api").mint())).await.0, 403);
    let strict = gate.require_scope("orders.write");
    assert_eq!(call(&strict, "/", Some(&good)).await.0, 403);
}

#[tokio::test]
async fn an_optional_token_may_be_absent_but_not_wrong() {
    let issuer = TestIssuer::new("https://i");
    let gate = Gate::new(issuer.verifier("api"));
    let good = issuer.token("ada", "api").mint();
    assert_eq!(call(&gate, "/maybe", Some(&good)).await, (200, "ada".to_owned()));
    assert_eq!(call(&gate, "/maybe", None).await, (200, "nobody".to_owned()));
    assert_eq!(call(&gate, "/maybe", Some("junk")).await.0, 401);
    assert_eq!(call(&gate, "/maybe", Some("a b")).await.0, 400);
    let observing = gate.observe(true);
    assert_eq!(call(&observing, "/maybe", Some("junk")).await, (200, "nobody".to_owned()));
    assert_eq!(observing.observed_refusals(), 1);
}

async fn twice(first: Option<Token>, second: Option<Token>) -> String {
    [first, second].map(|token| token.map_or_else(|| "nobody".to_owned(), |token| token.subject.clone())).join(" ")
}

#[tokio::test]
async fn a_request_that_is_checked_several_times_is_counted_once() {
    let issuer = TestIssuer::new("https://i");
    let gate = Gate::new(issuer.verifier("api")).observe(true);
    let other = Gate::new(issuer.verifier("api")).observe(true);
    let layer = |gate: &Gate| crate::middleware::TokenLayer::from(gate.clone());
    let inner: Router<Gate> = Router::new().route("/", get(twice));
    let inner = inner.with_state(gate.clone());
    let layered = inner.clone().layer(layer(&other)).layer(layer(&gate)).layer(layer(&other));
    for (mut router, counts) in [(inner, [1, 0]), (layered, [2, 1])] {
        let request = Request::get("/").header("authorization", "Bearer junk").body(Body::empty()).unwrap();
        let response = router.call(request).await.unwrap();
        let body = to_bytes(response.into_body(), 1024).await.unwrap();
        assert_eq!(body, "nobody nobody");
        assert_eq!([gate.observed_refusals(), other.observed_refusals()], counts);
    }
}
