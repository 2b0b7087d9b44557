//! Tests the verifier against an issuer whose responses the test controls.

use std::sync::{
    Arc, Mutex as StdMutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::FixedClock;

const NOW: i64 = 1_893_456_000_000;
const MINUTE: i64 = 60_000;

struct Signer {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().unwrap() }
    }

    fn jwk(&self) -> serde_json::Value {
        let x = B64.encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": self.kid, "x": x })
    }

    /// A token that is valid for a day, so that only the age of the keys matters.
    fn token(&self) -> String {
        self.sign(
            "at+jwt",
            &json!({
                "iss": "https://i", "sub": "ada", "aud": "api", "client_id": "app", "iat": NOW / 1000,
                "exp": NOW / 1000 + 86_400, "jti": "x",
            }),
        )
    }

    fn sign(&self, typ: &str, claims: &serde_json::Value) -> String {
        let header = json!({ "typ": typ, "alg": "EdDSA", "kid": self.kid });
        let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        format!("{input}.{}", B64.encode(self.pair.sign(input.as_bytes())))
    }
}

fn jwks_of(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|s| s.jwk()).collect::<Vec<_>>() }).to_string()
}

/// An HTTP server that returns one configurable response and counts its requests.
struct FakeIssuer {
    url: String,
    response: Arc<StdMutex<String>>,
    requests: Arc<AtomicUsize>,
    last_request: Arc<StdMutex<String>>,
}

fn ok_response(body: &str, headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

/// The response of an issuer that is down: the connection is closed without an answer.
const DOWN: &str = "";

impl FakeIssuer {
    async fn start(response: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (response, requests) = (Arc::new(StdMutex::new(response)), Arc::new(AtomicUsize::new(0)));
        let (current, count, last_request) = (response.clone(), requests.clone(), Arc::<StdMutex<String>>::default());
        let last = last_request.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                *last.lock().unwrap() = String::from_utf8_lossy(&request[..length]).into_owned();
                let response = current.lock().unwrap().clone();
                let _ = stream.write_all(response.as_bytes()).await;
            }
        });
        Self { url, response, requests, last_request }
    }

    fn issuer(&self) -> &str {
        self.url.trim_end_matches("/keys")
    }

    fn set_response(&self, response: &str) {
        response.clone_into(&mut self.response.lock().unwrap());
    }

    fn last_request(&self) -> String {
        self.last_request.lock().unwrap().clone()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn verifier(&self) -> (Verifier, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::new(NOW));
        (
            Verifier::with_policy(Policy::new("https://i", "api"))
                .jwks_url(&self.url)
                .clock(clock.clone())
                .build()
                .unwrap(),
            clock,
        )
    }
}

/// Waits until the condition holds; fails after ten seconds.
async fn eventually(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the condition did not become true in time");
}

fn keys_unavailable<T>(result: &Result<T, VerifyError>) -> bool {
    matches!(result, Err(VerifyError::KeysUnavailable { .. }))
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_they_expire() {
    let key = Signer::new("a");
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "cache-control: public, max-age=120\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    assert!(keys_unavailable(&verifier.verify_now(&key.token())));
    for _ in 0..3 {
        assert_eq!(verifier.verify(&key.token()).await.unwrap().subject, "ada");
    }
    assert!(verifier.verify_now(&key.token()).is_ok());
    clock.advance_ms(89_999);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.requests(), 1);
    clock.advance_ms(1 + 30_000);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test]
async fn a_set_in_use_is_fetched_in_the_background_before_it_expires() {
    let key = Signer::new("a");
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "cache-control: public, max-age=120\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    clock.advance_ms(90_000);
    // Nothing yields to the runtime in between, so no fetch can have happened: the call did not wait.
    verifier.verify_now(&key.token()).unwrap();
    assert_eq!(issuer.requests(), 1);
    eventually(|| issuer.requests() >= 2).await;
}

