//! The verifier against an issuer that the test holds in its hands.

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

    /// A token that lives for a day, so that only the keys' age matters.
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

fn set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|s| s.jwk()).collect::<Vec<_>>() }).to_string()
}

/// What the issuer answers, and how often it was asked.
struct Issuer {
    url: String,
    answer: Arc<StdMutex<String>>,
    asked: Arc<AtomicUsize>,
}

fn ok(body: &str, headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

/// Its connections are closed without an answer.
const DOWN: &str = "";

impl Issuer {
    async fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (answer, asked) = (Arc::new(StdMutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (said, count) = (answer.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let answer = said.lock().unwrap().clone();
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, answer, asked }
    }

    fn issuer(&self) -> &str {
        self.url.trim_end_matches("/keys")
    }

    fn says(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn verifier(&self) -> (Verifier, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::new(NOW));
        (Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(&self.url).clock(clock.clone()), clock)
    }
}

fn unavailable<T>(result: &Result<T, VerifyError>) -> bool {
    matches!(result, Err(VerifyError::KeysUnavailable { .. }))
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_their_time_is_over() {
    let key = Signer::new("a");
    let issuer = Issuer::start(ok(&set(&[&key]), "cache-control: public, max-age=120\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    assert!(unavailable(&verifier.verify_now(&key.token())));
    for _ in 0..3 {
        assert_eq!(verifier.verify(&key.token()).await.unwrap().subject, "ada");
    }
    assert!(verifier.verify_now(&key.token()).is_ok());
    clock.advance_ms(89_999);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.asked(), 1);
    clock.advance_ms(1 + 30_000);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_set_in_use_is_read_again_beside_before_its_time_is_over() {
    let key = Signer::new("a");
    let issuer = Issuer::start(ok(&set(&[&key]), "cache-control: public, max-age=120\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    clock.advance_ms(90_000);
    // Without a runtime's turn in between nothing can have been fetched: nobody waits.
    verifier.verify_now(&key.token()).unwrap();
    assert_eq!(issuer.asked(), 1);
    while issuer.asked() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let key = Signer::new("a");
    let issuer = Issuer::start(ok(&set(&[&key]), "")).await;
    let (verifier, _) = issuer.verifier();
    let (verifier, token) = (Arc::new(verifier), key.token());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (verifier.clone(), token.clone());
        tasks.spawn(async move { verifier.verify(&token).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|good| good));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn j10_an_unknown_kid_asks_again_at_most_once_a_minute() {
    let (key, stranger) = (Signer::new("a"), Signer::new("stranger"));
    let issuer = Issuer::start(ok(&set(&[&key]), "")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    for minute in 0..3 {
        for _ in 0..20 {
            let refused = verifier.verify(&stranger.token()).await;
            assert_eq!(refused.unwrap_err(), VerifyError::UnknownKey { kid: "stranger".into() });
        }
        assert_eq!(issuer.asked(), 1 + minute);
        clock.advance_ms(MINUTE);
    }
    // A rotated key is accepted as soon as the issuer publishes it.
    issuer.says(&ok(&set(&[&key, &stranger]), ""));
    verifier.verify(&stranger.token()).await.unwrap();
    assert!(verifier.verify(&key.token()).await.is_ok());
    assert_eq!(issuer.asked(), 4);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_outlived_for_five_minutes_and_no_longer() {
    let key = Signer::new("a");
    let issuer = Issuer::start(ok(&set(&[&key]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    issuer.says(DOWN);
    clock.advance_ms(MINUTE);
    verifier.verify(&key.token()).await.unwrap();
    let asked = issuer.asked();
    clock.advance_ms(9_999);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.asked(), asked, "asked now and then only");
    clock.advance_ms(5 * MINUTE - 10_000);
    verifier.verify(&key.token()).await.unwrap();
    while issuer.asked() <= asked {
        tokio::task::yield_now().await;
    }
    clock.advance_ms(1);
    assert!(unavailable(&verifier.verify(&key.token()).await));
    assert!(unavailable(&verifier.verify_now(&key.token())));
    issuer.says(&ok(&set(&[&key]), ""));
    clock.advance_ms(10_000);
    verifier.verify(&key.token()).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_comes_up_late_is_found_soon() {
    let key = Signer::new("a");
    let issuer = Issuer::start(DOWN.to_owned()).await;
    let (verifier, clock) = issuer.verifier();
    for _ in 0..5 {
        assert!(unavailable(&verifier.verify(&key.token()).await));
    }
    let asked = issuer.asked();
    assert!(unavailable(&verifier.verify(&key.token()).await));
    assert_eq!(issuer.asked(), asked, "a storm of tokens is no storm of questions");
    issuer.says(&ok(&set(&[&key]), ""));
    clock.advance_ms(1_000);
    verifier.verify(&key.token()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_key_set_is_refused_and_the_old_one_stays() {
    let key = Signer::new("a");
    let good = ok(&set(&[&key]), "cache-control: max-age=60\r\n");
    let big = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(1024 * 1024));
    let elsewhere = Issuer::start(good.clone()).await;
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url);
    let error = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned();
    let secret = r#"{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}"#;
    for (bad, reason) in [
        (error, "500"),
        (moved, "302"),
        (ok("not json", ""), "not a JSON Web Key Set"),
        (ok(secret, ""), "secret"),
        (ok(&big, ""), "larger than"),
    ] {
        let issuer = Issuer::start(bad.clone()).await;
        let (verifier, clock) = issuer.verifier();
        let Err(VerifyError::KeysUnavailable { reason: told }) = verifier.verify(&key.token()).await else {
            panic!("{reason}: accepted")
        };
        assert!(told.contains(reason), "{told} does not tell of {reason}");
        issuer.says(&good);
        clock.advance_ms(1_000);
        verifier.verify(&key.token()).await.unwrap();
        issuer.says(&bad);
        clock.advance_ms(MINUTE);
        assert!(verifier.verify(&key.token()).await.is_ok(), "{reason}: the old set is gone");
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn a_clock_that_steps_back_keeps_no_old_set_alive() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = Issuer::start(ok(&set(&[&old]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    issuer.says(&ok(&set(&[&new]), "cache-control: max-age=60\r\n"));
    // By the wall clock the set stays young; a minute passes all the same.
    clock.advance_ms(-20_000);
    clock.advance_ms(MINUTE);
    clock.advance_ms(-MINUTE);
    assert!(matches!(verifier.verify(&old.token()).await, Err(VerifyError::UnknownKey { .. })));
    verifier.verify(&new.token()).await.unwrap();
}

/// Accepts connections and says nothing, or not for a while.
async fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    (url, asked)
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_an_issuer_that_hangs_wait_once() {
    let key = Signer::new("a");
    let (url, asked) = silent().await;
    let verifier = Arc::new(Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(url));
    let began = tokio::time::Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (verifier, token) = (verifier.clone(), key.token());
        waiting.spawn(async move {
            tokio::time::advance(Duration::from_millis(n)).await;
            let began = tokio::time::Instant::now();
            assert!(unavailable(&verifier.verify(&token).await));
            began.elapsed()
        });
    }
    for took in waiting.join_all().await {
        assert!(took <= Duration::from_secs(3), "{took:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_gives_up_ends_no_read() {
    let key = Signer::new("a");
    let issuer = Issuer::start(ok(&set(&[&key]), "")).await;
    let (verifier, _) = issuer.verifier();
    let token = key.token();
    {
        let mut request = std::pin::pin!(verifier.verify(&token));
        assert!(futures_poll(&mut request).await.is_pending());
    }
    // Nobody asks again, and the keys arrive.
    while verifier.verify_now(&token).is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.asked(), 1);
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}

#[tokio::test]
async fn an_interceptor_that_meets_an_unknown_key_says_later_not_never() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = Issuer::start(ok(&set(&[&old]), "")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    clock.advance_ms(MINUTE);
    issuer.says(&ok(&set(&[&old, &new]), ""));
    assert!(verifier.verify_now(&new.token()).unwrap_err().is_temporary());
    while verifier.verify_now(&new.token()).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ready_waits_for_an_issuer_that_comes_up_later_and_no_longer_than_said() {
    let key = Signer::new("a");
    let (url, _) = silent().await;
    let verifier = Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(url);
    assert!(unavailable(&verifier.ready(Duration::from_millis(50)).await));
    let issuer = Issuer::start(DOWN.to_owned()).await;
    let verifier = Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(&issuer.url);
    let (ready, ()) = tokio::join!(verifier.ready(Duration::from_secs(30)), async {
        while issuer.asked() == 0 {
            tokio::task::yield_now().await;
        }
        issuer.says(&ok(&set(&[&key]), ""));
    });
    ready.unwrap();
}

#[cfg(feature = "watch")]
#[tokio::test]
async fn a_set_that_the_issuer_sent_is_not_replaced_by_an_older_answer() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = Issuer::start(ok(&set(&[&old]), "")).await;
    let (verifier, clock) = issuer.verifier();
    let token = old.token();
    {
        let mut request = std::pin::pin!(verifier.verify(&token));
        assert!(futures_poll(&mut request).await.is_pending());
    }
    while issuer.asked() == 0 {
        tokio::task::yield_now().await;
    }
    // The read is under way; the stream is quicker.
    let sent = KeySet::from_json(set(&[&new]).as_bytes()).unwrap();
    verifier.keys.offer(sent, 300_000, Moment::of(&*clock));
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    verifier.verify(&new.token()).await.unwrap();
    assert!(verifier.verify_now(&token).is_err());
}

#[tokio::test]
async fn a_file_is_read_again_like_an_issuer() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let clock = Arc::new(FixedClock::new(NOW));
    let verifier = Verifier::with_policy(Policy::new("https://i", "api")).jwks_file(&path).clock(clock.clone());
    let Err(VerifyError::KeysUnavailable { reason }) = verifier.verify(&old.token()).await else { panic!("no file") };
    assert!(reason.contains("cannot read the file"), "{reason}");
    std::fs::write(&path, set(&[&old])).unwrap();
    clock.advance_ms(1_000);
    verifier.verify(&old.token()).await.unwrap();
    std::fs::write(&path, set(&[&old, &new])).unwrap();
    clock.advance_ms(MINUTE);
    verifier.verify(&new.token()).await.unwrap();
    std::fs::write(&path, "half a fi").unwrap();
    clock.advance_ms(5 * MINUTE);
    verifier.verify(&new.token()).await.unwrap();
}

#[tokio::test]
async fn a_fixed_set_is_never_replaced() {
    let (key, stranger) = (Signer::new("a"), Signer::new("b"));
    let fixed = KeySet::from_json(set(&[&key]).as_bytes()).unwrap();
    let verifier = Verifier::new("https://i", "api").jwks(fixed).clock(Arc::new(FixedClock::new(NOW)));
    verifier.verify(&key.token()).await.unwrap();
    assert!(matches!(verifier.verify(&stranger.token()).await, Err(VerifyError::UnknownKey { .. })));
}

mod lists;
#[cfg(feature = "testing")]
mod remembered;
