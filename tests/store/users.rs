//! Users, logins, passwords.

use chancery::{
    domain::login::{Login, LoginKind},
    domain::user::{NameRange, UserFilter},
    passwords::Phc,
    store::TakenName,
};

use crate::fixture::{Fixture, NOW, taken_login};

pub(crate) async fn a_user_is_found_by_each_login(f: &Fixture) {
    let mut new = f.user("Zoë");
    new.logins.push(Login::parse("zoe@example.com").unwrap());
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&new).await.unwrap(), None);
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    for typed in ["zoë", "ZOË", "zoe@EXAMPLE.com"] {
        let canonical = Login::canonical_for_lookup(typed).unwrap();
        let found = tx.user_by_login(&canonical).await.unwrap().unwrap();
        assert_eq!(found.user, new.user, "{typed}");
        assert_eq!(found.password.unwrap().as_str(), "$argon2id$x");
    }
    assert!(tx.user_by_login("nobody").await.unwrap().is_none());
    assert_eq!(tx.user_by_id(&new.user.id).await.unwrap().unwrap(), new.user);
    assert!(tx.user_by_id(&f.user("x").user.id).await.unwrap().is_none());
    assert_eq!(tx.logins_of(&new.user.id).await.unwrap(), ["Zoë", "zoe@example.com"]);
}

pub(crate) async fn subjects_logins_and_lookalikes_are_unique(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    let address = Login::parse("ada@example.com").unwrap();
    assert_eq!(tx.login_insert(&ada.id, &address).await.unwrap(), None);
    assert_eq!(tx.login_insert(&ada.id, &Login::parse("countess").unwrap()).await.unwrap(), None);
    tx.commit().await.unwrap();
    // Another spelling, and one that only looks the same: it is written with Cyrillic letters.
    for (text, field) in [("ADA", "name"), ("аdа", "name"), ("Ada@Example.com", "email")] {
        let login = Login::parse(text).unwrap();
        let taken = Some(taken_login(field, text));
        let mut tx = f.store.write().await.unwrap();
        assert_eq!(tx.login_insert(&ada.id, &login).await.unwrap(), taken, "{text}");
        // The login that is taken is named, not the free one before it.
        let mut new = f.user("free");
        new.logins.push(login);
        assert_eq!(tx.user_insert(&new).await.unwrap(), taken, "{text}");
    }
    let mut twin = f.user("twin");
    twin.user.subject.clone_from(&ada.subject);
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&twin).await.unwrap(), Some(TakenName::Subject(ada.subject)));
}

