//! Import of users in batches.

use chancery::{
    domain::login::Login,
    error::Error,
    passwords::Phc,
    store::{NewUser, TakenName},
    time::Timestamp,
};

use crate::fixture::{Fixture, NOW, taken_login};

/// A user with a name and an address. Some are disabled, and some have no password.
fn user(f: &Fixture, n: usize) -> NewUser {
    let mut new = f.user(&format!("user{n}"));
    new.logins.push(Login::parse(&format!("user{n}@example.com")).unwrap());
    new.user.subject = format!("old-{n}");
    new.user.disabled_at = n.is_multiple_of(2).then_some(NOW);
    new.user.created_at = Timestamp::from_millis(1_000_000_000_123);
    new.password = (!n.is_multiple_of(3)).then(|| Phc::from_database("$2b$x é \"quoted\" \\".into()));
    new
}

pub(crate) async fn a_batch_of_users_is_stored_unchanged(f: &Fixture) {
    let all: Vec<NewUser> = (0..40).map(|n| user(f, n)).collect();
    let bare = NewUser { logins: vec![], password: None, ..user(f, 40) };
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.users_insert(&[], NOW).await.unwrap(), None);
    assert_eq!(tx.users_insert(&all, NOW).await.unwrap(), None);
    assert_eq!(tx.users_insert(std::slice::from_ref(&bare), NOW).await.unwrap(), None);
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    let subjects: Vec<&str> = all.iter().chain([&bare]).map(|n| n.user.subject.as_str()).collect();
    let mut known = tx.users_of_subjects(&[&subjects[..], &["nobody", "\" é"]].concat()).await.unwrap();
    known.sort_by_key(|k| k.user.subject.strip_prefix("old-").unwrap().parse::<usize>().unwrap());
    assert_eq!(known.len(), 41);
    for (known, new) in known.iter_mut().zip(all.iter().chain([&bare])) {
        assert_eq!(known.user, new.user);
        assert_eq!(known.password, new.password);
        let mut logins: Vec<_> = new.logins.iter().map(|l| l.canonical().to_owned()).collect();
        logins.sort();
        known.logins.sort();
        assert_eq!(known.logins, logins);
        assert_eq!(tx.user_by_id(&new.user.id).await.unwrap().unwrap(), new.user);
    }
    let found = tx.user_by_login("user7@example.com").await.unwrap().unwrap();
    assert_eq!(found.user, all[7].user);
    assert_eq!(tx.logins_of(&all[7].user.id).await.unwrap(), ["user7", "user7@example.com"]);
}

pub(crate) async fn a_batch_is_imported_completely_or_not_at_all(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.client_insert(&Fixture::client("orders")).await.unwrap());
    assert_eq!(tx.login_insert(&ada.id, &Login::parse("ada@example.com").unwrap()).await.unwrap(), None);
    tx.commit().await.unwrap();
    let with_subject = |n, subject: &str| {
        let mut new = user(f, n);
        new.user.subject = subject.into();
        (new, TakenName::Subject(subject.into()))
    };
    let with_login = |n, at, field, text: &str| {
        let mut new = user(f, n);
        new.logins[at] = Login::parse(text).unwrap();
        (new, taken_login(field, text))
    };
    for (new, taken) in [
        with_subject(1, &ada.subject),
        with_subject(1, "orders"),
        // The other user of the batch has it.
        with_subject(1, "old-4"),
        with_login(2, 0, "name", "ADA"),
        with_login(2, 1, "email", "Ada@Example.com"),
        with_login(2, 0, "name", "User4"),
        // Cyrillic letters that look the same.
        with_login(3, 0, "name", "аdа"),
    ] {
        let mut tx = f.store.write().await.unwrap();
        assert_eq!(tx.users_insert(&[user(f, 4), new], NOW).await.unwrap(), Some(taken));
        drop(tx);
    }
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.users_of_subjects(&["old-4"]).await.unwrap().is_empty());
    assert!(tx.principals_taken(&["old-4"]).await.unwrap().is_empty());
    assert!(tx.logins_like(&["user4"]).await.unwrap().is_empty());
}

pub(crate) async fn taken_names_are_found(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.client_insert(&Fixture::client("orders")).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    let mut taken = tx.principals_taken(&["orders", ada.subject.as_str(), "free"]).await.unwrap();
    taken.sort();
    assert_eq!(taken, ["orders", ada.subject.as_str()]);
    let lookalike = Login::parse("аdа").unwrap();
    let like = tx.logins_like(&[lookalike.unique_key(), "free"]).await.unwrap();
    assert_eq!(like, [("ada".to_owned(), lookalike.unique_key().to_owned())]);
    drop(tx);
    // The subject of a deleted user stays taken, although no user has it.
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_delete(&ada.id, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.users_of_subjects(&[ada.subject.as_str()]).await.unwrap().is_empty());
    assert_eq!(tx.principals_taken(&[ada.subject.as_str()]).await.unwrap(), [ada.subject]);
}

pub(crate) async fn concurrent_imports_of_the_same_users_succeed_once(f: &Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (store, mut batch) = (f.second().await, (0..20).map(|n| user(f, n)).collect::<Vec<_>>());
        if n % 2 == 0 {
            batch.reverse();
        }
        tasks.spawn(async move {
            let mut tx = store.write().await?;
            let won = tx.users_insert(&batch, NOW).await?.is_none();
            if won {
                tx.commit().await?;
            } else {
                drop(tx);
            }
            store.close().await;
            Ok::<_, Error>(won)
        });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|won| matches!(won, Ok(true))).count(), 1, "{outcomes:?}");
    let lost = |outcome: &Result<bool, Error>| matches!(outcome, Ok(false) | Err(Error::Conflict));
    assert_eq!(outcomes.iter().filter(|outcome| lost(outcome)).count(), 5, "{outcomes:?}");
    let mut tx = f.store.read().await.unwrap();
    let subjects: Vec<String> = (0..20).map(|n| format!("old-{n}")).collect();
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    assert_eq!(tx.users_of_subjects(&subjects).await.unwrap().len(), 20);
}
