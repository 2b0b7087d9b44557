//! Tests the settings of a verifier: addresses, and a client of the user's own.

use super::*;
use crate::SettingsError;

fn remote_host(result: Result<Verifier, SettingsError>) -> Option<(&'static str, String)> {
    match result {
        Err(SettingsError::Plaintext { setting, host }) => Some((setting, host)),
        _ => None,
    }
}

#[tokio::test]
async fn bad_addresses_are_refused_at_construction() {
    for issuer in ["id.example.com", "https://id.example.com?x", "https://id.example.com#x", "https://a:b@c", "ftp://i"]
    {
        assert!(
            matches!(Verifier::new(issuer, "api"), Err(SettingsError::Address { setting: "issuer", .. })),
            "{issuer}"
        );
        let fixed = Verifier::builder(issuer, "api").jwks(KeySet::default()).build();
        assert!(fixed.is_err(), "{issuer}, whatever it is used for");
    }
    for url in ["", "keys.json", "file:///keys.json", "https://a:b@c/keys", "https://i/keys#x", "https://i/ keys"] {
        let built = Verifier::builder("https://i", "api").jwks_url(url).build();
        assert!(matches!(built, Err(SettingsError::Address { setting: "jwks_url", .. })), "{url}");
    }
    assert!(Verifier::new("https://id.example.com/tenant", "api").is_ok());
}

#[tokio::test]
async fn an_audience_has_a_name() {
    for empty in ["", "  "] {
        assert_eq!(Verifier::new("https://id.example.com", empty).unwrap_err(), SettingsError::NoAudience);
        let policy = Policy::new("https://id.example.com", "orders-api").audience(empty);
        assert_eq!(Verifier::with_policy(policy).build().unwrap_err(), SettingsError::NoAudience);
    }
}

#[tokio::test]
async fn keys_and_lists_over_plain_http_from_another_host_are_refused_unless_allowed() {
    let remote = || Some(("issuer", "chancery".to_owned()));
    let builder = || Verifier::builder("http://chancery:8080", "api");
    assert_eq!(remote_host(Verifier::new("http://chancery:8080", "api")), remote());
    assert_eq!(remote_host(builder().status_lists().build()), remote());
    assert_eq!(remote_host(builder().jwks(KeySet::default()).status_lists().build()), remote(), "the lists");
    assert!(builder().jwks(KeySet::default()).build().is_ok(), "nothing is fetched");
    assert!(builder().jwks_url("https://chancery/keys").build().is_ok());
    let keys = Verifier::builder("https://i", "api").jwks_url("http://10.0.0.1/keys").build();
    assert_eq!(remote_host(keys), Some(("jwks_url", "10.0.0.1".to_owned())));
    assert!(builder().plain_http_beyond_loopback().status_lists().build().is_ok());
    assert!(Verifier::new("http://127.0.0.1:8080", "api").is_ok());
    assert!(Verifier::new("http://localhost:8080", "api").is_ok());
}

#[cfg(feature = "watch")]
#[test]
fn a_verifier_that_watches_is_refused_outside_of_a_runtime() {
    let watch = crate::Watch::new("http://127.0.0.1:9", "orders-api", "secret").unwrap();
    let built = Verifier::builder("https://i", "api").watch(watch).build();
    assert_eq!(built.unwrap_err(), SettingsError::NoRuntime);
}

#[tokio::test]
async fn a_client_of_ones_own_is_used_within_the_same_limits() {
    let key = Signer::new("a");
    let (good, big) = (ok_response(&jwks_of(&[&key]), ""), ok_response(&" ".repeat(1024 * 1024 + 1), ""));
    let elsewhere = FakeIssuer::start(good.clone()).await;
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url);
    // This client follows redirects, has no time limit and sends a header.
    let headers = [(reqwest::header::USER_AGENT, "orders-api".parse().unwrap())].into_iter().collect();
    let client = reqwest::Client::builder().default_headers(headers).build().unwrap();
    for (response, reason) in [(&moved, "redirects"), (&big, "larger than")] {
        let issuer = FakeIssuer::start(response.clone()).await;
        let builder = Verifier::builder("https://i", "api").jwks_url(&issuer.url).http_client(client.clone());
        let Err(VerifyError::KeysUnavailable { reason: actual }) = builder.build().unwrap().verify(&key.token()).await
        else {
            panic!("{reason}: accepted")
        };
        assert!(actual.contains(reason), "{actual}");
    }
    let issuer = FakeIssuer::start(good).await;
    let clock = Arc::new(FixedClock::new(NOW));
    let builder = Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(&issuer.url).clock(clock);
    builder.http_client(client).build().unwrap().verify(&key.token()).await.unwrap();
    assert!(issuer.last_request().to_ascii_lowercase().contains("user-agent: orders-api"));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_by_a_client_of_ones_own_ends_too() {
    let (url, requests) = start_silent_server().await;
    let clock = Arc::new(FixedClock::new(NOW));
    let builder = Verifier::with_policy(Policy::new("https://i", "api")).jwks_url(url).clock(clock.clone());
    let verifier = builder.http_client(reqwest::Client::new()).build().unwrap();
    let token = Signer::new("a").token();
    assert!(keys_unavailable(&verifier.verify(&token).await));
    let _ = tokio::time::timeout(Duration::from_secs(5), std::future::pending::<()>()).await;
    clock.advance_ms(10_000);
    assert!(keys_unavailable(&verifier.verify(&token).await));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
