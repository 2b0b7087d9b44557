//! Sessions: storing, listing, revoking and sweeping.

use std::sync::LazyLock;

use chancery::{
    domain::{
        audit::Actor,
        keys::{Algorithm, KeyState},
        session::RevokedCause,
    },
    id::SessionId,
    store::{By, Revoke, SessionFilter, Walk},
    time::Ttl,
};

use crate::fixture::{Fixture, NOW};

pub(crate) async fn a_session_is_stored_unchanged(f: &Fixture) {
    let ada = f.ada().await;
    let session = f.signed_in(&ada).await;
    assert_eq!(format!("{:?}", f.stored(&session.id).await), format!("{session:?}"));
    let stranger = SessionId::new(NOW, &*f.entropy);
    assert!(f.store.read().await.unwrap().session_by_id(&stranger).await.unwrap().is_none());
}

pub(crate) async fn live_sessions_are_those_that_can_be_refreshed(f: &Fixture) {
    let ada = f.ada().await;
    let mut ids = Vec::new();
    for age in [3, 2, 1] {
        let mut session = f.session(&ada);
        session.created_at = NOW.minus(Ttl::from_secs(age));
        session.idle_expires_at = session.created_at.plus(Ttl::from_days(7));
        let mut tx = f.store.write().await.unwrap();
        tx.session_insert(&session).await.unwrap();
        tx.commit().await.unwrap();
        ids.push(session.id);
    }
    let list = async |filter| -> Vec<SessionId> {
        let all = f.store.read().await.unwrap().sessions_of_user(&ada.id, filter).await.unwrap();
        all.into_iter().map(|s| s.id).collect()
    };
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(list(SessionFilter::Live(NOW)).await, newest_first);
    let almost = NOW.minus(Ttl::from_secs(3)).plus(Ttl::from_days(7));
    assert_eq!(list(SessionFilter::Live(almost)).await, newest_first[..2]);
    assert_eq!(list(SessionFilter::All).await, newest_first);
    // Those that one call ended.
    assert_eq!(revoke(f, &f.store, &ids[..2]).await, 2);
    assert_eq!(list(SessionFilter::RevokedAt(NOW)).await, newest_first[1..]);
    assert!(list(SessionFilter::RevokedAt(almost)).await.is_empty());
    assert_eq!(list(SessionFilter::Live(NOW)).await, newest_first[..1]);
}

fn by(f: &Fixture) -> By<'_> {
    static APP: LazyLock<Actor> = LazyLock::new(|| Actor::named("app"));
    By { actor: &APP, cause: RevokedCause::Logout, settings: &f.settings, now: NOW }
}

async fn revoke(f: &Fixture, store: &chancery::store::Store, ids: &[SessionId]) -> usize {
    let mut tx = store.write().await.unwrap();
    let ended = tx.revoke(Revoke::Sessions(ids), &by(f)).await.unwrap();
    tx.commit().await.unwrap();
    ended
}

pub(crate) async fn revoking_happens_once_with_an_event_and_an_entry(f: &Fixture) {
    let ada = f.ada().await;
    let (one, two) = (f.signed_in(&ada).await, f.signed_in(&ada).await);
    assert_eq!(revoke(f, &f.store, std::slice::from_ref(&one.id)).await, 1);
    assert_eq!(revoke(f, &f.store, &[two.id.clone(), one.id.clone()]).await, 1);
    assert_eq!(f.stored(&one.id).await.revoked, Some((NOW, RevokedCause::Logout)));
    let mut tx = f.store.read().await.unwrap();
    let entries = tx.feed_from(1).await.unwrap();
    let named: Vec<_> = entries.iter().map(|e| (e.change.subject.as_str(), e.change.ends_at)).collect();
    let ends = NOW.plus(f.settings.revocation_ttl(NOW));
    assert_eq!(named, [(one.id.as_str(), ends), (two.id.as_str(), ends)]);
    assert_eq!(tx.audit_kinds().await.unwrap().iter().filter(|(kind, _)| kind == "SESSION_REVOKED").count(), 2);
}

pub(crate) async fn concurrent_calls_revoke_a_session_once(f: &Fixture) {
    let ada = f.ada().await;
    let session = f.signed_in(&ada).await;
    let stores: Vec<_> = [f.store.clone(), f.second().await].into_iter().cycle().take(8).collect();
    let ids = [session.id];
    let all = futures_util::future::join_all(stores.iter().map(|store| revoke(f, store, &ids))).await;
    assert_eq!(all.into_iter().sum::<usize>(), 1);
}

