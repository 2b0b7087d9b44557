//! The versions of the sealing key, the rows that are sealed under each, and what depends on one.

use chancery::{
    domain::{
        audit::Actor,
        factor::{Factor, FactorKind},
        keys::{Algorithm, KeyState},
        sealing::{Dependents, SealedRows, SealedTable, SealingState, SealingVersion, Switched},
        session::{RevokedCause, Session, SessionKind},
        ticket::{Ticket, TicketKind},
    },
    id::{FactorId, TicketId},
    secret::{CodeHash, TicketSecret},
    store::{By, Location, Revoke, StoredTotp},
    time::{Timestamp, Ttl},
};

use crate::fixture::{Fixture, NOW};

fn after(seconds: i64) -> Timestamp {
    NOW.plus(Ttl::from_secs(seconds))
}

pub(crate) async fn a_version_comes_into_use_once_and_is_dropped_once(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.sealing_key_add(2, &[1, 2], after(1)).await.unwrap());
    assert!(!tx.sealing_key_add(2, &[3], after(1)).await.unwrap(), "there is this version");
    assert!(!tx.sealing_key_add(3, &[1, 2], after(1)).await.unwrap(), "there is this key");
    assert_eq!(tx.sealing_key_switch(2, (1, &[7, 0, 255]), 2, NOW).await.unwrap(), Switched::Lost, "it is not in use");
    assert_eq!(tx.sealing_key_switch(1, (3, &[1, 2]), 2, NOW).await.unwrap(), Switched::Lost, "there is none");
    assert!(!tx.sealing_key_drop(1, NOW).await.unwrap(), "it is in use");
    assert_eq!(tx.sealing_key_switch(1, (2, &[1, 2]), 2, after(2)).await.unwrap(), Switched::Done);
    assert_eq!(tx.sealing_key_switch(1, (2, &[1, 2]), 2, after(3)).await.unwrap(), Switched::Lost);
    let states = [(SealingState::VerifyOnly, after(2)), (SealingState::InUse, after(2))];
    let known = tx.sealing_keys().await.unwrap();
    assert_eq!(known.iter().map(|v| (v.state(), v.since())).collect::<Vec<_>>(), states);
    assert_eq!((known[0].check_value.as_slice(), known[1].check_value.as_slice()), (&[7, 0, 255][..], &[1, 2][..]));
    assert_eq!((known[1].version, known[1].created_at, known[0].used_from), (2, after(1), Some(NOW)));
    assert!(tx.sealing_key_drop(1, after(4)).await.unwrap());
    assert!(!tx.sealing_key_drop(1, after(5)).await.unwrap());
    assert_eq!(
        tx.sealing_key_switch(2, (1, &[7, 0, 255]), 2, after(5)).await.unwrap(),
        Switched::Lost,
        "it was dropped"
    );
    let instance = tx.instance().await.unwrap().unwrap();
    assert_eq!((instance.sealing_version, instance.min_binary), (2, 2));
    assert!(tx.sealing_key_add(3, &[3], after(6)).await.unwrap());
    assert_eq!(tx.sealing_key_switch(2, (3, &[3]), 1, after(6)).await.unwrap(), Switched::Done);
    assert_eq!(tx.instance().await.unwrap().unwrap().min_binary, 2, "it never goes down");
    let states = [SealingState::Dropped, SealingState::VerifyOnly, SealingState::InUse];
    assert_eq!(tx.sealing_keys().await.unwrap().iter().map(SealingVersion::state).collect::<Vec<_>>(), states);
}

pub(crate) async fn concurrent_calls_bring_a_version_into_use_once(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.sealing_key_add(2, &[1, 2], NOW).await.unwrap());
    tx.commit().await.unwrap();
    let stores = [f.store.clone(), f.second().await, f.second().await];
    let calls = stores.map(|store| async move {
        let mut tx = store.write().await.unwrap();
        let won = tx.sealing_key_switch(1, (2, &[1, 2]), 2, NOW).await.unwrap() == Switched::Done;
        tx.commit().await.unwrap();
        won
    });
    let won = futures_util::future::join_all(calls).await;
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
}

