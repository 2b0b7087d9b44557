//! Refreshing, by one conditional update.

use chancery::{
    domain::session::{RevokedCause, RotateOutcome, Rotation, Session, TokenBasis},
    store::Store,
    time::{Timestamp, Ttl},
};

use crate::fixture::{Fixture, NOW, rotation};

async fn rotate(f: &Fixture, store: &Store, requests: &[Rotation], now: Timestamp) -> Vec<RotateOutcome> {
    let mut tx = store.write().await.unwrap();
    let outcomes = tx.rotate(requests, &f.settings, now).await.unwrap();
    tx.commit().await.unwrap();
    outcomes
}

async fn session(f: &Fixture) -> Session {
    let ada = f.ada().await;
    f.signed_in(&ada).await
}

pub(crate) async fn the_current_token_rotates_and_changes_nothing_else(f: &Fixture) {
    let before = session(f).await;
    let later = NOW.plus(Ttl::from_secs(60));
    let request = Rotation { request_id: Some("call-1".into()), arrived: later, ..rotation(&before, 0) };
    let outcomes = rotate(f, &f.store, &[request], later).await;
    let [RotateOutcome::Rotated(after)] = &outcomes[..] else { panic!("{outcomes:?}") };
    let want = Session {
        generation: 1,
        rotated_at: later,
        previous_rotated_at: NOW,
        rotation_request_id: Some("call-1".into()),
        idle_expires_at: later.plus(before.idle_ttl),
        ..before
    };
    assert_eq!(format!("{after:?}"), format!("{:?}", TokenBasis::from(want.clone())));
    assert_eq!(format!("{:?}", f.stored(&want.id).await), format!("{want:?}"));
    // A clock that steps back does not shorten any lifetime.
    let outcomes = rotate(f, &f.store, &[rotation(&want, 1)], NOW).await;
    assert!(matches!(&outcomes[..], [RotateOutcome::Rotated(_)]), "{outcomes:?}");
    let again = f.stored(&want.id).await;
    assert_eq!((again.rotated_at, again.idle_expires_at), (later, want.idle_expires_at));
}

