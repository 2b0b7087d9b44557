//! Passkeys: one user for each, one use at a time, and a session that is opened with one.

use chancery::{
    domain::{
        passkey::{Credential, HANDLE, Passkey, PasskeyUse},
        session::{FormSpending, OpenOutcome},
        user::User,
    },
    id::FactorId,
    store::{Opening, SessionFilter},
    time::Ttl,
};

use crate::{
    fixture::{Fixture, NOW},
    openings::opening,
};

async fn grace(f: &Fixture) -> User {
    let new = f.user("grace");
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&new).await.unwrap(), None);
    tx.commit().await.unwrap();
    new.user
}

fn passkey(f: &Fixture, user: &User, credential: u8) -> Passkey {
    Passkey {
        id: FactorId::new(NOW, &*f.entropy),
        user: user.id.clone(),
        name: "Ada's phone".into(),
        host: "shop.example".into(),
        credential: Credential {
            id: vec![credential, 0, 255],
            static_state: vec![1, 0, 2],
            dynamic_state: vec![3, 0, 4],
            transports: "hybrid internal".into(),
        },
        created_at: NOW,
        last_used_at: None,
    }
}

fn used(passkey: &Passkey, before: &[u8], after: &[u8]) -> PasskeyUse {
    PasskeyUse { id: passkey.id.clone(), before: before.to_vec(), after: after.to_vec() }
}

async fn kept(f: &Fixture, passkey: &Passkey) -> bool {
    let mut tx = f.store.write().await.unwrap();
    let added = tx.passkey_insert(passkey).await.unwrap();
    tx.commit().await.unwrap();
    added
}

pub(crate) async fn p22_a_passkey_is_stored_unchanged_and_has_one_user(f: &Fixture) {
    let (ada, grace) = (f.ada().await, grace(f).await);
    let mut given = passkey(f, &ada, 1);
    assert!(kept(f, &given).await);
    assert!(!kept(f, &passkey(f, &grace, 1)).await && !kept(f, &passkey(f, &ada, 1)).await);
    assert!(kept(f, &passkey(f, &grace, 2)).await);
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.passkey_by_credential(&given.credential.id).await.unwrap(), Some(given.clone()));
    assert_eq!(tx.passkeys_of(&ada.id).await.unwrap(), [given.clone()]);
    assert_eq!(tx.passkey_by_credential(b"other").await.unwrap(), None);
    let later = NOW.plus(Ttl::from_secs(5));
    assert!(!tx.passkey_use(&used(&given, &[9], &[5]), later).await.unwrap(), "it is not as it was");
    assert!(tx.passkey_use(&used(&given, &[3, 0, 4], &[5]), later).await.unwrap());
    assert!(!tx.passkey_use(&used(&given, &[3, 0, 4], &[6]), later).await.unwrap(), "somebody has used it");
    (given.credential.dynamic_state, given.last_used_at) = (vec![5], Some(later));
    assert_eq!(tx.passkeys_of(&ada.id).await.unwrap(), [given]);
}

pub(crate) async fn p24_authenticators_call_a_user_the_same_for_ever(f: &Fixture) {
    let (ada, grace) = (f.ada().await, grace(f).await);
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.passkey_handle_of(&ada.id).await.unwrap(), None);
    assert_eq!(tx.passkey_handle(&ada.id, &[1; HANDLE]).await.unwrap(), Some([1; HANDLE]));
    assert_eq!(tx.passkey_handle(&ada.id, &[2; HANDLE]).await.unwrap(), Some([1; HANDLE]));
    assert_eq!(tx.passkey_handle_of(&ada.id).await.unwrap(), Some([1; HANDLE]));
    assert_eq!(tx.passkey_handle_of(&grace.id).await.unwrap(), None);
    tx.user_delete(&grace.id, NOW).await.unwrap();
    assert_eq!(tx.passkey_handle(&grace.id, &[3; HANDLE]).await.unwrap(), None);
}

pub(crate) async fn a48_a_session_is_opened_once_with_what_a_passkey_was_checked_against(f: &Fixture) {
    let ada = f.ada().await;
    let given = passkey(f, &ada, 1);
    kept(f, &given).await;
    let with = |form: u8, before: &[u8], after: &[u8]| Opening {
        passkey: Some(used(&given, before, after)),
        form: Some(FormSpending { id: [form; 16], proof: [form; 32], result: Vec::new() }),
        ..opening(f, f.session(&ada))
    };
    let open = async |opening: Opening| {
        let mut tx = f.store.write().await.unwrap();
        assert!(tx.user_hold(&ada.id, opening.security_version).await.unwrap());
        let outcome = tx.session_open(&opening, &f.settings, NOW).await.unwrap();
        tx.commit().await.unwrap();
        outcome
    };
    assert_eq!(open(with(1, &[9], &[5])).await, OpenOutcome::UserChanged, "it was used meanwhile");
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.spent_form(&[1; 16], NOW).await.unwrap().is_none(), "and the form can be sent again");
    drop(tx);
    assert_eq!(open(with(1, &[3, 0, 4], &[5])).await, OpenOutcome::Opened);
    assert_eq!(open(with(1, &[5], &[6])).await, OpenOutcome::FormSpent);
    let mut tx = f.store.read().await.unwrap();
    assert_eq!(tx.passkeys_of(&ada.id).await.unwrap()[0].credential.dynamic_state, [5]);
    assert_eq!(tx.sessions_of_user(&ada.id, SessionFilter::Live(NOW)).await.unwrap().len(), 1);
}
