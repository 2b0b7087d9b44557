//! Public keys of other issuers, published for a limited time.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::{
    domain::keys::ForeignKey,
    error::{Error, Reason},
    grpc::pb::{GetJwksRequest, key_service_client::KeyServiceClient},
    service::{Act, Admin, ClientCredentials, ForeignKeyText, Service},
    time::{Timestamp, Ttl},
};
use serde_json::{Value, json};

use crate::{
    support::{App, ISSUER, admit_admin},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        every_process_publishes_a_foreign_key_after_ours_until_it_expires,
        a_token_signed_with_a_foreign_key_is_never_accepted,
        a_revoked_foreign_key_disappears_at_once_and_permanently,
        unsuitable_keys_and_expiry_times_are_refused_without_effect,
    }
}

/// Another issuer, with one key.
struct Old {
    pair: EcdsaKeyPair,
    jwk: Value,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Old {
    fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        Self { pair, jwk: json!({ "kid": kid, "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256" }) }
    }

    async fn trust(&self, service: &Service, until: Timestamp) -> Result<Vec<ForeignKey>, Error> {
        let text = self.jwk.to_string();
        let text = ForeignKeyText { text: &text, kid: None, alg: None };
        Ok(service.signing_keys.trust(&Admin::command(), text, until).await?.published)
    }

    /// A token that looks like one of this server's, including the issuer.
    fn forge(&self, app: &App, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": self.jwk["kid"], "typ": "at+jwt" });
        let now = app.service.now().seconds();
        let mut all = json!({
            "iss": ISSUER, "sub": "ada", "client_id": "app", "jti": "x", "iat": now, "exp": now + 60, "aud": "api",
        });
        all.as_object_mut().unwrap().extend(claims.as_object().cloned().unwrap());
        let head = format!("{}.{}", encode(header.to_string()), encode(all.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), head.as_bytes()).unwrap();
        format!("{head}.{}", encode(signature))
    }
}

fn published(service: &Service) -> Vec<Value> {
    let jwks: Value = serde_json::from_str(&service.live.snapshot().ring.jwks).unwrap();
    jwks["keys"].as_array().unwrap().clone()
}

fn kids(service: &Service) -> Vec<String> {
    published(service).iter().map(|k| k["kid"].as_str().unwrap().to_owned()).collect()
}

async fn every_process_publishes_a_foreign_key_after_ours_until_it_expires(app: &App) {
    let (old, other) = (Old::new("2019-old"), app.second_process().await);
    let own = published(&app.service);
    let until = app.service.now().plus(Ttl::from_days(30));
    let keys = old.trust(&app.service, until).await.unwrap();
    assert_eq!((keys[0].kid.as_str(), keys[0].expires_at), ("2019-old", until));
    other.live.confirm().await.unwrap();
    for service in [&app.service, &other] {
        let all = published(service);
        assert_eq!(all[..own.len()], own);
        let mut expected = old.jwk.clone();
        (expected["use"], expected["foreign"]) = (json!("sig"), json!(true));
        assert_eq!(all[own.len()..], [expected]);
    }
    let mut keys = KeyServiceClient::new(served(app).await);
    let published_keys = keys.get_jwks(GetJwksRequest::default()).await.unwrap().into_inner().keys;
    let foreign: Vec<_> = published_keys.iter().map(|key| (key.kid.as_str(), key.foreign)).collect();
    assert_eq!(foreign.last(), Some(&("2019-old", true)));
    assert!(foreign.len() == own.len() + 1 && foreign[..own.len()].iter().all(|(_, foreign)| !foreign));
    app.pass(Ttl::from_millis(Ttl::from_days(30).millis() - 1)).await;
    app.service.signing_keys.rotate_due().await.unwrap();
    assert!(kids(&app.service).contains(&"2019-old".to_owned()));
    app.pass(Ttl::from_millis(1)).await;
    app.service.signing_keys.rotate_due().await.unwrap();
    assert!(!kids(&app.service).contains(&"2019-old".to_owned()));
    let events = app.service.store().read().await.unwrap().audit_kinds().await.unwrap();
    assert!(events.contains(&("KEY_TRUSTED".to_owned(), "2019-old".to_owned())), "{events:?}");
}

