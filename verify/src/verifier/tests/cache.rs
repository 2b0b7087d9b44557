//! Tests the cache of verified tokens.

use super::*;
use crate::testing::TestIssuer;

#[tokio::test]
async fn a_cached_token_still_expires() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.verifier("api");
    let token = issuer.token("ada", "api").mint();
    for _ in 0..3 {
        verifier.verify(&token).await.unwrap();
    }
    assert_eq!(verifier.cache.len(), 1);
    issuer.clock().advance_ms(300_000);
    assert_eq!(verifier.verify(&token).await.unwrap_err(), VerifyError::Expired);
    issuer.clock().advance_ms(-500_000);
    assert_eq!(verifier.verify(&token).await.unwrap_err(), VerifyError::NotYetValid);
}

#[tokio::test]
async fn a_cached_token_is_refused_when_its_key_is_gone() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&old]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    verifier.verify_now(&old.token()).unwrap();
    issuer.set_response(&ok_response(&jwks_of(&[&new]), ""));
    clock.advance_ms(MINUTE);
    assert_eq!(verifier.verify(&old.token()).await.unwrap_err(), VerifyError::UnknownKey { kid: "a".into() });
    assert!(verifier.verify_now(&old.token()).is_err());
}

#[tokio::test]
async fn a_changed_key_with_the_same_kid_invalidates_cached_tokens() {
    let (old, new) = (Signer::new("a"), Signer::new("a"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&old]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    issuer.set_response(&ok_response(&jwks_of(&[&new]), ""));
    clock.advance_ms(MINUTE);
    assert_eq!(verifier.verify(&old.token()).await.unwrap_err(), VerifyError::Signature);
}

#[tokio::test]
async fn only_accepted_tokens_are_cached() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.verifier("api");
    for bad in [
        issuer.token("ada", "elsewhere").mint(),
        issuer.token("ada", "api").expires_in(-1).mint(),
        format!("{}x", issuer.token("ada", "api").mint()),
        "junk".to_owned(),
    ] {
        verifier.verify(&bad).await.unwrap_err();
    }
    assert_eq!(verifier.cache.len(), 0);
    let verifier = issuer.builder("api").cache_bytes(0).build().unwrap();
    verifier.verify(&issuer.token("ada", "api").mint()).await.unwrap();
    assert_eq!(verifier.cache.len(), 0);
}

#[tokio::test]
async fn a_token_in_use_is_not_evicted_by_tokens_seen_once() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.builder("api").cache_bytes(128 * 1024).build().unwrap();
    let token = issuer.token("ada", "api").mint();
    let hash = verifier.cache.hash(&token).unwrap();
    for n in 0..1_000 {
        verifier.verify(&token).await.unwrap();
        verifier.verify(&issuer.token("eve", "api").claim("n", n).mint()).await.unwrap();
        assert!(verifier.cache.get(&hash).is_some(), "{n}");
    }
}

#[tokio::test]
async fn an_unchanged_key_set_is_kept_when_it_is_fetched_again() {
    let key = Signer::new("a");
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    let before = verifier.keys.fresh(Moment::now(&*clock)).unwrap();
    clock.advance_ms(MINUTE);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.requests(), 2);
    assert!(Arc::ptr_eq(&before, &verifier.keys.fresh(Moment::now(&*clock)).unwrap()));
}
