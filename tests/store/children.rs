//! Sessions that were opened from others end with them, and their clients are to be told.

use chancery::{
    domain::{
        audit::Actor,
        session::{OpenOutcome, RevokedCause, Session, SessionTouch, touch_interval},
    },
    id::SessionId,
    store::{By, Revoke, Store},
    time::Ttl,
};

use crate::{
    fixture::{Fixture, NOW, rotation},
    openings::{child, in_browser, opening},
};

async fn revoke(f: &Fixture, store: &Store, what: Revoke<'_>) -> usize {
    let actor = Actor::named("app");
    let by = By { actor: &actor, cause: RevokedCause::Logout, settings: &f.settings, now: NOW };
    let mut tx = store.write().await.unwrap();
    let ended = tx.revoke(what, &by).await.unwrap();
    tx.commit().await.unwrap();
    ended
}

async fn rows(f: &Fixture, condition: &str) -> u64 {
    let sql = format!("UPDATE logout_deliveries SET attempts = attempts WHERE {condition}");
    f.database.sql(&sql).await.unwrap()
}

/// Whether the client of this session, and of no other, is to be told.
async fn assert_told(f: &Fixture, sessions: &[&Session]) {
    assert_eq!(rows(f, "1 = 1").await, sessions.len() as u64);
    for Session { id, client, subject, .. } in sessions {
        let now = NOW.millis();
        let due = format!("attempts = 0 AND next_attempt_at = {now} AND claimed_until = 0 AND created_at = {now}");
        let named = format!("session_id = '{id}' AND client_id = '{client}' AND subject = '{subject}'");
        assert_eq!(rows(f, &format!("{named} AND {due}")).await, 1, "{id}");
    }
}

pub(crate) async fn sessions_end_with_the_one_that_they_were_opened_from(f: &Fixture) {
    let ada = f.ada().await;
    let (parent, other) = (in_browser(f, &ada).await, in_browser(f, &ada).await);
    let (one, two) = (child(f, &ada, &parent).await, child(f, &ada, &parent).await);
    let elsewhere = child(f, &ada, &other).await;
    assert_eq!(revoke(f, &f.store, Revoke::Sessions(&[parent.id.clone(), one.id.clone()])).await, 3);
    for session in [&parent, &one, &two] {
        assert_eq!(f.stored(&session.id).await.revoked, Some((NOW, RevokedCause::Logout)));
    }
    assert!(f.stored(&elsewhere.id).await.revoked.is_none());
    assert_told(f, &[&one, &two]).await;
    let mut tx = f.store.read().await.unwrap();
    let entries: Vec<String> = tx.feed_from(1).await.unwrap().into_iter().map(|e| e.change.subject).collect();
    assert_eq!(entries.len(), 3);
    assert!([&parent, &one, &two].iter().all(|s| entries.iter().any(|e| e == s.id.as_str())), "{entries:?}");
    assert_eq!(tx.audit_kinds().await.unwrap().iter().filter(|(kind, _)| kind == "SESSION_REVOKED").count(), 3);
    drop(tx);
    assert_eq!(revoke(f, &f.store, Revoke::Sessions(std::slice::from_ref(&parent.id))).await, 0);
    assert_told(f, &[&one, &two]).await;
}

pub(crate) async fn a_session_that_is_kept_keeps_the_one_that_it_was_opened_from(f: &Fixture) {
    let ada = f.ada().await;
    let (parent, other) = (in_browser(f, &ada).await, in_browser(f, &ada).await);
    let (mine, sibling) = (child(f, &ada, &parent).await, child(f, &ada, &parent).await);
    let elsewhere = child(f, &ada, &other).await;
    let others = |but| Revoke::SessionsOf { user: &ada.id, but };
    assert_eq!(revoke(f, &f.store, others(Some(&mine.id))).await, 3);
    for session in [&sibling, &other, &elsewhere] {
        assert!(f.stored(&session.id).await.revoked.is_some());
    }
    assert_eq!(revoke(f, &f.store, others(Some(&parent.id))).await, 1);
    assert!(f.stored(&mine.id).await.revoked.is_some());
    assert_eq!(revoke(f, &f.store, others(None)).await, 1);
    assert_told(f, &[&mine, &sibling, &elsewhere]).await;
}

pub(crate) async fn what_is_to_be_told_is_deleted_with_the_session(f: &Fixture) {
    let ada = f.ada().await;
    let parent = in_browser(f, &ada).await;
    let (one, two) = (child(f, &ada, &parent).await, child(f, &ada, &parent).await);
    revoke(f, &f.store, Revoke::Sessions(std::slice::from_ref(&one.id))).await;
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.sessions_end_all(RevokedCause::IssuerChanged, NOW).await.unwrap(), 2);
    tx.commit().await.unwrap();
    assert_told(f, &[&one, &two]).await;
    let later = NOW.plus(Ttl::from_millis(1));
    for (ids, dead_before, deleted, left) in [
        (vec![one.id.clone()], NOW, 0, 2),
        (vec![one.id.clone()], later, 1, 1),
        (vec![two.id.clone(), parent.id.clone()], later, 2, 0),
    ] {
        let mut tx = f.store.write().await.unwrap();
        assert_eq!(tx.sessions_delete_dead(&ids, dead_before).await.unwrap(), deleted);
        tx.commit().await.unwrap();
        assert_eq!(rows(f, "1 = 1").await, left);
    }
}

