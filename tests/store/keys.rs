//! Signing keys.

use chancery::{
    domain::keys::{Algorithm, KeyState},
    time::Ttl,
};

use crate::fixture::{Fixture, NOW};

pub(crate) async fn a_key_is_stored_unchanged(f: &Fixture) {
    let key = f.key(Algorithm::Es256, KeyState::Next);
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.key_insert(&key).await.unwrap());
    tx.commit().await.unwrap();
    let stored = f.store.read().await.unwrap().keys_all().await.unwrap().pop().unwrap();
    // PostgreSQL has an order of its own for the members, which has no meaning.
    assert_eq!(stored.public_jwk, key.public_jwk);
    let stored = chancery::domain::keys::StoredKey { public_jwk: key.public_jwk.clone(), ..stored };
    assert_eq!(format!("{stored:?}"), format!("{key:?}"));
}

pub(crate) async fn each_algorithm_has_one_active_and_one_next_key(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    for state in [KeyState::Active, KeyState::Next] {
        for algorithm in Algorithm::ALL {
            assert!(tx.key_insert(&f.key(algorithm, state)).await.unwrap());
            assert!(!tx.key_insert(&f.key(algorithm, state)).await.unwrap());
        }
    }
    assert!(tx.key_insert(&f.key(Algorithm::Rs256, KeyState::Retired)).await.unwrap());
    assert!(tx.key_insert(&f.key(Algorithm::Rs256, KeyState::Retired)).await.unwrap());
    assert_eq!(tx.keys_delete_all().await.unwrap(), 8);
    assert!(tx.keys_all().await.unwrap().is_empty());
}

pub(crate) async fn every_step_of_a_key_happens_once(f: &Fixture) {
    let (active, next) = (f.key(Algorithm::EdDsa, KeyState::Active), f.key(Algorithm::EdDsa, KeyState::Next));
    let later = NOW.plus(Ttl::from_days(1));
    let mut tx = f.store.write().await.unwrap();
    tx.key_insert(&active).await.unwrap();
    tx.key_insert(&next).await.unwrap();
    assert!(tx.key_rotate_at(&active.id, later).await.unwrap());
    // It can only be brought forward.
    assert!(!tx.key_rotate_at(&active.id, later).await.unwrap());
    assert!(!tx.key_rotate_at(&next.id, NOW).await.unwrap());
    assert!(tx.key_retire(&active.id, NOW).await.unwrap());
    assert!(!tx.key_retire(&active.id, NOW).await.unwrap());
    assert!(tx.key_activate(&next.id, NOW, later).await.unwrap());
    assert!(!tx.key_activate(&next.id, NOW, later).await.unwrap());
    let stored = tx.keys_all().await.unwrap();
    let states: Vec<_> = stored.iter().map(|k| (k.state, k.activated_at, k.retired_at, k.rotate_at)).collect();
    assert!(states.contains(&(KeyState::Retired, None, Some(NOW), None)), "{states:?}");
    assert!(states.contains(&(KeyState::Active, Some(NOW), None, Some(later))), "{states:?}");
    assert!(!tx.key_delete(&active.id, KeyState::Active).await.unwrap());
    assert!(tx.key_delete(&active.id, KeyState::Retired).await.unwrap());
    assert!(!tx.key_delete(&active.id, KeyState::Retired).await.unwrap());
}

pub(crate) async fn concurrent_calls_retire_a_key_once(f: &Fixture) {
    let key = f.key(Algorithm::Es256, KeyState::Active);
    let mut tx = f.store.write().await.unwrap();
    tx.key_insert(&key).await.unwrap();
    tx.commit().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        let id = key.id.clone();
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            let won = tx.key_retire(&id, NOW).await.unwrap();
            tx.commit().await.unwrap();
            won
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
}