async fn a_token_signed_with_a_foreign_key_is_never_accepted(app: &App) {
    let old = Old::new("2019-old");
    old.trust(&app.service, app.service.now().plus(Ttl::from_days(1))).await.unwrap();
    app.client("portal", &["api", ISSUER]).await;
    let session = app.sign_in().await;
    let real = crate::support::claims(session.access.token.expose());
    for claims in [json!({ "aud": ISSUER, "entitlements": ["users.write"] }), real] {
        let forged = old.forge(app, &claims);
        let forged = ClientCredentials::Bearer(forged);
        let asked = admit_admin(&app.service, &forged, ("users.write", Act::Write)).await;
        assert_eq!(asked.unwrap_err().reason(), Reason::TokenInvalid);
    }
    // A verifier that fetches the whole set does not accept it either.
    let set = chancery_verify::KeySet::from_json(app.service.live.snapshot().ring.jwks.as_bytes()).unwrap();
    let policy = chancery_verify::Policy::new(ISSUER, "api");
    let check = |token: &str| chancery_verify::check(token, &set, &policy, app.service.now().millis()).is_ok();
    assert!(check(session.access.token.expose()) && !check(&old.forge(app, &json!({}))));
}

async fn a_revoked_foreign_key_disappears_at_once_and_permanently(app: &App) {
    let old = Old::new("2019-old");
    let until = app.service.now().plus(Ttl::from_days(1));
    old.trust(&app.service, until).await.unwrap();
    let revoked = app.service.signing_keys.revoke(&Admin::command(), "2019-old").await.unwrap();
    assert_eq!((revoked.kid.as_str(), revoked.algorithm.as_str()), ("2019-old", "ES256"));
    assert!(!kids(&app.service).contains(&revoked.kid));
    assert!(app.service.live.snapshot().revoked_keys.contains_key("2019-old"));
    assert!(old.trust(&app.service, until).await.unwrap_err().to_string().contains("revoked"));
    let again = app.service.signing_keys.revoke(&Admin::command(), "2019-old").await.unwrap_err();
    assert!(matches!(again, Error::NotFound(..)), "{again:?}");
}

async fn unsuitable_keys_and_expiry_times_are_refused_without_effect(app: &App) {
    let (service, now) = (&app.service, app.service.now());
    let (old, until) = (Old::new("2019-old"), now.plus(Ttl::from_days(1)));
    let before = published(service);
    let refused = |error: Error, says: &str| assert!(error.to_string().contains(says), "{error}");
    for bad in [now, now.minus(Ttl::from_days(1)), now.plus(Ttl::from_days(367))] {
        refused(old.trust(service, bad).await.unwrap_err(), "until");
    }
    let own = Old::new(before[0]["kid"].as_str().unwrap());
    refused(own.trust(service, until).await.unwrap_err(), "this server");
    let twice = json!({ "keys": [old.jwk, old.jwk] }).to_string();
    let text = ForeignKeyText { text: &twice, kid: None, alg: None };
    refused(service.signing_keys.trust(&Admin::command(), text, until).await.unwrap_err(), "twice");
    let many: Vec<Value> = (0..17).map(|n| Old::new(&n.to_string()).jwk).collect();
    let many = json!({ "keys": many }).to_string();
    let text = ForeignKeyText { text: &many, kid: None, alg: None };
    refused(service.signing_keys.trust(&Admin::command(), text, until).await.unwrap_err(), "at most 16");
    assert_eq!(published(service), before);
    old.trust(service, until).await.unwrap();
    refused(Old::new("2019-old").trust(service, until).await.unwrap_err(), "belongs to another key");
    // Trusting the same key again changes its expiry time.
    let later = until.plus(Ttl::from_days(1));
    old.trust(service, later).await.unwrap();
    assert_eq!(service.live.snapshot().ring.foreign[0].expires_at, later);
}