#[tokio::test]
async fn many_concurrent_checks_share_one_fetch() {
    let key = Signer::new("a");
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "")).await;
    let (verifier, _) = issuer.verifier();
    let (verifier, token) = (Arc::new(verifier), key.token());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (verifier.clone(), token.clone());
        tasks.spawn(async move { verifier.verify(&token).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|good| good));
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn j10_an_unknown_kid_causes_at_most_one_fetch_a_minute() {
    let (key, stranger) = (Signer::new("a"), Signer::new("stranger"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    for minute in 0..3 {
        for _ in 0..20 {
            let refused = verifier.verify(&stranger.token()).await;
            assert_eq!(refused.unwrap_err(), VerifyError::UnknownKey { kid: "stranger".into() });
        }
        assert_eq!(issuer.requests(), 1 + minute);
        clock.advance_ms(MINUTE);
    }
    // A rotated key is accepted as soon as the issuer publishes it.
    issuer.set_response(&ok_response(&jwks_of(&[&key, &stranger]), ""));
    verifier.verify(&stranger.token()).await.unwrap();
    assert!(verifier.verify(&key.token()).await.is_ok());
    assert_eq!(issuer.requests(), 4);
}

#[tokio::test]
async fn keys_stay_usable_for_five_minutes_while_the_issuer_is_down() {
    let key = Signer::new("a");
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    issuer.set_response(DOWN);
    clock.advance_ms(MINUTE);
    verifier.verify(&key.token()).await.unwrap();
    let requests = issuer.requests();
    clock.advance_ms(9_999);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.requests(), requests, "retries are rate-limited");
    clock.advance_ms(5 * MINUTE - 10_000);
    verifier.verify(&key.token()).await.unwrap();
    eventually(|| issuer.requests() > requests).await;
    clock.advance_ms(1);
    assert!(keys_unavailable(&verifier.verify(&key.token()).await));
    assert!(keys_unavailable(&verifier.verify_now(&key.token())));
    issuer.set_response(&ok_response(&jwks_of(&[&key]), ""));
    clock.advance_ms(10_000);
    verifier.verify(&key.token()).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_comes_up_late_is_retried_after_a_second() {
    let key = Signer::new("a");
    let issuer = FakeIssuer::start(DOWN.to_owned()).await;
    let (verifier, clock) = issuer.verifier();
    for _ in 0..5 {
        assert!(keys_unavailable(&verifier.verify(&key.token()).await));
    }
    let requests = issuer.requests();
    assert!(keys_unavailable(&verifier.verify(&key.token()).await));
    assert_eq!(issuer.requests(), requests, "many tokens do not cause many fetches");
    issuer.set_response(&ok_response(&jwks_of(&[&key]), ""));
    clock.advance_ms(1_000);
    verifier.verify(&key.token()).await.unwrap();
}

#[tokio::test]
async fn a_bad_key_set_is_rejected_and_the_old_one_stays() {
    let key = Signer::new("a");
    let good = ok_response(&jwks_of(&[&key]), "cache-control: max-age=60\r\n");
    let big = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(1024 * 1024));
    let elsewhere = FakeIssuer::start(good.clone()).await;
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url);
    let error = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned();
    let secret = r#"{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}"#;
    for (bad, reason) in [
        (error, "500"),
        (moved, "302"),
        (ok_response("not json", ""), "not a JSON Web Key Set"),
        (ok_response(secret, ""), "secret"),
        (ok_response(&big, ""), "larger than"),
    ] {
        let issuer = FakeIssuer::start(bad.clone()).await;
        let (verifier, clock) = issuer.verifier();
        let Err(VerifyError::KeysUnavailable { reason: actual }) = verifier.verify(&key.token()).await else {
            panic!("{reason}: accepted")
        };
        assert!(actual.contains(reason), "{actual} does not contain {reason}");
        issuer.set_response(&good);
        clock.advance_ms(1_000);
        verifier.verify(&key.token()).await.unwrap();
        issuer.set_response(&bad);
        clock.advance_ms(MINUTE);
        assert!(verifier.verify(&key.token()).await.is_ok(), "{reason}: the old set is gone");
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_clock_set_back_does_not_extend_the_life_of_a_set() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&old]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    issuer.set_response(&ok_response(&jwks_of(&[&new]), "cache-control: max-age=60\r\n"));
    // By the wall clock the set is still fresh, but a minute has passed.
    clock.advance_ms(-20_000);
    clock.advance_ms(MINUTE);
    clock.advance_ms(-MINUTE);
    assert!(matches!(verifier.verify(&old.token()).await, Err(VerifyError::UnknownKey { .. })));
    verifier.verify(&new.token()).await.unwrap();
}

/// Starts a server that accepts connections and never answers.
async fn start_silent_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    (url, requests)
}

#[tokio::test(start_paused = true)]
async fn concurrent_checks_wait_together_for_an_issuer_that_hangs() {
    let key = Signer::new("a");
    let (url, requests) = start_silent_server().await;
    let verifier = Arc::new(Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(url).build().unwrap());
    let began = tokio::time::Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (verifier, token) = (verifier.clone(), key.token());
        waiting.spawn(async move {
            tokio::time::advance(Duration::from_millis(n)).await;
            let began = tokio::time::Instant::now();
            assert!(keys_unavailable(&verifier.verify(&token).await));
            began.elapsed()
        });
    }
    for took in waiting.join_all().await {
        assert!(took <= Duration::from_secs(3), "{took:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_fetch_continues_when_the_waiting_request_gives_up() {
    let key = Signer::new("a");
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), "")).await;
    let (verifier, _) = issuer.verifier();
    let token = key.token();
    {
        let mut request = std::pin::pin!(verifier.verify(&token));
        assert!(poll_once(&mut request).await.is_pending());
    }
    // Nothing else waits, and the keys still arrive.
    eventually(|| verifier.verify_now(&token).is_ok()).await;
    assert_eq!(issuer.requests(), 1);
}

