//! Opening sessions: what a form spends, what a new session replaces, and how many there may be.

use chancery::{
    domain::{
        audit::{Actor, AuditEvent, AuditKind},
        session::{FormSpending, OpenOutcome, RESULT_TTL, RevokedCause, Session, SessionKind, TicketSpending},
        ticket::{Ticket, TicketKind},
        user::User,
    },
    id::{AuditEventId, SessionId, TicketId},
    passwords::Phc,
    secret::{CodeHash, TicketSecret},
    store::{By, Opening, Revoke, SessionFilter, Store},
    time::Ttl,
};
use serde_json::json;

use crate::fixture::{Fixture, NOW};

const MAX_SESSIONS: i64 = 3;
const FORM: [u8; 16] = [3; 16];

fn browser(f: &Fixture, user: &User) -> Session {
    Session { kind: SessionKind::Browser, site: Some("https://shop.example".into()), ..f.session(user) }
}

pub(crate) fn opening(f: &Fixture, session: Session) -> Opening {
    let event = AuditEvent {
        id: AuditEventId::new(NOW, &*f.entropy),
        at: NOW,
        kind: AuditKind::SignedIn,
        actor: Actor::named(&session.subject),
        subject: session.subject.clone(),
        session: Some(session.id.clone()),
        details: json!({}),
    };
    Opening::new(session, 1, MAX_SESSIONS, event)
}

fn form() -> FormSpending {
    FormSpending { id: FORM, proof: [4; 32], result: vec![5, 0] }
}

async fn open_in(store: &Store, f: &Fixture, opening: &Opening) -> OpenOutcome {
    let mut tx = store.write().await.unwrap();
    assert!(tx.user_hold(opening.session.user.as_ref().unwrap(), opening.security_version).await.unwrap());
    let outcome = tx.session_open(opening, &f.settings, NOW).await.unwrap();
    tx.commit().await.unwrap();
    outcome
}

async fn open(f: &Fixture, opening: &Opening) -> OpenOutcome {
    open_in(&f.store, f, opening).await
}

/// A session behind a cookie, in the database.
pub(crate) async fn in_browser(f: &Fixture, user: &User) -> Session {
    let session = browser(f, user);
    assert_eq!(open(f, &opening(f, session.clone())).await, OpenOutcome::Opened);
    session
}

fn child_of(f: &Fixture, user: &User, parent: &Session) -> Session {
    Session { parent: Some(parent.id.clone()), ..f.session(user) }
}

/// A session that was opened from another, in the database.
pub(crate) async fn child(f: &Fixture, user: &User, parent: &Session) -> Session {
    let session = child_of(f, user, parent);
    assert_eq!(open(f, &opening(f, session.clone())).await, OpenOutcome::Opened);
    session
}

async fn live(f: &Fixture, user: &User) -> Vec<SessionId> {
    f.store.read().await.unwrap().live_session_ids(&user.id, NOW).await.unwrap()
}

async fn events(f: &Fixture) -> usize {
    f.store.read().await.unwrap().audit_kinds().await.unwrap().len()
}

fn sorted<const N: usize>(sessions: [&Session; N]) -> Vec<SessionId> {
    let mut ids: Vec<_> = sessions.into_iter().map(|s| s.id.clone()).collect();
    ids.sort();
    ids
}

pub(crate) async fn a_session_behind_a_cookie_is_stored_unchanged(f: &Fixture) {
    let ada = f.ada().await;
    let session = in_browser(f, &ada).await;
    let token = child(f, &ada, &session).await;
    for session in [&session, &token] {
        assert_eq!(format!("{:?}", f.stored(&session.id).await), format!("{session:?}"));
    }
    let mut tx = f.store.read().await.unwrap();
    let found = tx.browser_session(&session.id).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{session:?}"));
    assert!(tx.browser_session(&token.id).await.unwrap().is_none(), "it is used with refresh tokens");
    assert!(tx.browser_session(&SessionId::new(NOW, &*f.entropy)).await.unwrap().is_none());
}

