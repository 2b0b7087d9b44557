//! Clients and audiences.

use chancery::{
    domain::{client::ClaimSource, scope::Audience},
    error::Error,
    secret::ClientSecret,
    store::{SITE_TAKEN, TakenName, Tx},
    time::Ttl,
};

use crate::fixture::{Fixture, NOW};

pub(crate) async fn a_client_is_stored_unchanged(f: &Fixture) {
    let mut client = Fixture::client("app");
    client.secret = Some(ClientSecret::generate(&*f.entropy).hash());
    client.config.claim_map.insert("team".into(), ClaimSource::Literal("Zoë".into()));
    client.config.cors_origins = vec!["https://app.example".parse().unwrap(), "http://[::1]:5173".parse().unwrap()];
    client.config.browser_tokens = true;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.client_insert(&client).await.unwrap());
    tx.commit().await.unwrap();
    let stored = f.store.read().await.unwrap().clients_all().await.unwrap().pop().unwrap();
    assert_eq!((stored.id.as_str(), &stored.config), ("app", &client.config));
    assert!(stored.secret.unwrap().matches(&client.secret.unwrap()));
    assert_eq!((stored.created_at, stored.disabled_at), (NOW, None));
}

pub(crate) async fn a_client_id_is_unique_among_clients_and_subjects(f: &Fixture) {
    let mut ada = f.user("ada");
    ada.user.subject = "shop".into();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&ada).await.unwrap(), None);
    assert!(tx.client_insert(&Fixture::client("app")).await.unwrap());
    assert!(!tx.client_insert(&Fixture::client("app")).await.unwrap());
    assert!(!tx.client_insert(&Fixture::client("shop")).await.unwrap());
    let mut grace = f.user("grace");
    grace.user.subject = "app".into();
    assert_eq!(tx.user_insert(&grace).await.unwrap(), Some(TakenName::Subject("app".into())));
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
    assert!(tx.client_configure(&client.id, &config, 3, NOW).await.unwrap());
    assert!(!tx.client_configure(&"nobody".parse().unwrap(), &config, 1, NOW).await.unwrap());
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

pub(crate) async fn a_client_is_changed_only_at_the_expected_revision(f: &Fixture) {
    let client = Fixture::client("app");
    let mut tx = f.store.write().await.unwrap();
    tx.client_insert(&client).await.unwrap();
    assert!(tx.client_configure(&client.id, &client.config, 1, NOW).await.unwrap());
    assert!(!tx.client_configure(&client.id, &client.config, 1, NOW).await.unwrap());
    assert_eq!(tx.clients_all().await.unwrap()[0].revision, 2);
}

pub(crate) async fn a_replaced_secret_is_valid_until_it_expires(f: &Fixture) {
    let (old, new) = (ClientSecret::generate(&*f.entropy).hash(), ClientSecret::generate(&*f.entropy).hash());
    let mut client = Fixture::client("service");
    client.secret = Some(old);
    let until = NOW.plus(Ttl::from_secs(60));
    let mut tx = f.store.write().await.unwrap();
    tx.client_insert(&client).await.unwrap();
    tx.client_insert(&Fixture::client("public")).await.unwrap();
    assert!(tx.client_set_secret(&client.id, new, until, NOW).await.unwrap());
    assert!(!tx.client_set_secret(&"public".parse().unwrap(), new, until, NOW).await.unwrap());
    let stored = tx.clients_all().await.unwrap().into_iter().find(|c| c.id == client.id).unwrap();
    assert!(stored.accepts(&new, until) && stored.accepts(&old, NOW) && !stored.accepts(&old, until));
}

pub(crate) async fn a_client_is_deleted_once_no_token_of_it_is_valid_and_its_id_stays_taken(f: &Fixture) {
    let (client, audience) = (Fixture::client("app"), "orders".parse::<Audience>().unwrap());
    let mut tx = f.store.write().await.unwrap();
    tx.client_insert(&client).await.unwrap();
    tx.audience_ensure(&audience, NOW).await.unwrap();
    tx.audience_own(&audience, &client.id).await.unwrap();
    assert!(!tx.client_delete(&client.id, NOW).await.unwrap(), "enabled");
    tx.client_disable(&client.id, NOW).await.unwrap();
    assert!(!tx.client_delete(&client.id, NOW).await.unwrap(), "disabled just now");
    tx.commit().await.unwrap();
    let session = f.signed_in(&f.ada().await).await;
    let later = NOW.plus(Ttl::from_secs(1));
    let mut tx = f.store.write().await.unwrap();
    assert!(!tx.client_delete(&client.id, later).await.unwrap(), "has a session");
    let end = session.absolute_expires_at.plus(later.since(NOW));
    assert_eq!(tx.sessions_delete_dead(&[session.id], end).await.unwrap(), 1);
    assert_eq!(tx.audiences_disown(&client.id).await.unwrap(), 1);
    assert!(tx.client_delete(&client.id, later).await.unwrap());
    assert!(!tx.client_insert(&client).await.unwrap(), "the id is nobody's any more");
}

pub(crate) async fn a_client_that_an_older_release_changed_says_since_when_its_lifetimes_are_noted(f: &Fixture) {
    let mut client = Fixture::client("app");
    client.config.token_lifetimes_noted_since = None;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.client_insert(&client).await.unwrap());
    let since = async |tx: &mut Tx| tx.clients_all().await.unwrap()[0].config.token_lifetimes_noted_since;
    assert_eq!(since(&mut tx).await, Some(NOW.plus(Ttl::from_secs(60))));
    let later = NOW.plus(Ttl::from_days(1));
    assert!(tx.client_configure(&client.id, &client.config, 1, later).await.unwrap());
    assert_eq!(since(&mut tx).await, Some(later.plus(Ttl::from_secs(60))));
    // Once it was changed with a note, the note stays.
    client.config.token_lifetimes_noted_since = since(&mut tx).await;
    assert!(tx.client_configure(&client.id, &client.config, 2, later.plus(Ttl::from_days(1))).await.unwrap());
    assert_eq!(since(&mut tx).await, client.config.token_lifetimes_noted_since);
}

pub(crate) async fn no_two_clients_have_a_site_at_one_host(f: &Fixture) {
    let at = |id: &str, site: &str| {
        let mut client = Fixture::client(id);
        client.config.site = Some(site.parse().unwrap());
        client
    };
    let (shop, news) = (at("shop", "https://shop.example/auth"), at("news", "https://news.example/auth"));
    let taken = |outcome: Result<bool, Error>| match outcome {
        Err(Error::Exists(what, _)) => assert_eq!(what, SITE_TAKEN),
        other => panic!("{other:?}"),
    };
    let mut tx = f.store.write().await.unwrap();
    for client in [&shop, &news, &Fixture::client("one"), &Fixture::client("two")] {
        assert!(tx.client_insert(client).await.unwrap());
    }
    tx.commit().await.unwrap();
    // At another prefix, too.
    let other = at("other", "https://shop.example/sign-in");
    let mut tx = f.store.write().await.unwrap();
    taken(tx.client_insert(&other).await);
    drop(tx);
    let mut tx = f.store.write().await.unwrap();
    taken(tx.client_configure(&news.id, &other.config, 1, NOW).await);
    drop(tx);
    // Once it is given up, another client may have it.
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.client_configure(&shop.id, &Fixture::client("shop").config, 1, NOW).await.unwrap());
    assert!(tx.client_configure(&news.id, &other.config, 1, NOW).await.unwrap());
    tx.commit().await.unwrap();
}
