//! Tokens that were checked before.

use super::*;
use crate::testing::TestIssuer;

#[tokio::test]
async fn a_remembered_token_expires_all_the_same() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.verifier("api");
    let token = issuer.token("ada", "api").mint();
    for _ in 0..3 {
        verifier.verify(&token).await.unwrap();
    }
    assert_eq!(verifier.seen.len(), 1);
    issuer.clock().advance_ms(300_000);
    assert_eq!(verifier.verify(&token).await.unwrap_err(), VerifyError::Expired);
    issuer.clock().advance_ms(-500_000);
    assert_eq!(verifier.verify(&token).await.unwrap_err(), VerifyError::NotYetValid);
}

#[tokio::test]
async fn a_remembered_token_dies_with_its_key() {
    let (old, new) = (Signer::new("a"), Signer::new("b"));
    let issuer = Issuer::start(ok(&set(&[&old]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    verifier.verify_now(&old.token()).unwrap();
    issuer.says(&ok(&set(&[&new]), ""));
    clock.advance_ms(MINUTE);
    assert_eq!(verifier.verify(&old.token()).await.unwrap_err(), VerifyError::UnknownKey { kid: "a".into() });
    assert!(verifier.verify_now(&old.token()).is_err());
}

#[tokio::test]
async fn a_key_that_changes_under_its_name_ends_what_was_remembered() {
    let (old, new) = (Signer::new("a"), Signer::new("a"));
    let issuer = Issuer::start(ok(&set(&[&old]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&old.token()).await.unwrap();
    issuer.says(&ok(&set(&[&new]), ""));
    clock.advance_ms(MINUTE);
    assert_eq!(verifier.verify(&old.token()).await.unwrap_err(), VerifyError::Signature);
}

#[tokio::test]
async fn only_good_tokens_are_remembered_and_no_more_than_asked_for() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.verifier("api").remember(64);
    for n in 0..1_000 {
        verifier.verify(&issuer.token("ada", "api").claim("n", n).mint()).await.unwrap();
    }
    assert!((1..=64).contains(&verifier.seen.len()), "{}", verifier.seen.len());
    let verifier = issuer.verifier("api");
    for bad in [
        issuer.token("ada", "elsewhere").mint(),
        issuer.token("ada", "api").lives_for(-1).mint(),
        format!("{}x", issuer.token("ada", "api").mint()),
        "junk".to_owned(),
    ] {
        verifier.verify(&bad).await.unwrap_err();
    }
    assert_eq!(verifier.seen.len(), 0);
    let verifier = issuer.verifier("api").remember(0);
    verifier.verify(&issuer.token("ada", "api").mint()).await.unwrap();
    assert_eq!(verifier.seen.len(), 0);
}

#[tokio::test]
async fn a_token_in_use_is_not_forgotten_for_ones_that_pass_by() {
    let issuer = TestIssuer::new("https://i");
    let verifier = issuer.verifier("api").remember(64);
    let token = issuer.token("ada", "api").mint();
    let name = verifier.seen.name(&token).unwrap();
    for n in 0..1_000 {
        verifier.verify(&token).await.unwrap();
        verifier.verify(&issuer.token("eve", "api").claim("n", n).mint()).await.unwrap();
        assert!(verifier.seen.get(&name).is_some(), "{n}");
    }
}

#[tokio::test]
async fn the_same_keys_read_again_are_the_same_set() {
    let key = Signer::new("a");
    let issuer = Issuer::start(ok(&set(&[&key]), "cache-control: max-age=60\r\n")).await;
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&key.token()).await.unwrap();
    let before = verifier.keys.young(Moment::of(&*clock)).unwrap();
    clock.advance_ms(MINUTE);
    verifier.verify(&key.token()).await.unwrap();
    assert_eq!(issuer.asked(), 2);
    assert!(Arc::ptr_eq(&before, &verifier.keys.young(Moment::of(&*clock)).unwrap()));
}
