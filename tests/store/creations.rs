//! Repeated requests for a creation.

use chancery::time::Ttl;

use crate::fixture::{Fixture, NOW};

pub(crate) async fn concurrent_creations_with_one_request_id_create_once(f: &Fixture) {
    let name = ("admin", "CreateUser", "r-1");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6u8 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            let first = tx.creation_note(name, &[7; 32], &format!("usr_{n}"), NOW).await.unwrap();
            tx.commit().await.unwrap();
            first
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|first| *first).count(), 1);
    let mut tx = f.store.write().await.unwrap();
    let (hash, id) = tx.creation_of(name).await.unwrap().unwrap();
    assert_eq!((hash.as_slice(), id.starts_with("usr_")), (&[7; 32][..], true));
    for other in [("other", "CreateUser", "r-1"), ("admin", "CreateRole", "r-1"), ("admin", "CreateUser", "r-2")] {
        assert!(tx.creation_of(other).await.unwrap().is_none(), "{other:?}");
    }
    assert_eq!(tx.creations_forget(NOW).await.unwrap(), 0);
    assert_eq!(tx.creations_forget(NOW.plus(Ttl::from_millis(1))).await.unwrap(), 1);
}