pub(crate) async fn revoking_all_sessions_but_one_clients_and_keys_writes_events_and_entries(f: &Fixture) {
    let ada = f.ada().await;
    let (one, two, kept) = (f.signed_in(&ada).await, f.signed_in(&ada).await, f.signed_in(&ada).await);
    let (client, key) = (Fixture::client("app"), f.key(Algorithm::Es256, KeyState::Active));
    let mut tx = f.store.write().await.unwrap();
    tx.client_insert(&client).await.unwrap();
    tx.key_insert(&key).await.unwrap();
    let all = Revoke::SessionsOf { user: &ada.id, but: Some(&kept.id) };
    let key = Revoke::Key { id: &key.id, kid: &key.kid, state: KeyState::Active };
    for (what, first) in [(all, 2), (Revoke::Client(&client.id), 1), (key, 1)] {
        assert_eq!(tx.revoke(what, &by(f)).await.unwrap(), first, "{what:?}");
        assert_eq!(tx.revoke(what, &by(f)).await.unwrap(), 0, "{what:?} again");
    }
    tx.commit().await.unwrap();
    assert!(f.stored(&kept.id).await.revoked.is_none());
    assert!(f.stored(&one.id).await.revoked.is_some() && f.stored(&two.id).await.revoked.is_some());
    let mut tx = f.store.read().await.unwrap();
    let entries = tx.feed_from(1).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|e| e.change.kind.as_str()).collect();
    assert_eq!(kinds, ["session_revoked", "session_revoked", "client_disabled", "key_revoked"]);
    // The entry of a revoked session has the position of its status bit.
    assert_eq!(entries[0].change.status, one.status);
    assert_eq!(tx.audit_kinds().await.unwrap().len(), 4);
}

pub(crate) async fn all_sessions_end_at_once(f: &Fixture) {
    let ada = f.ada().await;
    let (one, two) = (f.signed_in(&ada).await, f.signed_in(&ada).await);
    revoke(f, &f.store, std::slice::from_ref(&one.id)).await;
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.sessions_end_all(RevokedCause::IssuerChanged, NOW).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(f.stored(&one.id).await.revoked.unwrap().1, RevokedCause::Logout);
    assert_eq!(f.stored(&two.id).await.revoked.unwrap().1, RevokedCause::IssuerChanged);
}

pub(crate) async fn a_walk_finds_dead_sessions_in_steps_and_only_those_are_deleted(f: &Fixture) {
    let ada = f.ada().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(f.signed_in(&ada).await.id);
    }
    ids.sort();
    let (revoked, living) = (vec![ids[0].clone(), ids[2].clone(), ids[3].clone()], ids[1].clone());
    revoke(f, &f.store, &revoked).await;
    let walk =
        async |after: Option<&SessionId>, at| f.store.read().await.unwrap().sessions_walk(after, at, 3).await.unwrap();
    assert_eq!(walk(None, NOW).await, Walk { dead: vec![], last: Some(ids[2].clone()) });
    let later = NOW.plus(Ttl::from_millis(1));
    assert_eq!(walk(None, later).await, Walk { dead: revoked[..2].to_vec(), last: Some(ids[2].clone()) });
    assert_eq!(walk(Some(&ids[2]), later).await, Walk { dead: revoked[2..].to_vec(), last: Some(ids[5].clone()) });
    assert_eq!(walk(Some(&ids[5]), later).await, Walk { dead: vec![], last: None });
    // Idle for longer than seven days.
    assert_eq!(walk(Some(&ids[3]), NOW.plus(Ttl::from_days(8))).await.dead, ids[4..]);
    let mut tx = f.store.write().await.unwrap();
    let asked = [living.clone(), revoked[0].clone()];
    assert_eq!(tx.sessions_delete_dead(&asked, later).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.session_by_id(&living).await.unwrap().is_some());
    assert!(tx.session_by_id(&revoked[0]).await.unwrap().is_none());
}

pub(crate) async fn the_oldest_sessions_beyond_a_number_are_found(f: &Fixture) {
    let ada = f.ada().await;
    let mut ids = Vec::new();
    for age in [4, 3, 2, 1] {
        let mut session = f.session(&ada);
        session.created_at = NOW.minus(Ttl::from_secs(age));
        let mut tx = f.store.write().await.unwrap();
        tx.session_insert(&session).await.unwrap();
        tx.commit().await.unwrap();
        ids.push(session.id);
    }
    revoke(f, &f.store, &ids[..1]).await;
    let beyond = async |keep| f.store.read().await.unwrap().sessions_beyond(&ada.id, keep, NOW).await.unwrap();
    assert_eq!(beyond(0).await, [ids[3].clone(), ids[2].clone(), ids[1].clone()]);
    assert_eq!(beyond(2).await, ids[1..2]);
    assert_eq!(beyond(3).await, []);
}

/// No index contains a column that a refresh or the use of a cookie writes. So on PostgreSQL updates are heap-only, and on SQLite only the
/// row itself is written.
pub(crate) async fn no_column_that_a_refresh_writes_is_indexed(f: &Fixture) {
    let written = ["generation", "rotated_at", "previous_rotated_at", "rotation_request_id", "idle_expires_at"];
    let indexed = f.database.indexed_columns("sessions").await;
    for known in ["id", "user_id", "client_id", "parent_id"] {
        assert!(indexed.iter().any(|column| column == known), "{indexed:?}");
    }
    assert!(indexed.iter().all(|column| !written.contains(&column.as_str())), "{indexed:?}");
}

pub(crate) async fn claims_are_replaced_only_for_the_given_client(f: &Fixture) {
    let ada = f.ada().await;
    let session = f.signed_in(&ada).await;
    let claims = serde_json::json!({ "team": "Grace" }).as_object().cloned().unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.sessions_set_claims(&ada.id, &"other".parse().unwrap(), &claims).await.unwrap(), 0);
    assert_eq!(tx.sessions_set_claims(&ada.id, &session.client, &claims).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(f.stored(&session.id).await.claims, claims);
}