/// Whichever comes first, none is left over.
pub(crate) async fn no_session_is_opened_from_one_that_ends_meanwhile(f: &Fixture) {
    let ada = f.ada().await;
    let second = f.second().await;
    for _ in 0..10 {
        let parent = in_browser(f, &ada).await;
        let opens = opening(f, Session { parent: Some(parent.id.clone()), ..f.session(&ada) });
        let opened = async {
            let mut tx = second.write().await.unwrap();
            assert!(tx.user_hold(&ada.id, 1).await.unwrap());
            let outcome = tx.session_open(&opens, &f.settings, NOW).await.unwrap();
            tx.commit().await.unwrap();
            outcome
        };
        let ended = revoke(f, &f.store, Revoke::Sessions(std::slice::from_ref(&parent.id)));
        let (outcome, ended) = futures_util::join!(opened, ended);
        match outcome {
            OpenOutcome::Opened => assert_eq!(ended, 2),
            OpenOutcome::BasisEnded => assert_eq!(ended, 1),
            other => panic!("{other:?}"),
        }
        assert!(f.store.read().await.unwrap().live_session_ids(&ada.id, NOW).await.unwrap().is_empty());
    }
}

pub(crate) async fn no_refresh_token_is_good_for_a_session_behind_a_cookie(f: &Fixture) {
    let ada = f.ada().await;
    let session = in_browser(f, &ada).await;
    for generation in [0, 5] {
        let mut tx = f.store.write().await.unwrap();
        let outcomes = tx.rotate(&[rotation(&session, generation)], &f.settings, NOW).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(format!("{outcomes:?}"), "[Unknown]");
    }
    assert_eq!(format!("{:?}", f.stored(&session.id).await), format!("{session:?}"));
}

pub(crate) async fn a_touch_postpones_the_end_of_live_sessions_behind_cookies_and_shortens_none(f: &Fixture) {
    let ada = f.ada().await;
    let later = NOW.plus(Ttl::from_secs(90));
    let session = in_browser(f, &ada).await;
    let ended = in_browser(f, &ada).await;
    revoke(f, &f.store, Revoke::Sessions(std::slice::from_ref(&ended.id))).await;
    let token = f.signed_in(&ada).await;
    let unknown = SessionId::new(NOW, &*f.entropy);
    let far = NOW.plus(Ttl::from_days(20));
    let touch = |id: &SessionId, idle_expires_at| SessionTouch { session: id.clone(), idle_expires_at };
    let touches = [
        touch(&session.id, far),
        touch(&session.id, far.minus(Ttl::from_millis(1))),
        touch(&ended.id, far),
        touch(&token.id, far),
        touch(&unknown, far),
    ];
    let touch_all = async |touches: &[SessionTouch], now| {
        let mut tx = f.store.write().await.unwrap();
        let number = tx.sessions_touch(touches, now).await.unwrap();
        tx.commit().await.unwrap();
        number
    };
    assert_eq!(touch_all(&touches, later).await, 1);
    let want = Session { idle_expires_at: far, rotated_at: later, ..session };
    assert_eq!(format!("{:?}", f.stored(&want.id).await), format!("{want:?}"));
    assert_eq!(f.stored(&token.id).await.idle_expires_at, token.idle_expires_at);
    // Neither an older touch nor a clock that stepped back takes anything away.
    assert_eq!(touch_all(&[touch(&want.id, NOW)], NOW).await, 1);
    assert_eq!(format!("{:?}", f.stored(&want.id).await), format!("{want:?}"));
    // What has expired stays expired.
    assert_eq!(touch_all(&[touch(&want.id, far.plus(Ttl::from_days(1)))], far).await, 0);
    assert_eq!(touch_all(&[], NOW).await, 0);
}

pub(crate) async fn a_touch_is_due_once_in_an_interval_and_never_ends_a_session_early(f: &Fixture) {
    let ada = f.ada().await;
    let session = in_browser(f, &ada).await;
    let interval = touch_interval(session.idle_ttl);
    assert_eq!(interval, Ttl::from_secs(3600));
    assert_eq!(touch_interval(Ttl::from_secs(600)), Ttl::from_secs(60));
    assert_eq!(touch_interval(Ttl::from_secs(6400)), Ttl::from_secs(200));
    let mut tx = f.store.write().await.unwrap();
    let touch = session.touch_due(NOW).unwrap();
    assert_eq!(touch.idle_expires_at, NOW.plus(session.idle_ttl).plus(interval));
    tx.sessions_touch(&[touch], NOW).await.unwrap();
    let touched = tx.session_by_id(&session.id).await.unwrap().unwrap();
    let due = NOW.plus(interval);
    assert_eq!(touched.touch_due(due.minus(Ttl::from_millis(1))), None);
    assert!(touched.touch_due(due).is_some());
    // The last use that was not noted was just before, and all that was promised is left from there.
    assert!(touched.idle_expires_at >= due.minus(Ttl::from_millis(1)).plus(session.idle_ttl));
    let ends = Session { idle_expires_at: session.absolute_expires_at, ..touched };
    assert_eq!(ends.touch_due(session.absolute_expires_at), None, "it cannot live longer");
    assert_eq!(f.session(&ada).touch_due(due), None, "it has no cookie");
}
