//! Tickets: one use, and a limited number of attempts.

use chancery::{
    domain::{
        ticket::{Ticket, TicketKind},
        user::User,
    },
    id::TicketId,
    secret::{CodeHash, TicketSecret},
    time::Ttl,
};

use crate::fixture::{Fixture, NOW};

fn ticket(f: &Fixture, user: Option<&User>) -> Ticket {
    Ticket {
        id: TicketId::new(NOW, &*f.entropy),
        kind: TicketKind::PasswordReset,
        client: "app".parse().unwrap(),
        user: user.map(|u| u.id.clone()),
        security_version: 1,
        secret: TicketSecret::generate(&*f.entropy).hash(),
        code: CodeHash([7; 32]),
        attempts_left: 2,
        topic: None,
        sealed: vec![0, 1, 255],
        sealing_version: 1,
        holder: None,
        revision: 0,
        created_at: NOW,
        expires_at: NOW.plus(Ttl::from_secs(60)),
    }
}

async fn kept(f: &Fixture, ticket: &Ticket) {
    let mut tx = f.store.write().await.unwrap();
    tx.ticket_insert(ticket).await.unwrap();
    tx.commit().await.unwrap();
}

pub(crate) async fn a_ticket_is_stored_unchanged_and_has_limited_attempts(f: &Fixture) {
    let ada = f.ada().await;
    let mut given = Ticket { topic: Some([9; 32]), ..ticket(f, Some(&ada)) };
    kept(f, &given).await;
    let mut tx = f.store.write().await.unwrap();
    let read = tx.ticket_attempt(&given.id, NOW).await.unwrap().unwrap();
    given.attempts_left = 1;
    assert_eq!(format!("{read:?}"), format!("{given:?}"));
    assert!(read.secret.matches(&given.secret) && read.code.matches(&given.code));
    tx.ticket_give_back(&given.id).await.unwrap();
    for left in [1, 0] {
        assert_eq!(tx.ticket_attempt(&given.id, NOW).await.unwrap().unwrap().attempts_left, left);
    }
    assert!(tx.ticket_attempt(&given.id, NOW).await.unwrap().is_none(), "none is left");
    given.attempts_left = 0;
    let found = tx.ticket_find(&given.id, NOW).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{given:?}"), "it is there for who holds its link");
    assert!(tx.ticket_find(&given.id, given.expires_at).await.unwrap().is_none());
    let other = ticket(f, None);
    tx.ticket_insert(&other).await.unwrap();
    assert!(tx.ticket_attempt(&other.id, other.expires_at).await.unwrap().is_none(), "it has ended");
    assert!(!tx.ticket_use(&other.id, other.expires_at).await.unwrap());
    assert!(tx.ticket_use(&other.id, NOW).await.unwrap());
    assert!(tx.ticket_attempt(&other.id, NOW).await.unwrap().is_none(), "it was used");
    assert!(tx.ticket_find(&other.id, NOW).await.unwrap().is_none());
}

pub(crate) async fn concurrent_calls_use_a_ticket_once(f: &Fixture) {
    let given = ticket(f, None);
    kept(f, &given).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        let id = given.id.clone();
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            let won = tx.ticket_use(&id, NOW).await.unwrap();
            tx.commit().await.unwrap();
            won
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

pub(crate) async fn expired_tickets_are_deleted(f: &Fixture) {
    let ada = f.ada().await;
    for _ in 0..3 {
        kept(f, &ticket(f, Some(&ada))).await;
    }
    let used = ticket(f, Some(&ada));
    kept(f, &used).await;
    let mut tx = f.store.write().await.unwrap();
    tx.ticket_use(&used.id, NOW).await.unwrap();
    assert_eq!(tx.tickets_forget(used.expires_at, 9).await.unwrap(), 0);
    let later = used.expires_at.plus(Ttl::from_millis(1));
    for (limit, deleted) in [(3, 3), (3, 1), (3, 0)] {
        assert_eq!(tx.tickets_forget(later, limit).await.unwrap(), deleted);
    }
}

pub(crate) async fn of_the_tickets_about_one_topic_only_the_latest_is_valid(f: &Fixture) {
    let about = |topic: u8| Ticket { topic: Some([topic; 32]), ..ticket(f, None) };
    // Two transactions that do not see each other add one each.
    let (mut earlier, mut later, other) = (about(1), about(1), about(2));
    if earlier.id > later.id {
        std::mem::swap(&mut earlier, &mut later);
    }
    for ticket in [&later, &earlier, &other] {
        kept(f, ticket).await;
    }
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.ticket_find(&earlier.id, NOW).await.unwrap().is_none());
    assert!(tx.ticket_attempt(&earlier.id, NOW).await.unwrap().is_none());
    assert!(!tx.ticket_use(&earlier.id, NOW).await.unwrap());
    assert!(tx.ticket_find(&later.id, NOW).await.unwrap().is_some());
    assert!(tx.ticket_attempt(&later.id, NOW).await.unwrap().is_some());
    // One after the other, the new one makes the old ones void, whatever its id.
    assert_eq!(tx.tickets_void(&[1; 32], NOW).await.unwrap(), 2);
    assert_eq!(tx.tickets_void(&[1; 32], NOW).await.unwrap(), 0);
    let mut newest = about(1);
    newest.id = TicketId::from_ulid(ulid::Ulid::nil());
    tx.ticket_insert(&newest).await.unwrap();
    assert!(tx.ticket_find(&later.id, NOW).await.unwrap().is_none());
    assert!(tx.ticket_use(&newest.id, NOW).await.unwrap());
    assert!(tx.ticket_use(&other.id, NOW).await.unwrap(), "another topic");
}

pub(crate) async fn what_a_ticket_was_used_for_is_kept_with_it(f: &Fixture) {
    let (given, other) = (ticket(f, None), ticket(f, None));
    kept(f, &given).await;
    kept(f, &other).await;
    let mut tx = f.store.write().await.unwrap();
    let seen = tx.ticket_seen(&given.id).await.unwrap().unwrap();
    assert_eq!((seen.ticket.id, seen.used_at, seen.result), (given.id.clone(), None, None));
    assert!(!tx.ticket_use_for(&given.id, given.expires_at, b"late").await.unwrap());
    assert!(tx.ticket_use_for(&given.id, NOW, b"proof").await.unwrap());
    assert!(!tx.ticket_use_for(&given.id, NOW, b"another").await.unwrap(), "once");
    let seen = tx.ticket_seen(&given.id).await.unwrap().unwrap();
    assert_eq!((seen.used_at, seen.result), (Some(NOW), Some(b"proof".to_vec())));
    assert!(tx.ticket_use(&other.id, NOW).await.unwrap());
    let seen = tx.ticket_seen(&other.id).await.unwrap().unwrap();
    assert_eq!((seen.used_at, seen.result), (Some(NOW), None), "for nothing in particular");
    assert!(tx.ticket_seen(&ticket(f, None).id).await.unwrap().is_none());
}

pub(crate) async fn of_two_tickets_with_one_id_the_first_counts(f: &Fixture) {
    let first = ticket(f, None);
    let second = Ticket { attempts_left: 1, ..first.clone() };
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.ticket_insert_once(&first).await.unwrap());
    assert!(!tx.ticket_insert_once(&second).await.unwrap());
    let kept = tx.ticket_find(&first.id, NOW).await.unwrap().unwrap();
    assert_eq!(kept.attempts_left, first.attempts_left);
}
