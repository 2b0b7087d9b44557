//! Audit events: appended, never changed.

use sqlx::types::Json;

use super::engine::{Tx, all, execute};
use crate::{
    domain::audit::{AuditEvent, AuditKind},
    error::Result,
    id::{AuditEventId, SessionId},
    time::Timestamp,
};

impl Tx {
    /// Appends an event.
    pub async fn audit_append(&mut self, event: &AuditEvent) -> Result<()> {
        const SQL: &str = "INSERT INTO audit_events (id, at, kind, actor, subject, session_id, details) \
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        execute!(
            self,
            SQL,
            event.id.as_str(),
            event.at.millis(),
            event.kind.as_str(),
            &event.actor,
            &event.subject,
            event.session.as_ref().map(SessionId::as_str),
            Json(&event.details)
        )
        .map(|_| ())
    }

    /// Appends an event with a new id.
    pub async fn audit(
        &mut self,
        now: Timestamp,
        kind: AuditKind,
        actor: &str,
        subject: &str,
        details: serde_json::Value,
    ) -> Result<()> {
        let id = AuditEventId::new(now, &*self.entropy);
        let (actor, subject) = (actor.to_owned(), subject.to_owned());
        self.audit_append(&AuditEvent { id, at: now, kind, actor, subject, session: None, details }).await
    }

    /// The kinds and subjects of all events, oldest first.
    pub async fn audit_kinds(&mut self) -> Result<Vec<(String, String)>> {
        all!(self, (String, String), "SELECT kind, subject FROM audit_events ORDER BY at, id")
    }
}
