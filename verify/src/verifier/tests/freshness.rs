//! Tests how current keys and lists are when caches, older answers and files are involved.

use super::*;

#[tokio::test]
async fn the_age_of_a_response_counts_towards_the_age_of_the_keys() {
    let key = Signer::new("a");
    let aged = |age: &str| ok_response(&jwks_of(&[&key]), &format!("Cache-Control: max-age=300\r\nAge: {age}\r\n"));
    let issuer = FakeIssuer::start(aged("290")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    issuer.set_response(DOWN);
    // Ten seconds of freshness are left, and five minutes for which expired keys are used while reading fails.
    clock.advance_ms(309_999);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.requests(), 2);
    clock.advance_ms(1);
    assert!(keys_unavailable(&verifier.verify(&key.token()).await));

    let issuer = FakeIssuer::start(aged("600")).await;
    let (verifier, _) = issuer.verifier();
    let Err(VerifyError::KeysUnavailable { reason }) = verifier.verify(&key.token()).await else { panic!("accepted") };
    assert!(reason.contains("too old"), "{reason}");
}

#[tokio::test]
async fn keys_are_fetched_again_by_any_spelling_of_max_age() {
    let key = Signer::new("a");
    for policy in [
        "cache-control: MAX-AGE=\"60\"\r\n",
        "cache-control: public\r\ncache-control: max-age = 60\r\n",
        "cache-control: s-maxage=3600, max-age=60\r\n",
    ] {
        let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&key]), policy)).await;
        let (verifier, clock) = issuer.verifier();
        verifier.verify(&key.token()).await.unwrap();
        clock.advance_ms(MINUTE);
        verifier.verify(&key.token()).await.unwrap();
        assert_eq!(issuer.requests(), 2, "{policy}");
    }
}

#[tokio::test]
async fn keys_that_a_cache_kept_do_not_replace_newer_ones() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = FakeIssuer::start(ok_response(&jwks_of(&[&new]), "cache-control: max-age=3600\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&new.token()).await.unwrap();
    issuer.set_response(&ok_response(&jwks_of(&[&old]), "cache-control: max-age=3600\r\nage: 120\r\n"));
    clock.advance_ms(MINUTE);
    assert!(keys_unavailable(&verifier.verify(&old.token()).await), "what is newest is not known");
    verifier.verify(&new.token()).await.unwrap();
    // A newer answer is taken.
    issuer.set_response(&ok_response(&jwks_of(&[&old, &new]), "cache-control: max-age=3600\r\nage: 20\r\n"));
    clock.advance_ms(MINUTE);
    verifier.verify(&old.token()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_no_regular_file_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("keys");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&*pipe, dir.path(), std::path::Path::new("/dev/zero")] {
        let verifier = Verifier::builder("https://i", "api").jwks_file(path).build().unwrap();
        let Err(VerifyError::KeysUnavailable { reason }) = verifier.verify(&Signer::new("a").token()).await else {
            panic!("{}", path.display())
        };
        assert_eq!(reason, "cannot read the file: it is not a regular file", "{}", path.display());
    }
    let big = dir.path().join("big");
    std::fs::write(&big, vec![b' '; 1024 * 1024 + 1]).unwrap();
    let verifier = Verifier::builder("https://i", "api").jwks_file(&big).build().unwrap();
    let Err(VerifyError::KeysUnavailable { reason }) = verifier.verify("x").await else { panic!("read") };
    assert!(reason.contains("larger than"), "{reason}");
}

#[tokio::test]
async fn a_failed_fetch_says_why_to_the_last_cause() {
    // Nothing listens on this port.
    let verifier = Verifier::builder("https://i", "api").jwks_url("http://127.0.0.1:9/?key=hidden").build().unwrap();
    let Err(VerifyError::KeysUnavailable { reason }) = verifier.verify(&Signer::new("a").token()).await else {
        panic!("accepted")
    };
    assert!(reason.contains("refused"), "{reason}");
    assert!(!reason.contains("hidden"), "{reason}");
}