pub(crate) async fn a_form_opens_one_session_and_keeps_its_result_for_a_minute(f: &Fixture) {
    let ada = f.ada().await;
    let opens = || Opening {
        form: Some(form()),
        rehash: Some(Phc::from_database("$argon2id$new".into())),
        ..opening(f, browser(f, &ada))
    };
    let first = opens();
    assert_eq!(open(f, &first).await, OpenOutcome::Opened);
    let events_before = events(f).await;
    let again = FormSpending { proof: [6; 32], result: vec![7], ..form() };
    let again = Opening { form: Some(again), ..opens() };
    assert_eq!(open(f, &again).await, OpenOutcome::FormSpent);
    assert_eq!(live(f, &ada).await, std::slice::from_ref(&first.session.id));
    assert_eq!(events(f).await, events_before);
    let mut tx = f.store.read().await.unwrap();
    let spent = tx.spent_form(&FORM, NOW.plus(RESULT_TTL).minus(Ttl::from_millis(1))).await.unwrap().unwrap();
    assert_eq!((spent.proof, spent.session, spent.spent_at), ([4; 32], first.session.id, NOW));
    assert_eq!(spent.result, Some(vec![5, 0]));
    assert_eq!(tx.spent_form(&FORM, NOW.plus(RESULT_TTL)).await.unwrap().unwrap().result, None);
    assert!(tx.spent_form(&[9; 16], NOW).await.unwrap().is_none());
}

pub(crate) async fn concurrent_submissions_of_one_form_open_one_session(f: &Fixture) {
    let ada = f.ada().await;
    let stores: Vec<_> = [f.store.clone(), f.second().await].into_iter().cycle().take(8).collect();
    let all =
        futures_util::future::join_all(stores.iter().map(async |store| {
            open_in(store, f, &Opening { form: Some(form()), ..opening(f, browser(f, &ada)) }).await
        }));
    let mut outcomes = all.await;
    outcomes.sort_by_key(|outcome| *outcome != OpenOutcome::Opened);
    assert_eq!(outcomes[0], OpenOutcome::Opened);
    assert!(outcomes[1..].iter().all(|outcome| *outcome == OpenOutcome::FormSpent), "{outcomes:?}");
    assert_eq!(live(f, &ada).await.len(), 1);
}

pub(crate) async fn spent_forms_are_forgotten_in_steps_and_their_results_before_them(f: &Fixture) {
    let ada = f.ada().await;
    for n in 0..5 {
        let form = FormSpending { id: [n; 16], ..form() };
        assert_eq!(open(f, &Opening { form: Some(form), ..opening(f, browser(f, &ada)) }).await, OpenOutcome::Opened);
    }
    let later = NOW.plus(Ttl::from_millis(1));
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.form_results_forget(NOW, 9).await.unwrap(), 0);
    for forgotten in [3, 2, 0] {
        assert_eq!(tx.form_results_forget(later, 3).await.unwrap(), forgotten);
    }
    assert!(tx.spent_form(&[0; 16], NOW).await.unwrap().unwrap().result.is_none());
    assert_eq!(tx.spent_forms_forget(NOW, 9).await.unwrap(), 0);
    for forgotten in [3, 2, 0] {
        assert_eq!(tx.spent_forms_forget(later, 3).await.unwrap(), forgotten);
    }
    assert!(tx.spent_form(&[0; 16], NOW).await.unwrap().is_none());
}