pub(crate) async fn a_version_never_comes_into_use_as_it_is_dropped(f: &Fixture) {
    let other = f.second().await;
    for version in 2..8 {
        let mut tx = f.store.write().await.unwrap();
        assert!(tx.sealing_key_add(version, &[1, u8::try_from(version).unwrap()], NOW).await.unwrap());
        let from = tx.instance().await.unwrap().unwrap().sealing_version;
        tx.commit().await.unwrap();
        // On SQLite one of them waits for the other before its first statement.
        let begun = tokio::sync::Barrier::new(2);
        let on_postgres = matches!(f.database.location, Location::Postgres(_));
        let together = async || {
            if on_postgres {
                begun.wait().await;
            }
        };
        let switch = async {
            let mut tx = f.store.write().await.unwrap();
            together().await;
            let to = (version, &[1, u8::try_from(version).unwrap()][..]);
            let won = tx.sealing_key_switch(from, to, 2, NOW).await.unwrap() == Switched::Done;
            tx.commit().await.unwrap();
            won
        };
        let drop = async {
            let mut tx = other.write().await.unwrap();
            together().await;
            let won = if version % 2 == 0 {
                tx.sealing_key_drop(version, NOW).await.unwrap()
            } else {
                tx.sealing_key_forget(version, &[1, u8::try_from(version).unwrap()]).await.unwrap()
            };
            tx.commit().await.unwrap();
            won
        };
        let (switched, dropped) = tokio::join!(switch, drop);
        assert!(switched != dropped, "{version}: {switched}, {dropped}");
    }
}

pub(crate) async fn a_version_that_was_never_used_is_forgotten_and_its_number_used_again(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.sealing_key_add(2, &[1, 2], NOW).await.unwrap());
    assert!(!tx.sealing_key_forget(1, &[7, 0, 255]).await.unwrap(), "it is in use");
    assert!(!tx.sealing_key_forget(2, &[1, 3]).await.unwrap(), "it is another key");
    assert!(!tx.sealing_key_forget(3, &[1, 2]).await.unwrap(), "there is none");
    assert!(tx.sealing_key_forget(2, &[1, 2]).await.unwrap());
    assert!(!tx.sealing_key_forget(2, &[1, 2]).await.unwrap());
    assert!(tx.sealing_key_add(2, &[1, 3], NOW).await.unwrap());
    assert!(tx.sealing_key_add(3, &[1, 2], NOW).await.unwrap(), "the key is new again");
    // Whoever looked before that means the key that had this number then.
    assert_eq!(tx.sealing_key_switch(1, (2, &[1, 2]), 2, NOW).await.unwrap(), Switched::OtherKey);
    assert_eq!(tx.instance().await.unwrap().unwrap().sealing_version, 1);
    assert_eq!(tx.sealing_key_switch(1, (2, &[1, 3]), 2, NOW).await.unwrap(), Switched::Done);
    assert!(!tx.sealing_key_forget(1, &[7, 0, 255]).await.unwrap(), "it was used");
    assert_eq!(tx.sealing_keys().await.unwrap().iter().map(|v| v.version).collect::<Vec<_>>(), [1, 2, 3]);
}

/// A row in each table with a sealed column: their ids.
async fn sealed_rows(f: &Fixture) -> [String; 3] {
    let ada = f.ada().await;
    let key = f.key(Algorithm::Es256, KeyState::Active);
    let mail = f.mail("ada@example.com", NOW);
    let factor = Factor {
        id: FactorId::new(NOW, &*f.entropy),
        kind: FactorKind::Totp,
        name: "telephone".into(),
        created_at: NOW,
        last_used_at: None,
    };
    let ids = [key.id.to_string(), factor.id.to_string(), mail.id.to_string()];
    let app = StoredTotp { factor, sealed: vec![0, 1, 255], sealing_version: 1, last_step: 1 };
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.key_insert(&key).await.unwrap());
    tx.mail_enqueue(&mail).await.unwrap();
    tx.totp_insert(&ada.id, &app).await.unwrap();
    tx.commit().await.unwrap();
    ids
}

