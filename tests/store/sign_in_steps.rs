//! The steps of a sign-in in a browser: each is taken once, by whoever began it.

use chancery::{
    domain::{
        session::{RESULT_TTL, TicketSpending},
        ticket::{ATTEMPTS, Ticket, TicketKind},
    },
    id::TicketId,
    secret::{CodeHash, TicketSecret},
    store::{Store, TicketAdvance},
    time::{Timestamp, Ttl},
};

use crate::fixture::{Fixture, NOW};

const HOLDER: [u8; 32] = [1; 32];

/// A sign-in with steps left, in the database.
async fn begun(f: &Fixture) -> Ticket {
    let ticket = Ticket {
        id: TicketId::new(NOW, &*f.entropy),
        kind: TicketKind::SignIn,
        client: "app".parse().unwrap(),
        user: Some(f.ada().await.id),
        security_version: 1,
        secret: TicketSecret::generate(&*f.entropy).hash(),
        code: CodeHash([7; 32]),
        attempts_left: 2,
        topic: None,
        sealed: vec![0, 1, 255],
        sealing_version: 1,
        holder: Some(HOLDER),
        revision: 0,
        created_at: NOW,
        expires_at: NOW.plus(Ttl::from_secs(600)),
    };
    let mut tx = f.store.write().await.unwrap();
    tx.ticket_insert(&ticket).await.unwrap();
    tx.commit().await.unwrap();
    ticket
}

fn next(ticket: &Ticket) -> TicketAdvance<'_> {
    TicketAdvance {
        id: &ticket.id,
        holder: &HOLDER,
        revision: 0,
        security_version: 2,
        code: None,
        sealed: &[9, 0],
        sealing_version: 2,
        expires_at: NOW.plus(Ttl::from_secs(900)),
    }
}

fn last(ticket: &Ticket) -> TicketSpending {
    TicketSpending { id: ticket.id.clone(), holder: HOLDER, revision: 0, result: vec![5, 0] }
}

async fn advance(store: &Store, to: &TicketAdvance<'_>, now: Timestamp) -> bool {
    let mut tx = store.write().await.unwrap();
    let won = tx.ticket_advance(to, now).await.unwrap();
    tx.commit().await.unwrap();
    won
}

async fn stored(f: &Fixture, ticket: &Ticket) -> Option<Ticket> {
    f.store.read().await.unwrap().ticket_find(&ticket.id, NOW).await.unwrap()
}

pub(crate) async fn a_step_leads_to_the_next_one_and_is_taken_once(f: &Fixture) {
    let ticket = begun(f).await;
    assert!(advance(&f.store, &next(&ticket), NOW).await);
    let mut want = Ticket {
        security_version: 2,
        sealed: vec![9, 0],
        sealing_version: 2,
        revision: 1,
        expires_at: NOW.plus(Ttl::from_secs(900)),
        ..ticket
    };
    assert_eq!(format!("{:?}", stored(f, &want).await.unwrap()), format!("{want:?}"));
    assert!(!advance(&f.store, &next(&want), NOW).await, "a step that was taken");
    // A code that is sent has all its attempts.
    let code = CodeHash([8; 32]);
    let sends = TicketAdvance { revision: 1, code: Some(&code), ..next(&want) };
    assert!(advance(&f.store, &sends, NOW).await);
    let read = stored(f, &want).await.unwrap();
    assert!(read.code.matches(&code));
    (want.revision, want.attempts_left, want.code) = (2, ATTEMPTS, code);
    assert_eq!(format!("{read:?}"), format!("{want:?}"));
}

pub(crate) async fn only_the_holder_takes_a_step_in_time_and_in_order(f: &Fixture) {
    let ticket = begun(f).await;
    let to = next(&ticket);
    let refused = [
        (TicketAdvance { holder: &[2; 32], ..to }, NOW, "another browser"),
        (TicketAdvance { revision: 1, ..to }, NOW, "a step that is not next"),
        (to, ticket.expires_at, "too late"),
    ];
    for (to, now, why) in refused {
        assert!(!advance(&f.store, &to, now).await, "{why}");
    }
    let mut tx = f.store.write().await.unwrap();
    let ends = last(&ticket);
    for (step, now) in [
        (TicketSpending { holder: [2; 32], ..ends.clone() }, NOW),
        (TicketSpending { revision: 1, ..ends.clone() }, NOW),
        (ends, ticket.expires_at),
    ] {
        assert!(!tx.ticket_finish(&step, now).await.unwrap(), "{step:?}");
    }
    tx.commit().await.unwrap();
    assert_eq!(format!("{:?}", stored(f, &ticket).await.unwrap()), format!("{ticket:?}"));
    // A ticket without a holder is of no browser, and a link is no step.
    let mut tx = f.store.write().await.unwrap();
    let other = |kind, holder| Ticket { id: TicketId::new(NOW, &*f.entropy), kind, holder, ..ticket.clone() };
    for other in [other(TicketKind::SignIn, None), other(TicketKind::PasswordReset, Some(HOLDER))] {
        tx.ticket_insert(&other).await.unwrap();
        assert!(!tx.ticket_advance(&next(&other), NOW).await.unwrap());
        assert!(!tx.ticket_finish(&last(&other), NOW).await.unwrap());
    }
}

pub(crate) async fn the_result_of_the_last_step_is_kept_for_its_holder_for_a_minute(f: &Fixture) {
    let ticket = begun(f).await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.ticket_result(&ticket.id, &HOLDER, NOW).await.unwrap().is_none());
    assert!(tx.ticket_finish(&last(&ticket), NOW).await.unwrap());
    assert!(!tx.ticket_finish(&last(&ticket), NOW).await.unwrap(), "again");
    assert!(!tx.ticket_advance(&next(&ticket), NOW).await.unwrap(), "after the last");
    let ends = NOW.plus(RESULT_TTL);
    for (holder, now, result) in [
        (HOLDER, NOW, Some(vec![5, 0])),
        (HOLDER, ends.minus(Ttl::from_millis(1)), Some(vec![5, 0])),
        (HOLDER, ends, None),
        ([2; 32], NOW, None),
    ] {
        assert_eq!(tx.ticket_result(&ticket.id, &holder, now).await.unwrap(), result, "{now}");
    }
    assert!(tx.ticket_find(&ticket.id, NOW).await.unwrap().is_none());
    // Its holder can still be told what it was about.
    assert_eq!(tx.ticket_of_holder(&ticket.id, &HOLDER).await.unwrap().unwrap().sealed, ticket.sealed);
    assert!(tx.ticket_of_holder(&ticket.id, &[2; 32]).await.unwrap().is_none());
    assert_eq!(tx.tickets_forget(ends.plus(Ttl::from_millis(1)), 9).await.unwrap(), 1);
}

pub(crate) async fn concurrent_calls_take_a_step_once(f: &Fixture) {
    let ticket = begun(f).await;
    let stores: Vec<_> = [f.store.clone(), f.second().await].into_iter().cycle().take(8).collect();
    let to = next(&ticket);
    let all = futures_util::future::join_all(stores.iter().map(|store| advance(store, &to, NOW))).await;
    assert_eq!(all.into_iter().filter(|won| *won).count(), 1);
}
