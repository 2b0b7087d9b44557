//! Second factors and recovery codes.

use chancery::{
    domain::{
        factor::{Factor, FactorKind},
        user::User,
    },
    id::FactorId,
    passwords::Phc,
    secret::RecoveryCodeHash,
    store::StoredTotp,
    time::Ttl,
};

use crate::fixture::{Fixture, NOW};

fn app(f: &Fixture, name: &str, last_step: i64) -> StoredTotp {
    let factor = Factor {
        id: FactorId::new(NOW, &*f.entropy),
        kind: FactorKind::Totp,
        name: name.into(),
        created_at: NOW,
        last_used_at: None,
    };
    StoredTotp { factor, sealed: vec![0, 1, 255], sealing_version: 1, last_step }
}

async fn with_apps(f: &Fixture) -> (User, Vec<StoredTotp>) {
    let ada = f.ada().await;
    let apps = vec![app(f, "telephone", 100), app(f, "Zoë's 🦀", 200)];
    let mut tx = f.store.write().await.unwrap();
    for one in &apps {
        tx.totp_insert(&ada.id, one).await.unwrap();
    }
    assert_eq!(tx.factors_count(&ada.id).await.unwrap(), 2);
    tx.commit().await.unwrap();
    (ada, apps)
}

pub(crate) async fn an_app_is_stored_unchanged_and_counted(f: &Fixture) {
    let (ada, apps) = with_apps(f).await;
    let mut tx = f.store.read().await.unwrap();
    let mut stored = tx.totp_of(&ada.id).await.unwrap();
    stored.sort_by_key(|one| one.last_step);
    assert_eq!(format!("{stored:?}"), format!("{apps:?}"));
    let mut listed = tx.factors_of(&ada.id).await.unwrap();
    listed.sort_by(|a, b| a.name.len().cmp(&b.name.len()).reverse());
    assert_eq!(listed.len(), 2);
    assert!(apps.iter().all(|one| listed.contains(&one.factor)));
    assert_eq!(tx.user_by_id(&ada.id).await.unwrap().unwrap().second_factors, 2);
    assert_eq!(tx.user_by_login("ada").await.unwrap().unwrap().user.second_factors, 2);
}

pub(crate) async fn p14_a_step_counts_once_and_no_earlier_one_counts_after_it(f: &Fixture) {
    let (ada, apps) = with_apps(f).await;
    let id = &apps[0].factor.id;
    let mut tx = f.store.write().await.unwrap();
    let later = NOW.plus(Ttl::from_secs(30));
    for (step, counts) in [(100, false), (99, false), (102, true), (102, false), (101, false), (103, true)] {
        assert_eq!(tx.totp_use(id, step, later).await.unwrap(), counts, "{step}");
    }
    let used = tx.totp_of(&ada.id).await.unwrap();
    let one = used.iter().find(|one| one.factor.id == *id).unwrap();
    assert_eq!((one.last_step, one.factor.last_used_at), (103, Some(later)));
    tx.commit().await.unwrap();
    // Two processes at once: the second waits for the first, and finds the step used.
    let (mine, theirs) = (f.store.clone(), f.second().await);
    let both = [mine, theirs].map(|store| async move {
        let mut tx = store.write().await.unwrap();
        let counts = tx.totp_use(id, 110, later).await.unwrap();
        tx.commit().await.unwrap();
        counts
    });
    let counted = futures_util::future::join_all(both).await;
    assert_eq!(counted.into_iter().filter(|counts| *counts).count(), 1);
}

pub(crate) async fn p16_recovery_codes_count_once_and_are_replaced_together(f: &Fixture) {
    let ada = f.ada().await;
    let hash = |n| RecoveryCodeHash([n; 32]);
    let mut tx = f.store.write().await.unwrap();
    tx.recovery_codes_replace(&ada.id, &[hash(1), hash(2)], NOW).await.unwrap();
    assert_eq!(tx.recovery_codes_left(&ada.id).await.unwrap(), 2);
    for (n, counts) in [(3, false), (1, true), (1, false)] {
        assert_eq!(tx.recovery_code_use(&ada.id, &hash(n)).await.unwrap(), counts, "{n}");
    }
    tx.recovery_codes_replace(&ada.id, &[hash(4), hash(5), hash(6)], NOW).await.unwrap();
    assert!(!tx.recovery_code_use(&ada.id, &hash(2)).await.unwrap(), "an old one");
    assert_eq!(tx.recovery_codes_left(&ada.id).await.unwrap(), 3);
    let mut hashes: Vec<u8> =
        tx.recovery_code_hashes(&ada.id).await.unwrap().iter().map(|hash| hash.as_bytes()[31]).collect();
    hashes.sort_unstable();
    assert_eq!(hashes, [4, 5, 6]);
}

pub(crate) async fn factors_are_removed_one_by_one_together_and_with_their_user(f: &Fixture) {
    let (ada, apps) = with_apps(f).await;
    let mut tx = f.store.write().await.unwrap();
    let (id, unknown) = (&apps[0].factor.id, FactorId::new(NOW, &*f.entropy));
    assert_eq!(tx.factor_delete(&ada.id, &unknown).await.unwrap(), None);
    assert_eq!(tx.factor_delete(&ada.id, id).await.unwrap(), Some(FactorKind::Totp));
    assert_eq!(tx.factor_delete(&ada.id, id).await.unwrap(), None);
    assert_eq!(tx.factors_count(&ada.id).await.unwrap(), 1);
    tx.recovery_codes_replace(&ada.id, &[RecoveryCodeHash([1; 32])], NOW).await.unwrap();
    assert_eq!(tx.factors_delete(&ada.id).await.unwrap(), 1);
    assert_eq!((tx.factors_count(&ada.id).await.unwrap(), tx.recovery_codes_left(&ada.id).await.unwrap()), (0, 0));
    tx.totp_insert(&ada.id, &apps[0]).await.unwrap();
    tx.recovery_codes_replace(&ada.id, &[RecoveryCodeHash([1; 32])], NOW).await.unwrap();
    assert!(tx.user_delete(&ada.id, NOW).await.unwrap());
    assert!(tx.factors_of(&ada.id).await.unwrap().is_empty());
    assert_eq!(tx.recovery_codes_left(&ada.id).await.unwrap(), 0);
}

pub(crate) async fn p01_a_password_may_have_to_suffice_alone(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    let state = async |tx: &mut chancery::store::Tx| {
        let found = tx.user_by_login("ada").await.unwrap().unwrap();
        (found.must_change, found.must_suffice)
    };
    assert_eq!(state(&mut tx).await, (false, false));
    tx.password_must_suffice(&ada.id).await.unwrap();
    assert_eq!(state(&mut tx).await, (false, true));
    tx.password_set(&ada.id, &Phc::from_database("$argon2id$y".into()), NOW).await.unwrap();
    assert_eq!(state(&mut tx).await, (false, false));
    assert!(tx.password_must_change(&ada.id).await.unwrap());
    tx.password_must_suffice(&ada.id).await.unwrap();
    assert_eq!(state(&mut tx).await, (true, false), "whoever must change it in any case still must");
}
