//! How many bytes a guest keeps.

use chancery::domain::{
    session::Session,
    session_data::{DataCondition, DataOutcome, DataValue, DataWrite},
};
use futures_util::future::join_all;
use serde_json::json;

use super::{NOW, created, delete, guest, mismatch, of_user, put, replaced, write, write_in};
use crate::fixture::Fixture;

/// A value of so many bytes.
fn sized(session: &Session, namespace: &str, bytes: usize) -> DataWrite {
    let value = Some(DataValue::new(json!("x".repeat(bytes - 2))).unwrap());
    DataWrite { value, ..put(session, namespace, "", DataCondition::Any) }
}

pub(crate) async fn a_guests_values_have_a_bound_together(f: &Fixture) {
    let (fresh, guest, user) = (guest(f).await, guest(f).await, f.signed_in(&f.ada().await).await);
    assert_eq!(write(f, sized(&guest, "a", 60)).await, created(1));
    // In one batch, too; and what is another owner's is counted by itself.
    let batch = [
        sized(&guest, "b", 30),
        sized(&guest, "c", 30),
        sized(&guest, "a", 61),
        of_user(sized(&guest, "a", 100)),
        of_user(sized(&guest, "b", 4)),
        sized(&user, "a", 1000),
        of_user(sized(&user, "a", 1000)),
    ];
    let outcomes = write_in(&f.store, &batch, NOW).await;
    let beyond = DataOutcome::TooLarge;
    assert_eq!(outcomes, [created(1), beyond, replaced(2), created(1), beyond, created(1), created(1)]);
    assert_eq!(write(f, sized(&guest, "a", 71)).await, beyond);
    assert_eq!(write(f, sized(&guest, "a", 70)).await, replaced(3));
    // What is expected comes first; what does not grow is stored, and leaves room.
    let other = DataWrite { condition: DataCondition::Version(2), ..sized(&guest, "a", 90) };
    assert_eq!(write(f, other).await, mismatch(Some(3)));
    assert_eq!(write(f, sized(&guest, "a", 70)).await, replaced(4));
    assert_eq!(write(f, sized(&guest, "a", 3)).await, replaced(5));
    assert_eq!(write(f, delete(&guest, "b", DataCondition::Any)).await, DataOutcome::Deleted);
    assert_eq!(write(f, sized(&guest, "c", 97)).await, created(2));
    assert_eq!(write(f, sized(&guest, "d", 2)).await, beyond);
    // Of parallel writers the last may go beyond by one value, and nobody after it.
    let second = f.second().await;
    let all = join_all((0..16).map(|n| {
        let (store, one) = (if n % 2 == 0 { &f.store } else { &second }, sized(&fresh, &format!("n{n}"), 30));
        async move { write_in(store, &[one], NOW).await[0] }
    }));
    let stored = i64::try_from(all.await.iter().filter(|o| **o == created(1)).count()).unwrap();
    assert!((3..=18).contains(&stored), "{stored}");
    let entries = f.store.read().await.unwrap().session_data_entries(fresh.id.as_str()).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.bytes).sum::<i64>(), 30 * stored);
    assert_eq!(write(f, sized(&fresh, "late", 30)).await, beyond);
}
