//! What the checks of token sizes need.

use chancery::{domain::session::RotateOutcome, id::RoleId, store::NewUser, time::Ttl};
use serde_json::json;

use crate::fixture::{Fixture, NOW, rotation};

async fn user(f: &Fixture, name: &str, bytes: usize, roles: &[&RoleId]) -> String {
    let mut new: NewUser = f.user(name);
    new.user.attributes = json!({ "blob": "x".repeat(bytes) }).as_object().cloned().unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&new).await.unwrap(), None);
    for role in roles {
        assert!(tx.user_role_add(&new.user.id, role, NOW).await.unwrap());
    }
    tx.commit().await.unwrap();
    new.user.subject
}

pub(crate) async fn of_the_users_with_the_same_roles_the_one_with_the_longest_tokens_is_found(f: &Fixture) {
    let mut tx = f.store.read().await.unwrap();
    let roles: Vec<RoleId> = tx.roles_all().await.unwrap().into_iter().map(|r| r.id).collect();
    drop(tx);
    let (one, two) = (&roles[0], &roles[1]);
    user(f, "a", 10, &[]).await;
    user(f, "b", 300, &[]).await;
    let mut long = f.user("g");
    long.user.subject = "s".repeat(255);
    long.user.attributes = json!({ "blob": "x".repeat(200) }).as_object().cloned().unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&long).await.unwrap(), None);
    tx.commit().await.unwrap();
    let none = long.user.subject;
    let both = user(f, "c", 300, &[two, one]).await;
    user(f, "d", 20, &[one, two]).await;
    let single = user(f, "e", 20, &[two]).await;
    let deleted = f.user("f");
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&deleted).await.unwrap(), None);
    assert!(tx.user_delete(&deleted.user.id, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    let mut found = async |role: Option<&RoleId>, limit| {
        let all = tx.users_with_longest_tokens(role, limit).await.unwrap();
        let mut all: Vec<_> = all.into_iter().map(|(user, roles)| (user.subject, roles)).collect();
        all.sort();
        all
    };
    let sorted = |mut all: Vec<(String, Vec<RoleId>)>| {
        all.sort();
        all
    };
    let (both, single) = ((both, vec![one.clone(), two.clone()]), (single, vec![two.clone()]));
    assert_eq!(found(None, 10).await, sorted(vec![(none, vec![]), both.clone(), single.clone()]));
    assert_eq!(found(Some(two), 10).await, sorted(vec![both.clone(), single]));
    assert_eq!(found(Some(one), 10).await, [both]);
    assert_eq!(found(None, 1).await.len(), 1);
}

pub(crate) async fn a_rotation_is_taken_back_once_and_its_token_is_current_again(f: &Fixture) {
    let ada = f.ada().await;
    let session = f.signed_in(&ada).await;
    let later = NOW.plus(Ttl::from_days(1));
    for _ in 0..3 {
        let mut tx = f.store.write().await.unwrap();
        let outcomes = tx.rotate(&[rotation(&session, 0)], &f.settings, later).await.unwrap();
        let [RotateOutcome::Rotated(basis)] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(basis.generation, 1);
        tx.commit().await.unwrap();
        let mut tx = f.store.write().await.unwrap();
        assert!(!tx.rotation_undo(&session.id, 2).await.unwrap());
        assert!(tx.rotation_undo(&session.id, 1).await.unwrap());
        assert!(!tx.rotation_undo(&session.id, 1).await.unwrap());
        assert!(!tx.rotation_undo(&session.id, 0).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(f.stored(&session.id).await.generation, 0);
    }
}