pub(crate) async fn rows_are_sealed_again_once_and_found_until_then(f: &Fixture) {
    let ids = sealed_rows(f).await;
    let mut tx = f.store.write().await.unwrap();
    let one_each = SealedRows { signing_keys: 1, apps: 1, mails: 1 };
    assert_eq!(tx.sealed_rows(1).await.unwrap(), one_each);
    for (table, id) in SealedTable::ALL.into_iter().zip(&ids) {
        assert!(tx.sealed_before(table, (1, ""), 10).await.unwrap().is_empty());
        let rows = tx.sealed_before(table, (2, ""), 10).await.unwrap();
        let [row] = rows.as_slice() else { panic!("{table:?}: {rows:?}") };
        assert_eq!((&row.id, row.sealing_version), (id, 1), "{table:?}");
        if table == SealedTable::Mails {
            assert_eq!((row.kind.as_str(), row.recipient.as_str()), ("verify_email", "ada@example.com"));
        }
        assert!(tx.sealed_before(table, (2, id), 10).await.unwrap().is_empty(), "after it");
        assert!(tx.sealed_before(table, (2, ""), 0).await.unwrap().is_empty());
        assert!(!tx.reseal(table, (id, 3), (&[9, 9], 2)).await.unwrap(), "it is not sealed under that");
        assert!(tx.reseal(table, (id, 1), (&[9, 9], 2)).await.unwrap());
        assert!(!tx.reseal(table, (id, 1), (&[8, 8], 2)).await.unwrap());
        assert!(tx.sealed_before(table, (2, ""), 10).await.unwrap().is_empty());
        assert_eq!(tx.sealed_before(table, (3, ""), 10).await.unwrap()[0].sealed, [9, 9]);
    }
    assert_eq!(tx.sealed_rows(1).await.unwrap(), SealedRows::default());
    assert_eq!(tx.sealing_dependents(2, (NOW, NOW), NOW).await.unwrap().rows, one_each);
}

fn ticket(f: &Fixture, version: i64, expires_at: Timestamp) -> Ticket {
    Ticket {
        id: TicketId::new(NOW, &*f.entropy),
        kind: TicketKind::PasswordReset,
        client: "app".parse().unwrap(),
        user: None,
        security_version: 1,
        secret: TicketSecret::generate(&*f.entropy).hash(),
        code: CodeHash([7; 32]),
        attempts_left: 2,
        topic: None,
        sealed: vec![0, 1, 255],
        sealing_version: version,
        holder: None,
        revision: 0,
        created_at: NOW,
        expires_at,
    }
}

pub(crate) async fn tickets_of_a_version_are_counted_and_voided_together(f: &Fixture) {
    let (first, last, other) = (ticket(f, 1, after(60)), ticket(f, 1, after(90)), ticket(f, 2, after(120)));
    let mut tx = f.store.write().await.unwrap();
    for one in [&first, &last, &other] {
        tx.ticket_insert(one).await.unwrap();
    }
    let needed = tx.sealing_dependents(1, (NOW, NOW), NOW).await.unwrap();
    assert_eq!((needed.tickets, needed.tickets_end), (2, Some(after(90))));
    let needed = tx.sealing_dependents(1, (NOW, NOW), after(60)).await.unwrap();
    assert_eq!((needed.tickets, needed.tickets_end), (1, Some(after(90))), "one has expired");
    assert_eq!(tx.tickets_void_version(1, after(1)).await.unwrap(), 2);
    assert_eq!(tx.tickets_void_version(1, after(1)).await.unwrap(), 0);
    assert_eq!(tx.sealing_dependents(1, (NOW, NOW), NOW).await.unwrap().tickets, 0);
    assert!(tx.ticket_find(&first.id, NOW).await.unwrap().is_none());
    assert!(tx.ticket_find(&other.id, NOW).await.unwrap().is_some());
}

