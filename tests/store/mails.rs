//! Outgoing mails.

use std::time::Duration;

use chancery::{
    domain::mail::SealedMail,
    store::{ClaimedMail, MailsWaiting, Store},
    time::{Timestamp, Ttl},
};

use crate::fixture::{Fixture, NOW};

const LEASE: Ttl = Ttl::from_secs(90);

async fn hand_in(f: &Fixture, mail: &SealedMail) {
    let mut tx = f.store.write().await.unwrap();
    tx.mail_enqueue(mail).await.unwrap();
    tx.commit().await.unwrap();
}

async fn claim(store: &Store, now: Timestamp, limit: i64, tag: &str) -> Vec<ClaimedMail> {
    let mut tx = store.write().await.unwrap();
    let mails = tx.mails_claim(now, LEASE, limit, tag).await.unwrap();
    tx.commit().await.unwrap();
    mails
}

async fn finish(f: &Fixture, id: &str, tag: &str) -> bool {
    let mut tx = f.store.write().await.unwrap();
    let held = tx.mail_finish(id, tag).await.unwrap();
    tx.commit().await.unwrap();
    held
}

async fn is_due(f: &Fixture, now: Timestamp) -> bool {
    f.store.read().await.unwrap().mails_due(now).await.unwrap()
}

async fn waiting(f: &Fixture, now: Timestamp) -> MailsWaiting {
    f.store.read().await.unwrap().mails_waiting(now).await.unwrap()
}

pub(crate) async fn a_mail_is_stored_unchanged_if_its_transaction_commits(f: &Fixture) {
    let mail = f.mail("ada@example.org", NOW);
    let mut tx = f.store.write().await.unwrap();
    tx.mail_enqueue(&mail).await.unwrap();
    drop(tx);
    assert!(!is_due(f, NOW).await);
    assert_eq!(waiting(f, NOW).await, MailsWaiting { all: 0, oldest: None, expired: 0 });
    hand_in(f, &mail).await;
    assert!(is_due(f, NOW).await);
    assert_eq!(waiting(f, NOW).await, MailsWaiting { all: 1, oldest: Some(NOW), expired: 0 });
    let mut claimed = claim(&f.store, NOW, 4, "tag").await;
    let only = claimed.pop().unwrap();
    assert!(claimed.is_empty());
    assert_eq!((only.id.as_str(), only.tag.as_str(), only.attempts), (mail.id.as_str(), "tag", 1));
    assert_eq!(only.expires_at, mail.expires_at);
    assert_eq!(only.mail.unwrap(), mail);
    assert!(finish(f, mail.id.as_str(), "tag").await);
    assert_eq!(waiting(f, NOW).await.all, 0);
}

pub(crate) async fn a_waiter_is_woken_by_a_commit_and_nothing_else(f: &Fixture) {
    let woken = async || tokio::time::timeout(Duration::ZERO, f.store.mail_handed_in()).await.is_ok();
    let mut tx = f.store.write().await.unwrap();
    tx.mail_enqueue(&f.mail("ada@example.org", NOW)).await.unwrap();
    assert!(!woken().await);
    drop(tx);
    assert!(!woken().await);
    f.store.write().await.unwrap().commit().await.unwrap();
    assert!(!woken().await);
    hand_in(f, &f.mail("ada@example.org", NOW)).await;
    assert!(woken().await);
    assert!(!woken().await);
}

pub(crate) async fn concurrent_claimants_get_each_mail_once(f: &Fixture) {
    let mut handed_in = std::collections::BTreeSet::new();
    for n in 0..40 {
        let mail = f.mail(&format!("ada{n}@example.org"), NOW);
        hand_in(f, &mail).await;
        handed_in.insert(mail.id.to_string());
    }
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        tasks.spawn(async move {
            let mut mine = Vec::new();
            while store.read().await.unwrap().mails_due(NOW).await.unwrap() {
                mine.extend(claim(&store, NOW, 4, &format!("tag {n}")).await.into_iter().map(|m| m.id));
            }
            mine
        });
    }
    let taken: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 40);
    assert_eq!(taken.into_iter().collect::<std::collections::BTreeSet<_>>(), handed_in);
}

