//! Public keys of other issuers.

use chancery::{domain::keys::ForeignKey, time::Ttl};
use serde_json::json;

use crate::fixture::{Fixture, NOW};

fn key(kid: &str, x: &str) -> ForeignKey {
    let public_jwk = json!({ "kid": kid, "kty": "OKP", "x": x });
    ForeignKey { kid: kid.into(), public_jwk, created_at: NOW, expires_at: NOW.plus(Ttl::from_days(1)) }
}

pub(crate) async fn a_foreign_key_is_stored_unchanged_and_its_expiry_can_change(f: &Fixture) {
    let (a, b) = (key("old \"é", "a"), key("b", "b"));
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.foreign_key_put(&a).await.unwrap());
    assert!(tx.foreign_key_put(&b).await.unwrap());
    let later = ForeignKey { expires_at: NOW.plus(Ttl::from_days(9)), created_at: b.expires_at, ..b.clone() };
    assert!(tx.foreign_key_put(&later).await.unwrap());
    // Another key cannot have the same `kid`.
    assert!(!tx.foreign_key_put(&key("b", "other")).await.unwrap());
    tx.commit().await.unwrap();
    let stored = f.store.read().await.unwrap().foreign_keys_all().await.unwrap();
    assert_eq!(stored, [ForeignKey { expires_at: later.expires_at, ..b }, a]);
}

pub(crate) async fn a_foreign_key_is_deleted_once_and_not_before_it_expires(f: &Fixture) {
    let key = key("a", "a");
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.foreign_key_put(&key).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert!(!tx.foreign_key_delete("a", key.expires_at.minus(Ttl::from_millis(1))).await.unwrap());
    assert!(!tx.foreign_key_delete("b", key.expires_at).await.unwrap());
    assert!(tx.foreign_key_delete("a", key.expires_at).await.unwrap());
    assert!(!tx.foreign_key_delete("a", key.expires_at).await.unwrap());
    tx.commit().await.unwrap();
    assert!(f.store.read().await.unwrap().foreign_keys_all().await.unwrap().is_empty());
}
