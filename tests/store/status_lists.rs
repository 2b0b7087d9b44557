//! Leases of status indices, and the indices of a client's sessions.

use chancery::{
    domain::status_list::{ENTRIES, StatusIndex},
    store::Lease,
};

use crate::fixture::{Fixture, NOW};

async fn lease(f: &Fixture, size: u32, key: u8) -> Lease {
    let mut tx = f.store.write().await.unwrap();
    let lease = tx.status_list_lease(size, &[key; 32], NOW).await.unwrap();
    tx.commit().await.unwrap();
    lease
}

pub(crate) async fn blocks_are_consecutive_and_a_new_list_follows_a_full_one(f: &Fixture) {
    assert!(f.store.read().await.unwrap().status_lists_all().await.unwrap().is_empty());
    let half = ENTRIES / 2;
    let first = lease(f, half, 1).await;
    assert_eq!(first, Lease { list: 1, key: vec![1; 32], from: 0, to: half });
    // The key of a list never changes.
    let second = lease(f, half, 2).await;
    assert_eq!(second, Lease { list: 1, key: vec![1; 32], from: half, to: ENTRIES });
    let third = lease(f, 10, 3).await;
    assert_eq!(third, Lease { list: 2, key: vec![3; 32], from: 0, to: 10 });
    // A block that does not fit completely starts a new list.
    let fourth = lease(f, ENTRIES, 4).await;
    assert_eq!((fourth.list, fourth.from), (3, 0));
    assert_eq!(f.store.read().await.unwrap().status_lists_all().await.unwrap(), [1, 2, 3]);
}

pub(crate) async fn concurrent_leases_do_not_overlap(f: &Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        tasks.spawn(async move {
            loop {
                let mut tx = store.write().await.unwrap();
                match tx.status_list_lease(ENTRIES / 4, &[n; 32], NOW).await {
                    Ok(lease) => {
                        tx.commit().await.unwrap();
                        return (lease.list, lease.from);
                    }
                    Err(error) => assert!(matches!(error, chancery::error::Error::Conflict), "{error:?}"),
                }
            }
        });
    }
    let mut all = tasks.join_all().await;
    all.sort_unstable();
    let quarter = ENTRIES / 4;
    let want: Vec<(i64, u32)> = (0..12).map(|n| (i64::from(n) / 4 + 1, n % 4 * quarter)).collect();
    assert_eq!(all, want);
}

pub(crate) async fn the_sessions_of_disabled_clients_are_read_list_by_list(f: &Fixture) {
    let ada = f.ada().await;
    let mut expected = Vec::new();
    for (n, client) in ["app", "app", "other"].into_iter().enumerate() {
        let mut session = f.session(&ada);
        session.client = client.parse().unwrap();
        session.status = Some(StatusIndex { list: if n == 1 { 2 } else { 1 }, index: u32::try_from(n).unwrap() });
        let mut tx = f.store.write().await.unwrap();
        tx.session_insert(&session).await.unwrap();
        tx.commit().await.unwrap();
        expected.push(session.status.unwrap());
    }
    let of = async |clients: &[&str], list| {
        let ids: Vec<_> = clients.iter().map(|c| c.parse().unwrap()).collect();
        let mut found = f.store.read().await.unwrap().status_of_clients(&ids, list).await.unwrap();
        found.sort_by_key(|s| s.index);
        found
    };
    assert_eq!(of(&["app"], 1).await, expected[..1]);
    assert_eq!(of(&["app"], 2).await, expected[1..2]);
    assert_eq!(of(&["app", "other", "nobody"], 1).await, [expected[0], expected[2]]);
    assert_eq!(of(&["app"], 3).await, []);
}