pub(crate) async fn sessions_depend_on_the_version_that_their_token_or_cookie_was_made_with(f: &Fixture) {
    let ada = f.ada().await;
    let at = |created: i64, rotated: i64| Session {
        created_at: after(created),
        rotated_at: after(rotated),
        previous_rotated_at: after(rotated),
        ..f.session(&ada)
    };
    let cookie = |session: Session| Session { kind: SessionKind::Browser, ..session };
    // The next version came into use at 10.
    let stale = at(0, 5);
    let refreshed = at(0, 12);
    let later = at(11, 11);
    let in_browser = cookie(at(0, 0));
    let in_browser_later = cookie(at(11, 11));
    let ended = at(0, 0);
    let mut tx = f.store.write().await.unwrap();
    for session in [&stale, &refreshed, &later, &in_browser, &in_browser_later, &ended] {
        tx.session_insert(session).await.unwrap();
    }
    let by =
        By { actor: &Actor::command(), cause: RevokedCause::SealingKeyDropped, settings: &f.settings, now: after(20) };
    tx.revoke(Revoke::Sessions(std::slice::from_ref(&ended.id)), &by).await.unwrap();
    let depend = |needed: Dependents| (needed.sessions, needed.sessions_end);
    let needed = depend(tx.sealing_dependents(1, (NOW, after(10)), after(20)).await.unwrap());
    assert_eq!(needed, (2, Some(stale.absolute_expires_at)));
    let mut found = tx.sessions_made_between(None, (NOW, after(10)), after(20), 10).await.unwrap();
    let mut want = vec![stale.id.clone(), in_browser.id.clone()];
    want.sort();
    found.sort();
    assert_eq!(found, want);
    let first = tx.sessions_made_between(None, (NOW, after(10)), after(20), 1).await.unwrap();
    assert_eq!(first, want[..1]);
    assert_eq!(tx.sessions_made_between(Some(&want[0]), (NOW, after(10)), after(20), 9).await.unwrap(), want[1..]);
    assert_eq!(tx.revoke(Revoke::Sessions(&want), &by).await.unwrap(), 2);
    // Whoever lost the answer of a refresh still holds the token from before.
    let needed = depend(tx.sealing_dependents(1, (NOW, after(10)), after(20)).await.unwrap());
    assert_eq!(needed, (0, Some(refreshed.absolute_expires_at)));
    let over = refreshed.absolute_expires_at;
    assert_eq!(depend(tx.sealing_dependents(1, (NOW, after(10)), over).await.unwrap()), (0, None));
}

pub(crate) async fn sessions_of_older_versions_alone_do_not_depend_on_a_version(f: &Fixture) {
    let ada = f.ada().await;
    let session = |kind: SessionKind, created: i64, rotated: i64| Session {
        kind,
        created_at: after(created),
        rotated_at: after(rotated),
        previous_rotated_at: after(rotated),
        ..f.session(&ada)
    };
    // The version was in use from 10 until 20.
    let (token, browser) = (SessionKind::Token, SessionKind::Browser);
    let older = [session(token, 0, 9), session(browser, 0, 0)];
    let of_it = [session(token, 0, 10), session(token, 12, 15), session(browser, 10, 10), session(browser, 19, 19)];
    let newer = [session(token, 0, 20), session(token, 20, 20), session(browser, 20, 20)];
    let mut tx = f.store.write().await.unwrap();
    for session in older.iter().chain(&of_it).chain(&newer) {
        tx.session_insert(session).await.unwrap();
    }
    let within = (after(10), after(20));
    assert_eq!(tx.sealing_dependents(2, within, after(30)).await.unwrap().sessions, 4);
    let mut want: Vec<_> = of_it.iter().map(|session| session.id.clone()).collect();
    want.sort();
    assert_eq!(tx.sessions_made_between(None, within, after(30), 10).await.unwrap(), want);
    let end = |needed: Dependents| needed.sessions_end;
    let by =
        By { actor: &Actor::command(), cause: RevokedCause::SealingKeyDropped, settings: &f.settings, now: after(30) };
    tx.revoke(Revoke::Sessions(&want), &by).await.unwrap();
    // One that was opened before and refreshed after may have been refreshed under it, too.
    let kept = Some(newer[0].absolute_expires_at);
    assert_eq!(end(tx.sealing_dependents(2, within, after(30)).await.unwrap()), kept);
    tx.revoke(Revoke::Sessions(std::slice::from_ref(&newer[0].id)), &by).await.unwrap();
    assert_eq!(end(tx.sealing_dependents(2, within, after(30)).await.unwrap()), None);
}