pub(crate) async fn outcomes_of_a_batch_are_in_the_order_of_its_requests(f: &Fixture) {
    let ada = f.ada().await;
    let sessions: Vec<Session> = futures_util::future::join_all((0..6).map(|_| f.signed_in(&ada))).await;
    let mut requests: Vec<Rotation> = sessions.iter().rev().map(|s| rotation(s, 0)).collect();
    requests[2].client = "stranger".parse().unwrap();
    requests[4].audience = "nowhere".parse().unwrap();
    let outcomes = rotate(f, &f.store, &requests, NOW).await;
    for (n, (request, outcome)) in requests.iter().zip(&outcomes).enumerate() {
        match (n, outcome) {
            (2, RotateOutcome::Unknown) | (4, RotateOutcome::AudienceNotGranted) => {}
            (0 | 1 | 3 | 5, RotateOutcome::Rotated(s)) => assert_eq!(s.id, request.session),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn twice_in_one_batch_rotates_once_and_replays_once(f: &Fixture) {
    let s = session(f).await;
    let outcomes = rotate(f, &f.store, &[rotation(&s, 0), rotation(&s, 0)], NOW).await;
    assert!(matches!(&outcomes[..], [RotateOutcome::Rotated(_), RotateOutcome::Replayed(_)]), "{outcomes:?}");
    assert_eq!(f.stored(&s.id).await.generation, 1);
}

pub(crate) async fn concurrent_requests_rotate_once(f: &Fixture) {
    let s = session(f).await;
    let stores: Vec<Store> = [f.store.clone(), f.second().await].into_iter().cycle().take(20).collect();
    let request = [rotation(&s, 0)];
    let all = stores.iter().map(|store| rotate(f, store, &request, NOW));
    let outcomes: Vec<RotateOutcome> = futures_util::future::join_all(all).await.into_iter().flatten().collect();
    let rotated = outcomes.iter().filter(|o| matches!(o, RotateOutcome::Rotated(_))).count();
    let replayed = outcomes.iter().filter(|o| matches!(o, RotateOutcome::Replayed(_))).count();
    assert_eq!((rotated, replayed), (1, 19), "{outcomes:?}");
    assert_eq!(f.stored(&s.id).await.generation, 1);
}

pub(crate) async fn a_row_set_back_is_fast_forwarded(f: &Fixture) {
    let s = session(f).await;
    let later = NOW.plus(Ttl::from_secs(60));
    let outcomes = rotate(f, &f.store, &[rotation(&s, 5)], later).await;
    assert!(matches!(&outcomes[..], [RotateOutcome::FastForwarded(_)]), "{outcomes:?}");
    let after = f.stored(&s.id).await;
    assert_eq!((after.generation, after.rotated_at, after.previous_rotated_at), (6, later, later));
    let kinds = f.store.read().await.unwrap().audit_kinds().await.unwrap();
    assert_eq!(kinds.iter().filter(|(kind, _)| kind == "SESSION_FAST_FORWARDED").count(), 1);
    assert!(after.revoked.is_none());
}

pub(crate) async fn a_request_that_does_not_match_changes_nothing(f: &Fixture) {
    let s = session(f).await;
    let other = f.session(&f.user("x").user);
    let base = rotation(&s, 0);
    let cases = [
        Rotation { secret: other.secret, ..base.clone() },
        Rotation { client: "stranger".parse().unwrap(), ..base.clone() },
        Rotation { session: other.id, ..base.clone() },
        Rotation { audience: "nowhere".parse().unwrap(), ..base.clone() },
        Rotation { scopes: vec!["read".parse().unwrap(), "admin".parse().unwrap()], ..base.clone() },
        Rotation { arrived: NOW.plus(Ttl::from_days(7)), ..base.clone() },
        // A later generation without the right secret does not advance the session either.
        Rotation { secret: other.secret, generation: 9, ..base.clone() },
    ];
    for case in cases {
        let outcome = rotate(f, &f.store, std::slice::from_ref(&case), NOW).await.pop().unwrap();
        let refused = matches!(
            outcome,
            RotateOutcome::Unknown
                | RotateOutcome::AudienceNotGranted
                | RotateOutcome::ScopeNotGranted
                | RotateOutcome::Expired
        );
        assert!(refused, "{outcome:?} for {case:?}");
        assert_eq!(format!("{:?}", f.stored(&s.id).await), format!("{s:?}"));
    }
}

pub(crate) async fn reuse_revokes_the_session_in_the_same_transaction(f: &Fixture) {
    let s = session(f).await;
    for generation in 0..3 {
        let outcome = rotate(f, &f.store, &[rotation(&s, generation)], NOW).await.pop().unwrap();
        assert!(matches!(outcome, RotateOutcome::Rotated(_)), "{outcome:?}");
    }
    let mut tx = f.store.write().await.unwrap();
    let outcome = tx.rotate(&[rotation(&s, 0)], &f.settings, NOW).await.unwrap().pop().unwrap();
    assert!(matches!(outcome, RotateOutcome::Reused { rotated_at } if rotated_at == NOW), "{outcome:?}");
    drop(tx);
    assert!(f.stored(&s.id).await.revoked.is_none(), "kept before the commit");
    let _ = rotate(f, &f.store, &[rotation(&s, 0)], NOW).await;
    assert_eq!(f.stored(&s.id).await.revoked, Some((NOW, RevokedCause::Reuse)));
    let again = rotate(f, &f.store, &[rotation(&s, 3)], NOW).await.pop().unwrap();
    assert!(matches!(again, RotateOutcome::Revoked(RevokedCause::Reuse)), "{again:?}");
}

pub(crate) async fn a_rotation_time_is_moved_only_if_the_session_was_not_rotated_again(f: &Fixture) {
    let s = session(f).await;
    let later = NOW.plus(Ttl::from_secs(2));
    let _ = rotate(f, &f.store, &[rotation(&s, 0)], NOW).await;
    let mut tx = f.store.write().await.unwrap();
    assert!(!tx.rotation_stamp(&s.id, 0, later).await.unwrap());
    assert!(tx.rotation_stamp(&s.id, 1, later).await.unwrap());
    // The time can only be moved forward.
    assert!(!tx.rotation_stamp(&s.id, 1, NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(f.stored(&s.id).await.rotated_at, later);
}
