//! Tokens with an unknown key while the verifier's sources are late: the key may be a new one.

use super::*;

const LENIENT: Duration = Duration::from_mins(5);

/// A verifier that knows one key, its clock, and a token with another key.
async fn with_one_key(issuer: &FakeIssuer, key: &Signer) -> (Verifier, Arc<FixedClock>) {
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    (verifier, clock)
}

#[tokio::test]
async fn an_unknown_key_is_no_fault_of_the_token_while_keys_cannot_be_fetched() {
    let (key, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "")).await;
    let (verifier, clock) = with_one_key(&issuer, &key).await;
    clock.advance_ms(MINUTE);
    issuer.set_response(DOWN);
    for _ in 0..3 {
        assert!(keys_unavailable(&verifier.verify(&new.token()).await));
        assert!(keys_unavailable(&verifier.verify_now(&new.token())));
        assert!(verifier.verify(&key.token()).await.is_ok());
    }
    issuer.set_response(&ok_response(&jwks_of(&[&key]), ""));
    clock.advance_ms(MINUTE);
    let refused = verifier.verify(&new.token()).await.unwrap_err();
    assert_eq!(refused, VerifyError::UnknownKey { kid: "b".into() });
    assert_eq!(verifier.verify_now(&new.token()).unwrap_err(), refused);
}

#[cfg(feature = "watch")]
#[tokio::test]
async fn an_unknown_key_is_no_fault_of_the_token_while_a_fetch_hangs() {
    let (key, new) = (Signer::new("a"), Signer::new("b"));
    let (url, requests) = start_silent_server().await;
    let clock = Arc::new(FixedClock::new(NOW));
    let verifier = Verifier::builder("https://i", "api").jwks_url(url).clock(clock.clone()).build().unwrap();
    let known = KeySet::from_json(jwks_of(&[&key]).as_bytes()).unwrap();
    verifier.keys.accept_pushed(known, 300_000, Moment::now(&*clock));
    assert!(keys_unavailable(&verifier.verify(&new.token()).await), "it waits, but not until the fetch is over");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert!(keys_unavailable(&verifier.verify_now(&new.token())));
}

#[tokio::test]
async fn an_unknown_key_is_no_fault_of_the_token_once_the_known_ones_have_expired() {
    let (key, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = with_one_key(&issuer, &key).await;
    issuer.set_response(DOWN);
    clock.advance_ms(2 * MINUTE);
    assert!(verifier.verify(&key.token()).await.is_ok());
    assert!(keys_unavailable(&verifier.verify(&new.token()).await));
}

#[tokio::test]
async fn a_bad_signature_or_an_expired_token_is_refused_whatever_is_late() {
    let (key, other) = (Signer::new("a"), Signer::new("a"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "")).await;
    let (verifier, clock) = with_one_key(&issuer, &key).await;
    issuer.set_response(DOWN);
    clock.advance_ms(4 * MINUTE);
    assert_eq!(verifier.verify(&other.token()).await.unwrap_err(), VerifyError::Signature);
}

#[cfg(feature = "watch")]
#[tokio::test]
async fn an_unknown_key_is_no_fault_of_the_token_while_the_stream_is_late_or_has_sent_no_snapshot() {
    let (key, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "")).await;
    let clock = Arc::new(FixedClock::new(NOW));
    let watch = crate::Watch::new("http://127.0.0.1:9", "guard", "secret").unwrap();
    let verifier = Verifier::builder("https://i", "api").jwks_url(&issuer.url).clock(clock.clone());
    let verifier = verifier.watch(watch).build().unwrap();
    for _ in 0..2 {
        // The first one fetches the keys.
        assert!(keys_unavailable(&verifier.verify(&new.token()).await), "no snapshot");
    }
    let RevocationSource::Stream(stream) = &verifier.revocations else { panic!("no stream") };
    let now = || Moment::now(&*clock);
    stream.revoked.complete_snapshot(std::collections::HashSet::new());
    stream.revoked.connection_opened(now());
    assert!(stream.revoked.heartbeat(NOW, now()));
    let unknown = VerifyError::UnknownKey { kid: "b".into() };
    assert_eq!(verifier.verify(&new.token()).await.unwrap_err(), unknown);
    clock.advance_ms(4_000);
    assert!(keys_unavailable(&verifier.verify(&new.token()).await), "stale");
    assert!(keys_unavailable(&verifier.verify_now(&new.token())), "stale");
    assert!(verifier.verify(&key.token()).await.is_ok(), "a known key is good for as long as it fails open");
}

#[tokio::test]
async fn an_unknown_key_is_no_fault_of_the_token_while_the_status_lists_are_late() {
    let (issuer, new) = (lists::ListIssuer::start(LENIENT).await, Signer::new("b"));
    let verifier = issuer.with_keys_over_http().await;
    let known = issuer.token(1, &issuer.uri());
    issuer.set_list(&issuer.list(&[0], |_| {}));
    verifier.verify(&known).await.unwrap();
    let stranger = new.sign("at+jwt", &json!({ "iss": issuer.server.issuer() }));
    let unknown = VerifyError::UnknownKey { kid: "b".into() };
    assert_eq!(verifier.verify(&stranger).await.unwrap_err(), unknown, "the keys were read just now");
    issuer.server.set_response(DOWN);
    // The list has expired and cannot be fetched; the keys are not read again so soon.
    issuer.clock.advance_ms(20_000);
    verifier.verify(&known).await.unwrap();
    assert!(matches!(verifier.health().revocations, Freshness::Stale(_)));
    assert!(keys_unavailable(&verifier.verify(&stranger).await));
    assert!(keys_unavailable(&verifier.verify_now(&stranger)));
    issuer.set_list(&issuer.list(&[0], |_| {}));
    issuer.clock.advance_ms(1_000);
    verifier.verify(&known).await.unwrap();
    eventually(|| verifier.health().revocations == Freshness::Fresh).await;
    assert_eq!(verifier.verify(&stranger).await.unwrap_err(), unknown);
}

#[tokio::test]
async fn an_older_answer_with_the_same_keys_ends_a_failure() {
    let (key, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "cache-control: max-age=3600\r\n")).await;
    let (verifier, clock) = with_one_key(&issuer, &key).await;
    issuer.set_response(DOWN);
    clock.advance_ms(MINUTE);
    assert!(keys_unavailable(&verifier.verify(&new.token()).await));
    issuer.set_response(&ok_response(&jwks_of(&[&key]), "cache-control: max-age=3600\r\nage: 180\r\n"));
    clock.advance_ms(MINUTE);
    assert_eq!(verifier.verify(&new.token()).await.unwrap_err(), VerifyError::UnknownKey { kid: "b".into() });
}