pub(crate) async fn a_last_step_is_taken_with_the_session_and_spends_no_form_in_vain(f: &Fixture) {
    let ada = f.ada().await;
    let ticket = Ticket {
        id: TicketId::new(NOW, &*f.entropy),
        kind: TicketKind::SignIn,
        client: "app".parse().unwrap(),
        user: Some(ada.id.clone()),
        security_version: 1,
        secret: TicketSecret::generate(&*f.entropy).hash(),
        code: CodeHash([7; 32]),
        attempts_left: 2,
        topic: None,
        sealed: vec![1],
        sealing_version: 1,
        holder: Some([1; 32]),
        revision: 4,
        created_at: NOW,
        expires_at: NOW.plus(Ttl::from_secs(600)),
    };
    let mut tx = f.store.write().await.unwrap();
    tx.ticket_insert(&ticket).await.unwrap();
    tx.commit().await.unwrap();
    let step = TicketSpending { id: ticket.id.clone(), holder: [1; 32], revision: 4, result: vec![8] };
    let opens = |revision| Opening {
        form: Some(form()),
        ticket: Some(TicketSpending { revision, ..step.clone() }),
        ..opening(f, browser(f, &ada))
    };
    assert_eq!(open(f, &opens(3)).await, OpenOutcome::FormSpent);
    assert!(f.store.read().await.unwrap().spent_form(&FORM, NOW).await.unwrap().is_none());
    assert_eq!(open(f, &opens(4)).await, OpenOutcome::Opened);
    let mut tx = f.store.read().await.unwrap();
    assert_eq!(tx.ticket_result(&ticket.id, &[1; 32], NOW).await.unwrap(), Some(vec![8]));
    assert!(tx.spent_form(&FORM, NOW).await.unwrap().is_some());
    drop(tx);
    let other_form = FormSpending { id: [9; 16], ..form() };
    assert_eq!(open(f, &Opening { form: Some(other_form), ..opens(4) }).await, OpenOutcome::FormSpent);
    assert_eq!(live(f, &ada).await.len(), 1);
}

pub(crate) async fn a_session_that_replaces_another_takes_over_what_was_opened_from_it(f: &Fixture) {
    let ada = f.ada().await;
    let old = in_browser(f, &ada).await;
    let app = child(f, &ada, &old).await;
    // What a guest began, say.
    let eve = f.user("eve");
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&eve).await.unwrap(), None);
    let foreign = child_of(f, &eve.user, &old);
    tx.session_insert(&foreign).await.unwrap();
    tx.commit().await.unwrap();
    let shorter = NOW.plus(Ttl::from_days(8));
    let new = Session { absolute_expires_at: shorter, ..browser(f, &ada) };
    let replaces = |new: Session| Opening { supersedes: Some(old.id.clone()), ..opening(f, new) };
    assert_eq!(open(f, &replaces(new.clone())).await, OpenOutcome::Opened);
    let was = f.stored(&old.id).await;
    assert_eq!(was.revoked, Some((NOW, RevokedCause::Superseded)));
    assert_eq!(was.superseded_by, Some(new.id.clone()));
    let moved = f.stored(&app.id).await;
    assert_eq!((moved.parent.clone(), moved.revoked), (Some(new.id.clone()), None));
    assert_eq!(moved.absolute_expires_at, shorter, "it ends with its parent");
    assert_eq!(f.stored(&foreign.id).await.revoked, Some((NOW, RevokedCause::Superseded)));
    assert_eq!(live(f, &ada).await, sorted([&new, &app]));
    // Whoever comes late replaces the one that came first: a browser has one session.
    let late = Opening { form: Some(form()), ..replaces(browser(f, &ada)) };
    assert_eq!(open(f, &late).await, OpenOutcome::Opened);
    assert_eq!(f.stored(&new.id).await.superseded_by, Some(late.session.id.clone()));
    assert_eq!(live(f, &ada).await, sorted([&late.session, &app]));
}

