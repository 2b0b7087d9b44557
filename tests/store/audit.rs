//! Audit events.

use chancery::domain::audit::AuditFilter;
use chancery::{
    domain::audit::{Actor, AuditEvent, AuditKind},
    id::AuditEventId,
    time::Ttl,
};
use serde_json::json;

use crate::fixture::{Fixture, NOW};

pub(crate) async fn events_are_stored_in_order(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    let later = NOW.plus(Ttl::from_millis(1));
    let event = AuditEvent {
        id: AuditEventId::new(later, &*f.entropy),
        at: later,
        kind: AuditKind::UserDisabled,
        actor: Actor { client: Some("app".into()), address: "192.0.2.7".into(), ..Actor::named("Zoë") },
        subject: "Zoë".into(),
        session: None,
        details: json!({ "why": "é" }),
    };
    tx.audit_append(&event).await.unwrap();
    tx.audit(NOW, AuditKind::UserCreated, &Actor::command(), "Zoë", json!({})).await.unwrap();
    tx.commit().await.unwrap();
    let all = f.store.read().await.unwrap().audit_page(&AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!((all.len(), all[0].id.clone(), &all[0].actor, all[0].at), (2, event.id, &event.actor, later));
    assert_eq!((all[0].kind, &all[0].details, &all[1].actor), (event.kind, &event.details, &Actor::command()));
    let kinds = f.store.read().await.unwrap().audit_kinds().await.unwrap();
    let want = [("USER_CREATED".to_owned(), "Zoë".to_owned()), ("USER_DISABLED".to_owned(), "Zoë".to_owned())];
    assert_eq!(kinds, want);
}

pub(crate) async fn events_are_read_by_page_and_filter(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..9i64 {
        let at = NOW.plus(Ttl::from_secs(n));
        let event = AuditEvent {
            id: AuditEventId::new(at, &*f.entropy),
            at,
            kind: if n % 2 == 0 { AuditKind::SignedIn } else { AuditKind::UserCreated },
            actor: Actor::named(if n < 6 { "ada" } else { "app" }),
            subject: if n < 3 { "ada" } else { "grace" }.into(),
            session: (n == 4).then(|| "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()),
            details: json!({ "n": n }),
        };
        ids.push(event.id.clone());
        tx.audit_append(&event).await.unwrap();
    }
    tx.commit().await.unwrap();
    let numbers = async |filter: AuditFilter, before: Option<&AuditEventId>, limit| {
        let page = f.store.read().await.unwrap().audit_page(&filter, before, limit).await.unwrap();
        page.iter().map(|e| e.details["n"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    assert_eq!(numbers(all(), None, 4).await, [8, 7, 6, 5]);
    assert_eq!(numbers(all(), Some(&ids[5]), 4).await, [4, 3, 2, 1]);
    assert_eq!(numbers(AuditFilter { actor: Some("app".into()), ..all() }, None, 10).await, [8, 7, 6]);
    assert_eq!(numbers(AuditFilter { subject: Some("ada".into()), ..all() }, None, 10).await, [2, 1, 0]);
    let both = AuditFilter { subject: Some("grace".into()), actor: Some("ada".into()), ..all() };
    assert_eq!(numbers(both, None, 10).await, [5, 4, 3]);
    let kind = AuditFilter { kind: Some(AuditKind::SignedIn), since: Some(NOW.plus(Ttl::from_secs(4))), ..all() };
    assert_eq!(numbers(kind, None, 10).await, [8, 6, 4]);
    assert_eq!(numbers(AuditFilter { until: Some(NOW.plus(Ttl::from_secs(2))), ..all() }, None, 10).await, [1, 0]);
    let session = "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    assert_eq!(numbers(AuditFilter { session: Some(session), ..all() }, None, 10).await, [4]);
}

pub(crate) async fn old_events_are_read_oldest_first_and_deleted_in_batches(f: &Fixture) {
    let day = |n: i64| NOW.plus(Ttl::from_days(n));
    let mut tx = f.store.write().await.unwrap();
    for n in [3, 0, 4, 1, 2] {
        tx.audit(day(n), AuditKind::UserCreated, &Actor::command(), &n.to_string(), json!({})).await.unwrap();
    }
    tx.commit().await.unwrap();
    let read = async |span, after: Option<&AuditEventId>, limit| {
        let events = f.store.read().await.unwrap().audit_oldest(span, after, limit).await.unwrap();
        let subjects: Vec<String> = events.iter().map(|e| e.subject.clone()).collect();
        (subjects.join(" "), events.into_iter().next_back().map(|e| e.id))
    };
    let (first, last) = read((None, None), None, 3).await;
    assert_eq!(first, "0 1 2");
    assert_eq!(read((None, None), last.as_ref(), 3).await.0, "3 4");
    assert_eq!(read((Some(day(1)), Some(day(3))), None, 9).await.0, "1 2");
    assert_eq!(read((Some(day(3)), None), last.as_ref(), 1).await.0, "3");
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.audit_has_before(day(1)).await.unwrap() && !tx.audit_has_before(NOW).await.unwrap());
    assert_eq!(tx.audit_last_before(day(3)).await.unwrap(), Some(day(2)));
    assert_eq!(tx.audit_last_before(NOW).await.unwrap(), None);
    assert_eq!(tx.audit_sweep(day(3), 2).await.unwrap(), 2);
    assert_eq!(tx.audit_sweep(day(3), 2).await.unwrap(), 1);
    assert_eq!(tx.audit_sweep(day(3), 2).await.unwrap(), 0);
    assert!(!tx.audit_has_before(day(3)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(read((None, None), None, 9).await.0, "3 4");
}

pub(crate) async fn what_was_deleted_is_remembered(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.audit_deleted_before().await.unwrap(), None);
    let mut settings = tx.settings_hold().await.unwrap();
    settings.audit_deleted_before = Some(NOW);
    tx.settings_set(&settings).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.store.read().await.unwrap().audit_deleted_before().await.unwrap(), Some(NOW));
}