pub(crate) async fn the_oldest_mails_are_claimed_first(f: &Fixture) {
    let mails = [3, 1, 2].map(|n| f.mail("ada@example.org", NOW.plus(Ttl::from_secs(n))));
    for mail in &mails {
        hand_in(f, mail).await;
    }
    let later = NOW.plus(Ttl::from_secs(10));
    let taken = async |tag| claim(&f.store, later, 1, tag).await.remove(0).id;
    for (tag, mail) in [("a", &mails[1]), ("b", &mails[2]), ("c", &mails[0])] {
        assert_eq!(taken(tag).await, mail.id.as_str());
    }
    assert!(claim(&f.store, later, 1, "d").await.is_empty());
    // A mail that is due later is not claimed early.
    hand_in(f, &f.mail("ada@example.org", later.plus(Ttl::from_millis(1)))).await;
    assert!(claim(&f.store, later, 1, "e").await.is_empty());
}

pub(crate) async fn an_expired_claim_has_no_effect(f: &Fixture) {
    let mail = f.mail("ada@example.org", NOW);
    let id = mail.id.as_str();
    hand_in(f, &mail).await;
    claim(&f.store, NOW, 1, "first").await;
    let (just_before, end) = (NOW.plus(LEASE).minus(Ttl::from_millis(1)), NOW.plus(LEASE));
    assert!(!is_due(f, just_before).await);
    assert!(claim(&f.store, just_before, 1, "second").await.is_empty());
    assert_eq!(claim(&f.second().await, end, 1, "second").await.remove(0).attempts, 2);
    // The first claimant comes back too late.
    assert!(!finish(f, id, "first").await);
    let mut tx = f.store.write().await.unwrap();
    assert!(!tx.mail_failed(id, "first", NOW, end).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!is_due(f, end).await);
    assert!(finish(f, id, "second").await);
    assert!(!finish(f, id, "second").await);
}

pub(crate) async fn a_failed_mail_is_not_due_before_its_retry(f: &Fixture) {
    let mail = f.mail("ada@example.org", NOW);
    hand_in(f, &mail).await;
    claim(&f.store, NOW, 1, "first").await;
    let next = NOW.plus(Ttl::from_secs(15));
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.mail_failed(mail.id.as_str(), "first", next, NOW).await.unwrap());
    assert!(!tx.mail_failed(mail.id.as_str(), "first", NOW, NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!is_due(f, next.minus(Ttl::from_millis(1))).await);
    assert!(is_due(f, next).await);
    assert_eq!(claim(&f.store, next, 1, "second").await.remove(0).attempts, 2);
}

pub(crate) async fn expired_mails_are_not_claimed_and_are_deleted_unless_being_sent(f: &Fixture) {
    let mails = [0, 1, 2].map(|n| f.mail("ada@example.org", NOW.plus(Ttl::from_millis(n))));
    for mail in &mails {
        hand_in(f, mail).await;
    }
    // One has expired, one has expired but is being sent, and one has not expired.
    let end = mails[1].expires_at;
    let almost = mails[0].expires_at.minus(Ttl::from_millis(1));
    let held: Vec<String> = claim(&f.store, almost, 2, "held").await.into_iter().map(|m| m.id).collect();
    assert_eq!(held, [mails[0].id.to_string(), mails[1].id.to_string()]);
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.mail_failed(&held[0], "held", end, almost).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(waiting(f, end).await, MailsWaiting { all: 3, oldest: Some(NOW), expired: 1 });
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.mails_forget(end).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(finish(f, &held[1], "held").await);
    let left: Vec<String> = claim(&f.store, end, 4, "last").await.into_iter().map(|m| m.id).collect();
    assert_eq!(left, [mails[2].id.to_string()]);
}

pub(crate) async fn a_row_that_cannot_be_read_does_not_block_others(f: &Fixture) {
    let (bad, good) = (f.mail("ada@example.org", NOW), f.mail("grace@example.org", NOW));
    hand_in(f, &bad).await;
    hand_in(f, &good).await;
    // As if somebody had tried to inject a header.
    let change = format!("UPDATE mails SET recipient = 'a@x.org\r\nBcc: v@y.org' WHERE id = '{}'", bad.id);
    assert_eq!(f.database.sql(&change).await.unwrap(), 1);
    let claimed = claim(&f.store, NOW, 4, "tag").await;
    let read = |id: &str| claimed.iter().find(|m| m.id == id).unwrap().mail.is_ok();
    assert_eq!((claimed.len(), read(bad.id.as_str()), read(good.id.as_str())), (2, false, true));
}