pub(crate) async fn a_session_that_has_ended_is_not_replaced_and_no_form_is_spent(f: &Fixture) {
    let ada = f.ada().await;
    let old = in_browser(f, &ada).await;
    let replaces = || Opening { supersedes: Some(old.id.clone()), ..opening(f, browser(f, &ada)) };
    let first = replaces();
    assert_eq!(open(f, &first).await, OpenOutcome::Opened);
    let mut tx = f.store.write().await.unwrap();
    let actor = Actor::system();
    let by = By { actor: &actor, cause: RevokedCause::Logout, settings: &f.settings, now: NOW };
    tx.revoke(Revoke::Sessions(std::slice::from_ref(&first.session.id)), &by).await.unwrap();
    tx.commit().await.unwrap();
    let late = Opening { form: Some(form()), ..replaces() };
    assert_eq!(open(f, &late).await, OpenOutcome::BasisEnded);
    assert!(f.store.read().await.unwrap().spent_form(&FORM, NOW).await.unwrap().is_none());
    assert!(live(f, &ada).await.is_empty());
}

pub(crate) async fn nobody_replaces_another_users_session_or_one_without_a_cookie(f: &Fixture) {
    let ada = f.ada().await;
    let (token, theirs) = (f.signed_in(&ada).await, in_browser(f, &ada).await);
    let eve = f.user("eve");
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&eve).await.unwrap(), None);
    tx.commit().await.unwrap();
    for (user, old) in [(&ada, &token), (&eve.user, &theirs)] {
        let opens = Opening { supersedes: Some(old.id.clone()), ..opening(f, browser(f, user)) };
        assert_eq!(open(f, &opens).await, OpenOutcome::BasisEnded);
        assert_eq!(open(f, &opening(f, child_of(f, user, old))).await, OpenOutcome::BasisEnded);
    }
    assert_eq!(live(f, &ada).await, sorted([&token, &theirs]));
    assert!(live(f, &eve.user).await.is_empty());
}

pub(crate) async fn s01_a_session_with_tokens_is_replaced_once_by_one_of_its_kind(f: &Fixture) {
    let ada = f.ada().await;
    let old = f.signed_in(&ada).await;
    let replaces = || Opening { supersedes: Some(old.id.clone()), ..opening(f, f.session(&ada)) };
    let first = replaces();
    assert_eq!(open(f, &first).await, OpenOutcome::Opened);
    let was = f.stored(&old.id).await;
    assert_eq!(was.revoked, Some((NOW, RevokedCause::Superseded)));
    assert_eq!(was.superseded_by, Some(first.session.id.clone()));
    // Its tokens were given to whoever came first.
    assert_eq!(open(f, &replaces()).await, OpenOutcome::BasisEnded);
    assert_eq!(live(f, &ada).await, std::slice::from_ref(&first.session.id));
}

pub(crate) async fn sessions_opened_from_one_that_was_replaced_are_of_its_successor(f: &Fixture) {
    let ada = f.ada().await;
    let first = in_browser(f, &ada).await;
    let mut last = first.clone();
    for _ in 0..2 {
        let opens = Opening { supersedes: Some(last.id.clone()), ..opening(f, browser(f, &ada)) };
        assert_eq!(open(f, &opens).await, OpenOutcome::Opened);
        last = opens.session;
    }
    let app = Session { absolute_expires_at: NOW.plus(Ttl::from_days(90)), ..child_of(f, &ada, &first) };
    assert_eq!(open(f, &opening(f, app.clone())).await, OpenOutcome::Opened);
    let stored = f.stored(&app.id).await;
    assert_eq!(stored.parent, Some(last.id.clone()));
    assert_eq!(stored.absolute_expires_at, last.absolute_expires_at, "it ends with its parent");
    let successor = || async {
        let mut tx = f.store.read().await.unwrap();
        tx.session_or_successor(first.id.clone()).await.unwrap().map(|session| session.id)
    };
    assert_eq!(successor().await, Some(last.id.clone()));
    // A sign-out ends the line.
    let mut tx = f.store.write().await.unwrap();
    let actor = Actor::system();
    let by = By { actor: &actor, cause: RevokedCause::Logout, settings: &f.settings, now: NOW };
    tx.revoke(Revoke::Sessions(std::slice::from_ref(&last.id)), &by).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(open(f, &opening(f, child_of(f, &ada, &first))).await, OpenOutcome::BasisEnded);
    assert_eq!(successor().await, None);
}