/// Polls a future once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}

#[tokio::test]
async fn an_unknown_key_is_a_temporary_error_for_verify_now() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&old]), "")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    clock.advance_ms(MINUTE);
    issuer.set_response(&ok_response(&jwks_of(&[&old, &new]), ""));
    assert!(verifier.verify_now(&new.token()).unwrap_err().is_temporary());
    eventually(|| verifier.verify_now(&new.token()).is_ok()).await;
}

#[tokio::test]
async fn ready_waits_for_an_issuer_until_the_time_limit() {
    let key = Signer::new("a");
    let (url, _) = start_silent_server().await;
    let verifier = Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(url).build().unwrap();
    assert!(keys_unavailable(&verifier.ready(Duration::from_millis(50)).await));
    let issuer = FakeIssuer::start(DOWN.to_owned()).await;
    let verifier = Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(&issuer.url).build().unwrap();
    let (ready, ()) = tokio::join!(verifier.ready(Duration::from_secs(30)), async {
        eventually(|| issuer.requests() > 0).await;
        issuer.set_response(&ok_response(&jwks_of(&[&key]), ""));
    });
    ready.unwrap();
}

#[cfg(feature = "watch")]
#[tokio::test]
async fn a_pushed_set_is_not_replaced_by_an_older_response() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let clock = Arc::new(FixedClock::new(NOW));
    let verifier =
        Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(url).clock(clock.clone()).build().unwrap();
    let verifier = Arc::new(verifier);
    let (waiting, token) = (verifier.clone(), old.token());
    let request = tokio::spawn(async move { waiting.verify(&token).await });
    let (mut connection, _) = listener.accept().await.unwrap();
    // The fetch is in progress when the stream delivers a newer set.
    let pushed = KeySet::from_json(jwks_of(&[&new]).as_bytes()).unwrap();
    verifier.keys.accept_pushed(pushed, 300_000, Moment::now(&*clock));
    assert_ne!(connection.read(&mut [0; 4096]).await.unwrap(), 0);
    connection.write_all(ok_response(&jwks_of(&[&old]), "").as_bytes()).await.unwrap();
    // The request waits for the fetch, so the older response has been handled when it returns.
    assert_eq!(request.await.unwrap().unwrap_err(), VerifyError::UnknownKey { kid: "a".into() });
    verifier.verify(&new.token()).await.unwrap();
}

#[tokio::test]
async fn a_file_is_read_again_when_it_expires() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let clock = Arc::new(FixedClock::new(NOW));
    let verifier =
        Verifier::with_policy(Policy::new("https://i", "api")).jwks_file(&path).clock(clock.clone()).build().unwrap();
    let Err(VerifyError::KeysUnavailable { reason }) = verifier.verify(&old.token()).await else { panic!("no file") };
    assert!(reason.contains("cannot read the file"), "{reason}");
    std::fs::write(&path, jwks_of(&[&old])).unwrap();
    clock.advance_ms(1_000);
    verifier.verify(&old.token()).await.unwrap();
    std::fs::write(&path, jwks_of(&[&old, &new])).unwrap();
    clock.advance_ms(MINUTE);
    verifier.verify(&new.token()).await.unwrap();
    std::fs::write(&path, "half a fi").unwrap();
    clock.advance_ms(5 * MINUTE);
    verifier.verify(&new.token()).await.unwrap();
}

#[tokio::test]
async fn a_fixed_set_is_never_replaced() {
    let (key, stranger) = (Signer::new("a"), Signer::new("b"));
    let fixed = KeySet::from_json(jwks_of(&[&key]).as_bytes()).unwrap();
    let verifier =
        Verifier::builder("https://i", "api").jwks(fixed).clock(Arc::new(FixedClock::new(NOW))).build().unwrap();
    verifier.verify(&key.token()).await.unwrap();
    assert!(matches!(verifier.verify(&stranger.token()).await, Err(VerifyError::UnknownKey { .. })));
}

#[cfg(feature = "testing")]
mod cache;
mod freshness;
mod late;
mod lists;
mod many_lists;
#[cfg(all(feature = "testing", target_os = "linux"))]
mod memory;
mod settings;