pub(crate) async fn pages_are_stable(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    for n in 0..7 {
        assert_eq!(tx.user_insert(&f.user(&format!("user{n}"))).await.unwrap(), None);
    }
    tx.commit().await.unwrap();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = f.store.read().await.unwrap().users_page(&UserFilter::default(), &after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        last.id.as_str().clone_into(&mut after);
        seen.extend(page.into_iter().map(|u| u.id));
        // A user created between two pages does not shift the others.
        let mut tx = f.store.write().await.unwrap();
        if seen.len() == 3 {
            tx.user_insert(&f.user("late")).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let sorted: std::collections::BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!((seen.clone(), seen.len() >= 7), (sorted.into_iter().collect(), true));
}

pub(crate) async fn a_change_invalidates_sign_ins_in_progress(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_hold(&ada.id, 1).await.unwrap());
    tx.password_set(&ada.id, &Phc::from_database("$argon2id$y".into()), NOW).await.unwrap();
    assert!(!tx.user_hold(&ada.id, 1).await.unwrap());
    assert!(tx.user_hold(&ada.id, 2).await.unwrap());
    assert!(tx.user_disable(&ada.id, NOW).await.unwrap());
    assert!(!tx.user_disable(&ada.id, NOW).await.unwrap());
    for version in 1..=3 {
        assert!(!tx.user_hold(&ada.id, version).await.unwrap(), "disabled, version {version}");
    }
    assert!(tx.user_enable(&ada.id, NOW).await.unwrap());
    assert!(!tx.user_enable(&ada.id, NOW).await.unwrap());
    assert!(!tx.user_hold(&ada.id, 3).await.unwrap());
    assert!(tx.user_hold(&ada.id, 4).await.unwrap());
    assert_eq!(tx.user_by_login("ada").await.unwrap().unwrap().password.unwrap().as_str(), "$argon2id$y");
}

pub(crate) async fn concurrent_creations_with_one_name_create_one_user(f: &Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        let new = f.user("ada");
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            match tx.user_insert(&new).await.unwrap() {
                None => tx.commit().await.map(|_| true).unwrap(),
                Some(taken) => {
                    assert_eq!(taken, taken_login("name", "ada"));
                    false
                }
            }
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
    assert_eq!(f.store.read().await.unwrap().users_page(&UserFilter::default(), "", 10).await.unwrap().len(), 1);
}

pub(crate) async fn a_rehash_does_not_invalidate_sign_ins(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    tx.password_rehash(&ada.id, &Phc::from_database("$argon2id$z".into())).await.unwrap();
    assert!(tx.user_hold(&ada.id, 1).await.unwrap());
    assert_eq!(tx.user_by_login("ada").await.unwrap().unwrap().password.unwrap().as_str(), "$argon2id$z");
}

pub(crate) async fn a_user_is_changed_only_at_the_expected_version(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_touch(&ada.id, Some(1), NOW).await.unwrap());
    assert!(!tx.user_touch(&ada.id, Some(1), NOW).await.unwrap());
    assert!(tx.user_touch(&ada.id, None, NOW).await.unwrap());
    assert!(!tx.user_hold(&ada.id, 1).await.unwrap(), "sign-ins in flight are void");
    let attributes = serde_json::json!({ "team": "Zoë" }).as_object().cloned().unwrap();
    tx.user_set_attributes(&ada.id, &attributes).await.unwrap();
    assert_eq!(tx.logins_delete(&ada.id, LoginKind::Email).await.unwrap(), 0);
    assert_eq!(tx.logins_delete(&ada.id, LoginKind::Name).await.unwrap(), 1);
    assert!(tx.user_by_login("ada").await.unwrap().is_none());
    assert!(tx.password_delete(&ada.id).await.unwrap());
    assert!(!tx.password_delete(&ada.id).await.unwrap());
    let found = tx.user_by_subject(&ada.subject).await.unwrap().unwrap();
    assert_eq!((found.attributes, found.security_version), (attributes, 3));
    assert_eq!(found.language, ada.language, "nobody has changed it");
    for language in ["de-at".parse().ok(), None] {
        tx.user_set_language(&ada.id, language.as_ref()).await.unwrap();
        assert_eq!(tx.user_by_id(&ada.id).await.unwrap().unwrap().language, language);
    }
}

pub(crate) async fn a_deleted_user_leaves_nothing_but_its_subject(f: &Fixture) {
    let ada = f.ada().await;
    let session = f.signed_in(&ada).await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_delete(&ada.id, NOW).await.unwrap());
    assert!(!tx.user_delete(&ada.id, NOW).await.unwrap());
    assert!(!tx.user_touch(&ada.id, None, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_by_id(&ada.id).await.unwrap().is_none());
    assert!(tx.user_by_subject(&ada.subject).await.unwrap().is_none());
    assert!(tx.user_by_login("ada").await.unwrap().is_none());
    assert!(tx.users_page(&UserFilter::default(), "", 10).await.unwrap().is_empty());
    assert!(!tx.user_hold(&ada.id, 2).await.unwrap());
    let left = tx.session_by_id(&session.id).await.unwrap().unwrap();
    assert_eq!((left.address.as_str(), left.device_label.as_str(), left.claims.len()), ("", "", 0));
    let mut twin = f.user("ada");
    twin.user.subject.clone_from(&ada.subject);
    let taken = Some(TakenName::Subject(ada.subject));
    assert_eq!(tx.user_insert(&twin).await.unwrap(), taken, "a subject is never given to anybody else");
}

