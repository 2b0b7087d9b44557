//! What files have declared.

use chancery::{
    domain::declared::{Declared, DeclaredKind},
    secret::{ClientSecret, ClientSecretHash},
    store::REMEMBERED_SECRETS,
    time::Ttl,
};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, NOW};

fn declared(kind: DeclaredKind, name: &str, pruned: bool) -> Declared {
    Declared { kind, name: name.to_owned(), pruned }
}

fn secret(f: &Fixture) -> ClientSecretHash {
    ClientSecret::generate(&*f.entropy).hash()
}

pub(crate) async fn what_was_declared_is_noted_once_and_forgotten(f: &Fixture) {
    let (shop, clerk) = (declared(DeclaredKind::Client, "shop", false), declared(DeclaredKind::Role, "clerk", true));
    let mut tx = f.store.write().await.unwrap();
    for what in [&clerk, &shop, &shop, &Declared { pruned: true, ..shop.clone() }, &shop] {
        tx.declared_note(what, NOW).await.unwrap();
    }
    assert_eq!(tx.declared_all().await.unwrap(), [shop, clerk]);
    assert!(tx.declared_forget(DeclaredKind::Client, "shop").await.unwrap());
    assert!(!tx.declared_forget(DeclaredKind::Setting, "clerk").await.unwrap());
    assert_eq!(tx.declared_all().await.unwrap().len(), 1);
}

pub(crate) async fn the_last_secrets_of_a_client_are_remembered(f: &Fixture) {
    let (shop, other) = ("shop".parse().unwrap(), "other".parse().unwrap());
    let mut tx = f.store.write().await.unwrap();
    let first = secret(f);
    assert!(tx.declared_secret_note(&shop, first, NOW).await.unwrap());
    assert!(!tx.declared_secret_note(&shop, first, NOW).await.unwrap());
    assert!(tx.declared_secret_note(&other, first, NOW).await.unwrap());
    for n in 1..=REMEMBERED_SECRETS {
        assert!(tx.declared_secret_note(&shop, secret(f), NOW.plus(Ttl::from_secs(n))).await.unwrap());
    }
    let all = tx.declared_secrets_all().await.unwrap();
    let of_shop: Vec<_> = all.iter().filter(|(client, _)| client == "shop").map(|(_, hash)| hash).collect();
    assert_eq!(of_shop.len(), usize::try_from(REMEMBERED_SECRETS).unwrap());
    assert!(!of_shop.contains(&&first.as_bytes().to_vec()), "the oldest is forgotten");
    assert_eq!(tx.declared_secrets_forget("other").await.unwrap(), 1);
    assert_eq!(tx.declared_secrets_all().await.unwrap().len(), of_shop.len());
}

pub(crate) async fn a_client_takes_a_secret_that_it_never_had(f: &Fixture) {
    let [first, second, third, fourth] = [secret(f), secret(f), secret(f), secret(f)];
    let mut client = Fixture::client("service");
    client.secret = Some(first);
    let until = NOW.plus(Ttl::from_secs(60));
    let mut tx = f.store.write().await.unwrap();
    tx.client_insert(&client).await.unwrap();
    tx.client_insert(&Fixture::client("public")).await.unwrap();
    assert!(!tx.client_take_secret(&"public".parse().unwrap(), second, until, NOW).await.unwrap());
    assert!(!tx.client_take_secret(&client.id, first, until, NOW).await.unwrap(), "it has it");
    assert!(tx.client_take_secret(&client.id, second, until, NOW).await.unwrap());
    assert!(!tx.client_take_secret(&client.id, first, until, NOW).await.unwrap(), "the one before");
    tx.declared_secret_note(&client.id, first, NOW).await.unwrap();
    assert!(tx.client_take_secret(&client.id, third, until, NOW).await.unwrap());
    assert!(!tx.client_take_secret(&client.id, first, until, NOW).await.unwrap(), "it is remembered");
    tx.commit().await.unwrap();
    // However many have the new file.
    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        let id = client.id.clone();
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            let taken = tx.client_take_secret(&id, fourth, until, NOW).await.unwrap();
            tx.commit().await.unwrap();
            taken
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
    let stored = f.store.read().await.unwrap().clients_all().await.unwrap();
    let stored = stored.into_iter().find(|c| c.id == client.id).unwrap();
    assert!(stored.accepts(&fourth, NOW) && stored.accepts(&third, NOW) && !stored.accepts(&third, until));
}

pub(crate) async fn an_audience_passes_from_the_owner_that_it_has(f: &Fixture) {
    let api = "api".parse().unwrap();
    let mut tx = f.store.write().await.unwrap();
    tx.audience_ensure(&api, NOW).await.unwrap();
    assert!(!tx.audience_pass("api", Some("one"), Some("two")).await.unwrap());
    assert!(tx.audience_pass("api", None, Some("one")).await.unwrap());
    assert!(!tx.audience_pass("api", None, Some("two")).await.unwrap());
    assert!(tx.audience_pass("api", Some("one"), Some("two")).await.unwrap());
    assert_eq!(tx.audiences_all().await.unwrap(), [("api".to_owned(), Some("two".to_owned()))]);
    assert!(tx.audience_pass("api", Some("two"), None).await.unwrap());
    assert!(!tx.audience_pass("missing", None, Some("two")).await.unwrap());
    assert_eq!(tx.audiences_all().await.unwrap(), [("api".to_owned(), None)]);
}
