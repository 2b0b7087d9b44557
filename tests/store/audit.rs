//! Audit events.

use chancery::{
    domain::audit::{AuditEvent, AuditKind},
    id::AuditEventId,
    time::Ttl,
};
use serde_json::json;

use crate::fixture::{Fixture, NOW};

pub(crate) async fn events_are_kept_in_order(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    let later = NOW.plus(Ttl::from_millis(1));
    let event = AuditEvent {
        id: AuditEventId::new(later, &*f.entropy),
        at: later,
        kind: AuditKind::UserDisabled,
        actor: "command".into(),
        subject: "Zoë".into(),
        session: None,
        details: json!({ "why": "é" }),
    };
    tx.audit_append(&event).await.unwrap();
    tx.audit(NOW, AuditKind::UserCreated, "command", "Zoë", json!({})).await.unwrap();
    tx.commit().await.unwrap();
    let kinds = f.store.read().await.unwrap().audit_kinds().await.unwrap();
    let want = [("USER_CREATED".to_owned(), "Zoë".to_owned()), ("USER_DISABLED".to_owned(), "Zoë".to_owned())];
    assert_eq!(kinds, want);
}
