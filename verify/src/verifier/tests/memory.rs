//! Tests that the memory of the cache is bounded in bytes, whatever the tokens contain.

use std::fs;

use serde_json::Value;

use super::*;
use crate::testing::{TestIssuer, TestToken};

const BOUND: usize = 2 * 1024 * 1024;

/// A profile of small objects: parsed, it takes about a hundred times the memory of its text.
fn profile(bytes: usize) -> Value {
    Value::Array((0..bytes / 8).map(|_| json!({ "a": 1 })).collect())
}

fn with_profile(issuer: &TestIssuer, bytes: usize) -> TestToken<'_> {
    issuer.token("ada", "api").claim("profile", profile(bytes))
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn tokens_full_of_small_objects_stay_within_the_bound_in_bytes() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.builder("api").cache_bytes(BOUND).build().unwrap();
    // So that what one check needs is not counted.
    verifier.verify(&with_profile(&issuer, 2_700).mint()).await.unwrap();
    let before = resident();
    let mut most = 0;
    for _ in 0..2_000 {
        let token = with_profile(&issuer, 2_700).mint();
        assert!(token.len() < 4_096, "{}", token.len());
        verifier.verify(&token).await.unwrap();
        most = most.max(verifier.cache.bytes());
    }
    assert!((BOUND / 4..=BOUND).contains(&most), "{most}");
    // Parsed, they took 480 MB. Other tests run in this process, so the margin is wide.
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 * 1024 * 1024, "{grown}");
}

#[tokio::test]
async fn claims_of_any_shape_are_counted() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.builder("api").cache_bytes(BOUND).build().unwrap();
    // Lists of short strings are kept parsed, so they must count for what they take.
    for n in 0..400 {
        let many: Vec<String> = (0..300).map(|m| char::from(b'a' + u8::try_from(m % 26).unwrap()).into()).collect();
        let token = issuer.token("ada", "api").claim("n", n).claim("roles", many.clone()).scope(&many.join(" "));
        let claims = verifier.verify(&token.mint()).await.unwrap();
        assert!(claims.bytes() > 600 * (24 + 32), "{}", claims.bytes());
        assert!(verifier.cache.bytes() <= BOUND);
    }
    assert!(verifier.cache.len() * 600 * (24 + 32) <= BOUND, "{}", verifier.cache.len());
}

#[tokio::test]
async fn a_token_over_4_kib_is_checked_anew_each_time() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.verifier("api");
    let token = with_profile(&issuer, 3_800).mint();
    for _ in 0..3 {
        let claims = verifier.verify(&token).await.unwrap();
        assert_eq!(claims.extra.get("profile"), Some(profile(3_800)));
    }
    assert_eq!((verifier.cache.len(), verifier.cache.bytes()), (0, 0));
}

#[tokio::test]
async fn expired_tokens_are_dropped() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.verifier("api");
    for _ in 0..100 {
        verifier.verify(&issuer.token("ada", "api").mint()).await.unwrap();
    }
    assert_eq!(verifier.cache.len(), 100);
    // A policy may have a minute of leeway.
    issuer.clock().advance_ms(359_999);
    verifier.verify(&issuer.token("ada", "api").mint()).await.unwrap();
    assert_eq!(verifier.cache.len(), 101);
    issuer.clock().advance_ms(60_000);
    verifier.verify(&issuer.token("ada", "api").mint()).await.unwrap();
    assert_eq!(verifier.cache.len(), 2);
    issuer.clock().advance_ms(10_000_000);
    verifier.verify_now("junk").unwrap_err();
    assert_eq!((verifier.cache.len(), verifier.cache.bytes()), (0, 0));
}

#[tokio::test]
async fn a_cached_token_keeps_no_old_key_set_in_memory() {
    let issuer = TestIssuer::new("https://i");
    let cache = TokenCache::with_bytes(BOUND);
    let policy = Policy::new("https://i", "api");
    let set = || Arc::new(KeySet::from_json(issuer.jwks().as_bytes()).unwrap());
    let (old, token, now) = (set(), issuer.token("ada", "api").mint(), issuer.clock().now_ms());
    cache.check(&token, &old, &policy, now).unwrap();
    let weak = Arc::downgrade(&old);
    drop(old);
    assert!(weak.upgrade().is_none());
    // The token is checked with the new set and cached for it.
    let new = set();
    cache.check(&token, &new, &policy, now).unwrap();
    assert_eq!(cache.len(), 1);
    // Tokens of an old set are dropped with the expired ones.
    cache.check("junk", &set(), &policy, now + 60_000).unwrap_err();
    assert_eq!(cache.len(), 0);
}

#[tokio::test]
async fn the_old_setting_in_tokens_still_works() {
    let issuer = TestIssuer::new("https://i");
    #[expect(deprecated, reason = "it is what is tested")]
    let verifier = issuer.builder("api").cache_tokens(64).build().unwrap();
    for n in 0..1_000 {
        verifier.verify(&issuer.token("ada", "api").claim("n", n).mint()).await.unwrap();
    }
    assert!((16..=128).contains(&verifier.cache.len()), "{}", verifier.cache.len());
    assert!(verifier.cache.bytes() <= 64 * 2048, "{}", verifier.cache.bytes());
}
