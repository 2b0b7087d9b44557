//! Names and addresses are apart, even if a process of an older release stores a name that is somebody's address: it did
//! so for a name typed with a fullwidth @.

use chancery::domain::login::Login;

use crate::fixture::{Fixture, NOW};

const ADDRESS: &str = "ada@example.org";

/// Stores what the older release does, and returns the name's owner.
async fn squatter(f: &Fixture) -> chancery::domain::user::User {
    let new = f.user("mallory");
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&new).await.unwrap(), None);
    tx.commit().await.unwrap();
    let squat = "UPDATE logins SET canonical = 'ada@example.org', skeleton = 'ada@exarnple.org', \
        display = 'ada\u{ff20}example.org' WHERE canonical = 'mallory'";
    assert_eq!(f.database.sql(squat).await.unwrap(), 1);
    new.user
}

pub(crate) async fn an_address_that_an_older_process_stored_as_a_name_is_free(f: &Fixture) {
    let mallory = squatter(f).await;
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.user_by_login(ADDRESS).await.unwrap().is_none(), "the name is found by the address");
    drop(tx);
    let mut tx = f.store.write().await.unwrap();
    let new = f.user(ADDRESS);
    assert_eq!(tx.user_insert(&new).await.unwrap(), None);
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    assert_eq!(tx.user_by_login(ADDRESS).await.unwrap().unwrap().user.id, new.user.id);
    assert!(tx.logins_of(&mallory.id).await.unwrap().is_empty());
}

pub(crate) async fn an_import_takes_an_address_that_an_older_process_stored_as_a_name(f: &Fixture) {
    let mallory = squatter(f).await;
    let address = Login::parse(ADDRESS).unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.logins_like(&[address.unique_key(), ADDRESS, "ada@exarnple.org"]).await.unwrap(), []);
    let known = tx.users_of_subjects(&[&mallory.subject]).await.unwrap();
    assert_eq!(known[0].logins, Vec::<String>::new(), "it is no login of its owner");
    let new = f.user(ADDRESS);
    let id = new.user.id.clone();
    assert_eq!(tx.users_insert(&[new], NOW).await.unwrap(), None);
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    assert_eq!(tx.user_by_login(ADDRESS).await.unwrap().unwrap().user.id, id);
}