pub(crate) async fn a_password_may_have_to_change(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    assert!(!tx.user_by_login("ada").await.unwrap().unwrap().must_change);
    assert!(tx.password_must_change(&ada.id).await.unwrap());
    assert!(tx.user_by_login("ada").await.unwrap().unwrap().must_change);
    assert_eq!(tx.password_of(&ada.id).await.unwrap().unwrap().as_str(), "$argon2id$x");
    tx.password_set(&ada.id, &Phc::from_database("$argon2id$y".into()), NOW).await.unwrap();
    assert!(!tx.user_by_login("ada").await.unwrap().unwrap().must_change);
    tx.password_delete(&ada.id).await.unwrap();
    assert!(!tx.password_must_change(&ada.id).await.unwrap());
    assert!(tx.password_of(&ada.id).await.unwrap().is_none());
}

pub(crate) async fn users_are_listed_by_name_and_address(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    let mut clerk = None;
    for (name, email) in [
        ("ada", "ada@example.org"),
        ("Adam", "adam@example.org"),
        ("adele", "adele@example.org"),
        ("ae", "ae@example.org"),
        ("bob", "ad@example.org"),
    ] {
        let mut new = f.user(name);
        new.logins.push(Login::parse(email).unwrap());
        assert_eq!(tx.user_insert(&new).await.unwrap(), None);
        if name == "adele" {
            assert!(tx.user_disable(&new.user.id, NOW).await.unwrap());
        }
        if name == "Adam" {
            let role = "rol_00000000000000000000000001".parse().unwrap();
            assert!(tx.user_role_add(&new.user.id, &role, NOW).await.unwrap());
            clerk = Some(role);
        }
    }
    tx.commit().await.unwrap();
    let prefix = |text: &str| Some(NameRange::prefix(Login::canonical_name_prefix(text).unwrap()));
    let exact = |text: &str| Some(NameRange::exact(text.to_owned()));
    let email = |text: &str| Some(text.to_owned());
    let all = UserFilter::default;
    for (filter, want) in [
        (UserFilter { name: prefix("AD"), ..all() }, &["Adam", "ada", "adele"][..]),
        (UserFilter { name: prefix(""), ..all() }, &["Adam", "ada", "adele", "ae", "bob"]),
        (UserFilter { name: prefix("adamo"), ..all() }, &[]),
        (UserFilter { name: exact("ada"), ..all() }, &["ada"]),
        (UserFilter { name: prefix("ad"), disabled: Some(true), ..all() }, &["adele"]),
        (UserFilter { name: prefix("ad"), disabled: Some(false), ..all() }, &["Adam", "ada"]),
        (UserFilter { name: prefix("ad"), role: clerk.clone(), ..all() }, &["Adam"]),
        (UserFilter { name: prefix("ad"), role: clerk.clone(), disabled: Some(true), ..all() }, &[]),
        (UserFilter { email: email("ad@example.org"), ..all() }, &["bob"]),
        (UserFilter { email: email("ad@example.org"), name: prefix("b"), ..all() }, &["bob"]),
        (UserFilter { email: email("ad@example.org"), name: prefix("ad"), ..all() }, &[]),
        (UserFilter { email: email("adam@example.org"), role: clerk.clone(), ..all() }, &["Adam"]),
        (UserFilter { email: email("adele@example.org"), disabled: Some(false), ..all() }, &[]),
        (UserFilter { email: email("nobody@example.org"), ..all() }, &[]),
    ] {
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let mut tx = f.store.read().await.unwrap();
            let page = tx.users_page(&filter, &after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.iter().all(|u| u.id.as_str() > after.as_str()), "{filter:?}");
            last.id.as_str().clone_into(&mut after);
            for user in &page {
                let logins = tx.logins_of(&user.id).await.unwrap();
                assert!(filter.accepts_logins(&logins), "{filter:?} {logins:?}");
                names.push(logins[0].clone());
            }
        }
        names.sort();
        assert_eq!(names, want, "{filter:?}");
    }
    let other = UserFilter { name: prefix("ad"), email: email("ada@example.org"), ..all() };
    assert!(!other.accepts_logins(&["bob".to_owned(), "ada@example.org".to_owned()]));
    assert!(!other.accepts_logins(&["ada".to_owned()]));
}
