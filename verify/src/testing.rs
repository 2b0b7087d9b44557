//! Mints tokens for a service's unit tests: no server, no network, and a clock that stands still.
//!
//! ```
//! use chancery_verify::testing::TestIssuer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let issuer = TestIssuer::new("https://id.example.com");
//! let verifier = issuer.verifier("orders-api");
//! let token = issuer.token("ada", "orders-api").scope("orders.read").mint();
//!
//! assert_eq!(verifier.verify(&token).await.unwrap().subject, "ada");
//! issuer.clock().advance_ms(300_000);
//! assert!(verifier.verify(&token).await.is_err(), "it is valid for five minutes");
//! # }
//! ```

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{Clock, FixedClock, KeySet, Policy, Verifier, VerifierBuilder};

/// The start of its clock: 2030-01-01T00:00:00Z.
const START_MS: i64 = 1_893_456_000_000;
/// The lifetime of a token, in seconds.
const LIFETIME: i64 = 300;

/// An issuer with a throwaway key, for tests.
#[derive(Debug)]
pub struct TestIssuer {
    url: String,
    pair: Ed25519KeyPair,
    clock: Arc<FixedClock>,
    minted: AtomicU64,
}

impl TestIssuer {
    /// Creates an issuer with this URL and a new key.
    ///
    /// # Panics
    /// If the system provides no randomness.
    #[expect(clippy::expect_used, reason = "a test without randomness cannot go on")]
    pub fn new(url: impl Into<String>) -> Self {
        let pair = Ed25519KeyPair::generate().expect("randomness for a key");
        Self { url: url.into(), pair, clock: Arc::new(FixedClock::new(START_MS)), minted: AtomicU64::new(0) }
    }

    /// The clock that its verifiers share. It starts at 2030-01-01T00:00:00Z.
    #[must_use]
    pub fn clock(&self) -> Arc<FixedClock> {
        self.clock.clone()
    }

    /// Its key set, as JSON.
    #[must_use]
    pub fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "test", "x": x }] })
            .to_string()
    }

    /// A verifier that trusts this issuer, with no leeway.
    ///
    /// # Panics
    /// If the issuer's URL is not valid.
    #[expect(clippy::expect_used, reason = "a test with a wrong URL cannot go on")]
    #[must_use]
    pub fn verifier(&self, audience: &str) -> Verifier {
        self.builder(audience).build().expect("a valid URL of the issuer")
    }

    /// The settings of such a verifier.
    pub fn builder(&self, audience: &str) -> VerifierBuilder {
        let set = KeySet::from_json(self.jwks().as_bytes()).unwrap_or_default();
        Verifier::with_policy(Policy::new(&self.url, audience)).jwks(set).clock(self.clock.clone())
    }

    /// A builder for a token for `subject` at `audience`.
    #[must_use]
    pub fn token(&self, subject: &str, audience: &str) -> TestToken<'_> {
        let now = self.clock.now_ms() / 1000;
        let n = self.minted.fetch_add(1, Ordering::Relaxed);
        let claims = json!({
            "iss": self.url, "sub": subject, "aud": audience, "client_id": "test-client", "sid": format!("ses_{n}"),
            "jti": format!("tok_{n}"), "iat": now, "exp": now + LIFETIME, "auth_time": now, "amr": ["pwd"],
        });
        let claims = if let Value::Object(map) = claims { map } else { Map::new() };
        TestToken { issuer: self, claims }
    }
}

/// A token that is being built.
#[derive(Clone, Debug)]
pub struct TestToken<'a> {
    issuer: &'a TestIssuer,
    claims: Map<String, Value>,
}

impl TestToken<'_> {
    /// Sets any claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the client (`client_id`).
    #[must_use]
    pub fn client(self, id: &str) -> Self {
        self.claim("client_id", id)
    }

    /// Sets the session (`sid`).
    #[must_use]
    pub fn session(self, id: &str) -> Self {
        self.claim("sid", id)
    }

    /// Sets the scopes, separated by spaces.
    #[must_use]
    pub fn scope(self, scopes: &str) -> Self {
        self.claim("scope", scopes)
    }

    /// Adds a permission (`entitlements`).
    #[must_use]
    pub fn permission(mut self, permission: &str) -> Self {
        let list = self.claims.entry("entitlements").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(permission.into());
        }
        self
    }

    /// Sets the expiry to this many seconds from now; a negative number makes an expired token.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        let now = self.issuer.clock.now_ms() / 1000;
        self.claim("exp", now.saturating_add(seconds))
    }

    /// Signs the token.
    #[must_use]
    pub fn mint(self) -> String {
        let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "test" }).to_string();
        let claims = Value::Object(self.claims).to_string();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.issuer.pair.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