pub(crate) async fn a_client_has_five_sessions_from_one_and_its_own_oldest_ends(f: &Fixture) {
    let ada = f.ada().await;
    let parent = in_browser(f, &ada).await;
    let mut opened = Vec::new();
    for n in 0..6 {
        let created_at = NOW.minus(Ttl::from_secs(60 - n));
        let one = Session { created_at, ..child_of(f, &ada, &parent) };
        let other = Session { client: "other".parse().unwrap(), id: SessionId::new(NOW, &*f.entropy), ..one.clone() };
        for session in [one, other].into_iter().take(if n == 0 { 2 } else { 1 }) {
            let opens = Opening { max_sessions: 100, ..opening(f, session.clone()) };
            assert_eq!(open(f, &opens).await, OpenOutcome::Opened);
            opened.push(session);
        }
    }
    assert_eq!(f.stored(&opened[0].id).await.revoked, Some((NOW, RevokedCause::TooManySessions)));
    assert_eq!(live(f, &ada).await.len(), 7);
    // A session of the same client from another one has room of its own.
    let elsewhere = in_browser(f, &ada).await;
    child(f, &ada, &elsewhere).await;
    assert!(f.stored(&opened[2].id).await.revoked.is_none());
}

pub(crate) async fn the_number_of_sessions_counts_those_that_were_opened_on_their_own(f: &Fixture) {
    let ada = f.ada().await;
    let aged = |n: i64, session: Session| Session { created_at: NOW.minus(Ttl::from_secs(60 - n)), ..session };
    let parent = aged(0, browser(f, &ada));
    assert_eq!(open(f, &opening(f, parent.clone())).await, OpenOutcome::Opened);
    let mut children = Vec::new();
    for n in 0..8 {
        let client = format!("app-{n}").parse().unwrap();
        let session = Session { client, ..aged(n, child_of(f, &ada, &parent)) };
        assert_eq!(open(f, &opening(f, session.clone())).await, OpenOutcome::Opened);
        children.push(session);
    }
    // Twice as many may be opened from others.
    let ended: Vec<bool> =
        futures_util::future::join_all(children.iter().map(async |c| f.stored(&c.id).await.revoked.is_some())).await;
    assert_eq!(ended, [true, true, false, false, false, false, false, false]);
    for n in 1..MAX_SESSIONS {
        assert_eq!(open(f, &opening(f, aged(n, browser(f, &ada)))).await, OpenOutcome::Opened);
        assert!(f.stored(&parent.id).await.revoked.is_none());
    }
    assert_eq!(open(f, &opening(f, browser(f, &ada))).await, OpenOutcome::Opened);
    assert_eq!(f.stored(&parent.id).await.revoked, Some((NOW, RevokedCause::TooManySessions)));
    // And with it what was opened from it.
    assert_eq!(live(f, &ada).await.len(), usize::try_from(MAX_SESSIONS).unwrap());
    let mut tx = f.store.read().await.unwrap();
    let revoked = tx.sessions_of_user(&ada.id, SessionFilter::RevokedAt(NOW)).await.unwrap();
    assert_eq!(revoked.len(), 9);
}

/// Besides the one that holds the user.
pub(crate) async fn an_opening_costs_three_statements_and_its_form_one_more(f: &Fixture) {
    let ada = f.ada().await;
    for (form, statements) in [(None, 3), (Some(form()), 4)] {
        let opens = Opening { form, ..opening(f, browser(f, &ada)) };
        let mut tx = f.store.write().await.unwrap();
        let before = f.store.statements();
        assert_eq!(tx.session_open(&opens, &f.settings, NOW).await.unwrap(), OpenOutcome::Opened);
        assert_eq!(f.store.statements() - before, statements);
        tx.commit().await.unwrap();
    }
}
