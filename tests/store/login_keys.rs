//! Databases whose addresses still have the keys of older releases: what they look like. New addresses that look like
//! them are free, and the same ones are taken.

use chancery::{domain::login::Login, store::Schema};

use crate::{
    fixture::{Fixture, NOW, taken_login},
    upgrades::{dumps, load},
};

pub(crate) async fn addresses_of_every_older_schema_take_only_themselves(f: &Fixture) {
    for dump in dumps(f.database.engine) {
        let (older, known) = load(f, &dump).await;
        older.store.migrate(NOW).await.unwrap();
        assert!(matches!(older.store.schema().await.unwrap(), Schema::Current(_)), "{dump}");
        let lookalike = known.email.replace('m', "rn");
        assert_ne!(lookalike, known.email);
        let mut tx = older.store.write().await.unwrap();
        assert_eq!(tx.user_insert(&older.user(&lookalike)).await.unwrap(), None, "{dump}: {lookalike}");
        tx.commit().await.unwrap();
        // The same address is taken, by whichever way it comes.
        let taken = Some(taken_login("email", &known.email));
        let mut tx = older.store.write().await.unwrap();
        assert_eq!(tx.user_insert(&older.user(&known.email)).await.unwrap(), taken, "{dump}");
        drop(tx);
        let mut tx = older.store.write().await.unwrap();
        assert_eq!(tx.users_insert(&[older.user(&known.email)], NOW).await.unwrap(), taken, "{dump}");
        drop(tx);
        let address = Login::parse(&known.email).unwrap();
        let mut tx = older.store.read().await.unwrap();
        let found = tx.logins_like(&[address.unique_key(), address.canonical()]).await.unwrap();
        assert_eq!(
            found.into_iter().map(|(canonical, _)| canonical).collect::<Vec<_>>(),
            std::slice::from_ref(&known.email),
            "{dump}"
        );
        // So is a name that looks like an old one.
        let name = Login::parse(&known.login.replace('a', "\u{430}")).unwrap();
        let owner = tx.user_by_login(&known.email).await.unwrap().unwrap().user;
        drop(tx);
        let mut tx = older.store.write().await.unwrap();
        assert_eq!(
            tx.login_insert(&owner.id, &name).await.unwrap(),
            Some(taken_login("name", name.display())),
            "{dump}"
        );
        // An address that is added stands behind those that are there.
        let second = Login::parse("a@example.com").unwrap();
        assert_eq!(tx.login_insert(&owner.id, &second).await.unwrap(), None);
        assert_eq!(tx.logins_of(&owner.id).await.unwrap(), [&known.login, &known.email, "a@example.com"], "{dump}");
        drop(tx);
        older.finish().await;
    }
}

pub(crate) async fn a_name_that_took_an_address_gives_it_back(f: &Fixture) {
    for dump in dumps(f.database.engine).into_iter().filter(|dump| dump.starts_with("0009") || dump.starts_with("0011"))
    {
        let (older, known) = load(f, &dump).await;
        let squat = "UPDATE logins SET canonical = 'owner@example.com', skeleton = 'owner@exarnple.corn' \
            WHERE kind = 'name' AND display = 'heidi'";
        assert_eq!(older.database.sql(squat).await.unwrap(), 1);
        assert_eq!(older.store.names_to_delete().await.unwrap(), 1, "{dump}: the operator is told");
        older.store.migrate(NOW).await.unwrap();
        assert_eq!(older.store.names_to_delete().await.unwrap(), 0, "{dump}");
        let mut tx = older.store.write().await.unwrap();
        assert_eq!(tx.user_insert(&older.user("owner@example.com")).await.unwrap(), None, "{dump}");
        tx.commit().await.unwrap();
        let mut tx = older.store.read().await.unwrap();
        assert!(tx.user_by_login(&known.login).await.unwrap().is_some(), "other names stay");
        drop(tx);
        older.finish().await;
    }
}

pub(crate) async fn addresses_keep_the_order_in_which_they_were_added(f: &Fixture) {
    let mut new = f.user("zoe");
    for address in ["z@example.com", "a@example.com", "m@example.com"] {
        new.logins.push(Login::parse(address).unwrap());
    }
    let mut other = f.user("y@example.com");
    other.logins.push(Login::parse("b@example.com").unwrap());
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&new).await.unwrap(), None);
    assert_eq!(tx.users_insert(std::slice::from_ref(&other), NOW).await.unwrap(), None);
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    let want = ["zoe", "z@example.com", "a@example.com", "m@example.com"];
    assert_eq!(tx.logins_of(&new.user.id).await.unwrap(), want);
    assert_eq!(tx.logins_of(&other.user.id).await.unwrap(), ["y@example.com", "b@example.com"]);
    let listed = tx.logins_of_users(&[new.user.id.clone()]).await.unwrap();
    assert_eq!(listed.into_iter().map(|(_, login)| login).collect::<Vec<_>>(), want);
}
