//! Users by the batch.

use chancery::{domain::login::Login, error::Error, passwords::Phc, store::NewUser, time::Timestamp};

use crate::fixture::{Fixture, NOW};

/// A user with a name and an address, disabled or without a password by turns.
fn user(f: &Fixture, n: usize) -> NewUser {
    let mut new = f.user(&format!("user{n}"));
    new.logins.push(Login::parse(&format!("user{n}@example.com")).unwrap());
    new.user.subject = format!("old-{n}");
    new.user.disabled_at = n.is_multiple_of(2).then_some(NOW);
    new.user.created_at = Timestamp::from_millis(1_000_000_000_123);
    new.password = (!n.is_multiple_of(3)).then(|| Phc::from_database("$2b$x é \"quoted\" \\".into()));
    new
}

pub(crate) async fn a_batch_of_users_is_kept_as_it_was_given(f: &Fixture) {
    let all: Vec<NewUser> = (0..40).map(|n| user(f, n)).collect();
    let bare = NewUser { logins: vec![], password: None, ..user(f, 40) };
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.users_insert(&[], NOW).await.unwrap());
    assert!(tx.users_insert(&all, NOW).await.unwrap());
    assert!(tx.users_insert(std::slice::from_ref(&bare), NOW).await.unwrap());
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

pub(crate) async fn of_a_batch_all_users_come_or_none(f: &Fixture) {
    let ada = f.ada().await;
    let mut same_subject = user(f, 1);
    same_subject.user.subject.clone_from(&ada.subject);
    let mut same_login = user(f, 2);
    same_login.logins[0] = Login::parse("ADA").unwrap();
    let mut lookalike = user(f, 3);
    // Cyrillic, and the same to the eye.
    lookalike.logins[0] = Login::parse("аdа").unwrap();
    for taken in [same_subject, same_login, lookalike] {
        let mut tx = f.store.write().await.unwrap();
        assert!(!tx.users_insert(&[user(f, 4), taken], NOW).await.unwrap());
        drop(tx);
    }
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.users_of_subjects(&["old-4"]).await.unwrap().is_empty());
    assert!(tx.principals_taken(&["old-4"]).await.unwrap().is_empty());
    assert!(tx.logins_like(&["user4"]).await.unwrap().is_empty());
}

pub(crate) async fn names_that_are_taken_are_told(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.client_insert(&Fixture::client("orders")).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    let mut taken = tx.principals_taken(&["orders", ada.subject.as_str(), "free"]).await.unwrap();
    taken.sort();
    assert_eq!(taken, ["orders", ada.subject.as_str()]);
    let lookalike = Login::parse("аdа").unwrap();
    let like = tx.logins_like(&[lookalike.skeleton(), "free"]).await.unwrap();
    assert_eq!(like, [("ada".to_owned(), lookalike.skeleton().to_owned())]);
    drop(tx);
    // A deleted user's subject stays taken, though nobody has it.
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_delete(&ada.id, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.users_of_subjects(&[ada.subject.as_str()]).await.unwrap().is_empty());
    assert_eq!(tx.principals_taken(&[ada.subject.as_str()]).await.unwrap(), [ada.subject]);
}

pub(crate) async fn of_many_who_import_the_same_users_one_does(f: &Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (store, mut batch) = (f.second().await, (0..20).map(|n| user(f, n)).collect::<Vec<_>>());
        if n % 2 == 0 {
            batch.reverse();
        }
        tasks.spawn(async move {
            let mut tx = store.write().await?;
            let won = tx.users_insert(&batch, NOW).await?;
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
