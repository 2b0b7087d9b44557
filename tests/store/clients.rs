//! Clients and audiences.

use chancery::{
    domain::{client::ClaimSource, scope::Audience},
    secret::ClientSecret,
};

use crate::fixture::{Fixture, NOW};

pub(crate) async fn a_client_is_kept_as_it_was_given(f: &Fixture) {
    let mut client = Fixture::client("app");
    client.secret = Some(ClientSecret::generate(&*f.entropy).hash());
    client.config.claim_map.insert("team".into(), ClaimSource::Literal("Zoë".into()));
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.client_insert(&client).await.unwrap());
    tx.commit().await.unwrap();
    let stored = f.store.read().await.unwrap().clients_all().await.unwrap().pop().unwrap();
    assert_eq!((stored.id.as_str(), &stored.config), ("app", &client.config));
    assert!(stored.secret.unwrap().matches(&client.secret.unwrap()));
    assert_eq!((stored.created_at, stored.disabled_at), (NOW, None));
}

pub(crate) async fn a_clients_id_is_no_other_clients_and_no_subject(f: &Fixture) {
    let mut ada = f.user("ada");
    ada.user.subject = "shop".into();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&ada).await.unwrap(), None);
    assert!(tx.client_insert(&Fixture::client("app")).await.unwrap());
    assert!(!tx.client_insert(&Fixture::client("app")).await.unwrap());
    assert!(!tx.client_insert(&Fixture::client("shop")).await.unwrap());
    let mut grace = f.user("grace");
    grace.user.subject = "app".into();
    assert_eq!(tx.user_insert(&grace).await.unwrap(), Some("subject"));
}

pub(crate) async fn a_client_is_disabled_and_enabled_once(f: &Fixture) {
    let client = Fixture::client("app");
    let mut tx = f.store.write().await.unwrap();
    tx.client_insert(&client).await.unwrap();
    assert!(!tx.client_enable(&client.id, NOW).await.unwrap());
    assert!(tx.client_disable(&client.id, NOW).await.unwrap());
    assert!(!tx.client_disable(&client.id, NOW).await.unwrap());
    assert_eq!(tx.clients_all().await.unwrap()[0].disabled_at, Some(NOW));
    assert!(tx.client_enable(&client.id, NOW).await.unwrap());
    let mut config = client.config.clone();
    config.scopes.clear();
    assert!(tx.client_configure(&client.id, &config, NOW).await.unwrap());
    assert!(!tx.client_configure(&"nobody".parse().unwrap(), &config, NOW).await.unwrap());
    let stored = tx.clients_all().await.unwrap();
    assert_eq!((&stored[0].config, stored[0].disabled_at), (&config, None));
}

pub(crate) async fn an_audience_has_one_owner_and_keeps_it_when_renamed(f: &Fixture) {
    let (api, other): (Audience, Audience) = ("api".parse().unwrap(), "other".parse().unwrap());
    let (one, two) = (Fixture::client("one"), Fixture::client("two"));
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.audience_ensure(&api, NOW).await.unwrap());
    assert!(!tx.audience_ensure(&api, NOW).await.unwrap());
    assert!(tx.audience_own(&api, &one.id).await.unwrap());
    assert!(tx.audience_own(&api, &one.id).await.unwrap());
    assert!(!tx.audience_own(&api, &two.id).await.unwrap());
    assert!(tx.audience_rename("api", &other).await.unwrap());
    assert!(!tx.audience_rename("api", &other).await.unwrap());
    assert_eq!(tx.audiences_all().await.unwrap(), [("other".to_owned(), Some("one".to_owned()))]);
}
