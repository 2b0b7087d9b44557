//! Rows that an older version or a person at the database left with JSON that cannot be read.

use chancery::{
    domain::{
        audit::{Actor, AuditFilter, AuditKind},
        session::{RevokedCause, RotateOutcome, Session},
        user::UserFilter,
    },
    store::{By, NewUser, Revoke},
};
use serde_json::json;

use crate::fixture::{Fixture, NOW, rotation};

/// Texts that are no shallow object, as SQL. SQLite stores any text, even what is not UTF-8, PostgreSQL only JSON.
pub(crate) fn unreadable(f: &Fixture) -> Vec<String> {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let mut all = vec![deep(16), deep(126), deep(1000), "[]".to_owned(), "\"x\"".to_owned()];
    if f.database.engine == "sqlite" {
        all.extend(["nonsense".to_owned(), String::new(), "{\"a\":\"\\ud800\"}".to_owned()]);
    }
    let mut all: Vec<String> = all.into_iter().map(|text| format!("'{text}'")).collect();
    if f.database.engine == "sqlite" {
        all.push("CAST(x'7bff7d' AS TEXT)".to_owned());
    }
    all
}

fn is_json(sql: &str) -> bool {
    let text = sql.strip_prefix('\'').and_then(|s| s.strip_suffix('\''));
    text.is_some_and(|text| serde_json::from_str::<serde_json::Value>(text).is_ok())
}

async fn user(f: &Fixture, name: &str) -> NewUser {
    let new = f.user(name);
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&new).await.unwrap(), None);
    tx.commit().await.unwrap();
    new
}

async fn set(f: &Fixture, table: &str, column: &str, id: &str, text: &str) {
    let sql = format!("UPDATE {table} SET {column} = {text} WHERE id = '{id}'");
    assert_eq!(f.database.sql(&sql).await.unwrap(), 1);
}

pub(crate) async fn one_user_whose_attributes_cannot_be_read_spoils_no_list(f: &Fixture) {
    let (good, bad) = (user(f, "good").await.user, user(f, "bad").await.user);
    for text in unreadable(f) {
        set(f, "users", "attributes", bad.id.as_str(), &text).await;
        let mut tx = f.store.read().await.unwrap();
        let all = tx.users_page(&UserFilter::default(), "", 10).await.unwrap();
        let mut attributes: Vec<_> = all.iter().map(|u| u.attributes.is_empty()).collect();
        attributes.sort_unstable();
        assert_eq!(attributes, [false, true], "{text:.40}");
        assert!(tx.user_by_id(&bad.id).await.unwrap().unwrap().attributes.is_empty());
        assert!(tx.user_by_login("bad").await.unwrap().unwrap().user.attributes.is_empty());
        assert!(tx.user_by_subject(&bad.subject).await.unwrap().is_some());
        assert_eq!(tx.users_of_subjects(&[&good.subject, &bad.subject]).await.unwrap().len(), 2);
        assert_eq!(tx.user_attributes(&bad.id).await.unwrap(), None);
        assert_eq!(tx.user_attributes(&good.id).await.unwrap().as_ref(), Some(&good.attributes));
    }
}

pub(crate) async fn one_session_whose_claims_cannot_be_read_leaves_the_others_on_the_fast_path(f: &Fixture) {
    let ada = f.ada().await;
    let sessions: Vec<Session> = futures_util::future::join_all((0..4).map(|_| f.signed_in(&ada))).await;
    for (generation, text) in (0..).zip(unreadable(f)) {
        for column in ["claims", "roles", "amr"] {
            set(f, "sessions", column, sessions[2].id.as_str(), &text).await;
        }
        let requests: Vec<_> = sessions.iter().map(|s| rotation(s, generation)).collect();
        let before = f.store.statements();
        let mut tx = f.store.write().await.unwrap();
        let outcomes = tx.rotate(&requests, &f.settings, NOW).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(f.store.statements() - before, 1, "{text:.40}");
        for (n, outcome) in outcomes.iter().enumerate() {
            let RotateOutcome::Rotated(basis) = outcome else { panic!("{text:.40}: {outcome:?}") };
            assert_eq!((basis.claims.is_empty(), basis.roles.is_empty()), (n == 2, n == 2), "{text:.40}");
        }
        assert!(f.stored(&sessions[2].id).await.claims.is_empty());
    }
}

pub(crate) async fn an_unreadable_user_is_revoked_and_healed(f: &Fixture) {
    let ada = f.ada().await;
    for text in unreadable(f) {
        let session = f.signed_in(&ada).await;
        set(f, "users", "attributes", ada.id.as_str(), &text).await;
        for column in ["claims", "scopes", "audiences", "amr", "roles"] {
            set(f, "sessions", column, session.id.as_str(), &text).await;
        }
        let mut tx = f.store.write().await.unwrap();
        assert_eq!(tx.live_session_ids(&ada.id, NOW).await.unwrap(), std::slice::from_ref(&session.id));
        let by = By { actor: &Actor::command(), cause: RevokedCause::Administrator, settings: &f.settings, now: NOW };
        assert_eq!(tx.revoke(Revoke::SessionsOf { user: &ada.id, but: None }, &by).await.unwrap(), 1, "{text:.40}");
        let healed = json!({ "team": "x" }).as_object().cloned().unwrap();
        tx.user_set_attributes(&ada.id, &healed).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = f.store.read().await.unwrap();
        assert_eq!(tx.user_by_id(&ada.id).await.unwrap().unwrap().attributes, healed);
        assert_eq!(tx.live_session_ids(&ada.id, NOW).await.unwrap(), []);
    }
}

pub(crate) async fn one_event_whose_details_cannot_be_read_is_listed_without_them(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    for subject in ["good", "bad"] {
        let (kind, actor) = (AuditKind::UserUpdated, Actor::command());
        tx.audit(NOW, kind, &actor, subject, json!({ "changed": ["name"] })).await.unwrap();
    }
    tx.commit().await.unwrap();
    for text in unreadable(f).into_iter().filter(|text| !is_json(text)) {
        f.database.sql(&format!("UPDATE audit_events SET details = {text} WHERE subject = 'bad'")).await.unwrap();
        let events = f.store.read().await.unwrap().audit_page(&AuditFilter::default(), None, 10).await.unwrap();
        let read = events.iter().filter(|e| e.details.is_object()).count();
        assert_eq!((events.len(), read), (2, 1), "{text:.40}");
    }
}
