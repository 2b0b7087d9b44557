//! Audit events. They are appended, never changed, and deleted only when they are older than a setting says.

use sqlx::types::Json;

use super::{
    engine::{Tx, all, execute, optional},
    failure::corrupt,
    readable::Readable,
};
use crate::{
    domain::audit::{Actor, AuditEvent, AuditFilter, AuditKind},
    error::{Error, Result},
    id::{AuditEventId, SessionId},
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct EventRow {
    id: String,
    at: i64,
    kind: String,
    actor: String,
    client_id: Option<String>,
    address: String,
    subject: String,
    session_id: Option<String>,
    details: Readable<serde_json::Value>,
}

impl TryFrom<EventRow> for AuditEvent {
    type Error = Error;
    fn try_from(row: EventRow) -> Result<Self> {
        let bad = |column| corrupt("audit_events", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            at: Timestamp::from_millis(row.at),
            kind: AuditKind::parse(&row.kind).ok_or_else(|| bad("kind"))?,
            session: row.session_id.as_deref().map(str::parse).transpose().map_err(|_| bad("session_id"))?,
            actor: Actor { name: row.actor, client: row.client_id, address: row.address },
            subject: row.subject,
            details: row.details.or_empty(("audit_events", "details"), &row.id),
        })
    }
}

/// Greater than every id of an event.
const AFTER_ALL: &str = "aud_\u{7f}";

/// A page of events; `$by` is the condition that an index serves. Ids begin with the event's time, so they also bound
/// the time: an index by time would have to sort everything that it finds.
macro_rules! page {
    ($by:literal) => {
        concat!(
            "SELECT id, at, kind, actor, client_id, address, subject, session_id, details FROM audit_events \
             WHERE id < $1 AND id < $3 AND id >= $2 AND kind = coalesce($4, kind) \
             AND coalesce(session_id, '') = coalesce($5, session_id, '') AND ",
            $by,
            " ORDER BY id DESC LIMIT $8"
        )
    };
}

impl Tx {
    /// The newest `limit` events that match the filter and come before the event `before`, newest first.
    pub async fn audit_page(
        &mut self,
        filter: &AuditFilter,
        before: Option<&AuditEventId>,
        limit: i64,
    ) -> Result<Vec<AuditEvent>> {
        const BY_SUBJECT: &str = page!("subject = $6 AND actor = coalesce($7, actor)");
        const BY_ACTOR: &str = page!("actor = $7 AND subject = coalesce($6, subject)");
        const ALL: &str = page!("subject = coalesce($6, subject) AND actor = coalesce($7, actor)");
        let sql = match (&filter.subject, &filter.actor) {
            (Some(_), _) => BY_SUBJECT,
            (None, Some(_)) => BY_ACTOR,
            (None, None) => ALL,
        };
        let rows = all!(
            self,
            EventRow,
            sql,
            before.map_or(AFTER_ALL, AuditEventId::as_str),
            filter.since.map(AuditEventId::first_at).as_ref().map_or("", AuditEventId::as_str),
            filter.until.map(AuditEventId::first_at).as_ref().map_or(AFTER_ALL, AuditEventId::as_str),
            filter.kind.map(AuditKind::as_str),
            filter.session.as_ref().map(SessionId::as_str),
            filter.subject.as_deref(),
            filter.actor.as_deref(),
            limit
        )?;
        rows.into_iter().map(AuditEvent::try_from).collect()
    }

    /// The oldest `limit` events at `since` or later that come after the event `after` and before `until`, oldest first.
    pub async fn audit_oldest(
        &mut self,
        (since, until): (Option<Timestamp>, Option<Timestamp>),
        after: Option<&AuditEventId>,
        limit: i64,
    ) -> Result<Vec<AuditEvent>> {
        const SQL: &str = "SELECT id, at, kind, actor, client_id, address, subject, session_id, details \
            FROM audit_events WHERE id >= $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4";
        let rows = all!(
            self,
            EventRow,
            SQL,
            since.map(AuditEventId::first_at).as_ref().map_or("", AuditEventId::as_str),
            after.map_or("", AuditEventId::as_str),
            until.map(AuditEventId::first_at).as_ref().map_or(AFTER_ALL, AuditEventId::as_str),
            limit
        )?;
        rows.into_iter().map(AuditEvent::try_from).collect()
    }

    /// Whether there are events before this time.
    pub async fn audit_has_before(&mut self, before: Timestamp) -> Result<bool> {
        const SQL: &str = "SELECT id FROM audit_events WHERE id < $1 ORDER BY id LIMIT 1";
        Ok(optional!(self, (String,), SQL, AuditEventId::first_at(before).as_str())?.is_some())
    }

    /// The time of the last event before this time.
    pub async fn audit_last_before(&mut self, before: Timestamp) -> Result<Option<Timestamp>> {
        const SQL: &str = "SELECT at FROM audit_events WHERE id < $1 ORDER BY id DESC LIMIT 1";
        let row = optional!(self, (i64,), SQL, AuditEventId::first_at(before).as_str())?;
        Ok(row.map(|(at,)| Timestamp::from_millis(at)))
    }

    /// Deletes at most `limit` of the events before this time, the oldest first. Returns their number.
    pub async fn audit_sweep(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        const SQL: &str = "DELETE FROM audit_events WHERE id IN \
            (SELECT id FROM audit_events WHERE id < $1 ORDER BY id LIMIT $2)";
        execute!(self, SQL, AuditEventId::first_at(before).as_str(), limit)
    }

    /// The time before which events have been deleted, if any have.
    pub async fn audit_deleted_before(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.instance().await?.and_then(|instance| instance.settings.audit_deleted_before))
    }

    /// Appends an event.
    pub async fn audit_append(&mut self, event: &AuditEvent) -> Result<()> {
        const SQL: &str = "INSERT INTO audit_events (id, at, kind, actor, client_id, address, subject, session_id, \
            details) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        execute!(
            self,
            SQL,
            event.id.as_str(),
            event.at.millis(),
            event.kind.as_str(),
            &event.actor.name,
            event.actor.client.as_deref(),
            &event.actor.address,
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
        actor: &Actor,
        subject: &str,
        details: serde_json::Value,
    ) -> Result<()> {
        let id = AuditEventId::new(now, &*self.entropy);
        let (actor, subject) = (actor.clone(), subject.to_owned());
        self.audit_append(&AuditEvent { id, at: now, kind, actor, subject, session: None, details }).await
    }

    /// The kinds and subjects of all events, oldest first.
    pub async fn audit_kinds(&mut self) -> Result<Vec<(String, String)>> {
        all!(self, (String, String), "SELECT kind, subject FROM audit_events ORDER BY at, id")
    }
}
