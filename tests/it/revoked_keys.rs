//! Immediate revocation of signing keys.

use chancery::service::Admin;
use chancery::{
    domain::keys::{Algorithm, KeyState},
    error::Error,
    time::Ttl,
};

use crate::support::{App, ISSUER};

on_each_engine! {
    #[tokio::test]
    App => {
        j29_a_revoked_key_disappears_at_once_and_its_successor_signs,
        a_key_that_is_not_signing_can_be_revoked,
    }
}

fn key(app: &App, state: KeyState) -> String {
    let ring = app.service.live.snapshot().ring.clone();
    let found = ring.stored.iter().find(|k| k.algorithm == Algorithm::Es256 && k.state == state);
    found.unwrap().kid.clone()
}

fn verifies(app: &App, token: &str) -> bool {
    let policy = chancery_verify::Policy::new(ISSUER, "api");
    let ring = app.service.live.snapshot().ring.clone();
    chancery_verify::check(token, &ring.verifying, &policy, app.service.now().millis()).is_ok()
}

async fn j29_a_revoked_key_disappears_at_once_and_its_successor_signs(app: &App) {
    let before = app.sign_in().await;
    let (active, next) = (key(app, KeyState::Active), key(app, KeyState::Next));
    assert!(verifies(app, before.access.token.expose()));
    let revoked = app.service.signing_keys.revoke(&Admin::command(), &active).await.unwrap();
    assert_eq!((revoked.kid.as_str(), revoked.algorithm.as_str()), (active.as_str(), "ES256"));
    // The maximum age of a cached set, plus the ten seconds that an unconfirmed process keeps signing.
    assert_eq!(revoked.safe_from, app.service.now().plus(Ttl::from_secs(610)));
    assert!(!verifies(app, before.access.token.expose()));
    assert_eq!(key(app, KeyState::Active), next);
    assert_ne!(key(app, KeyState::Next), next);
    assert!(verifies(app, app.sign_in().await.access.token.expose()));
    let other = app.second_process().await;
    assert!(!other.live.snapshot().ring.jwks.contains(&active));
    // Twice in a row: the successor signs at once, even though it was published only recently.
    app.service.signing_keys.revoke(&Admin::command(), &next).await.unwrap();
    assert!(verifies(app, app.sign_in().await.access.token.expose()));
    let again = app.service.signing_keys.revoke(&Admin::command(), &next).await.unwrap_err();
    assert!(matches!(again, Error::NotFound("signing key", _)), "{again:?}");
}

async fn a_key_that_is_not_signing_can_be_revoked(app: &App) {
    let (active, next) = (key(app, KeyState::Active), key(app, KeyState::Next));
    app.service.signing_keys.revoke(&Admin::command(), &next).await.unwrap();
    assert_eq!(key(app, KeyState::Active), active);
    assert_ne!(key(app, KeyState::Next), next);
    let events = app.service.store().read().await.unwrap().audit_kinds().await.unwrap();
    assert!(events.contains(&("KEY_REVOKED".to_owned(), next)), "{events:?}");
}
